"""How far apart seeds are, beyond what their patients explain, and what pairs of them say.

Each seed's estimate has an error of its own, from which patients happened to be in the test set. Only what the seeds
differ by beyond that is the training's doing. Pairs of seeds share seeds: their number is not a number of observations.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2, rankdata
from scipy.stats import t as student

# Seeds for an interval over them: of three or four, Student's t and what pairs share make it mean nothing.
FEWEST = 5
# I² of 0.9999: an interval that reaches it says "nearly all".
MOST_APART = 1e4


class Apart(NamedTuple):
    """Heterogeneity of S estimates of one quantity."""

    Q: float  # Cochran's; S − 1 on average where all seeds' values are the same
    p: float  # P(a Q as large) there
    I2: float  # share of the variation between seeds that patients don't explain, in [0, 1)
    low: float
    high: float


class OverPairs(NamedTuple):
    """A quantity of two seeds, over the pairs in which it was measured."""

    mean: float
    low: float  # of the mean, over seeds
    high: float
    lowest: float  # of any pair
    highest: float
    pairs: int


def over_pairs(values: np.ndarray, pairs: np.ndarray, level: float) -> OverPairs:
    """Mean of values [P] of pairs [P, 2] of seeds, with an interval over seeds: pairs that share one go together.

    With θ̄ the mean and θ̄₋ᵢ that of the pairs without seed i, Σᵢ (θ̄ − θ̄₋ᵢ)² is on average at least the variance of θ̄
    over seeds drawn anew, whichever pairs there are (Efron & Stein 1981). The interval is Student's, with S − 1 degrees
    of freedom. It is NaN under `FEWEST` seeds, where it would be as wide as the scale of a correlation, where a seed is
    in every pair, and where no pair differs from another: then nothing is known of other seeds.
    """
    pairs = np.asarray(pairs)
    mean, seeds = float(np.mean(values)), np.unique(pairs)
    without = [np.asarray(values)[(pairs != seed).all(axis=1)] for seed in seeds]
    low = high = float("nan")
    if len(seeds) >= FEWEST and np.ptp(values) > 0 and all(len(rest) for rest in without):
        error = np.sqrt(sum((mean - rest.mean()) ** 2 for rest in without))
        reach = float(student.ppf((1 + level) / 2, len(seeds) - 1) * error)
        low, high = mean - reach, mean + reach
    return OverPairs(mean, low, high, float(np.min(values)), float(np.max(values)), len(values))


def heterogeneity(values: np.ndarray, covariance: np.ndarray, level: float, made_of: Iterable[int] = ()) -> Apart:
    """Cochran's Q and I² with an interval: a standard deviation of three numbers says nothing without one.

    Q = (θ − θ̄)ᵀ C⁻¹ (θ − θ̄) with θ̄ the generalised mean, S − 1 degrees of freedom, and I² = max(0, 1 − (S − 1) / Q)
    (Higgins & Thompson 2002). Q is a noncentral χ² with noncentrality λ; the interval has all I² = λ / (λ + S − 1)
    whose λ makes a Q like this one likely enough (Hedges & Pigott 2001). Seeds that share their patients have errors
    that go together: C with its covariances takes that into account, a diagonal C makes the test conservative.

    Args: values [S], covariance [S, S] of their errors, level in (0, 1). made_of: sizes n of the samples of which C was
    estimated, as patients and draws of them. Of S − 1 contrasts the inverse of such a C is too large by
    (n − 1) / (n − S − 1) on average (Hartlap, Simon & Schneider 2007); left in, a hundred seeds would differ by that
    alone. All NaN under two seeds, or where C is singular or made of too few for so many seeds: then nothing is known
    of the errors.
    """
    S = len(values)
    deflated = np.prod([max(0, n - S - 1) / (n - 1) for n in made_of])
    if S < 2 or not deflated or not np.isfinite(covariance).all() or np.linalg.matrix_rank(covariance) < S:
        return Apart(*[float("nan")] * 5)
    C = np.linalg.inv(covariance) * deflated
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
