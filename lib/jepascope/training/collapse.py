"""Watching for collapse: numbers that say whether z is still a representation. Each is necessary, none sufficient."""

from __future__ import annotations

import numpy as np

NOT_COMPUTABLE = float("nan")


def rankme(X: np.ndarray) -> float:
    """RankMe: exp of the entropy of the singular values' shares, in 1..D; a soft rank, because a hard one never falls.

    p_i = σ_i / Σσ + ε, RankMe = exp(−Σ p_i log p_i), for X [N, D], not centred. It is bounded by N too.
    NaN without rows. Source: Garrido et al. 2023, eq. 1; ε = 1e-7.
    """
    if not len(X):
        return NOT_COMPUTABLE
    sigma = np.sqrt(np.clip(np.linalg.eigvalsh(X.T.astype(float) @ X), 0, None))
    p = sigma / max(sigma.sum(), np.finfo(float).tiny) + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


def effective_rank(X: np.ndarray) -> float:
    """Exp of the entropy of the *variance* shares of the principal axes, in 1..D, for X [N, D], centred.

    Stricter than RankMe: an offset of the mean doesn't count, and variances weigh more than their roots.
    NaN with fewer than two rows, 1 for constant rows. Source: Roy & Vetterli 2007, applied to the covariance.
    """
    if len(X) < 2:
        return NOT_COMPUTABLE
    share = np.clip(np.linalg.eigvalsh(np.atleast_2d(np.cov(X.T.astype(float)))), 0, None)
    share = share[share > 0] / max(share.sum(), np.finfo(float).tiny)
    return float(np.exp(-(share * np.log(share)).sum()))


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
    _, code, count = np.unique(patient, return_inverse=True, return_counts=True)
    repeated = count[code] > 1
    if (count > 1).sum() < 2:
        return NOT_COMPUTABLE
    _, code, count = np.unique(patient[repeated], return_inverse=True, return_counts=True)
    rows = X[repeated].astype(float)
    means = np.zeros((len(count), X.shape[1]))
    np.add.at(means, code, rows)
    within = np.square(rows - (means / count[:, None])[code]).sum() / (len(rows) - len(count))
    total = np.square(rows - rows.mean(axis=0)).sum() / (len(rows) - 1)
    return float(within / total) if total > 0 else 0.0


def skill(target: np.ndarray, z_hat: np.ndarray, reference: np.ndarray) -> float:
    """Prediction skill 1 − Σ‖z − ẑ‖² / Σ‖z − r‖² against a reference r: 1 is perfect, 0 no better, negative worse.

    target, z_hat [M, D]; reference [M, D] (the previous z: persistence) or [D] (the mean of the *training* z).
    A ratio in the model's own space, so that skills of different spaces compare. NaN without rows or reference error.
    """
    error, reference_error = (np.square(target.astype(float) - x).sum() for x in (z_hat, reference))
    return float(1 - error / reference_error) if reference_error > 0 else NOT_COMPUTABLE
