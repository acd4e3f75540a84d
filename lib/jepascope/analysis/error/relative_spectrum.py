"""Where the error is, relative to what there was to predict: e's own spectrum says little where z was whitened.

VICReg gives all directions of z a similar variance, so e is large wherever z is hard to predict *or* happens to be
spread out. λ(v) = E (vᵀe)² / E (vᵀ(z − μ))² has no such trouble: 0 is foreseen, 1 is no better than the mean, and more
is worse than the mean.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from jepascope.analysis.inference.stats import (
    CHUNK_CELLS,
    Inference,
    NotComputable,
    bootstrap_chunks,
    interval,
    patient_sums,
)

# Share of z's mean variance added to every direction: one that z hardly uses has no λ worth looking at.
RIDGE = 1e-3


class Ratios(NamedTuple):
    """n ratios of sums over rows, with patient-bootstrap intervals from the same draws."""

    value: np.ndarray  # [n]
    low: np.ndarray  # [n]
    high: np.ndarray  # [n]
    n_rows: int
    n_patients: int


def relative_axes(e: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Directions v of the relative spectrum, Σ_e v = λ Σ_z v: the best foreseen first, unit rows [D, D].

    Principal axes of e find where e is large; these find where it is large *for z*. Σ_e = E e eᵀ, uncentred, as a
    constant error is an error; Σ_z = Cov(z) + 10⁻³ · mean variance · I. Fit them to training patients and measure λ on
    others with `along`: on the rows they were chosen for, the smallest is too small and the largest too large.

    Args: e and z [M, D], aligned. Raises NotComputable under D + 1 rows.
    """
    M, D = e.shape
    if M <= D:
        raise NotComputable(f"{M} rows, {D + 1} needed for the spectrum of {D} dimensions")
    Sigma_e, Sigma_z = np.asarray(e, float).T @ e / M, np.cov(z, rowvar=False)
    _, vectors = eigh(Sigma_e, Sigma_z + RIDGE * np.trace(Sigma_z) / D * np.eye(D))
    return vectors.T / np.linalg.norm(vectors.T, axis=1, keepdims=True)


def along(
    directions: np.ndarray,
    e: np.ndarray,
    z: np.ndarray,
    mean: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Ratios:
    """λ along given directions [n, D], with intervals: 1 − λ is ẑ's R² there over the training mean.

    e and z [M, D], mean [D] of z over training patients, patients [M]. Raises NotComputable under `how.min_patients`.
    """
    return ratios(np.square(e @ directions.T), np.square((z - mean) @ directions.T), patients, how, rng)


def ratios(
    over: np.ndarray, under: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Ratios:
    """Σ over / Σ under, column by column, in shared draws of patients: a ratio of means, not a mean of ratios.

    over and under [M, n], patients [M]; percentile intervals. Raises NotComputable under `how.min_patients`.
    """
    n = over.shape[1]
    sums = patient_sums(np.hstack([over, under]), patients, how.min_patients)  # [B, 2 n]
    total = sums.sum(axis=0)
    drawn = np.concatenate(
        [counts @ sums for counts in bootstrap_chunks(len(sums), how.bootstrap, CHUNK_CELLS // len(sums) or 1, rng)]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        value, values = total[:n] / total[n:], drawn[:, :n] / drawn[:, n:]
    low, high = np.transpose([interval(column, how.level) for column in values.T])
    return Ratios(value, low, high, len(over), len(sums))
