"""Training resumes bit for bit, sees train patients only, stops when it should, and learns."""

from functools import partialmethod
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.fixtures_encounters import TINY_MODEL, toy_encounters

from jepascope import params
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.models.encoder import Block
from jepascope.store import read_table, read_tensors
from jepascope.training import loop
from jepascope.training.initial import new_model
from jepascope.training.loop import TrainingError, schedule
from jepascope.training.step import train
from jepascope.training.watch import CollapseError, check_gates

pytest_plugins = ["tests.fixtures_trained"]

SHORT = params.Training(epochs=3, batch_patients=24, learning_rate=3e-3, checkpoint_every=2)


class KilledError(Exception):
    """Stands for kill -9: nothing after it runs."""


def run(folder: Path, encounters: Path, training: params.Training = SHORT, seed: int = 0) -> dict[str, np.ndarray]:
    folder.mkdir(exist_ok=True)
    train(folder, encounters, TINY_MODEL, training, seed)
    return read_tensors(folder / "model.safetensors")


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def saved(folder: Path, encounters: Encounters) -> Path:
    cohort_encounters.save(folder, encounters)
    return folder


@pytest.mark.parametrize("killed_at", [0, 1, 4, 5, 7])  # three steps an epoch, a checkpoint every two and every epoch
def test_a_killed_and_resumed_run_gives_the_bits_of_an_unkilled_one(tmp_path, toy_folder, monkeypatch, killed_at):
    unkilled = run(tmp_path / "unkilled", toy_folder)
    take_step = loop.take_step

    def take_step_until_killed(run, stretch, patients, done, where):
        if done == killed_at:
            raise KilledError
        return take_step(run, stretch, patients, done, where)

    monkeypatch.setattr(loop, "take_step", take_step_until_killed)
    with pytest.raises(KilledError):
        run(tmp_path / "killed", toy_folder)
    steps = []

    def take_and_note_step(run, stretch, patients, done, where):
        steps.append(done)
        return take_step(run, stretch, patients, done, where)

    monkeypatch.setattr(loop, "take_step", take_and_note_step)
    assert equal(run(tmp_path / "killed", toy_folder), unkilled)
    assert steps[0] == {0: 0, 1: 0, 4: 4, 5: 4, 7: 6}[killed_at]  # it did resume
    histories = [read_table(tmp_path / name / "history.parquet") for name in ("unkilled", "killed")]
    pd.testing.assert_frame_equal(*histories, check_exact=True)


def test_a_run_killed_between_history_and_checkpoint_records_that_epoch_once(tmp_path, toy_folder, monkeypatch):
    unkilled = run(tmp_path / "unkilled", toy_folder)
    save_checkpoint = loop.save_checkpoint

    def killed_at_the_end_of_the_second_epoch(path, model, optimiser, progress):
        if progress.epoch == 2 and progress.step == 0:
            raise KilledError
        save_checkpoint(path, model, optimiser, progress)

    monkeypatch.setattr(loop, "save_checkpoint", killed_at_the_end_of_the_second_epoch)
    with pytest.raises(KilledError):
        run(tmp_path / "killed", toy_folder)
    monkeypatch.undo()
    assert equal(run(tmp_path / "killed", toy_folder), unkilled)
    assert read_table(tmp_path / "killed" / "history.parquet")["epoch"].tolist() == [0, 1, 2]


def test_same_seed_same_bits_and_another_seed_other_bits(tmp_path, toy_folder):
    once, again, other = (run(tmp_path / f"{i}", toy_folder, seed=seed) for i, seed in enumerate((0, 0, 1)))
    assert equal(once, again)
    assert not equal(once, other)


def test_weights_do_not_depend_on_validation_and_test_patients(tmp_path, toy, toy_folder):
    held_out = (toy.index["split"] != "train").to_numpy()
    tokens = toy.tokens.copy()
    of_held_out = np.repeat(held_out, np.diff(toy.offsets))
    tokens[of_held_out] = np.random.default_rng(0).permutation(tokens[of_held_out])
    scrambled = toy._replace(tokens=tokens, index=toy.index.assign(age=toy.index["age"].mask(held_out, 50.0)))
    assert not np.array_equal(tokens, toy.tokens)
    folder = saved(tmp_path / "scrambled", scrambled)
    assert equal(run(tmp_path / "a", folder), run(tmp_path / "b", toy_folder))


def test_finished_folder_holds_weights_config_and_history_only(toy_model_folder):
    assert {f.name for f in toy_model_folder.iterdir()} == {
        "model.safetensors",
        "model.json",
        "teacher.safetensors",
        "history.parquet",
        "log",
    }
    history = read_table(toy_model_folder / "history.parquet")
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    for name in ("z", "c", "z_hat", "e"):
        assert history[[f"rankme_{name}", f"std_min_{name}", f"within_patient_share_{name}"]].notna().all(axis=None)


def test_training_learns_to_predict_better_than_the_mean_and_than_persistence(tmp_path):
    folder = saved(tmp_path / "cohort", toy_encounters(patients=400, mean_encounters=4))
    run(tmp_path / "run", folder, params.Training(epochs=12, batch_patients=32, learning_rate=5e-3))
    history = read_table(tmp_path / "run" / "history.parquet")
    assert history["skill_over_mean"].iloc[-1] > 0.05
    assert history["skill_over_persistence"].iloc[-1] > 0.2
    assert history["rankme_z"].iloc[-1] > 6


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_batch(tmp_path, toy):
    ages = toy.index["age"].where(toy.index["split"] != "train", np.nan)
    folder = saved(tmp_path / "broken", toy._replace(index=toy.index.assign(age=ages)))
    with pytest.raises(CollapseError, match="epoch 0, step 0: gate 'finite': the loss is nan"):
        run(tmp_path / "run", folder)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_run_without_variance_collapses_and_is_stopped(tmp_path, toy_folder):
    training = SHORT.model_copy(update={"variance": 0.0, "covariance": 0.0, "min_rank": 8.0, "epochs": 20})
    with pytest.raises(CollapseError, match="RankMe of z is"):
        run(tmp_path / "run", toy_folder, training)
    assert len(read_table(tmp_path / "run" / "history.parquet"))
    with pytest.raises(CollapseError, match="RankMe of z is"):  # the same command says so again
        run(tmp_path / "run", toy_folder, training)


def test_gates_close_under_their_bounds_and_not_on_what_is_not_computable():
    record = {"epoch": 4, "rankme_z": 9.0, "within_patient_share_z": 0.4}
    check_gates(record, SHORT)
    check_gates(record | {"within_patient_share_z": float("nan")}, SHORT)
    with pytest.raises(CollapseError, match="who, not what happened"):
        check_gates(record | {"within_patient_share_z": 0.01}, SHORT)


@pytest.mark.parametrize(("patients", "mean_encounters"), [(8, 1.0), (10, 2.0)])
def test_cohorts_of_a_few_patients_train_even_without_any_pair(tmp_path, patients, mean_encounters):
    folder = saved(tmp_path / "few", toy_encounters(patients=patients, mean_encounters=mean_encounters))
    weights = run(tmp_path / "run", folder, params.Training(epochs=2, min_rank=1.0))
    assert all(np.isfinite(weight).all() for weight in weights.values())


def test_schedule_rises_to_one_and_falls_to_zero():
    assert [schedule(step, 100, 0.1) for step in (0, 4, 9, 10)] == [0.1, 0.5, 1, 1]
    assert schedule(55, 100, 0.1) == pytest.approx(0.5)
    assert schedule(100, 100, 0.1) == pytest.approx(0)
    assert schedule(0, 1, 0.0) == 1


def test_every_step_is_taken_at_the_scheduled_rate(tmp_path, toy_folder, monkeypatch):
    asked, used = [], []

    def rate(step, total, warmup_share):
        asked.append((step, total))
        return schedule(step, total, warmup_share)

    def step_and_note(self, *arguments):
        used.append({group["lr"] / group["rate"] for group in self.param_groups})

    monkeypatch.setattr(loop, "schedule", rate)
    monkeypatch.setattr(torch.optim.AdamW, "step", step_and_note)
    run(tmp_path / "run", toy_folder, SHORT.model_copy(update={"min_rank": 1.0}))
    assert sorted(set(asked)) == [(step, 9) for step in range(9)]
    for step, rates in enumerate(used):
        assert sorted(rates) == pytest.approx([3e-3 * schedule(step, 9, 0.1)] * len(rates))


def test_decay_spares_biases_and_norms_and_the_encoder_is_slower():
    model = new_model(30, TINY_MODEL, seed=0)
    groups = loop.make_optimiser(model, SHORT).param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    for group in groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}
    rates = {id(p): group["rate"] for group in groups for p in group["params"]}
    assert {rates[id(p)] for p in model.encoder.parameters()} == {SHORT.encoder_rate}
    assert {rates[id(p)] for p in [*model.context.parameters(), *model.predictor.parameters()]} == {1.0}


def test_a_profile_that_asks_for_a_gpu_where_there_is_none_is_refused_in_words(tmp_path, toy_folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="no CUDA device is here: set it to cpu"):
        run(tmp_path / "run", toy_folder, SHORT.model_copy(update={"device": "cuda"}))


def test_out_of_memory_names_the_batch_and_the_parameter_to_lower(tmp_path, toy_folder, monkeypatch):
    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(loop, "look", full)
    with pytest.raises(
        TrainingError, match=r"epoch 0, step 0: out of memory on cpu with \d+ encounters .* lower training.batch"
    ):
        run(tmp_path / "run", toy_folder)


def test_other_errors_of_torch_are_not_taken_for_want_of_memory(tmp_path, toy_folder, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(loop, "look", broken)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run(tmp_path / "run", toy_folder)


def test_objectives_see_single_precision_whatever_the_passes_are_computed_in(tmp_path, toy_folder, monkeypatch):
    seen = []

    def note(mine):
        seen.append({mine.z.dtype, mine.target.dtype, *(made.z_hat.dtype for made in mine.predictions)})
        return mine

    monkeypatch.setattr(loop.distributed, "whole", note)
    run(tmp_path / "run", toy_folder, SHORT.model_copy(update={"precision": "bf16", "arm": "ema", "epochs": 1}))
    assert seen == [{torch.float32}] * 3


def test_bfloat16_passes_train_a_model_near_the_one_of_single_precision(tmp_path, toy_folder):
    weights = {p: run(tmp_path / p, toy_folder, SHORT.model_copy(update={"precision": p})) for p in ("fp32", "bf16")}
    assert all(tensor.dtype == np.float32 for tensor in weights["bf16"].values())
    start = {name: tensor.numpy() for name, tensor in new_model(120, TINY_MODEL, seed=0).state_dict().items()}

    def apart(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
        return sum(float(np.square(a[name] - b[name]).sum()) for name in a) ** 0.5

    assert apart(weights["bf16"], weights["fp32"]) < 0.3 * apart(weights["fp32"], start)
    assert not equal(weights["fp32"], weights["bf16"])


def test_a_compiled_run_computes_what_an_uncompiled_one_does(tmp_path, toy_folder, monkeypatch):
    # Captured and differentiated as with the default backend, which would take two minutes here to emit its C++.
    traced = partialmethod(torch.nn.Module.compile, backend="aot_eager")
    monkeypatch.setattr(Block, "compile", traced, raising=False)
    short = SHORT.model_copy(update={"epochs": 1})
    plain = run(tmp_path / "plain", toy_folder, short)
    compiled = run(tmp_path / "compiled", toy_folder, short.model_copy(update={"compile": True}))
    for name in plain:
        np.testing.assert_allclose(compiled[name], plain[name], rtol=1e-3, atol=1e-5)


def test_scalars_are_logged_for_tensorboard_and_are_no_part_of_a_steps_content(tmp_path, toy_folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path / "run", toy_folder)
    events = EventAccumulator(str(tmp_path / "run" / "log"))
    events.Reload()
    history = read_table(tmp_path / "run" / "history.parquet")
    logged = [event.value for event in events.Scalars("rankme/rankme_z")]
    np.testing.assert_allclose(logged, history["rankme_z"], rtol=1e-6)
