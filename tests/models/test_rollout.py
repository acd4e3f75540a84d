"""A rollout is the model run on its own predictions, one encounter after the other, and it sees nothing else."""

import pytest
import torch
from batches_by_hand import random_batch

from jepascope.models.jepa import JEPA, Batch
from jepascope.models.rollout import rollout


@pytest.fixture
def model() -> JEPA:
    torch.manual_seed(1)
    return JEPA(vocabulary_size=50, width=16, heads=4).eval()


def step_by_step(model: JEPA, z: torch.Tensor, gap: torch.Tensor, age: torch.Tensor, start: int) -> list[torch.Tensor]:
    """One patient, from encounter `start` on, with a loop and no mask: the seen prefix grows by each prediction."""
    seen, predicted = z[: start + 1], []
    for j in range(start + 1, len(z)):
        first = torch.tensor([0, len(seen)])
        c = model.context(seen, first, gap[: len(seen)], age[: len(seen)])
        z_hat = model.predictor(c[-1:], gap[j : j + 1])
        predicted.append(z_hat[0])
        seen = torch.cat([seen, z_hat])
    return predicted


@torch.no_grad()
def test_rollout_equals_feeding_each_prediction_back_one_by_one(model):
    batch = random_batch([6, 1, 4, 2])
    z = model(batch).z
    rolled = rollout(model, batch, z, horizon=4)
    for patient in range(4):
        rows = slice(int(batch.first[patient]), int(batch.first[patient + 1]))
        for start in range(rows.stop - rows.start):
            expected = step_by_step(model, z[rows], batch.gap[rows], batch.age[rows], start)
            for h, z_hat in enumerate(expected[:4], start=1):
                torch.testing.assert_close(rolled[h - 1][rows.start + start + h], z_hat, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_one_step_is_the_models_own_prediction_and_rows_without_a_start_are_nan(model):
    batch = random_batch([3, 1, 5])
    output = model(batch)
    one, two = rollout(model, batch, output.z, horizon=2)
    torch.testing.assert_close(one[output.target_rows], output.z_hat)
    assert one.isnan().all(dim=1).tolist() == [True, False, False, True, True, False, False, False, False]
    assert two.isnan().all(dim=1).tolist() == [True, True, False, True, True, True, False, False, False]


@torch.no_grad()
def test_what_happens_after_the_start_changes_nothing_but_the_times(model):
    batch = random_batch([6, 5])
    before = rollout(model, batch, model(batch).z, horizon=3)
    for j in range(11):
        tokens = batch.tokens.clone()
        tokens[batch.offsets[j] : batch.offsets[j + 1]] = 49
        changed: Batch = batch._replace(tokens=tokens)
        after = rollout(model, changed, model(changed).z, horizon=3)
        for h in (1, 2, 3):
            blind = torch.arange(11) - h < j  # made from encounters before j
            assert torch.equal(after[h - 1][blind].nan_to_num(), before[h - 1][blind].nan_to_num())
            if tokens.ne(batch.tokens).any() and j + h < int(
                batch.first[1 if j < 6 else 2]
            ):  # seen by who starts there
                assert not torch.equal(after[h - 1][j + h], before[h - 1][j + h])


def test_gradient_of_a_two_step_prediction_reaches_encoder_and_predictor(model):
    batch = random_batch([3, 2])
    two = rollout(model, batch, model(batch).z, horizon=2)[1]
    two[2].square().sum().backward()  # the only patient with a two-step prediction
    for part in (model.encoder, model.context, model.predictor):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in part.parameters())
        assert any(p.grad.abs().sum() > 0 for p in part.parameters())
