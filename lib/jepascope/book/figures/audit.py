"""The two stories, told again: what the same records seem to foretell when the question is put wrongly."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import NULL, mark_null, panels

HONEST, WRONG = "#4D4D4D", "#56B4E9"  # neither is an object's colour


def stories(told: pd.DataFrame) -> Figure:
    """A line a way of asking: AUROC with its interval over patients, and in grey the interval of its null.

    told: name, value, low, high, null, null_low, null_high, n_patients, in reading order.
    """
    figure, (axes,) = panels(height=0.62 * len(told) + 0.7)
    for place, one in enumerate(told.itertuples()):
        y, colour = len(told) - place, HONEST if one.name.startswith("honest") else WRONG
        axes.plot([one.null_low, one.null_high], [y, y], color=NULL, linewidth=5, solid_capstyle="butt", zorder=1)
        axes.plot([one.low, one.high], [y, y], color=colour, linewidth=1.6, zorder=2)
        axes.plot(one.value, y, "o", color=colour, markersize=5, zorder=3)
        axes.annotate(f"{one.value:.2f}", (one.value, y), (0, 6), textcoords="offset points", ha="center", fontsize=8,
                      color=colour)  # fmt: skip
    axes.set_yticks(range(len(told), 0, -1), told["name"])
    axes.set_ylim(0.4, len(told) + 0.7)
    axes.set_xlabel("AUROC on test patients (grey: answers of patients who were asked about as often)")
    mark_null(axes, 0.5, "a coin")
    return figure
