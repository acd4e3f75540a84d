"""Features held against labels: the best of a search, beside the best of the same search in nothing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import Inference, permuted_rows


class BestFeatures(NamedTuple):
    """For each concept the feature that tracks it best, held against the best of a search in nothing."""

    feature: np.ndarray  # int [C]
    r: np.ndarray  # [C], signed Pearson correlation of largest magnitude
    null: np.ndarray  # [C], 95 % quantile over permutations of the largest |r| over features
    p: np.ndarray  # [C], family-wise over features and concepts (max-T)


class LabelEntropy(NamedTuple):
    """Whether a feature's activation falls on few labels: 0 is one label, 1 is all alike."""

    entropy: np.ndarray  # [F]; NaN for a feature that is never on with a label
    expected: float  # of a feature that is on everywhere alike: what prevalence alone gives
    label: np.ndarray  # int [F], of largest |r|
    r: np.ndarray  # [F], signed Pearson correlation with it


def _standard_columns(x: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and norm 1, so that products are correlations; constant columns become 0."""
    centred = x - x.mean(axis=0)
    norm = np.linalg.norm(centred, axis=0)
    return (centred / np.where(norm > 1e-8, norm, np.inf)).astype(np.float32)


def most_correlated(f: np.ndarray, concepts: np.ndarray) -> np.ndarray:
    """Feature [C] of largest |r| for each concept: f [N, F], concepts [N, C]."""
    r = _standard_columns(np.asarray(concepts, float)).T @ _standard_columns(np.asarray(f, float))  # [C, F]
    return np.abs(r).argmax(axis=1)


def best_features(
    f: np.ndarray, concepts: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> BestFeatures:
    """The largest |r| over features for each concept, with max-T over patient permutations (Westfall & Young 1993).

    A search over F features finds r ≈ 0.17 in nothing when patients repeat themselves; so the null searches as well.
    f [N, F], concepts [N, C], patients [N]. Raises NotComputable for one patient.
    """
    F_, C_ = _standard_columns(np.asarray(f, float)), _standard_columns(np.asarray(concepts, float))
    r = C_.T @ F_  # [C, F]
    feature = np.abs(r).argmax(axis=1)
    best = r[np.arange(len(r)), feature]
    null = np.empty((how.permutations, len(r)))
    for draw in range(how.permutations):
        # A short record can't pass its rows on as often as a long one takes them, so columns are standardised again.
        moved = _standard_columns(C_[permuted_rows(patients, 1, rng)[0]])
        null[draw] = np.abs(moved.T @ F_).max(axis=1)
    family = null.max(axis=1)
    p = (1 + (family[:, None] >= np.abs(best)).sum(axis=0)) / (1 + how.permutations)
    return BestFeatures(feature, best, np.quantile(null, 0.95, axis=0), p)


def label_entropy(f: np.ndarray, labels: np.ndarray) -> LabelEntropy:
    """How a feature's activation is shared out among labels, and the label it goes with best: f [N, F], labels [N, L].

    p(l | feature) ∝ Σ_i f_i y_il, its entropy over log L (the measures of MedSAE). Labels are not alike frequent, so
    even a feature that knows nothing stays below 1: beside it stands the entropy that prevalence gives.
    Raises ValueError for fewer than two labels.
    """
    if labels.shape[1] < 2:
        raise ValueError(f"{labels.shape[1]} labels: entropy needs two at least")
    y, active = np.asarray(labels, float), np.asarray(f, float)
    r = _standard_columns(y).T @ _standard_columns(active)  # [L, F]
    label = np.abs(r).argmax(axis=0)
    return LabelEntropy(
        _entropy(active.T @ y), float(_entropy(y.sum(axis=0)[None])[0]), label, r[label, np.arange(f.shape[1])]
    )


def _entropy(mass: np.ndarray) -> np.ndarray:
    """Entropy over log L of non-negative rows [.., L]; NaN for a row of zeros."""
    total = mass.sum(axis=1, keepdims=True)
    p = np.divide(mass, total, out=np.full(mass.shape, np.nan), where=total > 0)
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1) / np.log(mass.shape[1])
