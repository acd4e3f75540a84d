"""The table of false findings: on cohorts of nothing but patients, rows find something, and patients don't."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference
from jepascope.analysis.methods import false_findings as ff
from jepascope.analysis.methods.toy_cohorts import CARRYING, ToyCohort, toy_cohort

FEW = Inference(bootstrap=100, permutations=99)


@pytest.fixture(scope="module")
def table():
    return ff.false_findings(np.random.default_rng(0), FEW, cohorts=3).set_index("method")


def test_the_only_structure_of_the_cohort_is_that_rows_of_a_patient_are_alike():
    cohort = toy_cohort(np.random.default_rng(0), patients=2000, effect=0.6, D=4, F=3, L=2, C=5)
    for columns in (cohort.X, cohort.Y, cohort.features):
        assert columns.std() == pytest.approx(1, abs=0.05)
        first = np.flatnonzero(np.diff(cohort.patients) == 0)
        assert np.mean(columns[first] * columns[first + 1]) == pytest.approx(0.6, abs=0.05)
    one_each = np.unique(cohort.patients, return_index=True)[1]
    everything = np.hstack([cohort.X, cohort.Y, cohort.features])[one_each]
    assert np.abs(np.corrcoef(everything.T) - np.eye(11)).max() < 4 / np.sqrt(2000)
    assert cohort.labels.mean(axis=0) == pytest.approx(0.2, abs=0.01)
    assert np.all(cohort.clusters.sum(axis=1) == 1)
    assert len(cohort.patients) / 2000 == pytest.approx(7, abs=0.3)


def test_records_are_as_long_as_they_are_asked_to_be():
    lengths = np.array([1, 5, 2, 9])
    cohort = toy_cohort(np.random.default_rng(0), lengths=lengths, F=4)
    assert np.bincount(cohort.patients).tolist() == lengths.tolist()
    assert len(cohort.X) == len(cohort.labels) == 17


# What rows must find at least, and patients at most, in the mean of three cohorts.
BOUNDS = {
    "Marchenko–Pastur edge": (3, 0.5),
    "Horn's permutation": (3, 0.5),
    "debiased CKA": (0.1, 0.02),
    "lasso, cross-validated": (0.1, 0.01),
    "hypergeometric test, BH": (0.005, 0.004),
    "largest correlation": (0.03, 0.0),
}


@pytest.mark.parametrize("method", BOUNDS)
def test_rows_find_something_in_nothing_and_patients_do_not(table, method):
    at_least, at_most = BOUNDS[method]
    assert table.loc[method, "by_rows"] > at_least
    assert table.loc[method, "by_patients"] <= at_most
    assert table.loc[method, "alarms_rows"] > 0.5
    assert table.loc[method, "alarms_patients"] < 0.5


def test_the_table_has_every_method_with_its_range(table):
    assert list(table.index) == list(ff.METHODS)
    assert np.all(table["by_rows_low"] <= table["by_rows"])
    assert np.all(table["by_patients"] <= table["by_patients_high"])
    assert set(table["cohorts"]) == {3}
    with pytest.raises(ValueError, match="0 cohorts"):
        ff.false_findings(np.random.default_rng(0), FEW, cohorts=0)


@pytest.mark.parametrize("method", ["hypergeometric test, BH", "largest correlation"])
def test_alarms_by_patients_are_as_rare_as_stated(method):
    """100 small cohorts each; axes, CKA and nested cross-validation have theirs beside their own tests."""
    run, alarms = ff.METHODS[method].by_patients, 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        cohort = toy_cohort(rng, patients=60, encounters=4, D=15, F=50, L=5, C=5)
        alarms += run(cohort, FEW, rng).alarm
    assert alarms <= 5 + 3 * np.sqrt(100 * 0.05 * 0.95)  # three binomial standard errors


def test_without_a_patient_effect_rows_are_as_good_as_patients():
    """So the false findings come from the effect, and not from the methods."""
    rng = np.random.default_rng(0)
    cohort = toy_cohort(rng, effect=0.0)
    for name in ("Horn's permutation", "debiased CKA", "lasso, cross-validated", "hypergeometric test, BH"):
        assert (name, ff.METHODS[name].by_rows(cohort, FEW, rng).alarm) == (name, False)


def test_the_hypergeometric_test_counts_the_observed_overlap_itself():
    """All four of four rows: p = 1 / C(8, 4) = 0.014, and q twice that for two clusters; at 0.02 no finding."""
    inside = np.repeat([True, False], 4)
    rng, nothing = np.random.default_rng(0), np.zeros((8, 1))
    labels, clusters = inside[:, None], np.stack([inside, ~inside], axis=1)
    cohort = ToyCohort(np.arange(8), nothing, nothing, nothing, labels, clusters)
    for level, share in ((0.98, 0.0), (0.97, 0.5)):
        assert ff.enrichment_of_rows(cohort, FEW._replace(level=level), rng).value == share


def test_a_shared_factor_is_in_the_columns_that_carry_it_and_leaves_their_variance_and_persistence():
    cohort = toy_cohort(np.random.default_rng(0), 0.6, patients=4000, effect=0.5, D=12, F=3, L=2, C=2)
    everything = np.hstack([cohort.X, cohort.Y, cohort.features])
    carrying = np.r_[np.arange(12) < CARRYING, np.arange(12) < CARRYING, np.arange(3) < 1]
    expected = np.where(np.outer(carrying, carrying), 0.6**2, 0.0)
    np.fill_diagonal(expected, 1.0)
    assert np.abs(np.cov(everything.T) - expected).max() < 0.05
    assert np.corrcoef(cohort.labels[:, 0], cohort.features[:, 0])[0, 1] > 0.2
    assert np.corrcoef(cohort.clusters[:, 0], cohort.features[:, 0])[0, 1] > 0.2
    first = np.flatnonzero(np.diff(cohort.patients) == 0)
    assert np.mean(cohort.X[first, 0] * cohort.X[first + 1, 0]) == pytest.approx(0.5, abs=0.05)


def test_every_certified_method_finds_a_strong_factor_and_is_silent_about_none():
    table = ff.alarms(np.random.default_rng(1), (0.0, 0.9), (4, 4), FEW).set_index(["method", "shared"])
    for method in ff.CERTIFIED:
        assert (method, table.loc[(method, 0.9), "alarms"]) == (method, 1.0)
        assert table.loc[(method, 0.0), "alarms"] <= 0.5
        assert table.loc[(method, 0.9), "low"] == pytest.approx(1 / (1 + 1.959964**2 / 4), abs=1e-6)  # Wilson, by hand
