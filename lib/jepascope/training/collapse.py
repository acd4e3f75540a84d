"""Watching for collapse: numbers that say whether z is still a representation. Each is necessary, none sufficient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

NOT_COMPUTABLE = float("nan")
EPSILON = 1e-7  # keeps the logarithm of an empty direction finite; RankMe's own value
DELTA = 1e-4  # LiDAR's ridge on the covariance within classes, as published; z has a variance of about one


class Retrieval(NamedTuple):
    """How often the nearest other encounter is the same patient's, and how often it would be by chance."""

    share: float
    chance: float


def rankme(X: np.ndarray) -> float:
    """RankMe: exp of the entropy of the singular values' shares, in 1..D; a soft rank, because a hard one never falls.

    p_i = σ_i / Σσ + ε, RankMe = exp(−Σ p_i log p_i), for X [N, D], not centred. It is bounded by N too.
    NaN without rows. Source: Garrido et al. 2023, eq. 1; ε = 1e-7.
    """
    if not len(X):
        return NOT_COMPUTABLE
    return _soft_count(np.sqrt(np.clip(np.linalg.eigvalsh(X.T.astype(float) @ X), 0, None)))


def effective_rank(X: np.ndarray) -> float:
    """Exp of the entropy of the *variance* shares of the principal axes, in 1..D, for X [N, D], centred.

    Stricter than RankMe: an offset of the mean doesn't count, and variances weigh more than their roots.
    NaN with fewer than two rows, 1 for constant rows. Source: Roy & Vetterli 2007, applied to the covariance.
    """
    if len(X) < 2:
        return NOT_COMPUTABLE
    variances = _variances(X)
    share = variances[variances > 0] / max(variances.sum(), np.finfo(float).tiny)
    return float(np.exp(-(share * np.log(share)).sum()))


def top_variance_share(X: np.ndarray) -> float:
    """Share of the variance on the first principal axis, λ_1 / Σ_d λ_d, for X [N, D], centred: 1/D when isotropic.

    A rank averages the whole spectrum; an error with one large direction has a cause one can look for, and this sees
    it at a glance. λ are the eigenvalues of the covariance. NaN with fewer than two rows, and for constant rows.
    """
    variances = _variances(X) if len(X) > 1 else np.zeros(1)
    return float(variances.max() / variances.sum()) if variances.sum() > 0 else NOT_COMPUTABLE


def lidar(X: np.ndarray, patient: np.ndarray) -> float:
    """LiDAR: the rank of what differs between patients in units of what changes within them, in 1..min(D, P − 1).

    Σ_b = 1/P Σ_p (μ_p − μ)(μ_p − μ)ᵀ, Σ_w = 1/(N − P) Σ_p Σ_k (x_pk − μ_p)(x_pk − μ_p)ᵀ + δI, λ the eigenvalues of
    Σ_w^{−1/2} Σ_b Σ_w^{−1/2}; exp(−Σ p_i log p_i) with p_i = λ_i / Σλ + ε, for X [N, D] of patients [N], over those P
    with two encounters or more. Source: Thilak et al. 2023, δ = 1e-4. Their classes are some fifty augmented views of
    one image; ours are the few encounters of one patient, which differ in content too. A mean over so few keeps noise
    shaped like Σ_w, and all of it counts as rank. So a fall says something and a height nothing, and a static identity
    is not seen. NaN without two such patients.
    """
    groups = _by_patient(X, patient)
    if groups is None:
        return NOT_COMPUTABLE
    within = groups.rows - groups.means[groups.code]
    between = groups.means - groups.means.mean(axis=0)
    sigma_w = within.T @ within / (len(within) - len(between)) + DELTA * np.eye(X.shape[1])
    # L⁻¹ Σ_b L⁻ᵀ with Σ_w = LLᵀ has the eigenvalues of Σ_w^{−1/2} Σ_b Σ_w^{−1/2}
    whitened = np.linalg.solve(np.linalg.cholesky(sigma_w), between.T)  # [D, P]
    return _soft_count(np.clip(np.linalg.eigvalsh(whitened @ whitened.T), 0, None))


def dimension_std(X: np.ndarray) -> np.ndarray:
    """Standard deviation of each dimension, [D], for X [N, D]; NaN with fewer than two rows."""
    return X.std(axis=0, ddof=1, dtype=float) if len(X) > 1 else np.full(X.shape[1], NOT_COMPUTABLE)


def mean_absolute_cosine(X: np.ndarray) -> float:
    """Mean |cos| over pairs of centred rows of X [N, D]: 1 when all lie on a line, about √(2 / πD) when isotropic.

    Over all pairs of at most 512 rows, evenly spaced. NaN with fewer than two rows that differ from the mean.
    """
    if len(X) < 2:
        return NOT_COMPUTABLE
    rows = np.unique(np.linspace(0, len(X) - 1, min(len(X), 512)).astype(int))
    centred = X[rows].astype(float) - X.mean(axis=0, dtype=float)
    norm = np.linalg.norm(centred, axis=1)
    unit = centred[norm > 0] / norm[norm > 0, None]
    pairs = len(unit) * (len(unit) - 1)
    return float((np.abs(unit @ unit.T).sum() - len(unit)) / pairs) if pairs else NOT_COMPUTABLE


def within_patient_share(X: np.ndarray, patient: np.ndarray) -> float:
    """Share of the variance of X [N, D] that lies within patients [N], over those with two encounters or more.

    Pooled variance does not see a static identity: one point per patient satisfies it, and gives 0 here. The within
    part is unbiased (n_p − 1 per patient). NaN without two such patients.
    """
    groups = _by_patient(X, patient)
    return NOT_COMPUTABLE if groups is None else _variance_share(groups.rows, groups.code)


def between_patient_share(X: np.ndarray, patient: np.ndarray) -> float:
    """Share of the variance of X [N, D] that lies between patients at one step; the counterpart of the share within.

    Σ_k Σ_p ‖x_pk − x̄_k‖² / (N − K) over Σ‖x − x̄‖² / (N − 1): the same rows and total as `within_patient_share`, the
    step k held instead of the patient. What only counts encounters (a clock) has 0 between and 1 within, a static
    identity 1 between and 0 within, independent draws 1 and 1. The rows of a patient [N] are in order, and k is a row's
    place among them. NaN without two patients of two encounters or more.
    """
    groups = _by_patient(X, patient)
    if groups is None:
        return NOT_COMPUTABLE
    step = pd.Series(groups.code).groupby(groups.code).cumcount().to_numpy()
    return _variance_share(groups.rows, step)


def same_patient_retrieval(X: np.ndarray, patient: np.ndarray, max_rows: int = 2000) -> Retrieval:
    """Share of encounters whose nearest other encounter is of the same patient [N], in X [N, D], beside chance.

    A variance is an average; this asks of each encounter whether it gives its patient away. Near chance, who the
    patient is has been lost; near one, little else may be left. Nearest is Euclidean, the distance of the prediction
    loss, which knows no origin. Among patients with two encounters or more; where these have over `max_rows`, among
    every second (third, …) of them. Chance is the mean of (n_p − 1) / (N − 1) over encounters. Ties go to the first
    row, so a constant X scores about chance. NaN without two such patients.
    """
    groups = _by_patient(X, patient)
    if groups is None:
        return Retrieval(NOT_COMPUTABLE, NOT_COMPUTABLE)
    stride = min(-(-len(groups.rows) // max_rows), len(groups.means) // 2)
    kept = groups.code % stride == 0
    rows, code = (groups.rows[kept] - groups.rows[kept].mean(axis=0)).astype(np.float32), groups.code[kept]
    closeness = rows @ rows.T - np.square(rows).sum(axis=1) / 2  # [R, R]; −‖x_i − x_j‖² / 2 up to a constant of row i
    np.fill_diagonal(closeness, -np.inf)
    others = np.bincount(code)[code] - 1
    return Retrieval(float((code[closeness.argmax(axis=1)] == code).mean()), float(others.mean() / (len(code) - 1)))


def skill(target: np.ndarray, z_hat: np.ndarray, reference: np.ndarray) -> float:
    """Prediction skill 1 − Σ‖z − ẑ‖² / Σ‖z − r‖² against a reference r: 1 is perfect, 0 no better, negative worse.

    target, z_hat [M, D]; reference [M, D] (the previous z: persistence) or [D] (the mean of the *training* z).
    A ratio in the model's own space, so that skills of different spaces compare. NaN without rows or reference error.
    """
    error, reference_error = (np.square(target.astype(float) - x).sum() for x in (z_hat, reference))
    return float(1 - error / reference_error) if reference_error > 0 else NOT_COMPUTABLE


class _Groups(NamedTuple):
    """The encounters of patients who have two or more."""

    rows: np.ndarray  # [R, D]
    code: np.ndarray  # [R], the patient, 0..P − 1
    means: np.ndarray  # [P, D]


def _by_patient(X: np.ndarray, patient: np.ndarray) -> _Groups | None:
    """Keep the patients with two rows or more; None with fewer than two such patients."""
    _, code, count = np.unique(patient, return_inverse=True, return_counts=True)
    repeated = count[code] > 1
    if (count > 1).sum() < 2:
        return None
    code = np.unique(code[repeated], return_inverse=True)[1]
    rows = X[repeated].astype(float)
    return _Groups(rows, code, _means(rows, code))


def _means(rows: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Average rows [R, D] by their group [R]; returns [G, D]."""
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    return np.add.reduceat(rows[order], starts) / np.bincount(code)[:, None]


def _variance_share(rows: np.ndarray, code: np.ndarray) -> float:
    """Pooled variance inside the groups [R] over the variance of all rows [R, D]; 0 when these are constant."""
    means = _means(rows, code)
    inside = np.square(rows - means[code]).sum() / (len(rows) - len(means))
    total = np.square(rows - rows.mean(axis=0)).sum() / (len(rows) - 1)
    return float(inside / total) if total > 0 else 0.0


def _variances(X: np.ndarray) -> np.ndarray:
    """Eigenvalues of the covariance of X [N, D], N > 1."""
    return np.clip(np.linalg.eigvalsh(np.atleast_2d(np.cov(X.T.astype(float)))), 0, None)


def _soft_count(values: np.ndarray) -> float:
    """Count how many of the values [D] matter: exp of the entropy of their shares."""
    p = values / max(values.sum(), np.finfo(float).tiny) + EPSILON
    return float(np.exp(-(p * np.log(p)).sum()))


def mismatch(z: np.ndarray, target: np.ndarray) -> float:
    """How far two networks' embeddings of the same encounters are apart: mean ‖z − z'‖ / ‖z'‖, for z and z' [N, D].

    0 exactly where both are one network; NaN without rows. What of e is mismatch isn't about the patient.
    """
    size = np.linalg.norm(target.astype(float), axis=1)
    apart = np.linalg.norm(z.astype(float) - target, axis=1)
    return float((apart / np.maximum(size, np.finfo(float).tiny)).mean()) if len(z) else NOT_COMPUTABLE
