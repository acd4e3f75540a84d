"""How much of what each concept does to z a prediction holds: the measure of blindness, and of its cure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    bootstrap_counts,
    interval,
    patient_sums,
)


class Foreseen(NamedTuple):
    """What is foreseen of each of Q concepts, as a share of what they do to z, with intervals for all at once."""

    value: np.ndarray  # [Q], NaN where z doesn't tell the concept
    low: np.ndarray  # [Q]
    high: np.ndarray  # [Q]
    draws: np.ndarray  # [draws, Q], NaN where a draw of patients has no carrier
    n_rows: int
    n_patients: int

    def means(self, which: np.ndarray) -> np.ndarray:
        """The mean over those of some concepts (bool [Q]) that have carriers in the draw, [draws]."""
        drawn = self.draws[:, which & np.isfinite(self.value)]
        with np.errstate(invalid="ignore"):
            return np.nansum(drawn, axis=1) / np.isfinite(drawn).sum(axis=1)

    def pooled(self, which: np.ndarray, level: float) -> Estimate:
        """The mean over some concepts (bool [Q]) with an interval of its own.

        Raises NotComputable if z tells none of them, or if over 5 % of draws have none.
        """
        known = which & np.isfinite(self.value)
        if not known.any():
            raise NotComputable("z tells none of these concepts")
        return self._estimate(self.value[known].mean(), *interval(self.means(which), level))

    def moved(self) -> np.ndarray:
        """Concepts whose interval leaves nought out, bool [Q]: of a change, those that are predicted otherwise."""
        return (self.low > 0) | (self.high < 0)

    def furthest(self, which: np.ndarray) -> Estimate:
        """Of some concepts (bool [Q]) the one whose interval reaches furthest from nought, with that interval.

        The intervals are family-wise: if this one lies in a band about nought, all do. A mean over concepts couldn't
        say so, as moves either way cancel. Raises NotComputable if z tells none of them.
        """
        reach = np.where(which & np.isfinite(self.value), np.maximum(np.abs(self.low), np.abs(self.high)), -1.0)
        if not (reach >= 0).any():
            raise NotComputable("z tells none of these concepts")
        q = int(reach.argmax())
        return self._estimate(self.value[q], self.low[q], self.high[q])

    def _estimate(self, value: float, low: float, high: float) -> Estimate:
        return Estimate(float(value), float(low), float(high), self.n_rows, self.n_patients)


def foreseen(
    predicted: np.ndarray,
    z: np.ndarray,
    directions: np.ndarray,
    states: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Foreseen:
    """How much of what each concept does to z is already in a prediction of it: 0 is blindness, 1 is foresight.

    Much else moves z along any direction, and a share of its variance would be a share of that; a contrast is the
    concept's own. With Δ_q x the mean of w_q · x where concept q is on, less where it is off: share_q = Δ_q ẑ / Δ_q z.
    It is linear in ẑ, so that of a difference of two predictions it is the change. Of E[z | state] it is what the state
    foretold, nought for a shock.

    Both contrasts are of the same rows, which the directions were not fitted to: along a direction, z of the rows that
    it was fitted to lies further apart than any other's. Draws of patients are of the ratio to first order, since a
    small Δz would make some of the ratios huge: share + (Δẑ' − share · Δz') / Δz. Intervals are share ± c · se, c being
    what the largest studentised deviation over all concepts stays below in `how.level` of the draws: with dozens of
    concepts, some single intervals would leave nought out by chance.

    Args: predicted, z [n, D]; directions [Q, D]; states bool [n, Q]; patients [n]. A concept whose Δz has nought in its
    own interval gets NaN. Raises NotComputable without a concept, and under `how.min_patients`.
    """
    if not len(directions):
        raise NotComputable("no concept that enough patients have, and enough others lack")
    on = np.asarray(states, float)
    pair = (predicted @ directions.T, z @ directions.T)  # each [n, Q]
    columns = np.concatenate([on, 1 - on, *(part * x for x in pair for part in (on, 1 - on))], axis=1)
    sums = patient_sums(columns, patients, how.min_patients)
    # Of five carriers one draw in a hundred has none: undefined there, and no reason to lose all other concepts.
    with np.errstate(divide="ignore", invalid="ignore"):
        foretold, size = _contrasts(sums.sum(axis=0, keepdims=True))
        draws_of, draws_size = _contrasts(bootstrap_counts(len(sums), how.bootstrap, rng) @ sums)
        told = np.nanquantile(draws_size, (1 - how.level) / 2, axis=0) > 0
        value = np.where(told, foretold[0] / size[0], np.nan)
        draws = value + (draws_of - value * draws_size) / size
    se = np.nanstd(draws[:, told], axis=0)
    off = np.nan_to_num(np.abs(draws - value)[:, told] / np.where(se > 0, se, 1))
    reach = np.full(len(value), np.nan)
    reach[told] = se * np.quantile(off.max(axis=1, initial=0.0), how.level)
    return Foreseen(value, value - reach, value + reach, draws, len(z), len(sums))


def _contrasts(s: np.ndarray) -> np.ndarray:
    """Δẑ and Δz, [2, draws, Q], from sums [draws, 6Q]: rows on, rows off, ẑ on, ẑ off, z on, z off."""
    on, off, x_on, x_off, z_on, z_off = np.split(s, 6, axis=1)
    return np.stack([x_on / on - x_off / off, z_on / on - z_off / off])


def relative(one: Foreseen, other: Foreseen, which: np.ndarray, level: float) -> Estimate:
    """What `one` foresees of some concepts (bool [Q]) over what `other` does, both on the same draws of patients.

    Raises NotComputable where `other` may foresee nothing of them.
    """
    part, whole = one.pooled(which, level), other.pooled(which, level)
    if whole.low <= 0:
        raise NotComputable("nothing was foretold of these concepts")
    low, high = interval(one.means(which) / other.means(which), level)
    return part._replace(value=part.value / whole.value, low=float(low), high=float(high))


def effects(z: np.ndarray, states: np.ndarray) -> np.ndarray:
    """In which direction each concept moves z, the others being equal: unit rows [Q, D].

    Least squares of z [N, D] on all states [N, Q] at once, as a difference of means alone would point at what concepts
    share. Give training rows; every state must vary.
    """
    on = np.asarray(states, float)
    moves = np.linalg.lstsq(np.column_stack([on, np.ones(len(on))]), np.asarray(z, float), rcond=None)[0][:-1]
    return moves / np.linalg.norm(moves, axis=1, keepdims=True)
