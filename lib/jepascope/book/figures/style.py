"""One look for every figure: one colour per object, everywhere, and direct labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colour-blind safe (Okabe and Ito 2008). z blue, c green, ẑ orange, e red; what isn't trained is grey.
OBJECT = {
    "z": "#0072B2",
    "c": "#009E73",
    "ẑ": "#E69F00",
    "e": "#D55E00",
    "untrained z": "#8A8A8A",
    "raw codes": "#4D4D4D",
}
TRUTH = "#CC79A7"
DYNAMICS = ("chronic", "drift", "cyclic", "episodic", "driven", "long_memory", "shock")  # from lasting to sudden
NULL = "#B0B0B0"
# A principal axis with less than this share of the largest variance is empty: its skill is a ratio of roundings.
EMPTY = 1e-3


def panels(rows: int = 1, columns: int = 1, width: float = 7.2, height: float = 2.9) -> tuple[Figure, Sequence[Axes]]:
    """Make a figure of equal panels, without the global state of pyplot. Sizes in inches, height per row."""
    seaborn.set_theme(style="ticks", context="paper", rc={"axes.spines.top": False, "axes.spines.right": False})
    matplotlib.rcParams.update({"font.size": 9, "axes.titlesize": 9.5, "axes.titlelocation": "left"})
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def mark_null(axes: Axes, value: float, label: str, horizontal: bool = False) -> None:
    """Draw the value that nothing would give, named at the line."""
    draw = axes.axhline if horizontal else axes.axvline
    draw(value, color=NULL, linestyle="--", linewidth=1, zorder=0)
    style: dict[str, Any] = {"color": "#707070", "fontsize": 7.5}
    if horizontal:
        axes.text(1.0, value, label, ha="right", va="bottom", transform=axes.get_yaxis_transform(), **style)
    else:
        axes.text(value, 1.0, f" {label}", ha="left", va="top", transform=axes.get_xaxis_transform(), **style)
