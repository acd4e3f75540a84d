"""Predictors that ẑ must beat, and what becomes of the spread of a predictor that is right.

A skill is 1 − SSE / SST over rows and dimensions, SST around the training mean: 0 is the mean, below 0 is worse. All
differences are paired: both errors are of the same rows, in the same draws of patients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    Null,
    bootstrap_of_sums,
)
from jepascope.analysis.predictor.exchange import exchanged
from jepascope.analysis.predictor.prediction import skill, squared_error

# Ridge weights beside an error summed over rows, X standardised: from hardly any to dominant at a few thousand rows.
PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10_000.0)


class Ridge(NamedTuple):
    """A linear prediction of all rows, and the penalty that predicted validation patients best."""

    predicted: np.ndarray  # float32 [M, D]
    penalty: float


class Shrinkage(NamedTuple):
    """How the spread of a prediction compares with what it achieves; for E[z | past], share = skill and slope = 1."""

    share: Estimate  # Σ‖ẑ − μ‖² / Σ‖z − μ‖²
    skill: Estimate
    slope: Estimate  # of z − μ on ẑ − μ


def ridge_predictions(
    X: np.ndarray, Z: np.ndarray, train: np.ndarray, validation: np.ndarray, penalties: tuple[float, ...] = PENALTIES
) -> Ridge:
    """Predict Z linearly from X: without it nobody knows whether the predictor's MLP, or its context, was needed.

    W = (X̃ᵀX̃ + λ)⁻¹ X̃ᵀ(Z − μ), X̃ standardised; means, scales and W from rows `train`, λ by the squared error on rows
    `validation` (the training rows where there are none). One eigendecomposition serves every λ.

    Args: X [M, F], Z [M, D], train and validation bool [M]. Raises NotComputable under 2 training rows.
    """
    if train.sum() < 2:
        raise NotComputable(f"{train.sum()} training rows with an encounter before them, 2 needed")
    judged = validation if validation.any() else train
    mean, scale, origin = X[train].mean(axis=0), X[train].std(axis=0), Z[train].mean(axis=0)
    standard = ((X - mean) / np.where(scale > 1e-8, scale, 1.0)).astype(float)  # [M, F]
    inside = standard[train]
    values, vectors = np.linalg.eigh(inside.T @ inside)
    turned = vectors.T @ (inside.T @ (Z[train] - origin))  # [F, D]
    best, least = np.zeros((X.shape[1], Z.shape[1])), np.inf
    chosen = float("inf")
    for penalty in penalties:
        W = vectors @ (turned / (values + penalty)[:, None])
        error = squared_error(Z[judged], standard[judged] @ W + origin).sum()
        if error < least:
            best, least, chosen = W, error, penalty
    return Ridge((standard @ best + origin).astype(np.float32), chosen)


def skill_difference(
    z: np.ndarray,
    predictions: tuple[np.ndarray, np.ndarray],
    origin: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    """Skill of the first prediction minus that of the second, (SSE₂ − SSE₁) / SST: separate intervals forget the rows.

    z and predictions [M, D], origin [D], patients [M]. Raises NotComputable under `how.min_patients`.
    """
    columns = np.stack([squared_error(z, other) for other in (*predictions, origin)], axis=1)
    return bootstrap_of_sums(
        lambda s: (s[:, 1] - s[:, 0]) / s[:, 2], columns, patients, how.bootstrap, how.level, rng, how.min_patients
    )


def exchange_null(
    z: np.ndarray,
    predictions: tuple[np.ndarray, np.ndarray],
    origin: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Null:
    """`skill_difference` were the two as good: for each patient a coin says which prediction is called the first.

    A whole patient at a time, as her errors hang together. Args as above.
    """
    columns = np.stack([squared_error(z, other) for other in (*predictions, origin)], axis=1)
    gains = (columns[:, 1:2] - columns[:, :1]) / columns[:, 2].sum()  # [M, 1]
    return exchanged(gains, patients, how, rng).null


def shrinkage(
    z: np.ndarray,
    predicted: np.ndarray,
    origin: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Shrinkage:
    """Does a prediction shrink as a conditional mean must? Less spread than z is no failure, but what the law demands.

    Σ_z = Cov(E[z | past]) + E Cov(z | past). If ẑ = E[z | past], then z − ẑ is uncorrelated with ẑ, so that the slope
    Σ⟨z − μ, ẑ − μ⟩ / Σ‖ẑ − μ‖² is 1, and ẑ's share of the variance is its skill. A slope above 1 means that ẑ says too
    little, below 1 that it says more than it knows. Args as in `skill`, origin [D]. Raises NotComputable alike.
    """
    inner = np.sum((np.asarray(z, float) - origin) * (np.asarray(predicted, float) - origin), axis=1)
    columns = np.stack([squared_error(predicted, origin), squared_error(z, origin), inner], axis=1)

    def of(numerator: int, denominator: int) -> Estimate:
        return bootstrap_of_sums(
            lambda s: s[:, numerator] / s[:, denominator],
            columns, patients, how.bootstrap, how.level, rng, how.min_patients,
        )  # fmt: skip

    return Shrinkage(of(0, 1), skill(z, predicted, origin, patients, how, rng), of(2, 0))


def skill_by_axis(z: np.ndarray, predicted: np.ndarray, origin: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Skill along each of the orthonormal axes [D, D] (columns), [D]: what is predicted is rarely spread evenly."""
    missed, spread = ((np.square((z - other) @ axes)).sum(axis=0) for other in (predicted, origin))
    return 1 - missed / np.where(spread > 0, spread, np.nan)
