"""What methods find in nothing, and how strong something has to be for them to find it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import mark_null, panels

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


def power_curves(alarms: pd.DataFrame) -> Figure:
    """Share of cohorts in which a method reports something, by the strength of what is there; a panel each.

    alarms: columns method, shared, alarms, low, high.
    """
    methods = list(dict.fromkeys(alarms["method"]))
    figure, axes = panels(columns=len(methods), width=9.6, height=2.6)
    for panel, method in zip(axes, methods, strict=True):
        rows = alarms[alarms["method"] == method]
        panel.vlines(rows["shared"], rows["low"], rows["high"], color=COLOURS[0], linewidth=1.3)
        panel.plot(rows["shared"], rows["alarms"], "o-", color=COLOURS[0], markersize=4, linewidth=1)
        panel.set(ylim=(-0.03, 1.03), xlabel="loading of the factor")
        panel.set_title("\n".join(_halves(method)), fontsize=8)
        mark_null(panel, 0.05, "nominal", horizontal=True)
        if panel is not axes[0]:
            panel.set_yticklabels([])
    axes[0].set_ylabel("share of cohorts")
    return figure


def rows_beside_patients(table: pd.DataFrame) -> Figure:
    """In how many cohorts of nothing each method reports something, done by rows and done by patients."""
    figure, (axes,) = panels(height=2.6)
    places = np.arange(len(table))[::-1]
    for column, colour, name in (
        ("alarms_rows", COLOURS[1], "by rows"),
        ("alarms_patients", COLOURS[0], "by patients"),
    ):
        axes.plot(table[column], places, "o", color=colour, markersize=6, label=name)
    axes.hlines(places, table["alarms_patients"], table["alarms_rows"], color="#B0B0B0", linewidth=1, zorder=0)
    axes.set_yticks(places, table["method"])
    axes.set(xlim=(-0.05, 1.05), xlabel="share of cohorts of nothing with a finding")
    axes.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 1.15))
    return figure


def _halves(words: str) -> tuple[str, str]:
    parts = words.split()
    middle = (len(parts) + 1) // 2
    return " ".join(parts[:middle]), " ".join(parts[middle:])
