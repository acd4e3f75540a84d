"""BCa by patient: scipy's interval on one row a patient, the percentile draws, and coverage where skewness hurts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import bootstrap

from jepascope.analysis.inference import bca, stats


def weighted_variance(x):
    def statistic(weights):
        mean = (weights @ x) / weights.sum(axis=1)
        return (weights @ x**2) / weights.sum(axis=1) - mean**2

    return statistic


def variance_of_sums(s):
    return s[:, 1] / s[:, 2] - (s[:, 0] / s[:, 2]) ** 2


def columns_of(x):
    return np.stack([x, x**2, np.ones(len(x))], axis=1)


@pytest.mark.parametrize("level", [0.9, 0.99])
def test_the_interval_equals_scipys_on_one_row_a_patient_and_the_same_draws(level):
    x = np.random.default_rng(0).exponential(size=40)
    drawn = weighted_variance(x)(stats.bootstrap_counts(40, 2000, np.random.default_rng(1)))
    theirs = bootstrap(
        (x,), np.var, method="BCa", confidence_level=level, n_resamples=0,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=drawn),
    ).confidence_interval  # fmt: skip
    ours = bca.bca_bootstrap(weighted_variance(x), np.arange(40), 2000, level, np.random.default_rng(1))
    assert ours[:3] == pytest.approx((np.var(x), theirs.low, theirs.high), rel=1e-9)
    percentile = stats.patient_bootstrap(weighted_variance(x), np.arange(40), 2000, level, np.random.default_rng(1))
    assert ours.high > percentile.high  # a variance is skewed to the right, and the percentile interval to the left


@pytest.mark.parametrize("cells", [stats.CHUNK_CELLS, 500])
def test_sums_and_weights_give_the_same_interval_for_records_of_any_length(monkeypatch, cells):
    monkeypatch.setattr(bca, "CHUNK_CELLS", cells)
    rng = np.random.default_rng(0)
    patients = rng.permutation(np.repeat(np.arange(50), rng.integers(1, 8, 50)))
    x = rng.exponential(size=len(patients))
    by_weights = bca.bca_bootstrap(weighted_variance(x), patients, 400, 0.9, np.random.default_rng(3))
    by_sums = bca.bca_of_sums(variance_of_sums, columns_of(x), patients, 400, 0.9, np.random.default_rng(3))
    assert by_weights == pytest.approx(by_sums)
    left_out = bca.left_out_values(weighted_variance(x), patients)
    assert left_out == pytest.approx([x[patients != name].var() for name in range(50)])


def test_a_symmetric_statistic_keeps_its_percentile_interval():
    drawn = np.linspace(-1, 1, 2001)
    assert bca.bca_interval(0.0, drawn, np.linspace(-1, 1, 11), 0.9) == pytest.approx((-0.9, 0.9), abs=1e-3)
    assert bca.bca_interval(3.0, np.full(50, 3.0), np.full(9, 3.0), 0.9) == (3.0, 3.0)


def test_bca_errs_more_evenly_than_percentiles_where_a_statistic_is_skewed():
    """Planted: the variance of patient means of a lognormal. The percentile interval ends too low (type I above)."""
    truth, B, low, high = np.exp(1) * (np.exp(1) - 1), 60, np.zeros(2), np.zeros(2)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        patients = np.repeat(np.arange(B), 3)
        columns = columns_of(np.exp(rng.normal(size=B))[patients])
        for which, method in enumerate((stats.bootstrap_of_sums, bca.bca_of_sums)):
            found = method(variance_of_sums, columns, patients, 300, 0.9, np.random.default_rng(seed))
            low[which] += found.low > truth
            high[which] += found.high < truth
    assert high[1] < 0.85 * high[0]
    assert (low + high)[1] < (low + high)[0]


def test_a_mean_of_patients_with_effects_is_covered_as_often_as_stated():
    missed = 0
    for seed in range(300):  # tolerance: three binomial standard errors of 300 at 10 % are 5 %
        rng = np.random.default_rng(seed)
        patients = np.repeat(np.arange(50), rng.integers(1, 8, 50))
        x = rng.normal(size=50)[patients] + 0.3 * rng.normal(size=len(patients))
        columns = np.stack([x, np.ones(len(x))], axis=1)
        found = bca.bca_of_sums(lambda s: s[:, 0] / s[:, 1], columns, patients, 300, 0.9, rng)
        missed += not found.low <= 0 <= found.high
    assert 0.05 <= missed / 300 <= 0.15


def test_what_has_no_honest_interval_is_refused():
    ramp = np.linspace(0, 1, 100)
    with pytest.raises(stats.NotComputable, match="undefined in 10 of 100 draws"):
        bca.bca_interval(0.5, np.where(ramp < 0.1, np.nan, ramp), ramp, 0.95)
    with pytest.raises(stats.NotComputable, match="left out, for 1 of 100 patients"):
        bca.bca_interval(0.5, ramp, np.r_[np.nan, ramp[1:]], 0.95)
    with pytest.raises(stats.NotComputable, match="one side of the value"):
        bca.bca_interval(2.0, ramp, ramp, 0.95)
    with pytest.raises(stats.NotComputable, match="a single patient decides"):
        bca.bca_interval(0.999, ramp, -np.r_[np.ones(1), np.zeros(200)], 1 - 1e-7)
    with pytest.raises(stats.NotComputable, match="undefined on these 4 rows of 4 patients"):
        bca.bca_of_sums(lambda s: s[:, 0] / 0, np.ones((4, 1)), np.arange(4), 9, 0.9, np.random.default_rng(0))
    with pytest.raises(stats.NotComputable, match="4 patients, 5 needed"):
        bca.bca_bootstrap(lambda w: w.sum(axis=1), np.arange(4), 9, 0.9, np.random.default_rng(0), 5)
