"""Nested cross-validation by patient: what fits may see, what chooses, and what is found in nothing."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference import nested, stats

SETTINGS = (1000.0, 100.0, 10.0, 1.0)


def ridge(X, y, penalty):
    mean = y.mean()
    w = np.linalg.solve(X.T @ X + penalty * np.eye(X.shape[1]), X.T @ (y - mean))
    return lambda rows: rows @ w + mean


def cohort(seed, n_patients=50, width=30, signal=0.0):
    rng = np.random.default_rng(seed)
    patients = rng.permutation(np.repeat(np.arange(n_patients), rng.integers(3, 10, n_patients)))
    own, new = rng.normal(size=(n_patients, width + 1))[patients], rng.normal(size=(len(patients), width + 1))
    columns = np.sqrt(0.8) * own + np.sqrt(0.2) * new
    X = columns[:, 1:]
    return X, columns[:, 0] + signal * X[:, 0], patients, rng


def run(X, y, units, rng):
    return nested.nested_cv(X, y, units, SETTINGS, ridge, nested.r_squared, 4, rng)


def test_no_fit_and_no_choice_sees_a_patient_it_is_scored_on():
    X, y, patients, rng = cohort(0)
    X = np.column_stack([patients, y])  # a fit can see whose rows, and what, it is given
    seen = []

    def fit(rows, labels, setting):
        assert rows[:, 1] == pytest.approx(labels)

        def predict(others):
            assert not np.intersect1d(rows[:, 0], others[:, 0]).size
            seen.append((setting, frozenset(rows[:, 0]), frozenset(others[:, 0])))
            return np.zeros(len(others))

        return predict

    found = nested.nested_cv(X, y, patients, ("a", "b"), fit, nested.r_squared, 4, rng)
    everyone, outer = set(patients), {frozenset(patients[found.fold == f]) for f in range(4)}
    assert frozenset.union(*outer) == everyone
    assert sum(map(len, outer)) == len(everyone)
    whole = [others for _, rows, others in seen if rows | others == everyone]
    assert sorted(whole, key=min) == sorted(outer, key=min)  # outer fits, one a fold
    inner = [rows | others for _, rows, others in seen if rows | others != everyone]
    assert len(inner) == 4 * 4 * 2
    assert set(inner) == {frozenset(everyone - held) for held in outer}  # choosing never leaves the outer training set


def test_the_setting_with_the_best_inner_score_is_used_and_ties_go_to_the_earlier():
    X, y, patients, rng = cohort(1)
    constant = lambda rows, labels, setting: lambda others: np.full(len(others), setting)  # noqa: E731
    by_value = lambda labels, predicted: float(-abs(predicted[0] - 2))  # noqa: E731
    found = nested.nested_cv(X, y, patients, (5.0, 1.0, 3.0), constant, by_value, 3, rng)
    assert found.chosen == (1.0, 1.0, 1.0)
    assert np.all(found.predicted == 1)
    seldom = lambda labels, predicted: float("nan") if predicted[0] == 5 else 0.0  # noqa: E731
    assert nested.nested_cv(X, y, patients, (5.0, 1.0, 3.0), constant, seldom, 3, rng).chosen == (1.0, 1.0, 1.0)


def test_r_squared_by_hand():
    assert nested.r_squared(np.array([0.0, 1, 2]), np.array([0.0, 1, 1])) == pytest.approx(0.5)
    assert nested.r_squared(np.array([0.0, 1, 2]), np.ones(3)) == 0
    assert np.isnan(nested.r_squared(np.ones(3), np.zeros(3)))


def test_nothing_is_predicted_in_nothing_by_patients_and_a_lot_by_rows():
    by_patient, by_row, alarms = [], [], 0
    for seed in range(100):
        X, y, patients, rng = cohort(seed)
        predicted = run(X, y, patients, rng).predicted
        by_patient.append(nested.r_squared(y, predicted))
        by_row.append(nested.r_squared(y, run(X, y, np.arange(len(y)), rng).predicted))
        columns = np.stack([(y - predicted) ** 2, (y - y.mean()) ** 2], axis=1)
        found = stats.bootstrap_of_sums(lambda s: 1 - s[:, 0] / s[:, 1], columns, patients, 100, 0.9, rng)
        alarms += found.low > 0
    assert np.mean(by_patient) <= 0.01
    assert np.mean(by_row) > 0.15
    assert alarms <= 5 + 3 * np.sqrt(100 * 0.05 * 0.95)  # one side of a 90 % interval


def test_a_planted_effect_is_found_in_new_patients():
    found = 0
    for seed in range(30):
        X, y, patients, rng = cohort(seed, n_patients=100, signal=1.0)
        predicted = run(X, y, patients, rng).predicted
        columns = np.stack([(y - predicted) ** 2, (y - y.mean()) ** 2], axis=1)
        estimate = stats.bootstrap_of_sums(lambda s: 1 - s[:, 0] / s[:, 1], columns, patients, 100, 0.9, rng)
        found += estimate.low > 0
    assert found / 30 > 0.8


def test_what_cannot_be_validated_is_refused():
    X, y, patients, rng = cohort(0, n_patients=3)
    with pytest.raises(stats.NotComputable, match="3 patients, 4 needed"):
        run(X, y, patients, rng)
    X, y, patients, rng = cohort(0)
    with pytest.raises(ValueError, match="not finite"):
        run(X, np.where(np.arange(len(y)) == 3, np.nan, y), patients, rng)
    with pytest.raises(ValueError, match="0 settings"):
        nested.nested_cv(X, y, patients, (), ridge, nested.r_squared, 4, rng)
    with pytest.raises(stats.NotComputable, match="no score is defined for 4 settings"):
        nested.nested_cv(X, y, patients, SETTINGS, ridge, lambda labels, predicted: float("nan"), 4, rng)
