"""Bootstrap intervals corrected for bias and skewness, by patient: few patients and skewed statistics need it.

The percentile interval of `stats` assumes that some transformation makes the statistic symmetric around the truth with
constant spread. BCa lets it be shifted (z0) and lets its spread change with its value (the acceleration a).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri

from jepascope.analysis.inference.stats import (
    CHUNK_CELLS,
    MAX_UNDEFINED,
    Estimate,
    NotComputable,
    WeightedStatistic,
    draw_patients,
    draw_sums,
    patient_codes,
    patient_sums,
)


def bca_interval(value: float, drawn: np.ndarray, left_out: np.ndarray, level: float) -> tuple[float, float]:
    """Read the draws at shifted quantiles: the percentile interval of a skewed statistic misses on one side.

    α' = Φ(z0 + (z0 + z_α) / (1 − a (z0 + z_α))), z0 = Φ⁻¹(share of draws below the value, ties half), and
    a = Σ u³ / (6 (Σ u²)^{3/2}) with u = mean(left_out) − left_out (Efron 1987; Efron & Tibshirani 1993, § 14.3).

    Args: value; drawn [S], NaN where undefined; left_out [B], the statistic without each patient; level in (0, 1).
    Raises NotComputable if more than 5 % of the draws or any left-out value is undefined, if all draws lie on one side
    of the value, or if the acceleration is so large that the quantiles turn round: one patient decides everything.
    """
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < (1 - MAX_UNDEFINED) * len(drawn):
        raise NotComputable(f"undefined in {len(drawn) - len(defined)} of {len(drawn)} draws of patients")
    if not np.isfinite(left_out).all():
        undefined = np.count_nonzero(~np.isfinite(left_out))
        raise NotComputable(f"undefined once one patient is left out, for {undefined} of {len(left_out)} patients")
    z0 = ndtri((np.mean(defined < value) + np.mean(defined <= value)) / 2)
    if not np.isfinite(z0):
        raise NotComputable(f"all {len(defined)} draws lie on one side of the value")
    u = left_out.mean() - left_out
    spread = np.sum(u**2) ** 1.5
    a = np.sum(u**3) / (6 * spread) if spread > 0 else 0.0  # no patient matters: nothing is skewed
    # The order of the quantiles survives only while 1 − a z is positive at both ends.
    z = z0 + ndtri([(1 - level) / 2, (1 + level) / 2])
    if (1 - a * z <= 0).any():
        raise NotComputable(f"acceleration {a:.2g} of {len(left_out)} patients: a single patient decides the value")
    low, high = np.quantile(defined, ndtr(z0 + z / (1 - a * z)))
    return float(low), float(high)


def left_out_values(statistic: WeightedStatistic, patients: np.ndarray) -> np.ndarray:
    """The statistic without each patient, [B] in order of name: rows left out singly would hide whose rows they are.

    `statistic` maps weights [draws, N] to [draws]; patients [N]. B evaluations, as dear as B draws.
    """
    codes, n_patients = patient_codes(patients)
    chunk = max(1, CHUNK_CELLS // len(codes))  # [B, N] weights at once would be B²
    names = np.arange(n_patients)[:, None]
    return np.concatenate(
        [statistic((codes != names[a : a + chunk]).astype(float)) for a in range(0, n_patients, chunk)]
    )


def bca_bootstrap(
    statistic: WeightedStatistic,
    patients: np.ndarray,
    draws: int,
    level: float,
    rng: np.random.Generator,
    min_patients: int = 2,
) -> Estimate:
    """`stats.patient_bootstrap` (same draws for the same rng) with the interval of `bca_interval`.

    `statistic` maps weights [draws, N] to values [draws]; patients [N]. Costs B evaluations more; where the statistic
    is a function of sums, `bca_of_sums` has them for nothing. Raises NotComputable under `min_patients`, if the
    statistic is undefined on the rows, or as `bca_interval` does.
    """
    drawn = draw_patients(statistic, patients, draws, rng, min_patients)
    return drawn.estimate(*bca_interval(drawn.value, drawn.values, left_out_values(statistic, patients), level))


def bca_of_sums(
    statistic: Callable[[np.ndarray], np.ndarray],
    columns: np.ndarray,
    patients: np.ndarray,
    draws: int,
    level: float,
    rng: np.random.Generator,
    min_patients: int = 2,
) -> Estimate:
    """`stats.bootstrap_of_sums` (same draws for the same rng) with the interval of `bca_interval`.

    The sums without a patient are the sums minus hers, so the jackknife is one subtraction. columns [N, Q],
    patients [N]; `statistic` maps sums [draws, Q] to values [draws]. Raises NotComputable as `bca_bootstrap` does.
    """
    drawn = draw_sums(statistic, columns, patients, draws, rng, min_patients)
    sums = patient_sums(columns, patients, min_patients)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = statistic(sums.sum(axis=0, keepdims=True) - sums)
    return drawn.estimate(*bca_interval(drawn.value, drawn.values, left_out, level))
