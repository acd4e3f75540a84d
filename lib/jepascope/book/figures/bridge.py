"""The bridge: how far the names of the records reach into each object, tier by tier, and where it ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import NULL, OBJECT, TRUTH, mark_null, panels

TWIN = "#8A8A8A"
SEA = "#EEF3F7"


def bridge(spans: pd.DataFrame) -> Figure:
    """One panel a tier, one span an object: solid as far as labels reach, open water beyond; the twin's end is a dot.

    spans: columns tier, unit, object, explained, low, high, null, twin (NaN where not computed), reason.
    """
    tiers = list(dict.fromkeys(spans["tier"]))
    figure, axes = panels(columns=len(tiers), height=2.7, width=10.4)
    for panel, tier in zip(axes, tiers, strict=True):
        rows = spans[spans["tier"] == tier].reset_index(drop=True)
        places = -np.arange(len(rows), dtype=float)
        for y, (_, row) in zip(places, rows.iterrows(), strict=True):
            _span(panel, y, row)
        panel.set_yticks(places, rows["object"])
        panel.set(xlim=(0, 1), ylim=(places.min() - 0.6, 0.6), xticks=[0, 0.5, 1])
        panel.set_title(tier, fontsize=8.5)
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=7)
        panel.set_xlabel(rows["unit"].iloc[0], fontsize=7.5)
        panel.spines["left"].set_visible(False)
        panel.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
    return figure


def _span(panel, y: float, row: pd.Series) -> None:  # type: ignore[no-untyped-def]
    """One object's span: the deck, the gap that is left, the null and the twin."""
    if np.isnan(row["explained"]):
        panel.text(0.02, y, row["reason"], va="center", fontsize=7, color="#707070", style="italic")
        return
    reached = min(max(row["explained"], 0), 1)
    panel.barh(y, 1, height=0.62, color=SEA, edgecolor="#C8D4DE", linewidth=0.6, hatch="....", zorder=0)
    panel.barh(y, reached, height=0.62, color=OBJECT[row["object"]], zorder=1)
    panel.hlines(y, row["low"], row["high"], color="#222222", linewidth=1.6, zorder=3)
    if not np.isnan(row["null"]):
        panel.vlines(row["null"], y - 0.36, y + 0.36, color=NULL, linewidth=1.8, zorder=3)
    if not np.isnan(row["twin"]):
        panel.plot(row["twin"], y, "o", color=TWIN, markeredgecolor="white", markersize=6, zorder=4, clip_on=False)
    at, side, colour = (0.025, "left", "white") if reached > 0.25 else (0.985, "right", "#405060")
    panel.text(at, y, f"{1 - row['explained']:.0%} left", ha=side, va="center", fontsize=7.5, color=colour, zorder=5)


def axis_staircase(axes_table: pd.DataFrame) -> Figure:
    """R² of each principal axis by object, trained in colour and the twin in grey: where labels stop reaching.

    axes_table: columns model, object, axis, r2.
    """
    names = list(dict.fromkeys(axes_table["object"]))
    figure, axes = panels(columns=len(names), height=2.4, width=9.2)
    for panel, name in zip(axes, names, strict=True):
        for model, colour in (("untrained twin", TWIN), ("trained", OBJECT[name])):
            rows = axes_table[(axes_table["object"] == name) & (axes_table["model"] == model)]
            panel.plot(rows["axis"], rows["r2"], ".-", color=colour, linewidth=1.2, markersize=4, label=model)
        panel.set(ylim=(min(-0.05, float(axes_table["r2"].min())), 1), xlabel="principal axis", title=name)
        mark_null(panel, 0, "", horizontal=True)
    axes[0].set_ylabel("R² on labels, test patients")
    axes[0].legend(frameon=False, fontsize=7)
    return figure


def concept_parts(concepts: pd.DataFrame) -> Figure:
    """Every planted concept by how well the two parts of z tell it: the one without a label in pink.

    concepts: columns concept, labelled, part, value, low, high, of two parts: told and left, in this order.
    """
    told, left = list(dict.fromkeys(concepts["part"]))[:2]
    wide = concepts.set_index(["concept", "part"])
    figure, (panel,) = panels(height=3.6, width=6.4)
    for name, labelled in concepts.drop_duplicates("concept")[["concept", "labelled"]].itertuples(index=False):
        x, y = wide.loc[(name, told)], wide.loc[(name, left)]
        colour = OBJECT["z"] if labelled else TRUTH
        panel.hlines(y["value"], x["low"], x["high"], color=colour, linewidth=0.8, alpha=0.5)
        panel.vlines(x["value"], y["low"], y["high"], color=colour, linewidth=0.8, alpha=0.5)
        panel.plot(x["value"], y["value"], "o", color=colour, markersize=4 if labelled else 8)
        if not labelled or y["value"] >= concepts.loc[concepts["part"] == left, "value"].nlargest(4).min():
            words = "without a label" if not labelled else str(name).replace("_", " ")
            panel.annotate(words, (x["value"], y["value"]), (5, 5), textcoords="offset points", fontsize=7.5)
    mark_null(panel, 0.5, "chance", horizontal=True)
    panel.set(xlabel=f"AUROC from {told}", ylabel=f"AUROC from\n{left}")
    return figure
