"""The claims of a run on one scale."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import NULL, panels

INK, LIMIT, TICKS = "#333333", 60.0, (-30, -10, -3, -1, 0, 1, 3, 10, 30)


def beyond_their_bounds(told: pd.DataFrame, margins: pd.DataFrame) -> Figure:
    """How far each claim lies beyond its bound in every seed, in half-widths of its interval, question by question.

    told: columns id, question, statement, in the order to draw; margins: columns id, seed, margin, verdict. Claims
    without a number keep an empty row. What lies further than `LIMIT` is drawn at it.
    """
    figure, (axes,) = panels(height=0.9 + 0.2 * (len(told) + told["question"].nunique()), width=8.4)
    place, places, names = 0, [], []
    for asked, rows in told.groupby("question", sort=False):
        axes.text(0.0, place, asked, fontsize=8, fontweight="bold", ha="right", transform=axes.get_yaxis_transform())
        place -= 1
        for row in rows.itertuples():
            mine = margins[margins["id"] == row.id]
            across = mine["margin"].clip(-LIMIT, LIMIT)
            up = place + np.linspace(0.22, -0.22, len(mine)) if len(mine) > 1 else [place] * len(mine)
            for x, y, verdict in zip(across, up, mine["verdict"], strict=True):
                fill = INK if verdict == "holds" else "white"
                axes.plot(x, y, "o", color=INK, markerfacecolor=fill, markersize=4, markeredgewidth=0.9)
            places.append(place)
            names.append(_short(row.statement))
            place -= 1
    axes.axvspan(-1, 1, color=NULL, alpha=0.25, linewidth=0, zorder=0)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_yticks(places, names, fontsize=7)
    axes.set(xlim=(-1.3 * LIMIT, 1.3 * LIMIT), ylim=(place + 0.4, 0.8))
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.set(xlabel="half-widths of the interval beyond the bound")
    for x, word, side in ((1.2, "holds", "left"), (-1.2, "contradicted", "right"), (0, "not shown", "center")):
        axes.text(x, 1.0, word, fontsize=8, color="#707070", ha=side, va="bottom", transform=axes.get_xaxis_transform())
    return figure


def _short(statement: str) -> str:
    """A claim without its unit in brackets, and no longer than a label may be."""
    words = statement.rpartition(" (")[0] or statement
    return words if len(words) <= 78 else f"{words[:75].rsplit(' ', 1)[0]} …"
