"""A patient's encounters as a path through a space: the steps and turns of a walk over them, in whatever order.

Both follow from the distances within patients, which are computed once: another order is then a look-up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import NotComputable, patient_codes

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


def turns(found: Paths, walked: Walks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine between neighbouring steps, whose it is, and at which of the P places: float [n], int [n], int [n].

    1 is straight on, −1 straight back.

    With places a, b, c walked in a row, ‖c − a‖² = ‖b − a‖² + ‖c − b‖² + 2 ⟨b − a, c − b⟩ gives the product without
    the vectors. Next to a step of no length there is no turn, and none is returned.
    """
    at = np.flatnonzero(walked.owner[2:] == walked.owner[:-2]) + 1
    owner = walked.owner[at]
    rows = walked.rows[owner]
    a, b, c = (walked.place[at + i] for i in (-1, 0, 1))
    first, second, across = found.between(rows, a, b), found.between(rows, b, c), found.between(rows, a, c)
    moving = np.minimum(first, second) > STILL * found.squared.mean()
    product = (across - first - second)[moving] / 2
    return np.clip(product / np.sqrt(first * second)[moving], -1, 1), owner[moving], at[moving]
