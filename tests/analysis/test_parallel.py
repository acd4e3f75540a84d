"""Parallel analysis by patient: false alarms in nothing, planted axes, and what a flip keeps and breaks."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference import parallel, stats

LEVEL = 0.95


def cohort(seed, axes=0, strength=1.5, scale=1.0, B=80, D=16, effect=0.6):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(B), rng.integers(1, 12, B))

    def columns(width):
        own, new = rng.normal(size=(B, width))[patients], rng.normal(size=(len(patients), width))
        return np.sqrt(effect) * own + np.sqrt(1 - effect) * new

    directions = np.linalg.qr(rng.normal(size=(D, D)))[0][:, :axes]
    return columns(D) * scale + strength * columns(axes) @ directions.T, patients, rng


def test_the_edge_by_hand_for_two_patients_and_two_columns():
    X = np.array([[1.0, 1], [-1, -1]])
    found = parallel.parallel_axes(X, np.array([0, 1]), 400, np.random.default_rng(0), 0.9)
    # A column whose signs differ between the patients becomes constant, and its variance goes with its mean. Both
    # columns keep theirs in a quarter of the draws, with eigenvalue 2; one in a half, with 1; none in a quarter.
    assert found.eigenvalues == pytest.approx([2, 0])
    assert found.edges == pytest.approx([2])
    assert found.n_axes == 0
    lower = parallel.parallel_axes(X, np.array([0, 1]), 400, np.random.default_rng(0), 0.6)
    assert lower.edges[0] == pytest.approx(1)


def test_a_flip_keeps_variances_and_dependence_within_patients_and_breaks_columns(monkeypatch):
    X, patients, rng = cohort(0, axes=1, strength=3.0)
    X = np.concatenate([X, -X])  # every patient's rows and their mirror: no mean to take off
    patients = np.concatenate([patients, patients])
    grams = []
    monkeypatch.setattr(parallel.np.linalg, "eigvalsh", lambda gram: grams.append(gram / len(X)) or np.zeros(1))
    parallel._flipped_edge(X, patients, patients.max() + 1, 300, rng, LEVEL)
    observed, off = X.T @ X / len(X), ~np.eye(X.shape[1], dtype=bool)
    for gram in grams:
        assert np.diag(gram) == pytest.approx(np.diag(observed))
    assert np.abs(np.mean(grams, axis=0)[off]).max() < 0.25 * np.abs(observed[off]).max()
    # Between columns j and l the flips' second moment is that of patients' own sums of products, not of rows'.
    products = np.zeros((patients.max() + 1, X.shape[1], X.shape[1]))
    np.add.at(products, patients, X[:, :, None] * X[:, None, :] / len(X))
    ratio = np.mean(np.square(grams), axis=0)[off].sum() / np.sum(products**2, axis=0)[off].sum()
    assert ratio == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("scale", [1.0, np.linspace(0.5, 2, 16)], ids=["alike", "scaled"])
def test_false_alarms_are_few_by_patients_and_the_rule_by_rows(scale):
    by_patients, by_edge = 0, 0
    for seed in range(120):
        X, patients, rng = cohort(seed, scale=scale)
        by_patients += parallel.parallel_axes(X, patients, 99, rng, LEVEL).n_axes > 0
        by_edge += parallel.marchenko_pastur_axes(X).n_axes > 0
    assert by_patients / 120 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 120)  # three binomial standard errors
    assert by_edge / 120 > 0.9


def test_horn_takes_patients_for_axes():
    counts = []
    for seed in range(10):
        X, _, rng = cohort(seed)
        counts.append(parallel.horn_axes(X, 40, rng, LEVEL).n_axes)
        # Told that each row is a patient, block flips are row flips, and err as Horn does.
        assert parallel.parallel_axes(X, np.arange(len(X)), 40, rng, LEVEL).n_axes > 0
    assert min(counts) > 0


@pytest.mark.parametrize(("axes", "strength"), [(1, 1.5), (3, 1.5), (4, 5.0)])
def test_planted_axes_are_counted_exactly(axes, strength):
    """Strong axes too: with the residual's columns not brought back to scale, all sixteen would pass at times."""
    counts = np.array([
        parallel.parallel_axes(*cohort(seed, axes, strength)[:2], 59, np.random.default_rng(seed), LEVEL).n_axes
        for seed in range(25)
    ])  # fmt: skip
    assert np.mean(counts >= axes) > 0.9
    assert np.mean(counts > axes) <= 0.12  # 3 of 25


def test_a_strong_axis_does_not_hide_a_weak_one():
    X, patients, rng = cohort(3, effect=0.3, B=200)
    direction = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 2)))[0]
    X = X + rng.normal(size=(len(X), 2)) * [8.0, 1.3] @ direction.T
    found = parallel.parallel_axes(X, patients, 99, rng, LEVEL)
    assert found.n_axes == 2
    assert len(found.edges) == 3
    assert parallel.horn_axes(X, 99, rng, LEVEL).edges[1] > 1.5 * found.edges[1]  # the strong one is in Horn's noise


def test_row_rules_are_right_for_independent_rows():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(30, 500, 20))
    assert np.mean([parallel.horn_axes(X, 39, rng, LEVEL).n_axes > 0 for X in noise]) <= 0.2
    assert np.mean([parallel.marchenko_pastur_axes(X).n_axes > 0 for X in noise]) <= 0.3
    found = parallel.marchenko_pastur_axes(noise[0])
    assert found.edges[0] == pytest.approx(found.eigenvalues.mean() * 1.2**2)


def test_what_has_no_axes_to_count_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(stats.NotComputable, match="1 column, 2 needed"):
        parallel.parallel_axes(np.ones((5, 1)), np.arange(5), 9, rng, LEVEL)
    with pytest.raises(stats.NotComputable, match="1 patients, 2 needed"):
        parallel.parallel_axes(np.ones((5, 3)), np.zeros(5), 9, rng, LEVEL)
    with pytest.raises(ValueError, match="not finite"):
        parallel.marchenko_pastur_axes(np.full((5, 3), np.nan))
