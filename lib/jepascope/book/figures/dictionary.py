"""Features that come back, dictionaries beside each other, and sizes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jepascope.book.figures.style import NULL, OBJECT, mark_null, panels


def dictionary_agreement(pairs: pd.DataFrame, votes: pd.DataFrame, keep: float) -> Figure:
    """Features that another fit finds again, by data; and how many of z's features have how many votes.

    pairs: columns data, share, matched, features; one row a pair of fits. votes: a row a feature, columns alive,
    counts, voters, reappears, kept. keep: the share of votes asked for.
    """
    figure, (left, right) = panels(columns=2, height=2.7)
    names = list(dict.fromkeys(pairs["data"]))[::-1]
    for place, name in enumerate(names):
        rows = pairs[pairs["data"] == name]
        left.plot(rows["share"], np.full(len(rows), place), "o", color=OBJECT.get(name, NULL), alpha=0.5)
        text = f"{rows['matched'].mean():.0f} of {rows['features'].mean():.0f}"
        left.annotate(text, (rows["share"].max(), place), xytext=(8, -3), textcoords="offset points", fontsize=8)
    left.set_yticks(range(len(names)), [name.replace(" with", "\nwith") for name in names])
    left.set(xlim=(-0.02, 1), ylim=(-0.5, len(names) - 0.4), xlabel="share found again by another fit")
    living, voters = votes[votes["alive"]], int(votes["voters"].iloc[0])
    for count in range(voters + 1):
        at = living[living["counts"] == count]
        kept = bool(len(at)) and bool(at["kept"].all())
        right.bar(count, len(at), color=OBJECT["z"] if kept else NULL, width=0.8)
        if len(at):
            right.annotate(f"{at['reappears'].iloc[0]:.0%}", (count, len(at)), ha="center", va="bottom", fontsize=8)
    right.axvline(np.ceil(keep * voters) - 0.5, color=NULL, linestyle="--", linewidth=1)
    right.set(xlabel=f"votes of {voters}", ylabel="features", xticks=range(voters + 1))
    right.set_title("above bars: P(reappears)")
    return figure


def measured_forest(table: pd.DataFrame, names: Mapping[str, str], measures: Mapping[str, str]) -> Figure:
    """Measures with intervals, a row a dictionary: those of the trained z in blue, of the twin in grey.

    table: columns dictionary, measure, value, low, high. names: dictionary -> what to call it, from top to bottom;
    measures: measure -> axis label, a panel each.
    """
    figure, axes = panels(columns=len(measures), height=0.7 + 0.24 * len(names))
    for panel, (measure, label) in zip(axes, measures.items(), strict=True):
        rows = table[table["measure"] == measure].set_index("dictionary")
        for place, name in enumerate(reversed(list(names))):
            if name in rows.index:
                _interval(panel, rows.loc[name], place, OBJECT["untrained z" if name.startswith("twin") else "z"])
        panel.set_yticks(range(len(names)), list(names.values())[::-1] if panel is axes[0] else [""] * len(names))
        panel.set(xlabel=label, ylim=(-0.6, len(names) - 0.4))
    for panel, measure in zip(axes, measures, strict=True):
        if measure.startswith("auroc"):
            mark_null(panel, 0.5, "chance")
    return figure


def _interval(panel: Axes, row: pd.Series, place: int, colour: str) -> None:
    panel.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.6)
    panel.plot(row["value"], place, "o", color=colour, markersize=4)


def sizes_figure(sizes: pd.DataFrame, used: int) -> Figure:
    """What a larger dictionary buys: unexplained variance, and how much of it comes back on other patients.

    sizes: columns features, living, kept, reappearing, reappearing_of_all, fvu, fvu_kept; used: the size in use.
    """
    figure, (unexplained, returning) = panels(columns=2, height=2.5)
    unexplained.plot(sizes["features"], sizes["fvu"], "o-", color=OBJECT["z"], label="all features")
    unexplained.plot(sizes["features"], sizes["fvu_kept"], "o--", color=OBJECT["z"], label="kept features alone")
    unexplained.set(ylabel="FVU, validation patients", ylim=(0, None))
    returning.plot(sizes["features"], sizes["reappearing"], "o--", color=OBJECT["z"], label="kept")
    returning.plot(sizes["features"], sizes["reappearing_of_all"], "o-", color=OBJECT["z"], label="all living")
    for row in sizes.itertuples():
        text = f"{row.kept} of {row.living} kept"
        at = (row.features, row.reappearing_of_all)
        returning.annotate(text, at, xytext=(0, -12), textcoords="offset points", fontsize=7.5, ha="center")
    returning.set(ylabel="share reappearing", ylim=(0, 1))
    for panel in (unexplained, returning):
        panel.set_xscale("log", base=2)
        panel.set_xticks(list(sizes["features"]), [str(size) for size in sizes["features"]])
        panel.axvline(used, color=NULL, linestyle="--", linewidth=1, zorder=0)
        panel.set(xlabel="features (dashed: in use)")
        panel.margins(x=0.15)
        panel.legend(frameon=False, fontsize=8)
    return figure
