"""How many principal axes are more than noise: what counts as noise has to keep what patients put into it.

Rows of one patient are alike, so noise of N rows has the eigenvalues of far fewer independent ones. Signs flipped per
patient and column keep that and every column's variance, and break what columns share. The two usual rules, the edge of
random-matrix theory and Horn's permutation, take rows for independent; they are here to be compared with.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import NotComputable, patient_codes

# Below this share of a column's variance left by the axes already found, its noise can't be told from rounding.
MIN_LEFT = 1e-6


class Axes(NamedTuple):
    """Principal axes that pass an edge, largest first."""

    n_axes: int
    eigenvalues: np.ndarray  # [D], of the covariance, descending
    edges: np.ndarray  # what each axis looked at had to exceed; the last one failed, unless all D passed


def parallel_axes(X: np.ndarray, patients: np.ndarray, draws: int, rng: np.random.Generator, level: float) -> Axes:
    """Count axes by block sign-flips: the row-level rules find three to sixteen axes in 64 columns of nothing.

    For one axis: X̃_ij = s_{p(i) j} X_ij, s = ±1 with equal chance for each patient p and column j, and the edge is the
    `level` quantile of the top eigenvalue of Cov(X̃). All rows of a patient share their sign in a column, so dependence
    within patients, repeated rows and column variances stay as they are, while covariance between columns, of rows and
    of patients alike, averages to nothing. It is exact where columns are independent and patients symmetric about the
    mean. Sign flips of single entries are due to Hong, Sheng & Dobriban 2020; blocks to what is exchangeable here.

    For further axes: the found ones V [D, k] are taken out, R = X − X V Vᵀ (Dobriban & Owen 2019, so that a strong axis
    can't hide a weak one), each column of R is brought back to the noise it had, R_j / √(1 − Σ_k V_jk²) (or edges would
    sink with every axis found), and flipped. It stops at the first axis that fails.

    Args: X [N, D], in units that make columns comparable; patients [N]; draws ≥ 1 / (1 − level).
    Raises NotComputable under 2 patients or 2 columns; ValueError on values that are not finite.
    """
    codes, n_patients = patient_codes(patients)
    X = _centred(X)
    eigenvalues, V = _spectrum(X)
    edges: list[float] = []
    for k in range(X.shape[1]):
        left = np.maximum(1 - np.sum(V[:, :k] ** 2, axis=1), MIN_LEFT)  # [D]
        residual = (X - X @ V[:, :k] @ V[:, :k].T) / np.sqrt(left)
        edges.append(_flipped_edge(residual, codes, n_patients, draws, rng, level))
        if eigenvalues[k] <= edges[-1]:
            break
    return Axes(_passing(eigenvalues, np.array(edges)), eigenvalues, np.array(edges))


def marchenko_pastur_axes(X: np.ndarray) -> Axes:
    """Axes above λ₊ = σ² (1 + √(D / N))², σ² the mean eigenvalue: right for N independent rows only, here to compare.

    X [N, D] (Marchenko & Pastur 1967). Raises as `parallel_axes` does.
    """
    X = _centred(X)
    eigenvalues, _ = _spectrum(X)
    edge = eigenvalues.mean() * (1 + np.sqrt(X.shape[1] / len(X))) ** 2
    edges = np.full(len(eigenvalues), edge)
    return Axes(_passing(eigenvalues, edges), eigenvalues, edges)


def horn_axes(X: np.ndarray, draws: int, rng: np.random.Generator, level: float) -> Axes:
    """Horn's parallel analysis (1965) with permuted entries: each column's rows are shuffled, patients with them.

    X [N, D]; the edge of axis k is the `level` quantile of the k-th eigenvalue over draws. It takes rows for
    independent, and is here to compare. Raises as `parallel_axes` does.
    """
    X = _centred(X)
    eigenvalues, _ = _spectrum(X)
    drawn = np.empty((draws, X.shape[1]))
    for draw in range(draws):
        permuted = rng.permuted(X, axis=0)
        drawn[draw] = np.linalg.eigvalsh(permuted.T @ permuted)[::-1] / len(X)
    edges = np.quantile(drawn, level, axis=0, method="higher")
    return Axes(_passing(eigenvalues, edges), eigenvalues, edges)


def _flipped_edge(
    X: np.ndarray, codes: np.ndarray, n_patients: int, draws: int, rng: np.random.Generator, level: float
) -> float:
    """The `level` quantile of the top eigenvalue of X [N, D] with signs flipped by patient and column."""
    tops = np.empty(draws)
    for draw in range(draws):
        signs = rng.integers(0, 2, (n_patients, X.shape[1])) * 2.0 - 1  # [B, D]
        flipped = X * signs[codes]
        flipped -= flipped.mean(axis=0)  # as X was: the mean is no axis
        tops[draw] = np.linalg.eigvalsh(flipped.T @ flipped)[-1]
    return float(np.quantile(tops, level, method="higher")) / len(X)


def _centred(X: np.ndarray) -> np.ndarray:
    X = np.asarray(X, float)
    if X.shape[1] < 2:
        raise NotComputable(f"{X.shape[1]} column, 2 needed: one column has no covariance to break")
    if not np.isfinite(X).all():
        raise ValueError("X holds values that are not finite: leave those rows out first")
    return X - X.mean(axis=0)


def _spectrum(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues [D], descending, and eigenvectors [D, D] of XᵀX / N."""
    values, vectors = np.linalg.eigh(X.T @ X / len(X))
    return values[::-1], vectors[:, ::-1]


def _passing(eigenvalues: np.ndarray, edges: np.ndarray) -> int:
    """How many eigenvalues pass their edge before the first that doesn't."""
    passed = eigenvalues[: len(edges)] > edges
    return len(edges) if passed.all() else int(np.argmin(passed))
