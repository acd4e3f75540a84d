"""The arms differ in what the prediction is held against and where the gradient goes, and in nothing else."""

import copy

import numpy as np
import pytest
import torch
from tests.fixtures_encounters import TINY_MODEL
from tests.models.batches_by_hand import random_batch

from jepascope import params
from jepascope.models.jepa import JEPA
from jepascope.models.objectives import Weights, vicreg
from jepascope.store import read_table, read_tensors
from jepascope.training import loop
from jepascope.training.arms import Arm, Phase, follow, look, make_arm, momentum_at, phase_ends, predictor_only
from jepascope.training.checkpoint import load_model, load_teacher
from jepascope.training.loop import stretch_of
from jepascope.training.step import train

pytest_plugins = ["tests.fixtures_trained"]

SHORT = params.Training(epochs=5, batch_patients=24, learning_rate=3e-3, checkpoint_every=2)
ARMS = ("stop_gradient", "ema", "both_sides", "sigreg", "curriculum")
PREDICTION_ONLY = Weights(1.0, 0.0, 0.0)


def arm_named(name: str) -> Arm:
    return make_arm(SHORT.model_copy(update={"arm": name}))


def run(folder, encounters, arm: str, seed: int = 0) -> dict[str, np.ndarray]:
    folder.mkdir(exist_ok=True)
    train(folder, encounters, TINY_MODEL, SHORT.model_copy(update={"arm": arm}), seed)
    return read_tensors(folder / "model.safetensors")


@pytest.fixture(scope="module")
def trained(toy_folder, tmp_path_factory):
    """Every arm, trained for five epochs."""
    base = tmp_path_factory.mktemp("arms")
    for arm in ARMS:
        run(base / arm, toy_folder, arm)
    return {arm: base / arm for arm in ARMS}


def gradient_of_prediction(target: str) -> tuple[JEPA, torch.Tensor]:
    """Gradient of the prediction loss, under a target, in the codes of a lone patient's last encounter."""
    torch.manual_seed(0)
    batch = random_batch([3])
    tokens = torch.arange(1, 1 + len(batch.tokens))  # every position a code of its own
    model = JEPA(len(tokens) + 1, width=16)
    teacher = copy.deepcopy(model.encoder).requires_grad_(False)
    arm = Arm(lambda seen: vicreg(seen, PREDICTION_ONLY), (Phase("joint", target),))
    seen = look(arm, arm.phases[0], model, teacher, batch._replace(tokens=tokens), 0)
    arm.objective(seen)["total"].backward()
    return model, model.encoder.embedding.weight.grad.abs().sum(dim=1)[1:][batch.offsets[2] :]


@pytest.mark.parametrize("target", ["stopped", "momentum"])
def test_no_gradient_goes_through_a_stopped_or_momentum_target(target):
    # A last encounter is a target and no context, so all that could reach it is the target's path.
    assert gradient_of_prediction(target)[1].sum() == 0


def test_gradient_goes_through_both_sides_when_the_target_is_attached():
    model, last = gradient_of_prediction("attached")
    assert (last > 0).all()
    assert all(p.grad.abs().sum() > 0 for p in model.predictor.parameters())


def test_only_the_target_tells_stop_gradient_ema_and_both_sides_apart():
    arms = [arm_named(name) for name in ("stop_gradient", "ema", "both_sides")]
    assert [arm.phases[0].target for arm in arms] == ["stopped", "momentum", "attached"]
    assert len({(arm.objective.func, arm.objective.keywords["weights"], arm.horizon) for arm in arms}) == 1


def test_mismatch_is_exactly_zero_for_shared_weights_and_positive_for_a_momentum_copy(trained):
    for arm, folder in trained.items():
        history = read_table(folder / "history.parquet")
        apart = history["mismatch"] > 0
        own_target = {"ema": [], "curriculum": [0, 4]}.get(arm, range(5))  # epochs whose target is the encoder itself
        assert apart.tolist() == [epoch not in own_target for epoch in range(5)]
        online, teacher = load_model(folder).encoder, load_teacher(folder)
        same = all(torch.equal(p, q) for p, q in zip(online.parameters(), teacher.parameters(), strict=True))
        assert same == (arm != "ema")  # the curriculum's copy is synchronised at the end


def test_all_arms_train_one_architecture_from_one_start(trained):
    shapes = [{k: v.shape for k, v in read_tensors(f / "model.safetensors").items()} for f in trained.values()]
    assert all(shape == shapes[0] for shape in shapes)
    weights = [read_tensors(folder / "model.safetensors")["encoder.out.weight"] for folder in trained.values()]
    assert all(not np.array_equal(a, b) for i, a in enumerate(weights) for b in weights[:i])


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_lowers_its_prediction_loss(trained, arm):
    history = read_table(trained[arm] / "history.parquet")
    assert history["train_prediction"].iloc[-1] < history["train_prediction"].iloc[0]
    assert history["skill_over_persistence"].iloc[-1] > history["skill_over_persistence"].iloc[0]


def test_the_encoder_moves_in_the_joint_phase_of_the_curriculum_only(toy_folder, tmp_path, monkeypatch):
    weights: list[torch.Tensor] = []
    take_step = loop.take_step

    def take_and_note(run, stretch, patients, done, where):
        before = run.model.encoder.out.weight.detach().clone()
        result = take_step(run, stretch, patients, done, where)
        moved = not torch.equal(before, run.model.encoder.out.weight)
        assert moved == (stretch.phase.name == "joint refinement"), stretch.phase.name
        weights.append(before)
        return result

    monkeypatch.setattr(loop, "take_step", take_and_note)
    run(tmp_path / "run", toy_folder, "curriculum")
    assert len(weights) == 5 * 3
    history = read_table(tmp_path / "run" / "history.parquet")
    assert history["phase"].tolist() == [
        "predictor warm-up",
        "joint refinement",
        "joint refinement",
        "EMA target alignment",
        "hard sync and predictor finalisation",
    ]
    joint, aligned = history["mismatch"].iloc[2], history["mismatch"].iloc[3]
    assert 0 < aligned < joint  # with the encoder at rest, the copy comes nearer


def test_the_curriculum_predicts_two_encounters_ahead():
    torch.manual_seed(0)
    batch, model = random_batch([4, 2, 1]), JEPA(50, width=16)
    arm = arm_named("curriculum")
    seen = look(arm, arm.phases[0], model, model.encoder, batch, 0)
    assert [made.rows.tolist() for made in seen.predictions] == [[1, 2, 3, 5], [2, 3]]


def test_a_killed_run_of_an_arm_with_a_momentum_copy_resumes_to_the_same_bits(toy_folder, tmp_path, monkeypatch):
    unkilled = run(tmp_path / "unkilled", toy_folder, "curriculum")
    take_step = loop.take_step

    def killed(run, stretch, patients, done, where):
        if done == 8:  # in the joint phase, in the middle of an epoch
            raise KeyboardInterrupt
        return take_step(run, stretch, patients, done, where)

    monkeypatch.setattr(loop, "take_step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", toy_folder, "curriculum")
    monkeypatch.undo()
    resumed = run(tmp_path / "killed", toy_folder, "curriculum")
    assert all(np.array_equal(resumed[name], unkilled[name]) for name in unkilled)
    teachers = [read_tensors(tmp_path / name / "teacher.safetensors") for name in ("unkilled", "killed")]
    assert all(np.array_equal(teachers[0][name], teachers[1][name]) for name in teachers[0])


def test_follow_moves_the_copy_by_one_minus_the_momentum():
    teacher, encoder = torch.nn.Linear(2, 1, bias=False), torch.nn.Linear(2, 1, bias=False)
    teacher.weight.data, encoder.weight.data = torch.tensor([[0.0, 10.0]]), torch.tensor([[1.0, 0.0]])
    follow(teacher, encoder, 0.9)
    torch.testing.assert_close(teacher.weight.data, torch.tensor([[0.1, 9.0]]))


def test_momentum_rises_from_its_start_to_one():
    values = [momentum_at(step, 100, 0.996) for step in range(101)]
    assert values[0] == pytest.approx(0.996)
    assert values[50] == pytest.approx(0.998)
    assert values[100] == 1
    assert values == sorted(values)


def test_phases_fill_the_epochs_in_order_one_each_at_least():
    curriculum = arm_named("curriculum")
    assert phase_ends(curriculum, 4) == [1, 2, 3, 4]
    assert phase_ends(curriculum, 8) == [2, 5, 6, 8]
    assert phase_ends(curriculum, 104) == [21, 72, 88, 104]
    assert phase_ends(arm_named("ema"), 7) == [7]
    assert stretch_of(curriculum, 5, 8) == (curriculum.phases[2], 5, 6)
    with pytest.raises(ValueError, match="4 phases don't fit in 3 epochs"):
        phase_ends(curriculum, 3)


def test_predictor_only_leaves_the_encoder_alone():
    arm = predictor_only(SHORT)
    assert not arm.phases[0].encoder_moves
    assert arm.objective.keywords["weights"] == Weights(25.0, 0.0, 0.0)
