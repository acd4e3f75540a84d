"""Each loss term against numpy and by hand; and where its gradient goes."""

import numpy as np
import pytest
import torch
from batches_by_hand import random_batch

from jepascope.models.jepa import JEPA, Batch
from jepascope.models.objectives import (
    Pass,
    Prediction,
    Weights,
    absolute_distance,
    covariance,
    gaussianity,
    join,
    prediction_error,
    random_directions,
    sigreg,
    squared_distance,
    variance,
    vicreg,
)


def stopped(z: torch.Tensor, z_hat: torch.Tensor, rows: torch.Tensor) -> Pass:
    """A pass whose target is the same z, detached."""
    return Pass(z, z, z.detach(), (Prediction(z_hat, rows),), step=0)


def stopped_pass(model: JEPA, batch: Batch) -> Pass:
    output = model(batch)
    return stopped(output.z, output.z_hat, output.target_rows)


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
    losses = vicreg(stopped(z, z_hat, rows), Weights(2.0, 3.0, 5.0))
    expected = numpy_vicreg(z.numpy(), z_hat.numpy(), rows.numpy())
    np.testing.assert_allclose(
        [losses[term].item() for term in ("prediction", "variance", "covariance")], expected, rtol=1e-10
    )
    np.testing.assert_allclose(losses["total"].item(), np.dot([2, 3, 5], expected), rtol=1e-10)


def test_terms_by_hand():
    z = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])  # variances 2, covariance 2
    assert squared_distance(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]])).item() == 2.5
    assert absolute_distance(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 0.0]])).item() == 1.5
    assert variance(z).item() == 0
    assert variance(torch.zeros(4, 2)).item() == pytest.approx(1 - 0.01)
    assert covariance(z).item() == pytest.approx((4 + 4) / 2)
    assert covariance(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).item() == 0


def test_a_batch_without_any_pair_has_no_invariance_and_no_nan():
    model = JEPA(50, width=16)
    losses = vicreg(stopped_pass(model, random_batch([1, 1, 1])), Weights())
    losses["total"].backward()
    assert losses["prediction"].item() == 0
    assert all(torch.isfinite(p.grad).all() for p in model.encoder.parameters())


def test_a_batch_of_one_encounter_has_finite_losses_and_gradients():
    model = JEPA(50, width=16)
    losses = vicreg(stopped_pass(model, random_batch([1])), Weights())
    losses["total"].backward()
    assert torch.isfinite(torch.stack(list(losses.values()))).all()
    assert all(torch.isfinite(p.grad).all() for p in model.encoder.parameters())


@pytest.mark.parametrize("weights", [Weights(0, 1, 0), Weights(0, 0, 1)])
def test_without_invariance_the_regularisers_reach_the_encoder_and_nothing_else(weights):
    torch.manual_seed(0)
    model = JEPA(50, width=16)
    vicreg(stopped_pass(model, random_batch([3, 4, 2])), weights)["total"].backward()
    assert all(p.grad.abs().sum() > 0 for p in (model.encoder.embedding.weight, model.encoder.out.weight))
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in model.predictor.parameters())


def test_stop_gradient_leaves_the_target_path_without_gradient():
    z, z_hat = torch.randn(4, 8, requires_grad=True), torch.randn(3, 8, requires_grad=True)
    vicreg(stopped(z, z_hat, torch.arange(1, 4)), Weights(1, 0, 0))["total"].backward()
    assert z_hat.grad.abs().sum() > 0
    assert z.grad is None or z.grad.abs().sum() == 0


def test_the_last_encounter_of_a_patient_gets_no_gradient_from_invariance():
    # It is a target and no context, so all that could reach it is the path that is stopped.
    torch.manual_seed(0)
    model, batch = JEPA(50, width=16), random_batch([3])
    tokens = torch.arange(1, 1 + len(batch.tokens))  # every position a code of its own
    model.encoder.embedding = torch.nn.Embedding(len(tokens) + 1, 16)
    vicreg(stopped_pass(model, batch._replace(tokens=tokens)), Weights(1, 0, 0))["total"].backward()
    moved = model.encoder.embedding.weight.grad.abs().sum(1)[1:] > 0
    last = batch.offsets[2]
    assert moved[:last].all()
    assert not moved[last:].any()


def test_the_detached_target_is_a_no_grad_forward_of_the_same_weights():
    model, batch = JEPA(50, width=16), random_batch([3, 4, 2])
    attached = model(batch).z.detach()
    with torch.no_grad():
        assert torch.equal(model.encoder(batch.tokens, batch.offsets), attached)


def epps_pulley_by_quadrature(x: np.ndarray) -> float:
    """The statistic of one sample, by adaptive quadrature of its definition on [-5, 5]."""
    from scipy.integrate import quad

    def integrand(t: float) -> float:
        return abs(np.exp(1j * t * x).mean() - np.exp(-(t**2) / 2)) ** 2 * np.exp(-(t**2) / 2)

    return len(x) * quad(integrand, -5, 5)[0]


def test_gaussianity_equals_the_epps_pulley_integral_on_every_direction():
    z = np.random.default_rng(0).gamma(2.0, size=(60, 3))
    u = random_directions(3, 5, seed=1).double()
    expected = np.mean([epps_pulley_by_quadrature(z @ u[:, s].numpy()) for s in range(5)])
    found = gaussianity(torch.from_numpy(z), u, knots=2001).item()
    assert found == pytest.approx(expected, rel=1e-5)
    t, published = np.linspace(-5, 5, 17), gaussianity(torch.from_numpy(z), u).item()
    phi = np.exp(1j * t[:, None, None] * (z @ u.numpy())).mean(axis=1)  # [17, S], all knots of both signs
    by_trapezoid = 60 * np.trapezoid(np.abs(phi.T - np.exp(-(t**2) / 2)) ** 2 * np.exp(-(t**2) / 2), t).mean()
    assert published == pytest.approx(by_trapezoid, rel=1e-10)


def test_gaussianity_of_a_constant_by_hand():
    # phi(t) = 1, so N * integral of (1 - w)^2 w with w = exp(-t^2/2): moments of Gaussians
    z, u = torch.zeros(7, 2, dtype=float), random_directions(2, 3, 0).double()
    integral = np.sqrt(2 * np.pi) * (1 - 2 / np.sqrt(2) + 1 / np.sqrt(3))
    assert gaussianity(z, u, knots=4001, reach=9.0).item() == pytest.approx(7 * integral, rel=1e-6)


def test_gaussianity_prefers_the_standard_normal_to_shifted_scaled_heavy_and_low_rank_ones():
    g = torch.Generator().manual_seed(0)
    normal, u = torch.randn(500, 8, generator=g), random_directions(8, 64, 0)
    others = {
        "shifted": normal + 1,
        "scaled": 2 * normal,
        "heavy": normal**3 / 15**0.5,
        "rank one": normal[:, :1].expand(-1, 8),
    }
    assert all(gaussianity(other, u) > 3 * gaussianity(normal, u) for other in others.values())


def test_random_directions_have_length_one_and_depend_on_the_seed_alone():
    u = random_directions(8, 100, seed=3)
    torch.testing.assert_close(u.norm(dim=0), torch.ones(100))
    torch.manual_seed(99)
    assert torch.equal(u, random_directions(8, 100, seed=3))
    assert not torch.equal(u, random_directions(8, 100, seed=4))


def test_sigreg_weighs_its_two_terms_and_draws_directions_by_the_step():
    g = torch.Generator().manual_seed(0)
    z, z_hat = torch.randn(30, 4, generator=g), torch.randn(20, 4, generator=g)
    seen = stopped(z, z_hat, torch.arange(10, 30))
    losses = sigreg(seen, weight=0.25, slices=16)
    expected = gaussianity(z, random_directions(4, 16, seed=0))
    torch.testing.assert_close(losses["gaussianity"], expected)
    torch.testing.assert_close(losses["total"], 0.75 * squared_distance(z_hat, z[10:]) + 0.25 * expected)
    assert sigreg(seen._replace(step=1), 0.25, 16)["gaussianity"] != losses["gaussianity"]


def test_prediction_error_is_the_mean_over_horizons():
    z = torch.zeros(4, 2)
    one, two = Prediction(torch.ones(3, 2), torch.arange(1, 4)), Prediction(torch.full((2, 2), 3.0), torch.arange(2, 4))
    assert prediction_error(Pass(z, z, z, (one, two), 0), absolute_distance).item() == 2.0


def test_passes_over_parts_join_to_the_pass_over_the_whole():
    torch.manual_seed(0)
    model, whole = JEPA(50, width=16).eval(), random_batch([3, 1, 4, 2])
    cut = int(whole.offsets[4])
    parts = (
        Batch(whole.tokens[:cut], whole.offsets[:5], whole.first[:3], whole.gap[:4], whole.age[:4]),
        Batch(whole.tokens[cut:], whole.offsets[4:] - cut, whole.first[2:] - 4, whole.gap[4:], whole.age[4:]),
    )
    joined = join([stopped_pass(model, part) for part in parts])
    expected = stopped_pass(model, whole)
    torch.testing.assert_close(joined.z, expected.z)
    torch.testing.assert_close(joined.predictions[0].z_hat, expected.predictions[0].z_hat)
    assert torch.equal(joined.predictions[0].rows, expected.predictions[0].rows)
