"""The supervised transformer: the JEPA's modules, causal, and a loss that skips what was not answered."""

import pytest
import torch
from tests.models.batches_by_hand import random_batch
from torch.nn.functional import binary_cross_entropy_with_logits

from jepascope.models.jepa import JEPA
from jepascope.models.supervised import Supervised, masked_log_loss

NAN = float("nan")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Supervised(50, tasks=3, width=16, heads=2, encoder_layers=1, context_layers=2).eval()


def test_its_logits_are_a_linear_reading_of_the_c_of_a_jepa_with_the_same_weights(model):
    jepa = JEPA(50, 16, 2, 1, 2, 8).eval()
    jepa.encoder.load_state_dict(model.encoder.state_dict())
    jepa.context.load_state_dict(model.context.state_dict())
    batch = random_batch([3, 1, 4])
    expected = jepa(batch).c @ model.heads.weight.T + model.heads.bias
    torch.testing.assert_close(model(batch), expected)


def test_nothing_after_k_changes_a_logit_at_k(model):
    batch = random_batch([5, 2])
    start = batch.offsets[3]  # encounters 3 and 4 of the first patient come after k = 2
    tokens, gap, age = batch.tokens.clone(), batch.gap.clone(), batch.age.clone()
    tokens[start : batch.offsets[5]] = 1
    gap[3:5], age[3:5] = 1.0, 99.0
    other = model(batch._replace(tokens=tokens, gap=gap, age=age))
    now = model(batch)
    torch.testing.assert_close(other[:3], now[:3])
    torch.testing.assert_close(other[5:], now[5:])
    assert not torch.allclose(other[3:5], now[3:5])


def test_the_loss_is_the_mean_over_tasks_of_means_over_answered_rows():
    logits = torch.tensor([[0.0, 2.0, 1.0], [1.0, -1.0, 1.0], [-2.0, 0.5, 1.0]])
    labels = torch.tensor([[1.0, NAN, NAN], [0.0, 1.0, NAN], [1.0, NAN, NAN]])
    first = binary_cross_entropy_with_logits(logits[:, 0], labels[:, 0])
    second = binary_cross_entropy_with_logits(logits[1, 1], labels[1, 1])
    torch.testing.assert_close(masked_log_loss(logits, labels), (first + second) / 2)


def test_an_unanswered_row_has_no_gradient():
    logits = torch.zeros(2, 2, requires_grad=True)
    masked_log_loss(logits, torch.tensor([[1.0, NAN], [NAN, NAN]])).backward()
    assert (logits.grad != 0).tolist() == [[True, False], [False, False]]


def test_a_batch_without_any_answer_costs_nothing():
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = masked_log_loss(logits, torch.full((2, 2), NAN))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()
