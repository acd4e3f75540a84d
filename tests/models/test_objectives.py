"""Each loss term against numpy and by hand; and where its gradient goes."""

import numpy as np
import pytest
import torch
from batches_by_hand import random_batch

from jepascope.models.jepa import JEPA, JEPAOutput
from jepascope.models.objectives import Weights, covariance, invariance, stop_gradient_vicreg, variance


def numpy_vicreg(z: np.ndarray, z_hat: np.ndarray, rows: np.ndarray) -> tuple[float, float, float]:
    """The three terms from numpy's own variance and covariance, no code shared."""
    n_dimensions = z.shape[1]
    C = np.cov(z, rowvar=False)
    hinge = [max(0.0, 1 - np.sqrt(np.var(z[:, d], ddof=1) + 1e-4)) for d in range(n_dimensions)]
    off_diagonal = sum(C[i, j] ** 2 for i in range(n_dimensions) for j in range(n_dimensions) if i != j)
    return float(np.mean((z_hat - z[rows]) ** 2)), float(np.mean(hinge)), off_diagonal / n_dimensions


@pytest.mark.parametrize(("n", "d"), [(40, 8), (5, 16)])  # also D > N
def test_vicreg_equals_the_numpy_reference(n, d):
    g = torch.Generator().manual_seed(0)
    z, z_hat = torch.randn(n, d, generator=g, dtype=float) * 0.8 + 3, torch.randn(n - 2, d, generator=g, dtype=float)
    rows = torch.arange(2, n)
    losses = stop_gradient_vicreg(JEPAOutput(z, z, z_hat, rows), Weights(2.0, 3.0, 5.0))
    expected = numpy_vicreg(z.numpy(), z_hat.numpy(), rows.numpy())
    np.testing.assert_allclose([term.item() for term in losses[1:]], expected, rtol=1e-10)
    np.testing.assert_allclose(losses.total.item(), np.dot([2, 3, 5], expected), rtol=1e-10)


def test_terms_by_hand():
    z = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])  # variances 2, covariance 2
    assert invariance(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]])).item() == 2.5
    assert variance(z).item() == 0
    assert variance(torch.zeros(4, 2)).item() == pytest.approx(1 - 0.01)
    assert covariance(z).item() == pytest.approx((4 + 4) / 2)
    assert covariance(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).item() == 0


def test_a_batch_without_any_pair_has_no_invariance_and_no_nan():
    model = JEPA(50, width=16)
    losses = stop_gradient_vicreg(model(random_batch([1, 1, 1])), Weights())
    losses.total.backward()
    assert losses.invariance.item() == 0
    assert all(torch.isfinite(p.grad).all() for p in model.encoder.parameters())


def test_a_batch_of_one_encounter_has_finite_losses_and_gradients():
    model = JEPA(50, width=16)
    losses = stop_gradient_vicreg(model(random_batch([1])), Weights())
    losses.total.backward()
    assert torch.isfinite(torch.stack(losses)).all()
    assert all(torch.isfinite(p.grad).all() for p in model.encoder.parameters())


@pytest.mark.parametrize("weights", [Weights(0, 1, 0), Weights(0, 0, 1)])
def test_without_invariance_the_regularisers_reach_the_encoder_and_nothing_else(weights):
    torch.manual_seed(0)
    model = JEPA(50, width=16)
    stop_gradient_vicreg(model(random_batch([3, 4, 2])), weights).total.backward()
    assert all(p.grad.abs().sum() > 0 for p in (model.encoder.embedding.weight, model.encoder.out.weight))
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in model.predictor.parameters())


def test_stop_gradient_leaves_the_target_path_without_gradient():
    z, z_hat = torch.randn(4, 8, requires_grad=True), torch.randn(3, 8, requires_grad=True)
    stop_gradient_vicreg(JEPAOutput(z, z, z_hat, torch.arange(1, 4)), Weights(1, 0, 0)).total.backward()
    assert z_hat.grad.abs().sum() > 0
    assert z.grad is None or z.grad.abs().sum() == 0


def test_the_last_encounter_of_a_patient_gets_no_gradient_from_invariance():
    # It is a target and no context, so all that could reach it is the path that is stopped.
    torch.manual_seed(0)
    model, batch = JEPA(50, width=16), random_batch([3])
    tokens = torch.arange(1, 1 + len(batch.tokens))  # every position a code of its own
    model.encoder.embedding = torch.nn.Embedding(len(tokens) + 1, 16)
    stop_gradient_vicreg(model(batch._replace(tokens=tokens)), Weights(1, 0, 0)).total.backward()
    moved = model.encoder.embedding.weight.grad.abs().sum(1)[1:] > 0
    last = batch.offsets[2]
    assert moved[:last].all()
    assert not moved[last:].any()


def test_the_detached_target_is_a_no_grad_forward_of_the_same_weights():
    model, batch = JEPA(50, width=16), random_batch([3, 4, 2])
    attached = model(batch).z.detach()
    with torch.no_grad():
        assert torch.equal(model.encoder(batch.tokens, batch.offsets), attached)
