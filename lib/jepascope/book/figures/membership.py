"""Attacks on membership: what each reaches, and what it would see of a known memory."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import NULL, OBJECT, mark_null, panels

# One row's intervals, from top to bottom: model, whom it is asked about, ink, marker, where it stands.
LINES = (
    ("trained", "training patients", OBJECT["e"], "o", 0.22, "the trained model"),
    ("untrained twin", "training patients", OBJECT["untrained z"], "D", 0.0, "its untrained twin"),
    ("trained", "validation patients", "#56B4E9", "s", -0.22, "on patients whom nobody trained on"),
)


def attacks(table: pd.DataFrame, planted: pd.DataFrame) -> Figure:
    """Left, the AUROC of every attack with its interval and its null; right, that of two attacks by planted memory.

    table: of `pipeline.error.membership.infer_membership`, attacks without a number left out of the lines; planted:
    columns attack, share, auroc.
    """
    names = list(dict.fromkeys(table["attack"]))[::-1]
    figure, (left, right) = panels(columns=2, height=0.9 + 0.42 * len(names))
    rows = table[table["value"].notna()].set_index(["model", "asked", "attack"])
    for model, asked, ink, marker, shift, label in LINES:
        here = [(place, name) for place, name in enumerate(names) if (model, asked, name) in rows.index]
        for place, name in here:
            row, y = rows.loc[(model, asked, name)], place + shift
            left.plot([row["null_low"], row["null_high"]], [y, y], color=NULL, linewidth=5, alpha=0.5, zorder=1)
            left.plot([row["low"], row["high"]], [y, y], color=ink, linewidth=1.6, zorder=2)
            left.plot(row["value"], y, marker, color=ink, markersize=4, zorder=3)
        left.plot([], [], marker, color=ink, label=label, markersize=4)
    left.set_yticks(range(len(names)), names, fontsize=8)
    left.set(xlabel="AUROC (grey: members drawn anew)", title="who trained it?", ylim=(-0.6, len(names) - 0.4))
    mark_null(left, 0.5, "a coin")
    left.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    for name, style in zip(dict.fromkeys(planted["attack"]), ("-o", "--s"), strict=False):
        line = planted[planted["attack"] == name]
        right.plot(100 * line["share"], line["auroc"], style, color=OBJECT["e"], markersize=4, label=name)
    mark_null(right, 0.5, "a coin", horizontal=True)
    right.set(xlabel="validation patients' e made shorter by, %", ylabel="AUROC", title="what an attack would see")
    if len(planted):
        right.legend(frameon=False, fontsize=7.5)
    return figure
