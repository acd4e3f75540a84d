"""A patient's encounters as a path through a space: how long its steps are, and whether it keeps its direction.

Neither has a null of zero. Encounters in no order at all turn back at every step, with a mean cosine of −1/2 between
neighbouring steps, as both share the point between them. So a path is held against the same points in another order.
Everything here follows from distances within patients, which are computed once: another order is then a look-up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    Null,
    bootstrap_of_sums,
    null_of,
    patient_codes,
)

# Pairs of rows whose difference is held at once: 64 MB at 64 dimensions.
CHUNK_PAIRS = 250_000
# Relative to the mean squared step: what is shorter is no movement, and has no direction.
STILL = 1e-9


class Paths(NamedTuple):
    """N rows of B patients, each patient's in order of k, with the squared distances between all rows of a patient."""

    k: np.ndarray  # int [N], place in the patient's path: 0, 1, …
    length: np.ndarray  # int [N], rows of the patient
    table: np.ndarray  # int [N], where the patient's table begins in `squared`
    squared: np.ndarray  # float [Q], tables [length, length], flat, one after another

    def between(self, rows: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Squared distance of places a and b in the path of each row [n]."""
        return self.squared[self.table[rows] + a * self.length[rows] + b]


class Walks(NamedTuple):
    """For each of R rows, places of its path in the order in which they are walked, one walk after another."""

    rows: np.ndarray  # int [R], the rows whose paths are walked
    owner: np.ndarray  # int [P], 0..R-1, ascending
    place: np.ndarray  # int [P]


# (paths, R walks) -> sums [R] and counts [R]; the measure is their ratio.
Measure = Callable[[Paths, Walks], tuple[np.ndarray, np.ndarray]]


class Excess(NamedTuple):
    """A mean over paths, less its mean when the same points are walked in another order."""

    observed: Estimate
    shuffled: float
    excess: Estimate
    null: Null  # the excess of single shuffles: about zero


def paths(x: np.ndarray, patients: np.ndarray) -> Paths:
    """Distances within patients, once for all orders. x [N, D], patients [N], rows of each together, in order of k.

    Raises ValueError if a patient's rows don't stand together. O(Σ length² D).
    """
    codes, n_patients = patient_codes(patients, 1)
    first = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    if len(first) != n_patients:
        raise ValueError("rows of a patient must stand together, in order of k: sort by (subject_id, k) first")
    count = np.diff(np.r_[first, len(codes)])  # [B]
    begin, length = np.repeat(first, count), np.repeat(count, count)
    k = np.arange(len(codes)) - begin
    table = np.repeat(np.cumsum(count**2) - count**2, count)
    left = np.repeat(np.arange(len(codes)), length)  # [Q], the row, then all rows of its patient
    right = np.arange(len(left)) - np.repeat(np.cumsum(length) - length, length) + np.repeat(begin, length)
    squared = np.empty(len(left))
    for a in range(0, len(left), CHUNK_PAIRS):
        chunk = slice(a, a + CHUNK_PAIRS)
        apart = x[left[chunk]] - x[right[chunk]]
        squared[chunk] = np.einsum("qd,qd->q", apart, apart)
    return Paths(k, length, table, squared)


def walks(found: Paths, rows: np.ndarray) -> Walks:
    """The path up to and including each row [R], as it was: places 0, 1, …, k. Nothing after the row is in it."""
    size = found.k[rows] + 1
    owner = np.repeat(np.arange(len(rows)), size)
    return Walks(rows, owner, np.arange(len(owner)) - np.repeat(np.cumsum(size) - size, size))


def whole_paths(found: Paths, encounters: int) -> Walks:
    """The whole path of every patient with at least so many encounters. Raises NotComputable if there is none."""
    rows = np.flatnonzero((found.k == found.length - 1) & (found.length >= encounters))
    if not len(rows):
        raise NotComputable(f"no patient has {encounters} encounters")
    return walks(found, rows)


def shuffled(walked: Walks, rng: np.random.Generator, middle: bool = False) -> Walks:
    """The same points in another order; with `middle`, the first and the last place of each walk stay where they are.

    `walked` must be in its own order, as `walks` makes it.
    """
    key = rng.random(len(walked.owner))
    if middle:
        change = np.flatnonzero(np.diff(walked.owner)) + 1
        key[np.r_[0, change]], key[np.r_[change, len(key)] - 1] = -1, 2
    # Owners ascend, so their walks stay where they are and only places within a walk move.
    return walked._replace(place=walked.place[np.argsort(walked.owner + (key + 1) / 4, kind="stable")])


def steps(found: Paths, walked: Walks) -> tuple[np.ndarray, np.ndarray]:
    """Squared length of each step of the walks, and whose it is: float [P − R], int [P − R]."""
    inside = walked.owner[1:] == walked.owner[:-1]
    owner = walked.owner[1:][inside]
    return found.between(walked.rows[owner], walked.place[:-1][inside], walked.place[1:][inside]), owner


def turns(found: Paths, walked: Walks) -> tuple[np.ndarray, np.ndarray]:
    """Cosine between neighbouring steps, and whose it is: 1 is straight on, −1 straight back. float [n], int [n].

    With places a, b, c walked in a row, ‖c − a‖² = ‖b − a‖² + ‖c − b‖² + 2 ⟨b − a, c − b⟩ gives the product without
    the vectors. Next to a step of no length there is no turn, and none is returned.
    """
    inside = walked.owner[2:] == walked.owner[:-2]
    owner, rows = walked.owner[2:][inside], walked.rows[walked.owner[2:][inside]]
    a, b, c = (walked.place[i : len(walked.place) - 2 + i][inside] for i in range(3))
    first, second, across = found.between(rows, a, b), found.between(rows, b, c), found.between(rows, a, c)
    moving = np.minimum(first, second) > STILL * found.squared.mean()
    product = (across - first - second)[moving] / 2
    return np.clip(product / np.sqrt(first * second)[moving], -1, 1), owner[moving]


def turning(found: Paths, walked: Walks) -> tuple[np.ndarray, np.ndarray]:
    """Sum of turning cosines of each walk and their number: [R], [R]. Sums, so that a mean counts every turn alike."""
    cosine, owner = turns(found, walked)
    size = len(walked.rows)
    return np.bincount(owner, cosine, size), np.bincount(owner, minlength=size).astype(float)


def straightness(found: Paths, walked: Walks) -> tuple[np.ndarray, np.ndarray]:
    """Distance from first to last point over the length of the walk, and 1 where it has a length: [R], [R].

    1 is a straight line. It falls with the number of steps even in a wandering that never turns back on purpose, so it
    is only to be compared between orders of the same points.
    """
    squared, owner = steps(found, walked)
    length = np.bincount(owner, np.sqrt(squared), len(walked.rows))
    start = np.flatnonzero(np.r_[True, np.diff(walked.owner) > 0])
    end = np.r_[start[1:], len(walked.owner)] - 1
    net = np.sqrt(found.between(walked.rows, walked.place[start], walked.place[end]))
    moved = length > 0
    return np.divide(net, length, out=np.zeros_like(net), where=moved), moved.astype(float)


def order_excess(
    found: Paths,
    walked: Walks,
    measure: Measure,
    draws: int,
    how: Inference,
    rng: np.random.Generator,
) -> Excess:
    """A measure of order, less its mean over shuffles of the same patient's points: what the points alone give is gone.

    excess = Σ_p S_p / Σ_p n_p − Σ_p mean_s S_p^{(s)} / Σ_p mean_s n_p^{(s)}, with S_p the sum of the measure over
    patient p's walk and n_p its count: an order that sets equal points apart has more turns. Patients are bootstrapped.
    The null is the excess of single shuffles over the mean of all.

    Args: walked: one whole path a patient; measure: `turning` or `straightness`; draws of shuffles.
    Raises NotComputable under `how.min_patients` walks, or where nothing moves.
    """
    names = np.arange(len(walked.rows))
    orders = [walked, *(shuffled(walked, rng) for _ in range(draws))]
    measured = np.stack([np.stack(measure(found, order), axis=1) for order in orders])  # [1 + draws, R, 2]
    columns = np.hstack([measured[0], measured[1:].mean(axis=0)])

    def bootstrap(statistic: Callable[[np.ndarray], np.ndarray]) -> Estimate:
        return bootstrap_of_sums(statistic, columns, names, how.bootstrap, how.level, rng, how.min_patients)

    observed = bootstrap(lambda s: s[:, 0] / s[:, 1])
    excess = bootstrap(lambda s: s[:, 0] / s[:, 1] - s[:, 2] / s[:, 3])
    n_rows = int((found.k[walked.rows] + 1).sum())
    sums, counts = measured[1:].sum(axis=1).T  # [draws] each
    singly = sums / counts - sums.sum() / counts.sum()
    null = null_of(singly, excess.value, how.level)
    return Excess(observed._replace(n_rows=n_rows), observed.value - excess.value, excess._replace(n_rows=n_rows), null)


def pace(found: Paths, days: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator) -> Estimate:
    """Slope of log step length on log days between two encounters: 1 moves with the calendar, 0 with the encounter.

    Speed per day alone would say that patients who come back soon move fast, whatever they do. days [N], since the
    encounter before (NaN at the first); patients [N]. Raises NotComputable under `how.min_patients` who move.
    """
    later = np.flatnonzero(found.k > 0)
    length = np.sqrt(found.between(later, found.k[later] - 1, found.k[later]))
    moved = (length > 0) & np.isfinite(days[later])
    x, y = np.log1p(np.maximum(days[later][moved], 0)), np.log(length[moved])
    columns = np.stack([np.ones(len(x)), x, y, x * x, x * y], axis=1)

    def slope(s: np.ndarray) -> np.ndarray:
        n, sx, sy, sxx, sxy = s.T
        return (n * sxy - sx * sy) / (n * sxx - sx**2)

    mine = patients[later][moved]
    return bootstrap_of_sums(slope, columns, mine, how.bootstrap, how.level, rng, how.min_patients)
