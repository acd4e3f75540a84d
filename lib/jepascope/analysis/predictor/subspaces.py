"""Do two clouds of rows spread along the same directions, and are they the same cloud but for a turn?

The overlap of two k-dimensional subspaces is the share of the one that the other holds. Two random ones share k / D of
it, so at large k any two look alike: only what exceeds k / D speaks. Overlap is about directions alone. It says nothing
of which row lies where: shuffling the rows of a cloud leaves it as it is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    Null,
    bootstrap_chunks,
    interval,
    null_of,
    patient_codes,
)

# Draws of patients whose covariances [draws, D, D] are held at a time.
CHUNK_DRAWS = 250


class Spectrum(NamedTuple):
    """Principal axes of a cloud, of largest variance first."""

    mean: np.ndarray  # [D]
    variances: np.ndarray  # [D]
    axes: np.ndarray  # [D, D], a column an axis


class Turn(NamedTuple):
    """x ↦ scale · (x − mean_x) R + mean_y."""

    rotation: np.ndarray  # [D, D], orthogonal
    scale: float
    mean_x: np.ndarray  # [D]
    mean_y: np.ndarray  # [D]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Turn rows x [M, D]."""
        return self.scale * (x - self.mean_x) @ self.rotation + self.mean_y


def spectrum(x: np.ndarray) -> Spectrum:
    """Principal axes of rows x [N, D]."""
    mean = np.mean(x, axis=0, dtype=float)
    centred = np.asarray(x, float) - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(x))
    return Spectrum(mean, np.maximum(values[::-1], 0), vectors[:, ::-1])


def overlaps(U: np.ndarray, V: np.ndarray) -> np.ndarray:
    """‖U_kᵀV_k‖²_F / k for k = 1 … D, [D], from axes U and V [D, D] in order; chance is k / D, and at D it is 1."""
    held = np.cumsum(np.cumsum((U.T @ V) ** 2, axis=0), axis=1)
    return np.diagonal(held) / np.arange(1, len(held) + 1)


def principal_angles(U: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Angles between span(U) and span(V), orthonormal [D, k] each, in degrees, smallest first (Björck & Golub 1973)."""
    cosines = np.linalg.svd(U.T @ V, compute_uv=False)
    return np.degrees(np.arccos(np.clip(cosines, 0, 1)))


def overlap_bootstrap(
    U: np.ndarray, x: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """‖UᵀV‖²_F / k of fixed axes U [D, k] with the top k axes V of rows x [N, D], patients drawn anew.

    U comes of other patients, so that no noise is shared. Axes of a draw are noisier than those of the rows, which can
    only cost overlap: the interval lies low rather than high. One matrix a patient, and a small eigenproblem a draw.
    Raises NotComputable under `how.min_patients`.
    """
    codes, B = patient_codes(patients, how.min_patients)
    k, x = U.shape[1], np.asarray(x, np.float32) - np.mean(x, axis=0, dtype=np.float32)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes))
    squares = np.stack([(rows := x[order[a:b]]).T @ rows for a, b in zip(np.r_[0, ends], ends, strict=False)])
    flat = np.concatenate([squares.reshape(B, -1), np.add.reduceat(x[order], np.r_[0, ends[:-1]])], axis=1)
    N = np.bincount(codes).astype(np.float32)

    def drawn(counts: np.ndarray) -> np.ndarray:
        counts = counts.astype(np.float32)
        sums, rows = counts @ flat, (counts @ N)[:, None, None]
        second, first = sums[:, : -x.shape[1]].reshape(-1, *squares.shape[1:]) / rows, sums[:, -x.shape[1] :]
        mean = first[:, :, None] / rows
        V = np.linalg.eigh(second - mean * mean.transpose(0, 2, 1))[1][:, :, -k:]  # [draws, D, k]
        return np.square(U.T.astype(np.float32) @ V).sum(axis=(1, 2)) / k

    values = [drawn(counts) for counts in bootstrap_chunks(B, how.bootstrap, CHUNK_DRAWS, rng)]
    value = float(drawn(np.ones((1, B)))[0])
    return Estimate(value, *interval(np.concatenate(values), how.level), len(codes), B)


def random_overlap(U: np.ndarray, observed: float, draws: int, level: float, rng: np.random.Generator) -> Null:
    """Overlap of U [D, k] with random k-dimensional subspaces, all equally likely; its mean is k / D."""
    D, k = U.shape
    values = np.empty(draws)
    for draw in range(draws):
        values[draw] = np.square(U.T @ np.linalg.qr(rng.normal(size=(D, k)))[0]).sum() / k
    return null_of(values, observed, level)


def procrustes(x: np.ndarray, y: np.ndarray) -> Turn:
    """The rotation and scale that bring rows x [M, D] nearest to the same rows of y: R = U Vᵀ, xᵀy = U S Vᵀ.

    Schönemann 1966. To be fitted on training rows and read on others.
    """
    mean_x, mean_y = np.mean(x, axis=0), np.mean(y, axis=0)
    X, Y = np.asarray(x - mean_x, float), np.asarray(y - mean_y, float)
    U, S, Vt = np.linalg.svd(X.T @ Y)
    spread = np.square(X).sum()
    return Turn(U @ Vt, float(S.sum() / spread) if spread > 0 else 0.0, mean_x, mean_y)
