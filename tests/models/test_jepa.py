"""z, c and ẑ belong to the right rows, and nothing at k reads what comes after k."""

import pytest
import torch
from batches_by_hand import random_batch

from jepascope.models.jepa import JEPA, Batch, prediction_targets


@pytest.fixture
def model() -> JEPA:
    torch.manual_seed(1)
    return JEPA(vocabulary_size=50, width=16, heads=4).eval()


def truncated(batch: Batch, patient: int, keep: int) -> Batch:
    """The batch with only the first `keep` encounters of one patient, and nothing else changed."""
    start, end = batch.first[patient], batch.first[patient + 1]
    rows = torch.cat([torch.arange(start + keep), torch.arange(end, int(batch.first[-1]))])
    lengths = batch.offsets.diff()[rows]
    counts = batch.first.diff()
    counts[patient] = keep
    zero = torch.zeros(1, dtype=torch.int64)
    return Batch(
        torch.cat([batch.tokens[batch.offsets[r] : batch.offsets[r + 1]] for r in rows]),
        torch.cat([zero, lengths.cumsum(0)]),
        torch.cat([zero, counts.cumsum(0)]),
        batch.gap[rows],
        batch.age[rows],
    )


def test_every_encounter_but_a_patients_first_is_predicted():
    assert prediction_targets(torch.tensor([0, 3, 4, 6])).tolist() == [1, 2, 5]


def test_prediction_of_k_is_made_from_the_context_before_k_and_the_gap_to_k(model):
    batch = random_batch([3, 1, 2])
    output = model(batch)
    assert output.target_rows.tolist() == [1, 2, 5]
    for row, target in enumerate(output.target_rows.tolist()):
        expected = model.predictor(output.c[target - 1][None], batch.gap[target][None])[0]
        torch.testing.assert_close(output.z_hat[row], expected)


def test_nothing_is_normalised_over_a_batch_which_would_mix_patients_and_times(model):
    kinds = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.GroupNorm, torch.nn.modules.instancenorm._InstanceNorm)
    assert not [module for module in model.modules() if isinstance(module, kinds)]
    assert not list(model.buffers())  # no running statistics either


@torch.no_grad()
@pytest.mark.parametrize("training", [False, True])
def test_replacing_the_future_leaves_the_past_bit_equal(model, training):
    model.train(training)
    batch = random_batch([4, 6, 1, 5])
    before = model(batch)
    for k in range(15):
        end = batch.first[torch.searchsorted(batch.first, k, right=True)]
        future = torch.arange(k + 1, int(end))
        tokens, gap, age = batch.tokens.clone(), batch.gap.clone(), batch.age.clone()
        tokens[batch.offsets[k + 1] : batch.offsets[end]] = 49
        gap[future], age[future] = 999.0, 99.0
        after = model(batch._replace(tokens=tokens, gap=gap, age=age))
        untouched = torch.ones(16, dtype=torch.bool)
        untouched[future] = False
        assert torch.equal(after.z[untouched], before.z[untouched])
        assert torch.equal(after.c[untouched], before.c[untouched])
        predicted = untouched[before.target_rows]
        assert torch.equal(after.z_hat[predicted], before.z_hat[predicted])
        if len(future):  # the perturbation is seen where it should be
            assert not torch.equal(after.c[future], before.c[future])


@torch.no_grad()
@pytest.mark.parametrize("keep", [1, 2, 5, 8])
def test_cutting_the_future_off_changes_the_past_by_rounding_only(model, keep):
    batch = random_batch([4, 9, 1, 5])
    before, after = model(batch), model(truncated(batch, patient=1, keep=keep))
    past = slice(0, 4 + keep)
    for x, y in ((before.z, after.z), (before.c, after.c)):
        assert (x[past] - y[past]).norm(dim=1).max() <= 1e-6 * x[past].norm(dim=1).max()
    n = 3 + keep - 1
    assert (before.z_hat[:n] - after.z_hat[:n]).norm() <= 1e-6 * before.z_hat[:n].norm()


@torch.no_grad()
def test_other_patients_in_the_batch_change_a_patient_by_rounding_only(model):
    batch = random_batch([4, 9])
    alone = model(truncated(batch, patient=0, keep=0)._replace(first=torch.tensor([0, 9])))
    together = model(batch)
    for x, y in ((alone.z, together.z[4:]), (alone.c, together.c[4:]), (alone.z_hat, together.z_hat[3:])):
        assert (x - y).norm() <= 1e-6 * y.norm()


def test_patients_with_one_encounter_have_z_and_c_and_no_prediction(model):
    output = model(random_batch([1, 1, 1]))
    assert output.z.shape == output.c.shape == (3, 16)
    assert output.z_hat.shape == (0, 16)
    assert output.target_rows.shape == (0,)
