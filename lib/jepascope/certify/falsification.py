"""A blind-spot map put to the test: give the predictor what the map says it lacked, and see which axes open."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import Estimate, Inference, bootstrap_counts, interval, patient_sums


class Changes(NamedTuple):
    """Change of what is foreseen of each of Q concepts, after less before, with intervals for all at once."""

    value: np.ndarray  # [Q]
    low: np.ndarray  # [Q]
    high: np.ndarray  # [Q]
    draws: np.ndarray  # [draws, Q], NaN where a draw of patients has no carrier
    n_rows: int
    n_patients: int

    def pooled(self, which: np.ndarray, level: float) -> Estimate:
        """The mean change over some concepts (bool [Q]) with an interval of its own.

        A draw is the mean over the concepts that have carriers in it. Raises NotComputable if over 5 % have none.
        """
        drawn = self.draws[:, which]
        with np.errstate(invalid="ignore"):
            means = np.nansum(drawn, axis=1) / np.isfinite(drawn).sum(axis=1)
        low, high = interval(means, level)
        return Estimate(float(self.value[which].mean()), float(low), float(high), self.n_rows, self.n_patients)

    def opened(self) -> np.ndarray:
        """Concepts that are predicted otherwise than before, bool [Q]: intervals that leave nought out."""
        return (self.low > 0) | (self.high < 0)


def changes(
    before: np.ndarray,
    after: np.ndarray,
    directions: np.ndarray,
    sizes: np.ndarray,
    states: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Changes:
    """How much more of each concept's displacement of z one prediction holds than another, family-wise over concepts.

    Δ_q = [mean of w · (ẑ' − ẑ) where the concept is on, less where it is off] / size_q, size_q being the same of z: 1
    if a prediction that was blind to the concept now foresees all of it. Intervals are value ± c · se, c being what the
    largest studentised deviation over all concepts stays below in `how.level` of the draws of patients: with dozens of
    concepts, some single intervals would leave nought out by chance.

    Args: before, after [n, D]; directions [Q, D]; sizes [Q], of training rows; states bool [n, Q]; patients [n].
    Raises NotComputable under `how.min_patients`.
    """
    Q, on = len(directions), np.asarray(states, float)
    moved = (after - before) @ directions.T / sizes  # [n, Q]
    columns = np.concatenate([on, 1 - on, on * moved, (1 - on) * moved], axis=1)
    sums = patient_sums(columns, patients, how.min_patients)

    def contrast(s: np.ndarray) -> np.ndarray:
        return s[:, 2 * Q : 3 * Q] / s[:, :Q] - s[:, 3 * Q :] / s[:, Q : 2 * Q]

    value = contrast(sums.sum(axis=0, keepdims=True))[0]
    # Of five carriers one draw in a hundred has none: undefined there, and no reason to lose all other concepts.
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = contrast(bootstrap_counts(len(sums), how.bootstrap, rng) @ sums)
    se = np.nanstd(draws, axis=0)
    largest = np.max(np.nan_to_num(np.abs(draws - value) / np.where(se > 0, se, 1)), axis=1)
    critical = np.quantile(largest, how.level)
    return Changes(value, value - critical * se, value + critical * se, draws, len(before), len(sums))


def effects(z: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In which direction each concept moves z, the others being equal, and how far apart z lies along it.

    Least squares of z [N, D] on all states [N, Q] at once: a difference of means alone would point at what concepts
    share. A predictor that knew of the concept would move along this direction. Give training rows. Returns unit rows
    [Q, D] and the difference of means along them [Q]; every state must vary.
    """
    on = np.asarray(states, float)
    moves = np.linalg.lstsq(np.column_stack([on, np.ones(len(on))]), np.asarray(z, float), rcond=None)[0][:-1]
    directions = moves / np.linalg.norm(moves, axis=1, keepdims=True)
    return directions, displacements(z, on, directions)


def displacements(z: np.ndarray, states: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """How far apart z [N, D] lies, along each concept's direction [Q, D], with and without it (states [N, Q]). [Q]."""
    on, at = np.asarray(states, float), z @ directions.T  # [N, Q]
    return (on * at).sum(axis=0) / on.sum(axis=0) - ((1 - on) * at).sum(axis=0) / (1 - on).sum(axis=0)
