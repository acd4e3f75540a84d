"""Claims across seeds, and planted concepts by their dynamics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import DYNAMICS, OBJECT, mark_null, panels

INK = "#333333"
NAMED = 5  # seeds of a claim whose names fit beside its lines


def claims_by_seed(claims: pd.DataFrame) -> Figure:
    """Each claim's estimate and interval in each seed, with its null, on an axis of its own.

    claims: columns statement, seed, value, low, high, null_value, verdict; rows without a number are left out. Seeds
    are named while there is room for their names; the first is at the top.
    """
    claims = claims.dropna(subset=["value"])
    statements, seeds = list(dict.fromkeys(claims["statement"])), claims["seed"].nunique()
    figure, axes = panels(rows=max(len(statements), 1), height=0.68 + 0.09 * min(seeds, 10))
    for panel, statement in zip(axes, statements, strict=False):
        rows = claims[claims["statement"] == statement].sort_values("seed", ascending=False).reset_index()
        for place, row in rows.iterrows():
            fill = INK if row["verdict"] == "holds" else "white"
            panel.plot([row["low"], row["high"]], [place, place], color=INK, linewidth=1.5)
            panel.plot(row["value"], place, "o", color=INK, markerfacecolor=fill, markersize=5)
        mark_null(panel, float(rows["null_value"].mean()), "null")
        names = [f"seed {seed:.0f}" for seed in rows["seed"]] if seeds <= NAMED else []
        panel.set_yticks(range(len(names)), names, fontsize=7)
        panel.set_title(statement)
        panel.margins(y=0.4)
    return figure


def auroc_by_dynamics(families: pd.DataFrame) -> Figure:
    """Mean probe AUROC of planted concepts on each object, by their dynamics.

    families: columns dynamics, object, value, low, high.
    """
    objects = [name for name in OBJECT if name in set(families["object"])]
    figure = dots_by_dynamics(families, "object", {name: OBJECT[name] for name in objects})
    figure.axes[0].set(ylabel="mean AUROC, test patients", ylim=(0.4, 1.02))
    mark_null(figure.axes[0], 0.5, "chance", horizontal=True)
    return figure


def dots_by_dynamics(table: pd.DataFrame, column: str, colours: Mapping[str, str]) -> Figure:
    """Values with intervals by how planted concepts behave in time: a colour for each of `column`.

    table: columns dynamics, value, low, high and `column`; colours in the order to draw.
    """
    kinds = [kind for kind in DYNAMICS if kind in set(table["dynamics"])]
    figure, (axes,) = panels(height=3.4)
    for offset, (name, colour) in zip(np.linspace(-0.3, 0.3, len(colours)), colours.items(), strict=True):
        rows = table[table[column] == name].set_index("dynamics").reindex(kinds)
        places = np.arange(len(kinds)) + offset
        axes.vlines(places, rows["low"], rows["high"], color=colour, linewidth=1.4)
        axes.plot(places, rows["value"], "o", color=colour, markersize=4, label=name.replace("_", " "))
    axes.set_xticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    axes.legend(frameon=False, fontsize=8, ncols=len(colours), loc="upper center", bbox_to_anchor=(0.5, 1.12))
    return figure
