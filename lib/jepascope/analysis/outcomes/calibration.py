"""Whether a predicted probability means what it says: Brier skill, recalibration line, expected calibration error.

Functions of weights [draws, N], as in `discrimination`. A model can rank perfectly and be wrong by a factor in every
probability; a decision at a threshold needs the probability.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import logit

from jepascope.analysis.inference.joint import JointStatistic
from jepascope.analysis.inference.stats import (
    CHUNK_CELLS,
    Inference,
    NotComputable,
    Null,
    WeightedStatistic,
    bootstrap_mean,
    null_of,
    patient_codes,
)
from jepascope.analysis.outcomes.discrimination import require_both

# Certain predictions have no logit; they are taken as this close to certain.
CLIP = 1e-6
BINS = 10
MAX_NEWTON = 30
# Newton's error after a step is about its square: the step just taken was the last of use.
TOLERANCE = 1e-5
CURVE_FIELDS = ("predicted", "observed", "low", "high", "n_rows", "n_patients")


class Recalibration(NamedTuple):
    """logit P(y = 1) = intercept + slope · logit p; (0, 1) changes nothing."""

    intercept: float
    slope: float


def weighted_brier(probabilities: np.ndarray, labels: np.ndarray) -> WeightedStatistic:
    """Mean squared error of a probability (Brier 1950), from weights [draws, N]: [draws]. Only to be read as a skill.

    probabilities [N] in [0, 1], labels [N] in {0, 1}.
    """
    return _mean(np.square(labels - probabilities))


def weighted_brier_skill(
    probabilities: np.ndarray, labels: np.ndarray, reference: float | np.ndarray
) -> WeightedStatistic:
    """1 − Σ w (y − p)² / Σ w (y − reference)²: a Brier score alone is small wherever the event is rare.

    `reference` is the prevalence among training patients (that of the rows at hand would be fitted to them), or
    another model's probabilities [N]. 0: no better; below: worse. From weights [draws, N]: [draws].
    """
    errors = np.stack([np.square(labels - probabilities), np.square(labels - reference)], axis=1)  # [N, 2]

    def statistic(weights: np.ndarray) -> np.ndarray:
        ours, theirs = (weights @ errors).T
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(theirs > 0, 1 - ours / theirs, np.nan)

    return statistic


def weighted_calibration_in_the_large(probabilities: np.ndarray, labels: np.ndarray) -> WeightedStatistic:
    """Observed minus expected rate, Σ w (y − p) / Σ w: the first thing to be wrong elsewhere, and in plain units.

    Above 0 the risk is underestimated. From weights [draws, N]: [draws].
    """
    return _mean(labels - probabilities)


def weighted_recalibration(probabilities: np.ndarray, labels: np.ndarray) -> JointStatistic:
    """Intercept a and slope b of logit P(y = 1) = a + b logit p (Cox 1958): b < 1 says the predictions are too extreme.

    The maximum-likelihood fit itself in every draw, not one step from the fit of all rows: Newton on the 2 × 2 problem
    for all draws at once, which start from the fit of all rows and settle in two or three steps.

    probabilities [N] in [0, 1], labels [N] in {0, 1} -> a function of weights [draws, N] giving [draws, 2]; NaN where
    the fit does not exist (constant predictions, one class, perfect separation). Raises NotComputable if the label is
    constant.
    """
    require_both(labels)
    x = logit(np.clip(probabilities, CLIP, 1 - CLIP))
    mean, scale = x.mean(), x.std()
    if scale < 1e-9:
        return lambda weights: np.full((len(weights), 2), np.nan)
    u = (x - mean) / scale
    start = _logistic_lines(u, labels, np.ones((1, len(u))), np.zeros((1, 2)))

    def statistic(weights: np.ndarray) -> np.ndarray:
        beta = _logistic_lines(u, labels, weights, start)
        slope = beta[:, 1] / scale
        return np.stack([beta[:, 0] - slope * mean, slope], axis=1)

    return statistic


def _logistic_lines(u: np.ndarray, y: np.ndarray, weights: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Fit y ~ σ(β₀ + β₁ u) under each draw's weights [draws, N], from `start` [1, 2]: [draws, 2], NaN if there is none.

    With t = tanh(η/2), σ(η) = (1 + t)/2 and σ(1 − σ) = (1 − t²)/4, and tanh is the fastest of these by far. A step is
    at most 2 standard deviations, so that it can't overshoot.
    """
    powers = np.stack([np.ones_like(u), u, u**2], axis=1)  # [N, 3]
    observed, total = weights @ ((y - 0.5)[:, None] * powers[:, :2]), weights @ powers
    beta = start  # one row while all draws stand at the same place: the first tanh is of N numbers
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(MAX_NEWTON):
            t = np.tanh((beta[:, :1] + beta[:, 1:] * u) / 2)
            wt = weights * t  # [draws, N]
            g0, g1 = (observed - wt @ powers[:, :2] / 2).T
            h0, h1, h2 = (total - (wt * t) @ powers).T / 4
            step = np.stack([h2 * g0 - h1 * g1, h0 * g1 - h1 * g0], axis=1) / (h0 * h2 - h1**2)[:, None]
            beta = beta + np.clip(step, -2, 2)
            size = np.abs(step).max(axis=1)  # [draws]; NaN once a fit has run away
            if not (size >= TOLERANCE).any():
                break
    return np.where((size < TOLERANCE)[:, None], beta, np.nan)


def weighted_ece(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> WeightedStatistic:
    """Expected calibration error Σ_b |Σ_{i in b} w (y − p)| / Σ w over bins of equal mass (Naeini et al. 2015).

    Bins of equal width would leave most of a rare event's bins empty. Bins are those of the unweighted rows, ties
    together. Not debiased: it is above 0 for a perfect model too, the more so the fewer the rows, and more so in a
    bootstrap draw. So it is read beside `calibrated_ece`, what a perfect model has. From weights [draws, N]: [draws].
    """
    residuals = (labels - probabilities)[:, None] * one_hot_bins(probabilities, bins)  # [N, bins]
    return lambda weights: np.abs(weights @ residuals).sum(axis=1) / weights.sum(axis=1)


def calibrated_ece(
    probabilities: np.ndarray,
    labels: np.ndarray,
    draws: int,
    level: float,
    rng: np.random.Generator,
    bins: int = BINS,
) -> Null:
    """The ECE of a perfect model with these probabilities: labels drawn from them (consistency resampling).

    Bröcker & Smith 2007. Rows are drawn independently given p: what else a patient's rows share would widen it.
    p is the share of draws at least as miscalibrated as the labels [N] at hand.
    """
    member = one_hot_bins(probabilities, bins)
    observed = float(weighted_ece(probabilities, labels, bins)(np.ones((1, len(labels))))[0])
    chunk = max(1, CHUNK_CELLS // len(labels))
    values = []
    for start in range(0, draws, chunk):
        drawn = rng.random((min(chunk, draws - start), len(labels))) < probabilities  # [chunk, N]
        values.append(np.abs((drawn - probabilities) @ member).sum(axis=1) / len(labels))
    return null_of(np.concatenate(values), observed, level)


def calibration_curve(
    probabilities: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
    bins: int = BINS,
) -> pd.DataFrame:
    """Observed rate with patient-bootstrap interval against the mean prediction, in bins of equal mass.

    Args: probabilities, labels, patients [N]. Returns a row a bin, from low to high: predicted, observed, low, high,
    n_rows, n_patients. A bin of fewer than `how.min_patients` patients is left out; NotComputable if all are.
    """
    patient_codes(patients, how.min_patients)
    rows = []
    for inside in one_hot_bins(probabilities, bins).T.astype(bool):
        try:
            rate = bootstrap_mean(
                labels[inside], patients[inside], how.bootstrap, how.level, rng, max(how.min_patients, 2)
            )
        except NotComputable:
            continue
        rows.append((probabilities[inside].mean(), *rate))
    if not rows:
        raise NotComputable(f"no bin of the calibration curve has {how.min_patients} patients")
    return pd.DataFrame(rows, columns=list(CURVE_FIELDS))


def one_hot_bins(probabilities: np.ndarray, bins: int) -> np.ndarray:
    """Membership [N, bins] in bins of equal mass, ties together; bins that ties leave empty are dropped."""
    inner = np.unique(np.quantile(probabilities, np.arange(1, bins) / bins))
    number = np.searchsorted(inner, probabilities, "left")  # a value on an edge belongs below it
    _, number = np.unique(number, return_inverse=True)
    return np.eye(number.max() + 1)[number]


def _mean(x: np.ndarray) -> WeightedStatistic:
    return lambda weights: weights @ x / weights.sum(axis=1)
