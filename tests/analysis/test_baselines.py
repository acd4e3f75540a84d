from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from jepascope.analysis.baselines import logistic_on_counts
from jepascope.analysis.stats import NotComputable


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
