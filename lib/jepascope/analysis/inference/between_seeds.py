"""How far apart seeds are, beyond what their patients explain.

Each seed's estimate has an error of its own, from which patients happened to be in the test set. Only what the seeds
differ by beyond that is the training's doing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2, rankdata

# I² of 0.9999: an interval that reaches it says "nearly all".
MOST_APART = 1e4


class Apart(NamedTuple):
    """Heterogeneity of S estimates of one quantity."""

    Q: float  # Cochran's; S − 1 on average where all seeds' values are the same
    p: float  # P(a Q as large) there
    I2: float  # share of the variation between seeds that patients don't explain, in [0, 1)
    low: float
    high: float


def heterogeneity(values: np.ndarray, covariance: np.ndarray, level: float) -> Apart:
    """Cochran's Q and I² with an interval: a standard deviation of three numbers says nothing without one.

    Q = (θ − θ̄)ᵀ C⁻¹ (θ − θ̄) with θ̄ the generalised mean, S − 1 degrees of freedom, and I² = max(0, 1 − (S − 1) / Q)
    (Higgins & Thompson 2002). Q is a noncentral χ² with noncentrality λ; the interval has all I² = λ / (λ + S − 1)
    whose λ makes a Q like this one likely enough (Hedges & Pigott 2001). Seeds that share their patients have errors
    that go together: C with its covariances takes that into account, a diagonal C makes the test conservative.

    Args: values [S], covariance [S, S] of their errors, level in (0, 1). All NaN under two seeds or where C is
    singular: then nothing is known of the errors.
    """
    S = len(values)
    if S < 2 or not np.isfinite(covariance).all() or np.linalg.matrix_rank(covariance) < S:
        return Apart(*[float("nan")] * 5)
    C = np.linalg.inv(covariance)
    apart = values - (C.sum(axis=0) @ values) / C.sum()
    Q, df = float(apart @ C @ apart), S - 1
    tail = (1 - level) / 2
    low, high = (_noncentrality(Q, df, share) for share in (1 - tail, tail))
    return Apart(Q, float(chi2.sf(Q, df)), max(0.0, 1 - df / Q) if Q > 0 else 0.0, low / (low + df), high / (high + df))


def _noncentrality(Q: float, df: int, share: float) -> float:
    """The λ for which P(χ²(df, λ) ≤ Q) = share; nought where even λ = 0 makes Q larger than that."""
    if chi2.cdf(Q, df) <= share:
        return 0.0
    if ncx2.cdf(Q, df, MOST_APART) >= share:
        return MOST_APART
    return float(brentq(lambda noncentral: ncx2.cdf(Q, df, noncentral) - share, 1e-12, MOST_APART))


def rank_correlation(a: np.ndarray, b: np.ndarray, given: tuple[np.ndarray, np.ndarray] | None = None) -> np.ndarray:
    """Spearman's ρ of every row of a [n, Q] with that of b [n, Q], [n]; ties share their ranks, NaN if constant.

    `given`: something else of a and of b, [n, Q] each, whose ranks are taken out of theirs by regression beforehand
    (the partial rank correlation, with a covariate for each side).
    """
    a, b = _ranks(a), _ranks(b)
    if given is not None:
        a, b = (_without(x, _ranks(other)) for x, other in zip((a, b), given, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))


def _ranks(x: np.ndarray) -> np.ndarray:
    ranks = rankdata(x, axis=1)
    return ranks - ranks.mean(axis=1, keepdims=True)


def _without(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Centred rows x less their regression on the centred rows `other`; a constant row explains nothing."""
    squared = (other**2).sum(axis=1, keepdims=True)
    slope = np.divide((x * other).sum(axis=1, keepdims=True), squared, out=np.zeros_like(squared), where=squared > 0)
    return x - slope * other
