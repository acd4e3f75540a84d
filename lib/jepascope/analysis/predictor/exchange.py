"""Is one prediction better than another? A coin for each patient says which of the two is called the first.

Handing a patient's outcomes to another patient makes *both* predictions worthless: it answers whether either knows
anything, and is too narrow or too wide for their difference. Exchanging their names leaves all that they know.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import Inference, Null, null_of, patient_sums


class Exchanged(NamedTuple):
    """F differences, each a sum of gains over rows, had the two predictions' names been exchanged at random."""

    null: Null  # of their mean
    adjusted: np.ndarray  # [F], p of each, adjusted for all F (max-T)


def exchanged(gains: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator) -> Exchanged:
    """Turn the sign of whole patients' gains: the errors of one patient hang together, so rows can't be turned alone.

    With g_pf a patient's gains, draws of Σ_p ±g_pf stand against Σ_p g_pf. For p they are divided by √Σ_p g_pf², so
    that no difference is found only for being noisier; one that has no gain anywhere has p = 1.

    Args: gains [N, F], the sum over rows being the difference in question; patients [N]. Raises NotComputable under
    `how.min_patients`.
    """
    sums = patient_sums(gains, patients, how.min_patients)  # [B, F]
    observed, scale = sums.sum(axis=0), np.sqrt(np.square(sums).sum(axis=0))
    signs = rng.integers(0, 2, (how.permutations, len(sums))) * 2.0 - 1
    drawn = signs @ sums  # [draws, F]
    scale = np.where(scale > 0, scale, np.inf)
    largest = (drawn / scale).max(axis=1)
    as_large = (largest[:, None] >= observed / scale).sum(axis=0)
    return Exchanged(null_of(drawn.mean(axis=1), float(observed.mean()), how.level), (1 + as_large) / (1 + len(drawn)))
