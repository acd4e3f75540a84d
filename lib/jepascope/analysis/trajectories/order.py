"""How a path is walked, by encounter and by day: how fast, how sharply it turns, how straight. Is there an order in it?

None of these has a null of zero. Encounters in no order at all turn back at every step, with a mean cosine of −1/2
between neighbouring steps, as both share the point between them. So a path is held against the same points in another
order, on the same days.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import Estimate, Inference, Null, bootstrap_of_sums, null_of
from jepascope.analysis.trajectories.paths import Paths, Walks, shuffled, steps, turns

# (paths, R walks) -> sums [R] and counts, or days, [R]; the measure is the ratio of their totals.
Measure = Callable[[Paths, Walks], tuple[np.ndarray, np.ndarray]]


class Order(NamedTuple):
    """A measure on B paths, one a patient, as they were walked and shuffled."""

    columns: np.ndarray  # [B, 4]: sum and count as walked, and their means over shuffles
    singly: np.ndarray  # [draws], of each shuffle, over all paths, less that of all shuffles together
    n_rows: int


class Excess(NamedTuple):
    """A mean over paths, less its mean when the same points are walked in another order."""

    observed: Estimate
    shuffled: float
    excess: Estimate
    null: Null  # the excess of single shuffles: about zero


def step_length(found: Paths, walked: Walks) -> tuple[np.ndarray, np.ndarray]:
    """Length of each walk, Σ‖v_t‖, and its number of steps: [R], [R]."""
    squared, owner = steps(found, walked)
    size = len(walked.rows)
    return np.bincount(owner, np.sqrt(squared), size), np.bincount(owner, minlength=size).astype(float)


def turning(found: Paths, walked: Walks) -> tuple[np.ndarray, np.ndarray]:
    """Sum of turning cosines of each walk and their number: [R], [R]. Sums, so that a mean counts every turn alike."""
    cosine, owner, _ = turns(found, walked)
    size = len(walked.rows)
    return np.bincount(owner, cosine, size), np.bincount(owner, minlength=size).astype(float)


def angle(found: Paths, walked: Walks) -> tuple[np.ndarray, np.ndarray]:
    """Sum of turning angles θ_t of each walk in degrees and their number: [R], [R]. 0° is straight on, 180° back.

    It is the discrete curvature of a path, by encounter. Beside a step of no length there is none.
    """
    cosine, owner, _ = turns(found, walked)
    size = len(walked.rows)
    return np.bincount(owner, np.degrees(np.arccos(cosine)), size), np.bincount(owner, minlength=size).astype(float)


def speed(days: np.ndarray) -> Measure:
    """`step_length` over the days it takes in place of the number of steps. days [N], when each row was.

    Days stay where they are when points are walked in another order: the i-th visit is on the i-th day, whichever
    point it is to.
    """

    def measure(found: Paths, walked: Walks) -> tuple[np.ndarray, np.ndarray]:
        when, (start, end) = _when(found, walked, days), _ends(walked)
        return step_length(found, walked)[0], when[end] - when[start]

    return measure


def curvature(days: np.ndarray) -> Measure:
    """`angle` over days in place of turns: a turn takes half the days of the two steps it joins. days as in `speed`."""

    def measure(found: Paths, walked: Walks) -> tuple[np.ndarray, np.ndarray]:
        when, (_, owner, at) = _when(found, walked, days), turns(found, walked)
        return angle(found, walked)[0], np.bincount(owner, (when[at + 1] - when[at - 1]) / 2, len(walked.rows))

    return measure


def straightness(found: Paths, walked: Walks) -> tuple[np.ndarray, np.ndarray]:
    """Distance from first to last point over the length of the walk, and 1 where it has a length: [R], [R].

    1 is a straight line. It falls with the number of steps even in a wandering that never turns back on purpose, so it
    is only to be compared between orders of the same points.
    """
    length, _ = step_length(found, walked)
    start, end = _ends(walked)
    net = np.sqrt(found.between(walked.rows, walked.place[start], walked.place[end]))
    moved = length > 0
    return np.divide(net, length, out=np.zeros_like(net), where=moved), moved.astype(float)


def _ends(walked: Walks) -> tuple[np.ndarray, np.ndarray]:
    """Where in `walked.place` each walk begins and ends: int [R], int [R]."""
    start = np.flatnonzero(np.r_[True, np.diff(walked.owner) > 0])
    return start, np.r_[start[1:], len(walked.owner)] - 1


def _when(found: Paths, walked: Walks, days: np.ndarray) -> np.ndarray:
    """Day of the first, second, … visit of each walk [P]: those of the record, in its order."""
    start, _ = _ends(walked)
    visit = np.arange(len(walked.owner)) - start[walked.owner]
    return days[(walked.rows - found.k[walked.rows])[walked.owner] + visit]


def measure_order(found: Paths, walked: Walks, measure: Measure, draws: int, rng: np.random.Generator) -> Order:
    """A measure of `walked`, one whole path a patient, and of `draws` shuffles of the same patient's points."""
    orders = [walked, *(shuffled(walked, rng) for _ in range(draws))]
    measured = np.stack([np.stack(measure(found, order), axis=1) for order in orders])  # [1 + draws, B, 2]
    sums, counts = measured[1:].sum(axis=1).T  # [draws] each
    columns = np.hstack([measured[0], measured[1:].mean(axis=0)])
    return Order(columns, sums / counts - sums.sum() / counts.sum(), int((found.k[walked.rows] + 1).sum()))


def order_excess(order: Order, how: Inference, rng: np.random.Generator) -> Excess:
    """A measure of order, less its mean over shuffles of the same patient's points: what the points alone give is gone.

    excess = Σ_p S_p / Σ_p n_p − Σ_p mean_s S_p^{(s)} / Σ_p mean_s n_p^{(s)}, with S_p the sum of the measure over
    patient p's walk and n_p its count: an order that sets equal points apart has more turns. Patients are bootstrapped.
    The null is the excess of single shuffles over the mean of all.

    Raises NotComputable under `how.min_patients` walks, or where nothing moves.
    """
    observed = _bootstrap(lambda s: s[:, 0] / s[:, 1], order.columns, order.n_rows, how, rng)
    excess = _bootstrap(_excess, order.columns, order.n_rows, how, rng)
    return Excess(observed, observed.value - excess.value, excess, null_of(order.singly, excess.value, how.level))


def excess_beyond(ours: Order, twin: Order, how: Inference, rng: np.random.Generator) -> Estimate:
    """Excess of ours less that of the untrained twin, on the same draws of the same patients.

    Two intervals side by side forget that both are of the same records: their overlap says little of the difference.
    Raises NotComputable as `order_excess`.
    """
    columns = np.hstack([ours.columns, twin.columns])
    return _bootstrap(lambda s: _excess(s[:, :4]) - _excess(s[:, 4:]), columns, ours.n_rows, how, rng)


def _excess(s: np.ndarray) -> np.ndarray:
    return s[:, 0] / s[:, 1] - s[:, 2] / s[:, 3]


def _bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    columns: np.ndarray,
    n_rows: int,
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    names = np.arange(len(columns))  # one row a patient
    found = bootstrap_of_sums(statistic, columns, names, how.bootstrap, how.level, rng, how.min_patients)
    return found._replace(n_rows=n_rows)


def pace(found: Paths, days: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator) -> Estimate:
    """Slope of log step length on log days between two encounters: 1 moves with the calendar, 0 with the encounter.

    Speed per day alone would say that patients who come back soon move fast, whatever they do. days [N], when each row
    was, from any origin; patients [N]. Raises NotComputable under `how.min_patients` who move.
    """
    later = np.flatnonzero(found.k > 0)
    length = np.sqrt(found.between(later, found.k[later] - 1, found.k[later]))
    took, moved = days[later] - days[later - 1], length > 0
    x, y = np.log1p(np.maximum(took[moved], 0)), np.log(length[moved])
    columns = np.stack([np.ones(len(x)), x, y, x * x, x * y], axis=1)

    def slope(s: np.ndarray) -> np.ndarray:
        n, sx, sy, sxx, sxy = s.T
        return (n * sxy - sx * sy) / (n * sxx - sx**2)

    mine = patients[later][moved]
    return bootstrap_of_sums(slope, columns, mine, how.bootstrap, how.level, rng, how.min_patients)
