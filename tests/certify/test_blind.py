"""Injected blindness: by hand, found where it is, and not found where it isn't."""

import numpy as np
import pytest

from jepascope.analysis.error.decomposition import blind_axes, decompose_with, fit_reader
from jepascope.analysis.inference.stats import Inference
from jepascope.certify.blind import Rows, draw_covariances, find_blind, inject, mean_recovery, overlap, random_basis
from jepascope.certify.oracle import leading_axes

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
    read, blinded = rows.patients < 300, rows._replace(z_hat=inject(rows.z_hat, basis))
    found = find_blind(blinded, ~read, read, [basis], HOW, np.random.default_rng(0))[0]
    assert found.blind.value > 0.95
    assert np.quantile(found.blind.values, 0.025) > 0.9
    assert found.plain < 0.7


def test_nothing_is_found_where_nothing_was_put() -> None:
    rows, read = predictions(), np.arange(M) < M // 2
    # Something else is there to be read, as a reader that finds nothing has no axes to hold against anything.
    rows = rows._replace(z=rows.z + 0.3 * rows.inputs[:, :1] * np.eye(D)[-1])
    bases = [random_basis(D, 1, np.random.default_rng(s)) for s in range(12)]
    found = find_blind(rows, ~read, read, bases, HOW, np.random.default_rng(0))
    mean = mean_recovery([one.blind for one in found], rows.patients[read], 0.95)
    assert mean.value < 0.25
    assert mean.low < mean.value < mean.high
    assert mean.n_patients == B // 2
    assert len({one.blind.value for one in found}) == len(bases)


def test_the_search_fits_nothing_to_the_patients_it_is_read_on() -> None:
    """What is not read may be moved at will only where it is not fitted to; what is read moves no fit."""
    rows, train = predictions(), np.arange(M) < M // 2
    basis, few = [np.eye(D)[:1]], np.arange(M) >= M - 500

    def found(z: np.ndarray, read: np.ndarray) -> float:
        return find_blind(rows._replace(z=z), train, read, basis, HOW, np.random.default_rng(0))[0].blind.value

    neither = rows.z + 50.0 * (~train & ~few)[:, None] * rows.inputs[:, :1]
    assert found(rows.z, few) == found(neither, few)
    assert found(rows.z, few) == found(rows.z + 50.0 * few[:, None] * rows.inputs[:, :1], few)
    assert found(rows.z, few) != found(rows.z + 50.0 * train[:, None] * rows.inputs[:, :1], few)


def test_axes_from_sums_are_those_of_the_decomposition() -> None:
    rows, basis = predictions(), random_basis(D, 2, np.random.default_rng(4))
    e = rows.z - inject(rows.z_hat, basis)
    reader = fit_reader(e, rows.inputs, rows.patients, 3, np.random.default_rng(0))
    parts = decompose_with(reader, e, rows.inputs)
    drawn = draw_covariances(parts.systematic, rows.patients, HOW, np.random.default_rng(0))
    assert drawn.shape == (101, D, D)
    np.testing.assert_allclose(drawn[0], np.cov(parts.systematic.T, bias=True), atol=1e-9)
    assert overlap(leading_axes(drawn[0], 2), basis) == pytest.approx(float(overlap(blind_axes(parts, 2), basis)))


def test_a_search_that_finds_nothing_recovers_nothing() -> None:
    """Where inputs say nothing of e the reader keeps to the mean: no axis is named, not even by chance."""
    rows, read = predictions(), np.arange(M) < M // 2
    blank = rows._replace(inputs=np.ones_like(rows.inputs))
    found = find_blind(blank, ~read, read, [np.eye(D)[:1], np.eye(D)[-1:]], HOW, np.random.default_rng(0))
    assert [one.blind.value for one in found] == [0, 0]
