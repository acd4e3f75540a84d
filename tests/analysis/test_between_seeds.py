"""Heterogeneity of seeds and means over pairs of them: by hand, where nothing differs, and where errors are shared."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import ncx2, spearmanr
from scipy.stats import t as student

from jepascope.analysis.inference.between_seeds import heterogeneity, over_pairs, rank_correlation


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


def test_a_covariance_made_of_few_draws_does_not_set_many_seeds_apart() -> None:
    """Forty seeds that are alike: the inverse of a covariance of 120 draws is too large by half."""
    rng, S, draws = np.random.default_rng(2), 40, 120
    pairs = [(rng.normal(size=S), np.cov(rng.normal(size=(S, draws)))) for _ in range(200)]
    alarms = [np.mean([heterogeneity(*one, 0.95, made).p < 0.05 for one in pairs]) for made in ((), (draws,))]
    assert alarms[0] > 0.5
    assert alarms[1] < 0.15
    assert np.isnan(heterogeneity(*pairs[0], 0.95, (draws, S + 1))).all()


def test_the_mean_over_pairs_by_hand() -> None:
    """A ring of five with 1, 2, 6, 4, 2: mean 3, and 4, 4, 7/3, 5/3, 3 without each seed."""
    ring, values = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [0, 4]]), np.array([1.0, 2, 6, 4, 2])
    found = over_pairs(values, ring, 0.95)
    reach = student.ppf(0.975, 4) * np.sqrt(1 + 1 + 4 / 9 + 16 / 9)
    assert found == pytest.approx((3, 3 - reach, 3 + reach, 1, 6, 5))
    twice = over_pairs(np.repeat(values, 2), np.repeat(ring, 2, axis=0), 0.95)
    assert twice[:3] == pytest.approx(found[:3])  # a pair told from both its ends is no second pair


def test_seeds_that_say_nothing_of_other_seeds_have_no_interval() -> None:
    ring, values = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [0, 4]]), np.array([1.0, 2, 6, 4, 2])
    star = np.array([[0, other] for other in range(1, 6)])
    cases = ((values, star), (values[:3], ring[:3]), (np.ones(5), ring), (np.where(values == 6, np.nan, values), ring))
    for some, pairs in cases:
        assert np.isnan(over_pairs(some, pairs, 0.95)[1:3]).all()
    assert np.isnan(over_pairs(*cases[-1], 0.95).mean)


@pytest.mark.parametrize("S", [5, 12, 20])
def test_intervals_over_seeds_cover_the_mean_where_pairs_taken_for_independent_do_not(S: int) -> None:
    """A seed's quality q enters all its pairs: q_i + q_j + noise has mean nought over seeds drawn anew."""
    rng, pairs = np.random.default_rng(3), np.array(list(combinations(range(S), 2)))
    covered, naive = [], []
    for _ in range(400):
        values = rng.normal(size=S)[pairs].sum(axis=1) + 0.3 * rng.normal(size=len(pairs))
        found = over_pairs(values, pairs, 0.9)
        covered.append(found.low <= 0 <= found.high)
        reach = student.ppf(0.95, len(pairs) - 1) * values.std(ddof=1) / np.sqrt(len(pairs))
        naive.append(abs(values.mean()) <= reach)
    assert np.mean(covered) > 0.87
    assert np.mean(naive) < 0.8


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
