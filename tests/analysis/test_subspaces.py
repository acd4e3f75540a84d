"""Overlap of subspaces by hand, at chance where it should be, and under a turn."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference
from jepascope.analysis.predictor import subspaces

HOW = Inference(bootstrap=200, permutations=400, min_patients=5)


def rows(seed=0, B=80, variances=(9, 4, 1, 0.25, 0.1, 0.05)):
    rng = np.random.default_rng(seed)
    patients = rng.permutation(np.repeat(np.arange(B), rng.integers(1, 6, B)))
    return rng.normal(size=(len(patients), len(variances))) * np.sqrt(variances) + 3, patients, rng


def test_overlap_and_angles_are_those_worked_out_by_hand():
    U, V = np.eye(3), np.eye(3)[:, [0, 2, 1]]
    np.testing.assert_allclose(subspaces.overlaps(U, V), [1, 0.5, 1])
    turned = np.array([[1, 0], [0, np.cos(np.pi / 6)], [0, np.sin(np.pi / 6)]])
    np.testing.assert_allclose(subspaces.principal_angles(U[:, :2], turned), [0, 30], atol=1e-4)


def test_the_spectrum_finds_planted_axes_in_order():
    x, _, _ = rows(B=800)
    found = subspaces.spectrum(x)
    np.testing.assert_allclose(found.variances, [9, 4, 1, 0.25, 0.1, 0.05], rtol=0.15)
    assert np.abs(np.diag(found.axes)).min() > 0.9
    np.testing.assert_allclose(found.mean, 3, atol=0.3)


def test_the_bootstrap_value_is_the_overlap_and_draws_are_those_of_repeated_patients():
    x, patients, _ = rows()
    U = np.linalg.qr(np.random.default_rng(5).normal(size=(6, 2)))[0]
    found = subspaces.overlap_bootstrap(U, x, patients, HOW, np.random.default_rng(1))
    by_hand = np.square(U.T @ subspaces.spectrum(x).axes[:, :2]).sum() / 2
    assert found.value == pytest.approx(by_hand, abs=1e-5)
    picks = np.random.default_rng(1).integers(0, 80, (200, 80))
    values = []
    for drawn in picks:
        repeated = np.concatenate([x[patients == p] for p in drawn])
        values.append(np.square(U.T @ subspaces.spectrum(repeated).axes[:, :2]).sum() / 2)
    np.testing.assert_allclose([found.low, found.high], np.quantile(values, [0.025, 0.975]), atol=1e-4)
    assert (found.n_rows, found.n_patients) == (len(x), 80)


def test_random_subspaces_overlap_by_their_share_of_dimensions():
    U = np.eye(12)[:, :3]
    null = subspaces.random_overlap(U, 0.9, 400, 0.95, np.random.default_rng(0))
    assert null.value == pytest.approx(0.25, abs=0.02)
    assert null.p < 0.01
    assert null.low < 0.25 < null.high


def test_procrustes_undoes_a_planted_turn_and_does_not_reshape():
    x, _, rng = rows()
    Q = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    y = 2.5 * x @ Q + 1
    turn = subspaces.procrustes(x, y)
    np.testing.assert_allclose(turn(x), y, atol=1e-8)
    assert turn.scale == pytest.approx(2.5)
    stretched = subspaces.procrustes(x, x * np.array([1, 5, 1, 1, 1, 1]))
    np.testing.assert_allclose(stretched.rotation @ stretched.rotation.T, np.eye(6), atol=1e-8)
