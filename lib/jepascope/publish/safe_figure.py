"""Figures of a credentialed book: pictures of many patients at once, and no bar of a few (rules 3 and 6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from jepascope.publish.counts import FEWEST, MOST_MARKS, rounded

SHARE_OF_PATIENTS = re.compile(r"share of (?:test |training )?patients")
INVISIBLE = (None, "", " ", "None", "none")


def marks(figure: Figure) -> int:
    """The most marks that one artist of the figure draws: points of a scatter, or markers of a line."""
    return max((n for axes in figure.axes for n in _marks(axes)), default=0)


def safe_figure(figure: Figure, patients: int | None) -> str | None:
    """Round the bars that count, take those of fewer than 11 away, or say why the figure can't be shown.

    A bar that counts has a whole number for its length, or is a share of patients, of whom there are `patients` (None:
    not known). Axes end where the bars that are left do: their ends were somebody's. A figure is refused when it has a
    mark for every row (more than 200), writes numbers beside bars of few, or has no bar left.
    """
    if marks(figure) > MOST_MARKS:
        return f"withheld, because more than {MOST_MARKS} marks can be one for each encounter"
    for axes in figure.axes:
        for bars in axes.containers:
            if isinstance(bars, BarContainer) and (reason := _round_bars(axes, bars, patients)):
                return reason
    return None


def _marks(axes: Axes) -> Iterator[int]:
    for line in axes.lines:
        if line.get_marker() not in INVISIBLE:
            yield len(np.atleast_1d(line.get_xdata()))
    for collection in axes.collections:
        if isinstance(collection, PathCollection):
            yield len(np.asarray(collection.get_offsets()))


def _round_bars(axes: Axes, bars: BarContainer, patients: int | None) -> str | None:
    """Round the lengths of bars that count; says why they can't be shown."""
    upright = bars.orientation != "horizontal"
    lengths = np.array([patch.get_height() if upright else patch.get_width() for patch in bars.patches], float)
    shares = SHARE_OF_PATIENTS.search(axes.get_ylabel() if upright else axes.get_xlabel()) is not None
    if shares and patients is None:
        return "withheld, because it isn't known of how many patients its shares are"
    if not shares and (not len(lengths) or lengths.max() <= 1 or (lengths % 1).any()):
        return None  # a statistic, not a count
    unit = float(patients or 1) if shares else 1.0
    counts = np.round(lengths * unit).astype(int)
    few = (counts > 0) & (counts < FEWEST)
    if few.any() and (len(axes.texts) >= len(counts) or (counts < FEWEST).all()):
        return f"withheld, because a bar with its number beside it, or every bar, counts fewer than {FEWEST}"
    for patch, count in zip(bars.patches, counts, strict=True):
        _set(patch, upright, 0 if count < FEWEST else rounded(int(count)) / unit)
    if few.any() and upright:
        left = [patch for patch, count in zip(bars.patches, counts, strict=True) if count >= FEWEST]
        axes.set_xlim(min(p.get_x() for p in left), max(p.get_x() + p.get_width() for p in left))
    return None


def _set(patch: Any, upright: bool, length: float) -> None:
    if upright:
        patch.set_height(length)
    else:
        patch.set_width(length)
