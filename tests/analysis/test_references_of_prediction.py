"""Rivals of ẑ: a ridge equals its definition, sees no test row, and a conditional mean has slope one."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.predictor import references

HOW = Inference(bootstrap=200, permutations=200, min_patients=5)


def cohort(seed=0, B=150, D=5):
    """z = what the past says + as much that it doesn't; patients with one to six rows."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(B), rng.integers(1, 7, B))
    X = rng.normal(size=(len(patients), 4))
    known = X @ rng.normal(size=(4, D)) / 2
    return X, known, known + rng.normal(size=known.shape), patients, rng


def thirds(patients):
    return patients % 3 == 0, patients % 3 == 1, patients % 3 == 2


def test_the_ridge_is_the_normal_equations_on_training_rows():
    X, _, z, patients, _ = cohort()
    train, validation, _ = thirds(patients)
    found = references.ridge_predictions(X, z, train, validation, penalties=(7.0,))
    S = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
    W = np.linalg.solve(S[train].T @ S[train] + 7 * np.eye(4), S[train].T @ (z[train] - z[train].mean(axis=0)))
    np.testing.assert_allclose(found.predicted, S @ W + z[train].mean(axis=0), rtol=1e-4, atol=1e-5)


def test_the_penalty_is_the_one_that_predicts_validation_rows_best():
    rng = np.random.default_rng(0)
    X, z = rng.normal(size=(90, 40)), rng.normal(size=(90, 3))
    train, validation, _ = thirds(np.arange(90))
    assert references.ridge_predictions(X, z, train, validation).penalty == max(references.PENALTIES)
    exact = X[:, :3] * 5
    assert references.ridge_predictions(X[:, :3], exact, train, validation).penalty == min(references.PENALTIES)


def test_test_patients_have_no_part_in_the_ridge():
    X, _, z, patients, _ = cohort()
    train, validation, test = thirds(patients)
    before = references.ridge_predictions(X, z, train, validation)
    z[test], X2 = 1e6, X.copy()
    X2[test] = 1e6
    after = references.ridge_predictions(X2, z, train, validation)
    assert before.penalty == after.penalty
    np.testing.assert_array_equal(before.predicted[~test], after.predicted[~test])


def test_a_conditional_mean_has_slope_one_and_a_share_equal_to_its_skill():
    _X, known, z, patients, rng = cohort(B=1500)
    found = references.shrinkage(z, known, np.zeros(5), patients, HOW, rng)
    assert found.slope.low <= 1 <= found.slope.high
    assert found.share.value == pytest.approx(found.skill.value, abs=0.03)
    timid = references.shrinkage(z, known / 2, np.zeros(5), patients, HOW, rng)
    assert timid.slope.value == pytest.approx(2 * found.slope.value)
    assert timid.skill.value < found.skill.value


def test_a_difference_of_skills_is_that_of_the_skills():
    _X, known, z, patients, rng = cohort()
    pair = (known, known / 2)
    apart = [references.skill(z, x, np.zeros(5), patients, HOW, rng).value for x in pair]
    found = references.skill_difference(z, pair, np.zeros(5), patients, HOW, rng)
    assert found.value == pytest.approx(apart[0] - apart[1])
    assert found.low > 0


def test_exchanged_names_find_nothing_between_equals_and_something_between_unequals():
    alarms = 0
    for seed in range(60):
        _X, known, z, patients, rng = cohort(seed, B=60)
        equals = tuple(known + rng.normal(size=known.shape) / 2 for _ in range(2))
        alarms += references.exchange_null(z, equals, np.zeros(5), patients, HOW, rng).p <= 0.05
    assert alarms <= 60 * 0.05 + 3 * np.sqrt(60 * 0.05 * 0.95)
    better = references.exchange_null(z, (known, 0 * known), np.zeros(5), patients, HOW, rng)
    assert better.p < 0.01
    assert abs(better.value) < 0.02


def test_skill_along_an_axis_is_skill_in_that_coordinate():
    z = np.array([[2.0, 1.0], [-2.0, 3.0]])
    predicted = np.array([[2.0, 0.0], [-2.0, 0.0]])
    found = references.skill_by_axis(z, predicted, np.zeros(2), np.eye(2)[:, ::-1])
    np.testing.assert_allclose(found, [0, 1])


def test_no_training_row_is_refused():
    X, _, z, patients, _ = cohort()
    with pytest.raises(NotComputable, match="0 training rows"):
        references.ridge_predictions(X, z, patients < 0, patients < 0)
