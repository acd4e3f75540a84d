"""The untrained twin: random weights, a fair scale, and a predictor that was trained as long as the other."""

import numpy as np
import pytest
import torch
from tests.fixtures_encounters import TINY_MODEL

from jepascope import params
from jepascope.objects import embed
from jepascope.store import read_table
from jepascope.training.checkpoint import load_model
from jepascope.training.initial import new_model, untrained_twin
from jepascope.training.twin import train_twin

pytest_plugins = ["tests.fixtures_trained"]


@pytest.fixture(scope="module")
def twin_folder(toy_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    training = params.Training(epochs=12, batch_patients=24, learning_rate=5e-3)
    train_twin(folder, toy_folder, TINY_MODEL, training, seed=0)
    return folder


def test_twin_has_mean_zero_and_variance_one_on_train_patients(toy):
    z = embed(untrained_twin(toy, TINY_MODEL, seed=0), toy).z[(toy.index["split"] == "train").to_numpy()]
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-4)


def test_twin_is_the_model_that_training_starts_from_but_for_the_scale(toy):
    twin, start = untrained_twin(toy, TINY_MODEL, seed=3), new_model(len(toy.vocabulary), TINY_MODEL, seed=3)
    scaled = {"encoder.out.weight", "encoder.out.bias"}
    same = {name for name, weight in start.state_dict().items() if torch.equal(weight, twin.state_dict()[name])}
    assert set(start.state_dict()) - same == scaled


def test_twin_scale_does_not_depend_on_held_out_patients(toy):
    held_out = np.repeat((toy.index["split"] != "train").to_numpy(), np.diff(toy.offsets))
    other = toy._replace(tokens=np.where(held_out, 1, toy.tokens))
    states = [untrained_twin(encounters, TINY_MODEL, seed=0).state_dict() for encounters in (toy, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_drawing_a_model_leaves_the_global_generator_alone(toy):
    before = torch.get_rng_state()
    new_model(10, TINY_MODEL, seed=9)
    assert torch.equal(torch.get_rng_state(), before)


def test_fitting_its_predictor_leaves_the_twins_encoder_untouched(twin_folder, toy):
    fitted, twin = load_model(twin_folder), untrained_twin(toy, TINY_MODEL, seed=0)
    for name, weight in twin.encoder.state_dict().items():
        assert torch.equal(fitted.encoder.state_dict()[name], weight)
    assert not torch.equal(fitted.predictor.mlp[0].weight, twin.predictor.mlp[0].weight)


def test_fitting_the_twins_predictor_lowers_its_error(twin_folder):
    history = read_table(twin_folder / "history.parquet")
    assert history["train_prediction"].iloc[-1] < 0.95 * history["train_prediction"].iloc[0]
    assert history["skill_over_mean"].iloc[-1] > history["skill_over_mean"].iloc[0] + 0.02
    assert history["rankme_z"].nunique() == 1  # z never moves


def test_the_twins_predictor_is_that_of_its_best_epoch_on_validation_patients(toy_folder, toy, tmp_path):
    """Trained far too long it overfits; what it leaves must be as good as its best epoch."""
    training = params.Training(epochs=40, batch_patients=24, learning_rate=2e-2)
    train_twin(tmp_path, toy_folder, TINY_MODEL, training, seed=0)
    history = read_table(tmp_path / "history.parquet")["validation_prediction"]
    assert history.iloc[-1] > 1.02 * history.min()  # or the toy doesn't overfit and this test says nothing
    made = embed(load_model(tmp_path), toy)
    held_out = (toy.index["split"] == "validation").to_numpy()[made.target_rows]
    assert np.square(made.e[held_out]).mean() == pytest.approx(history.min(), rel=1e-4)
    assert not (tmp_path / "best").exists()
