from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from jepascope.analysis.inference.stats import NotComputable
from jepascope.analysis.outcomes.baselines import (
    boosted_trees,
    last_known_answer,
    logistic_on_counts,
    persistence,
    rate_by_state,
)


def drawn(rng: np.random.Generator, N: int = 600) -> tuple[csr_matrix, np.ndarray, np.ndarray, np.ndarray]:
    """Counts [N, 5] and structure [N, 2] of which column 0 each raises the odds, labels with gaps, training rows."""
    counts, structure = rng.poisson(1.0, (N, 5)).astype(np.float32), rng.normal(5, 3, (N, 2))
    odds = 1.5 * np.log1p(counts[:, 0]) + 0.5 * (structure[:, 0] - 5) / 3 - 1
    labels = (rng.random(N) < 1 / (1 + np.exp(-odds))).astype(float)
    labels[rng.random(N) < 0.2] = np.nan
    return csr_matrix(counts), structure, labels, np.arange(N) < N // 2


def test_a_planted_effect_is_found_and_scrambled_labels_are_not():
    rng = np.random.default_rng(0)
    counts, structure, labels, train = drawn(rng)
    known = ~train & np.isfinite(labels)
    found = logistic_on_counts(counts, structure, labels, train, strength=1.0)[known]
    scrambled = labels.copy()
    scrambled[np.isfinite(labels)] = rng.permutation(labels[np.isfinite(labels)])
    nothing = logistic_on_counts(counts, structure, scrambled, train, strength=1.0)[known]
    assert roc_auc_score(labels[known], found) > 0.65
    assert abs(roc_auc_score(labels[known], nothing) - 0.5) < 0.1


def test_what_is_fitted_sees_neither_the_features_nor_the_labels_of_other_rows():
    counts, structure, labels, train = drawn(np.random.default_rng(1))
    scores = logistic_on_counts(counts, structure, labels, train)
    other = counts.toarray()
    other[~train] *= 7
    again = logistic_on_counts(
        csr_matrix(other), np.where(train[:, None], structure, -structure), np.where(train, labels, 1 - labels), train
    )
    np.testing.assert_array_equal(again[train], scores[train])
    assert not np.allclose(again[~train], scores[~train])


def test_a_constant_label_is_not_computable():
    counts, structure, labels, train = drawn(np.random.default_rng(2))
    with pytest.raises(NotComputable, match="constant"):
        logistic_on_counts(counts, structure, np.where(np.isfinite(labels), 1.0, np.nan), train)


def test_trees_find_an_interaction_that_logistic_regression_cannot():
    rng = np.random.default_rng(3)
    x = rng.integers(0, 2, (2000, 4)).astype(np.float32)
    labels = ((x[:, 0] != x[:, 1]) ^ (rng.random(2000) < 0.1)).astype(float)
    train = np.arange(2000) < 1000
    deep, shallow = (boosted_trees(csr_matrix(x), labels, train, depth, 50)[~train] for depth in (2, 1))
    linear = logistic_on_counts(csr_matrix(x), np.zeros((2000, 1)), labels, train, 1.0)[~train]
    assert roc_auc_score(labels[~train], deep) > 0.85
    assert max(roc_auc_score(labels[~train], other) for other in (linear, shallow)) < 0.6


def test_trees_see_neither_the_features_nor_the_labels_of_other_rows():
    counts, _, labels, train = drawn(np.random.default_rng(4))
    scores = boosted_trees(counts, labels, train, 2, 20)
    other = counts.toarray()
    other[~train] = 7 - other[~train]
    again = boosted_trees(csr_matrix(other), np.where(train, labels, 1 - labels), train, 2, 20)
    np.testing.assert_array_equal(again[train], scores[train])
    assert not np.allclose(again[~train], scores[~train])


def test_the_trees_probability_is_a_probability_of_the_label():
    counts, _, labels, train = drawn(np.random.default_rng(5))
    rows = train & np.isfinite(labels)
    scores = boosted_trees(counts, labels, train, 1, 50)
    assert scores[rows].mean() == pytest.approx(labels[rows].mean(), abs=0.02)


def test_trees_of_a_constant_label_are_not_computable_and_of_constant_features_are_the_rate():
    counts, _, labels, train = drawn(np.random.default_rng(6))
    with pytest.raises(NotComputable, match="constant"):
        boosted_trees(counts, np.zeros(len(train)), train, 2, 5)
    flat = boosted_trees(csr_matrix(np.ones((len(train), 2), np.float32)), labels, train, 2, 5)
    assert np.ptp(flat) == 0
    assert flat[0] == pytest.approx(labels[train & np.isfinite(labels)].mean(), abs=1e-3)


def test_the_rate_of_a_state_is_that_counted_by_hand():
    states = np.array([0, 0, 0, 1, 1, 0, 2])
    labels = np.array([1, 0, 0, 1, np.nan, 1, 1])
    train = np.array([1, 1, 1, 1, 1, 0, 0], bool)
    rates = rate_by_state(states, labels, train)  # of all: 2 of 4
    assert rates == pytest.approx([1.5 / 4] * 3 + [1.5 / 2] * 2 + [1.5 / 4, 0.5])


def test_the_answer_known_is_the_latest_that_was_settled_by_the_day_of_prediction():
    #                     patient 1: days 0, 10, 31, 40, 100;   patient 2: day 5
    day = np.array([0, 10, 31, 40, 100, 5])
    labels = np.array([1, np.nan, 0, 1, 0, 1])
    patients = np.array([1, 1, 1, 1, 1, 2])
    known = last_known_answer(labels, day + 31, day, patients)
    # On day 31 that of day 0 is settled; on day 100 those of days 31 and 40 are, and the later one counts.
    np.testing.assert_array_equal(known, [np.nan, np.nan, 1, 1, 1, np.nan])


def test_no_later_answer_changes_what_is_known():
    rng = np.random.default_rng(7)
    patients = np.repeat(np.arange(40), 6)
    day = rng.integers(1, 60, (40, 6)).cumsum(axis=1).ravel()
    labels = rng.integers(0, 2, len(day)).astype(float)
    known_from = day + rng.integers(1, 80, 40)[patients]
    known = last_known_answer(labels, known_from, day, patients)
    assert np.isfinite(known).any()
    for row in range(0, len(day), 7):
        future = (patients != patients[row]) | (known_from > day[row])
        scrambled = last_known_answer(np.where(future, 1 - labels, labels), known_from, day, patients)
        np.testing.assert_array_equal(scrambled[row], known[row])


def test_an_answer_known_on_the_day_of_its_question_is_refused():
    with pytest.raises(ValueError, match="later than day"):
        last_known_answer(np.array([1.0]), np.array([3.0]), np.array([3.0]), np.array([1]))


def test_persistence_ranks_by_what_was_known_before_and_nothing_known_has_a_rate_of_its_own():
    rng = np.random.default_rng(8)
    earlier = rng.choice([0.0, 1.0, np.nan], 3000)
    planted = np.where(earlier == 1, 0.6, np.where(earlier == 0, 0.1, 0.3))
    labels = (rng.random(3000) < planted).astype(float)
    probability = persistence(earlier, labels, np.arange(3000) < 2000)
    np.testing.assert_allclose(probability, planted, atol=0.05)
    assert len(np.unique(probability)) == 3


def test_persistence_without_two_kinds_of_earlier_answers_is_not_computable():
    labels = np.tile([0.0, 1.0], 5)
    with pytest.raises(NotComputable, match="never 1, or never 0"):
        persistence(np.where(labels > 0, np.nan, 0.0), labels, np.ones(10, bool))
