"""Attacks on membership: blind where nobody is remembered, seeing where somebody is, and fooled by no record."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.error import membership
from jepascope.analysis.inference.stats import Inference, NotComputable, auroc
from jepascope.analysis.predictor.prediction import squared_error

HOW = Inference(bootstrap=200, permutations=200, folds=5, min_patients=20)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def people(rng: np.random.Generator, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Members [n], two of three, and strata [n] that have nothing to do with it."""
    return rng.random(n) < 2 / 3, rng.integers(0, 4, n)


def test_pairs_of_one_stratum_are_compared_by_hand() -> None:
    scores, members = np.array([3.0, 1.0, 9.0, 8.0, 8.0]), np.array([True, False, False, True, False])
    told = membership.auroc_within(scores, members, np.array([0, 0, 1, 1, 1]))
    # stratum 0: 3 > 1 wins; stratum 1: 8 < 9 loses, 8 = 8 is half a win: 1.5 of 3 pairs
    assert told(np.ones((1, 5)))[0] == pytest.approx(0.5)
    assert told(np.array([[2.0, 1, 0, 1, 1]]))[0] == pytest.approx(2.5 / 3)


def test_in_one_stratum_it_is_the_auroc(rng: np.random.Generator) -> None:
    members, _ = people(rng)
    scores = rng.normal(size=len(members)).round(1)
    within = membership.auroc_within(scores, members, np.zeros(len(members), int))
    assert within(np.ones((1, len(members))))[0] == pytest.approx(auroc(scores, members))


def test_the_null_by_rank_sums_is_the_auroc_of_moved_members(rng: np.random.Generator) -> None:
    members, strata = people(rng, 60)
    scores = rng.normal(size=60).round(1)
    rows = membership.permuted_members(strata, 5, rng)
    assert all(np.array_equal(strata[moved], strata) and len(set(moved)) == 60 for moved in rows)
    by_hand = [membership.auroc_within(scores, members[moved], strata)(np.ones((1, 60)))[0] for moved in rows]
    assert membership._auroc_moved(scores, members, strata)(rows) == pytest.approx(by_hand)


def test_who_is_caught_at_few_false_alarms_by_hand() -> None:
    members = np.r_[np.ones(4, bool), np.zeros(100, bool)]
    scores = np.r_[5.0, 4.0, 0.2, 0.1, 4.5, np.zeros(99)]
    caught = membership.weighted_caught(scores, members, 0.01)
    assert caught(np.ones((1, 104)))[0] == pytest.approx(0.25)  # above the one false alarm that is allowed: 5.0
    # The second alarm is one of 99 noughts, all below the members.
    assert membership.weighted_caught(scores, members, 0.02)(np.ones((1, 104)))[0] == pytest.approx(1.0)


def test_a_score_that_knows_nothing_catches_as_many_members_as_it_accuses_others(rng: np.random.Generator) -> None:
    members, _ = people(rng, 200_000)
    caught = membership.weighted_caught(rng.normal(size=len(members)), members, 0.01)
    assert caught(np.ones((1, len(members))))[0] == pytest.approx(0.01, abs=0.002)


def test_scores_that_are_all_alike_accuse_and_catch_the_same_share() -> None:
    members = np.arange(30) < 20
    assert membership.weighted_caught(np.zeros(30), members, 0.1)(np.ones((1, 30)))[0] == pytest.approx(0.1)


def test_records_that_differ_are_no_membership(rng: np.random.Generator) -> None:
    """Members have the longer records, and long records the smaller errors: an unmatched attack would take the bait."""
    found, n = [], 2000
    for _ in range(20):
        strata = rng.integers(0, 2, n)
        members = rng.random(n) < np.where(strata == 1, 0.8, 0.2)
        scores = strata + rng.normal(size=n)
        found.append((auroc(scores, members), membership.auroc_within(scores, members, strata)(np.ones((1, n)))[0]))
    assert np.mean(found, axis=0) == pytest.approx([0.66, 0.5], abs=0.02)
    null = membership.attack(scores, members, strata, HOW, rng).null
    assert null.low < 0.5 < null.high


def test_a_predictor_fitted_to_a_few_patients_is_caught_and_its_outsider_is_not(rng: np.random.Generator) -> None:
    """Least squares with nearly as many columns as patients remembers them: their errors are shorter."""
    n, F, D = 120, 40, 5
    X = rng.normal(size=(2 * n, F))
    Z = X[:, :D] + rng.normal(size=(2 * n, D))
    members, strata = np.arange(2 * n) < n, np.zeros(2 * n, int)
    fitted = np.linalg.lstsq(X[:n], Z[:n], rcond=None)[0]
    other = rng.normal(size=(300, F))
    outside = np.linalg.lstsq(other, other[:, :D] + rng.normal(size=(300, D)), rcond=None)[0]
    own, reference = squared_error(Z, X @ fitted), squared_error(Z, X @ outside)
    told = membership.attack(-own, members, strata, HOW, rng)
    assert told.auroc.low > 0.6
    assert told.null.p < 0.01
    beside = membership.attack(-membership.log_ratio(own, reference), members, strata, HOW, rng)
    assert beside.auroc.low > 0.6
    by_outsider = membership.attack(-reference, members, strata, HOW, rng).auroc
    assert by_outsider.low < 0.5 < by_outsider.high


def test_what_is_learnt_of_some_patients_tells_others_and_of_nothing_tells_nothing(rng: np.random.Generator) -> None:
    members, strata = people(rng)
    X = rng.normal(size=(len(members), 12))
    blind = membership.learned_attack(X, members, strata, HOW, rng, 20)
    assert blind.auroc.low < 0.5 < blind.auroc.high
    assert abs(blind.null.value - 0.5) < 0.03
    X[:, 3] += members
    seeing = membership.learned_attack(X, members, strata, HOW, rng, 20)
    assert seeing.auroc.low > 0.65
    assert seeing.null.high < 0.6


def test_a_patient_is_scored_by_fits_that_have_not_met_her(rng: np.random.Generator) -> None:
    members, _ = people(rng, 200)
    X = rng.normal(size=(200, 3))
    before = membership.learned_scores(X, members, 5, np.random.default_rng(1))
    fold = membership.grouped_folds(np.arange(200), 5, np.random.default_rng(1))
    flipped = np.where(fold == 2, ~members, members)
    after = membership.learned_scores(X, flipped, 5, np.random.default_rng(1))
    assert np.array_equal(before[fold == 2], after[fold == 2])
    assert not np.array_equal(before[fold != 2], after[fold != 2])


def test_summaries_are_means_and_log_mean_squares_of_each_patient() -> None:
    told = membership.summaries(np.array([[1.0], [3.0], [5.0]]), np.array([7, 7, 2]))
    assert told == pytest.approx(np.array([[5.0, np.log(25)], [2.0, np.log(5)]]))


def test_patients_of_other_lengths_or_eras_are_of_other_strata() -> None:
    assert len(set(membership.strata_of(np.array([1, 2, 3, 4, 5, 9])))) == 4
    told = membership.strata_of(np.array([1, 1, 1, 9]), np.array(["a", "a", "b", "a"]))
    assert told[0] == told[1]
    assert len(set(told)) == 3


def test_without_members_and_others_of_like_records_there_is_no_attack(rng: np.random.Generator) -> None:
    with pytest.raises(NotComputable, match="like records"):
        membership.auroc_within(np.arange(4.0), np.array([True, True, False, False]), np.array([0, 0, 1, 1]))
    with pytest.raises(NotComputable, match="without the label: 2"):
        membership.attack(np.arange(40.0), np.arange(40) < 38, np.zeros(40, int), HOW, rng)
