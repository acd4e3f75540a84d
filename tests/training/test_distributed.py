"""Two processes that share a batch train the model that one process trains."""

import numpy as np
import pytest
from tests.fixtures_encounters import TINY_MODEL

from jepascope import params
from jepascope.store import read_table, read_tensors
from jepascope.training.step import train
from jepascope.training.watch import CollapseError

pytest_plugins = ["tests.fixtures_trained"]


@pytest.mark.parametrize("arm", ["stop_gradient", "curriculum"])
def test_two_processes_follow_the_loss_curve_of_one(toy_folder, tmp_path, arm):
    histories, weights = [], []
    for processes in (1, 2):
        training = params.Training(epochs=4, batch_patients=25, learning_rate=3e-3, arm=arm, processes=processes)
        folder = tmp_path / f"{processes}"
        folder.mkdir()
        train(folder, toy_folder, TINY_MODEL, training, seed=0)
        histories.append(read_table(folder / "history.parquet"))
        weights.append(read_tensors(folder / "model.safetensors"))
        assert not (folder / "request.json").exists()
    one, two = histories
    terms = [name for name in one if name.startswith(("train_", "validation_"))]
    np.testing.assert_allclose(one[terms], two[terms], rtol=2e-3)
    assert one["train_total"].nunique() == 4  # it moved
    for name in weights[0]:
        np.testing.assert_allclose(weights[0][name], weights[1][name], rtol=0.05, atol=2e-3)


def test_a_failure_in_one_process_is_a_failure_of_the_run(toy_folder, tmp_path):
    training = params.Training(epochs=1, batch_patients=1, processes=2)
    with pytest.raises(RuntimeError, match="training in 2 processes stopped"):
        train(tmp_path, toy_folder, TINY_MODEL, training, seed=0)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_gate_that_closes_in_the_processes_is_the_gate_of_the_run(toy_folder, tmp_path):
    training = params.Training(epochs=6, batch_patients=25, processes=2, min_rank=15.9, warmup_share=0.1)
    with pytest.raises(CollapseError, match="gate 'rank': RankMe of z is"):
        train(tmp_path, toy_folder, TINY_MODEL, training, seed=0)
    assert {file.name for file in tmp_path.iterdir()} <= {"history.parquet", "log", "checkpoint.safetensors"}
