"""Pictures of movement that show no person: mean steps by cell of a plane, mean positions by k. For looking."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from jepascope.analysis.inference.stats import NotComputable


class Field(NamedTuple):
    """Mean step of the C cells of a plane that hold enough patients."""

    at: np.ndarray  # [C, 2], middles of cells
    step: np.ndarray  # [C, 2]
    patients: np.ndarray  # int [C]


class Band(NamedTuple):
    """Mean position at each of K values of k with enough patients, and its interval."""

    k: np.ndarray  # int [K]
    value: np.ndarray  # [K]
    low: np.ndarray  # [K]
    high: np.ndarray  # [K]
    patients: np.ndarray  # int [K]


def plane(x: np.ndarray, axes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and first principal axes [D, axes] of x [N, D]: fitted on some patients, to place others in."""
    mean = x.mean(axis=0)
    _, _, Vt = np.linalg.svd(x - mean, full_matrices=False)
    return mean, Vt[:axes].T


def cells(at: np.ndarray, number: int) -> np.ndarray:
    """Borders [2, number + 1] of cells over the middle 98 % of points [N, 2] on each axis: outliers stretch them."""
    low, high = np.quantile(at, [0.01, 0.99], axis=0)
    return np.linspace(low, high, number + 1).T


def field(start: np.ndarray, step: np.ndarray, patients: np.ndarray, borders: np.ndarray, least: int) -> Field:
    """Mean step of the steps that start in each cell; a cell of fewer than `least` patients is left out.

    start [M, 2], step [M, 2], patients [M], borders of `cells`.
    """
    number = borders.shape[1] - 1
    place = np.stack([np.searchsorted(borders[i], start[:, i], "right") - 1 for i in range(2)])  # [2, M]
    inside = ((place >= 0) & (place < number)).all(axis=0)
    cell = (place[0] * number + place[1])[inside]
    pairs = np.unique(np.stack([cell, np.unique(patients, return_inverse=True)[1][inside]]), axis=1)
    distinct = np.bincount(pairs[0], minlength=number**2)
    full = np.flatnonzero(distinct >= least)
    count = np.bincount(cell, minlength=number**2)
    mean = np.stack([np.bincount(cell, step[inside, i], number**2) for i in range(2)], axis=1)[full] / count[full, None]
    middles = (borders[:, 1:] + borders[:, :-1]) / 2
    return Field(np.stack([middles[0][full // number], middles[1][full % number]], axis=1), mean, distinct[full])


def matched_ends(x: np.ndarray, member: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of x [N, D] without and with `member` bool [N], over the same mix of k [N]: [D], [D].

    Whoever has been coded has come more often, so plain means lie apart along the length of the record, too, and a
    patient without the concept would walk from one to the other by coming back. Each k weighs as many rows as have the
    concept then; a k is left out where one side has none. Raises NotComputable where every k is.
    """
    mine, others = (np.bincount(k[side], minlength=k.max() + 1) for side in (member, ~member))
    both = (mine > 0) & (others > 0)
    if not both.any():
        raise NotComputable("no k has patients with the concept and without it")
    weight = both[k] * np.where(member, 1.0, (mine / np.maximum(others, 1))[k])
    without, having = (np.average(x[side], axis=0, weights=weight[side]) for side in (~member, member))
    return without, having


def along(x: np.ndarray, origin: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Position of rows x [N, D] on the line from `origin` (0) to `goal` (1), both [D]. Returns [N]."""
    axis = goal - origin
    return (x - origin) @ axis / (axis @ axis)


def band(position: np.ndarray, k: np.ndarray, last: int, level: float, least: int) -> Band:
    """Mean position [N] at each k ≤ `last`, with mean ± z s / √n: at one k every patient has one row, so rows are
    independent there. A k of fewer than `least` patients is left out.
    """
    kept = [position[k == j] for j in range(last + 1)]
    shown = np.array([j for j, values in enumerate(kept) if len(values) >= least], int)
    mean = np.array([kept[j].mean() for j in shown])
    half = norm.ppf((1 + level) / 2) * np.array([kept[j].std(ddof=1) / np.sqrt(len(kept[j])) for j in shown])
    return Band(shown, mean, mean - half, mean + half, np.array([len(kept[j]) for j in shown], int))
