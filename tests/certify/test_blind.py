"""Injected blindness: by hand, found where it is, and not found where it isn't."""

import numpy as np
import pytest

from jepascope.analysis.decomposition import blind_axes, decompose
from jepascope.analysis.stats import Inference
from jepascope.certify.blind import Rows, bootstrap_overlap, find_injected, inject, mean_recovery, overlap, random_basis

HOW = Inference(bootstrap=100, folds=3)
M, D, B = 3000, 12, 600


def predictions(seed: int = 0) -> Rows:
    """ẑ is a linear reading of its inputs and z is ẑ plus noise that is largest along the first axis."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((M, D))
    z_hat = inputs @ np.linalg.qr(rng.standard_normal((D, D)))[0]
    noise = rng.standard_normal((M, D)) * np.r_[4.0, np.ones(D - 1)]
    return Rows(z_hat + noise, z_hat, inputs, np.repeat(np.arange(B), M // B))


def test_injection_takes_away_the_subspace_and_nothing_else() -> None:
    rows, basis = predictions(), random_basis(D, 2, np.random.default_rng(1))
    np.testing.assert_allclose(basis @ basis.T, np.eye(2), atol=1e-12)
    blind = inject(rows.z_hat, basis)
    np.testing.assert_allclose((blind @ basis.T).std(axis=0), 0, atol=1e-9)
    away = np.eye(D) - basis.T @ basis
    np.testing.assert_allclose(blind @ away, rows.z_hat @ away, atol=1e-9)
    np.testing.assert_allclose(blind.mean(axis=0), rows.z_hat.mean(axis=0), atol=1e-9)


def test_overlap_of_subspaces_by_hand() -> None:
    eye = np.eye(D)
    assert overlap(eye[:2], eye[:2]) == 1
    assert overlap(eye[:2], eye[2:4]) == 0
    assert overlap(eye[:2], eye[1:3]) == 0.5
    tilted = (eye[0] + eye[1])[None] / np.sqrt(2)
    assert overlap(tilted, eye[:1]) == pytest.approx(0.5)


@pytest.mark.parametrize("axes", [1, 3])
def test_injected_blindness_is_found_and_plain_axes_of_e_find_the_noise(axes: int) -> None:
    rows, basis = predictions(), random_basis(D, axes, np.random.default_rng(2))
    read = rows.patients < 300
    found = find_injected(rows, read, basis, True, HOW, np.random.default_rng(0))
    assert found.blind.value > 0.95
    assert np.quantile(found.blind.values, 0.025) > 0.9
    assert found.plain < 0.7


def test_nothing_is_found_where_nothing_was_put() -> None:
    rows, read = predictions(), np.ones(M, bool)
    values = [
        find_injected(
            rows, read, random_basis(D, 1, np.random.default_rng(s)), False, HOW, np.random.default_rng(0)
        ).blind
        for s in range(12)
    ]
    mean = mean_recovery(values, rows.patients, 0.95)
    assert mean.value < 0.25
    assert mean.n_patients == B


def test_axes_from_sums_are_those_of_the_decomposition() -> None:
    rows, basis = predictions(), random_basis(D, 2, np.random.default_rng(4))
    e = rows.z - inject(rows.z_hat, basis)
    parts = decompose(e, rows.inputs, rows.patients, 3, np.random.default_rng(0))
    drawn = bootstrap_overlap(parts.systematic, basis, rows.patients, HOW, np.random.default_rng(0))
    assert drawn.value == pytest.approx(float(overlap(blind_axes(parts, 2), basis)), abs=1e-9)
    assert drawn.values.shape == (100,)
