"""Many statistics on one set of patient draws: drawing costs more than most of them, and shared draws are paired.

`stats.patient_bootstrap` gives one statistic its interval. A model has a dozen measures, and two models on the same
rows want the difference of each: here the draws are kept, so that differences are subtractions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import (
    CHUNK_CELLS,
    Estimate,
    Inference,
    NotComputable,
    bootstrap_counts,
    interval,
    patient_codes,
)

# weights [draws, N] -> [draws, Q]
JointStatistic = Callable[[np.ndarray], np.ndarray]


class Joint(NamedTuple):
    """Q statistics of the same rows with their values in the same S draws of patients."""

    names: tuple[str, ...]  # Q
    value: np.ndarray  # [Q], NaN where undefined on these rows
    drawn: np.ndarray  # [S, Q]
    level: float
    n_rows: int
    n_patients: int
    draws_of: str  # fingerprint of the rows' patients and of the seed

    def estimate(self, name: str) -> Estimate:
        """One statistic with its percentile interval. Raises NotComputable where it, or its interval, is undefined."""
        q = self.names.index(name)
        if not np.isfinite(self.value[q]):
            raise NotComputable(f"{name} is undefined on these {self.n_rows} rows of {self.n_patients} patients")
        low, high = interval(self.drawn[:, q], self.level)
        return Estimate(float(self.value[q]), low, high, self.n_rows, self.n_patients)


def joint_bootstrap(
    statistic: JointStatistic, names: Sequence[str], patients: np.ndarray, how: Inference, seed: int
) -> Joint:
    """`stats.patient_bootstrap` (same draws, same intervals) of Q statistics at the price of one set of draws.

    `statistic` maps weights [draws, N] to [draws, Q], in the order of `names`; patients [N]. Two calls with the same
    patients and seed share their draws. Raises NotComputable under `how.min_patients`.
    """
    codes, n_patients = patient_codes(patients, how.min_patients)
    rng = np.random.default_rng(seed)
    chunk = max(1, CHUNK_CELLS // len(codes))
    drawn = [
        statistic(bootstrap_counts(n_patients, min(chunk, how.bootstrap - start), rng)[:, codes])
        for start in range(0, how.bootstrap, chunk)
    ]
    value = statistic(np.ones((1, len(codes))))[0]
    draws_of = hashlib.sha256(np.append(codes, [seed, how.bootstrap]).tobytes()).hexdigest()
    return Joint(tuple(names), value, np.concatenate(drawn), how.level, len(codes), n_patients, draws_of)


def difference(ours: Joint, theirs: Joint) -> Joint:
    """Ours minus theirs, draw by draw: two separate intervals would forget that the patients are the same.

    Raises ValueError unless both hold the same statistics of the same rows and draws.
    """
    if (ours.names, ours.draws_of) != (theirs.names, theirs.draws_of):
        raise ValueError("not paired: measure both models on the same rows, in the same order, with the same seed")
    return ours._replace(value=ours.value - theirs.value, drawn=ours.drawn - theirs.drawn)
