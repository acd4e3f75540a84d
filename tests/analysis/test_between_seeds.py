"""Heterogeneity of seeds: by hand, where nothing differs, and where seeds share their patients."""

import numpy as np
import pytest
from scipy.stats import ncx2, spearmanr

from jepascope.analysis.inference.between_seeds import heterogeneity, rank_correlation


def test_q_and_i2_by_hand() -> None:
    """Values 1 and 3 with errors 1 and 1: mean 2, Q = 2, one degree of freedom, I² = 1 − 1 / 2."""
    found = heterogeneity(np.array([1.0, 3.0]), np.eye(2), 0.95)
    assert list(found[:3]) == pytest.approx([2, 0.1573, 0.5], abs=1e-4)
    assert found.low == 0
    noncentrality = found.high / (1 - found.high)
    assert ncx2.cdf(2, 1, noncentrality) == pytest.approx(0.025, abs=1e-4)
    assert heterogeneity(np.array([2.0, 2.0]), np.eye(2), 0.95)[:3] == (0, 1, 0)


def test_unequal_errors_weigh_the_mean() -> None:
    """Weights 1 and 4: the mean of 0 and 1 is 0.8, and Q = 0.8² + 4 · 0.2²."""
    found = heterogeneity(np.array([0.0, 1.0]), np.diag([1, 0.25]), 0.95)
    assert list(found[:1]) == pytest.approx([0.8])


def test_errors_that_go_together_hide_a_difference_unless_their_covariance_is_known() -> None:
    values, shared = np.array([0.0, 1.0]), np.full((2, 2), 0.99) + 0.01 * np.eye(2)
    assert heterogeneity(values, np.diag(np.diag(shared)), 0.95).p > 0.3
    assert heterogeneity(values, shared, 0.95).p < 1e-6


def test_where_seeds_do_not_differ_p_is_uniform_and_the_interval_reaches_nought() -> None:
    rng = np.random.default_rng(0)
    found = [heterogeneity(rng.normal(size=3), np.eye(3), 0.9) for _ in range(400)]
    assert np.mean([one.p < 0.1 for one in found]) == pytest.approx(0.1, abs=0.045)
    assert np.mean([one.low == 0 for one in found]) == pytest.approx(0.95, abs=0.03)  # one tail of a 90 % interval


def test_the_interval_covers_the_planted_share() -> None:
    """Fixed seeds apart by λ = 10 with two degrees of freedom: I² = 10 / 12."""
    rng, planted = np.random.default_rng(1), np.array([-1, 0, 1]) * np.sqrt(5)
    inside = [
        found.low <= 10 / 12 <= found.high
        for found in (heterogeneity(planted + rng.normal(size=3), np.eye(3), 0.9) for _ in range(300))
    ]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.05)


def test_one_seed_or_no_error_says_nothing() -> None:
    assert np.isnan(heterogeneity(np.array([1.0]), np.eye(1), 0.95)).all()
    assert np.isnan(heterogeneity(np.array([1.0, 2.0]), np.diag([1.0, 0.0]), 0.95)).all()


def test_rank_correlation_is_spearmans_row_by_row() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 5, 9)).round(1)
    expected = [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    assert rank_correlation(a, b) == pytest.approx(expected)
    assert np.isnan(rank_correlation(np.ones((1, 4)), a[:1, :4]))


def test_what_two_maps_owe_to_a_covariate_is_taken_out() -> None:
    rng = np.random.default_rng(0)
    thick = rng.normal(size=(1, 400))
    a, b = (thick + 0.3 * rng.normal(size=thick.shape) for _ in range(2))
    assert rank_correlation(a, b)[0] > 0.8
    assert abs(rank_correlation(a, b, (thick, thick))[0]) < 0.15
    constant = np.ones_like(thick)
    assert rank_correlation(a, b, (constant, constant)) == pytest.approx(rank_correlation(a, b))
