"""Many hypotheses at once, by patient: the largest of a thousand correlations is large even where there is nothing.

Max-T compares each statistic with the largest that its family reaches when labels move between patients. It needs no
independence between hypotheses, and uses their dependence; Benjamini–Hochberg q-values are in `stats`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import CHUNK_CELLS, MAX_UNDEFINED, NotComputable, RowsStatistic, permuted_rows


class Family(NamedTuple):
    """Q hypotheses tested together."""

    observed: np.ndarray  # [Q], the statistics, NaN where undefined
    adjusted: np.ndarray  # [Q], p adjusted for the whole family, NaN where not tested
    threshold: float  # what the largest statistic stays below in `level` of the draws


def max_t(statistic: RowsStatistic, rows: np.ndarray, level: float = 0.95) -> Family:
    """Step-down max-T: single p-values would find one hypothesis in twenty, and Bonferroni forgets that they overlap.

    With observed t_(1) ≥ t_(2) ≥ … and draws T of the same hypotheses, p̃_(q) = (1 + #{max_{r ≥ q} T_(r) ≥ t_(q)}) /
    (1 + draws), made non-decreasing in q (Westfall & Young 1993, algorithm 4.1; the ones are Phipson & Smyth's 2010).
    It bounds the chance of any false finding by the level, whichever hypotheses are true, where the draws of the true
    ones don't depend on the others (subset pivotality); it always does where all are true. Statistics should be of one
    scale, as correlations or z-scores are, or the widest takes all power. `threshold` is the single-step critical
    value: what lies above it is found, and a little more may be.

    Args: statistic maps row indices [draws, N] to [draws, Q], larger being more of a finding (take absolutes for two
    sides); rows int [draws, N] of `stats.permuted_rows`. A hypothesis undefined as observed, or in over 5 % of the
    draws, is not tested; a draw that is undefined in fewer counts as no exceedance, so p errs by at most 5 % of itself.
    Raises NotComputable if every hypothesis is undefined.
    """
    observed = np.asarray(statistic(np.arange(rows.shape[1])[None])[0], float)
    tested = np.argsort(observed)[: np.count_nonzero(~np.isnan(observed))]  # ascending; NaN sorts last
    if not len(tested):
        raise NotComputable(f"all {len(observed)} statistics are undefined on these {rows.shape[1]} rows")
    chunk = max(1, CHUNK_CELLS // max(rows.shape[1], len(observed)))
    exceeding, undefined, largest = np.zeros(len(tested)), np.zeros(len(tested)), []
    for start in range(0, len(rows), chunk):
        drawn = statistic(rows[start : start + chunk])[:, tested]
        missing = np.isnan(drawn)
        undefined += missing.sum(axis=0)
        # [chunk, Q]: the largest of this hypothesis and of all with a smaller observed statistic
        maxima = np.maximum.accumulate(np.where(missing, -np.inf, drawn), axis=1)
        exceeding += (maxima >= observed[tested]).sum(axis=0)
        largest.append(maxima[:, -1])
    p = np.maximum.accumulate(((1 + exceeding) / (1 + len(rows)))[::-1])[::-1]
    adjusted = np.full(len(observed), np.nan)
    adjusted[tested] = np.where(undefined > MAX_UNDEFINED * len(rows), np.nan, p)
    return Family(observed, adjusted, float(np.quantile(np.concatenate(largest), level, method="higher")))


def patient_max_t(
    statistic: RowsStatistic, patients: np.ndarray, draws: int, rng: np.random.Generator, level: float = 0.95
) -> Family:
    """`max_t` over fresh moves of whole patients: a null of moved rows is several times too narrow.

    patients [N], rows of each in order of k. Raises NotComputable as `max_t` does, and under two patients.
    """
    return max_t(statistic, permuted_rows(patients, draws, rng), level)


def moved_correlations(features: np.ndarray, labels: np.ndarray) -> RowsStatistic:
    """Pearson r of each feature with each moved label, as matrix products: a loop over pairs takes minutes.

    features [N, F] stay, labels [N, L] move together, so that what labels share stays shared. Returns a function of
    rows [draws, N] giving signed r [draws, L · F], label by label; NaN where either is constant.
    """
    centred = features - np.mean(features, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = centred / np.linalg.norm(centred, axis=0)  # [N, F]

    def statistic(rows: np.ndarray) -> np.ndarray:
        found = []
        for label in np.asarray(labels, float).T:
            moved = label[rows]
            moved -= moved.mean(axis=1, keepdims=True)  # [draws, N]
            with np.errstate(divide="ignore", invalid="ignore"):
                found.append((moved @ unit) / np.linalg.norm(moved, axis=1, keepdims=True))
        return np.concatenate(found, axis=1)

    return statistic
