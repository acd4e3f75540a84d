"""The field's methods side by side: what they find of the truth, what they leave of ẑ, and when steps grow longer."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import NULL, OBJECT, mark_null, panels

# What a method looks at, in the colour of the object.
LOOKS = {"z": OBJECT["z"], "ẑ": OBJECT["ẑ"], "c → ẑ": OBJECT["c"], "c": OBJECT["raw codes"]}
LENGTHS = {
    "‖Δz‖": OBJECT["z"],
    "‖e‖": OBJECT["e"],
    "untrained ‖Δz‖": OBJECT["untrained z"],
    "raw codes": OBJECT["raw codes"],
}
BASES = {"interaction basis": OBJECT["c"], "principal axes": OBJECT["raw codes"], "random rotation": NULL}


def methods_forest(frame: pd.DataFrame) -> Figure:
    """Recovery and names of every method, a line each, in the order of `frame`, the best at the top.

    frame: columns words, looks_at, r, low, high, twin, right, right_low, right_high, dealt_high.
    """
    figure, (recovery, names) = panels(columns=2, height=0.8 + 0.19 * len(frame))
    places = np.arange(len(frame))[::-1]
    inks = [LOOKS[looks] for looks in frame["looks_at"]]
    recovery.hlines(places, frame["low"], frame["high"], color=inks, linewidth=1.6)
    recovery.scatter(frame["r"], places, color=inks, s=14, zorder=3)
    recovery.scatter(frame["twin"], places, marker="|", s=50, color=OBJECT["untrained z"])
    names.hlines(places, frame["right_low"], frame["right_high"], color=inks, linewidth=1.6)
    names.scatter(frame["right"], places, color=inks, s=14, zorder=3)
    names.scatter(frame["dealt_high"], places, marker="|", s=50, color=NULL)
    recovery.set_yticks(places, frame["words"], fontsize=7)
    names.set_yticks(places, [""] * len(frame))
    recovery.set(title="planted concepts found", xlabel="mean r of the best feature", xlim=(-0.02, None))
    names.set(title="names that are right", xlabel="share of named features", xlim=(-0.02, None))
    for panel in (recovery, names):  # a method without names keeps its line
        panel.set_ylim(-0.7, len(frame) - 0.3)
    for looks, ink in LOOKS.items():
        recovery.scatter([], [], color=ink, s=14, label=f"looks at {looks}")
    recovery.scatter([], [], marker="|", s=50, color=OBJECT["untrained z"], label="untrained twin")
    recovery.legend(frameon=False, fontsize=6.5, loc="lower right")
    return figure


def axes_left(kept: pd.DataFrame) -> Figure:
    """How much of ẑ is lost when the predictor is left with few axes of its input.

    kept: columns basis, axes, value, low, high.
    """
    figure, (panel,) = panels(width=5.2, height=2.8)
    for basis, rows in kept.groupby("basis", sort=False):
        ink = BASES[str(basis)]
        panel.plot(rows["axes"], rows["value"], "o-", color=ink, markersize=3.5, linewidth=1.2, label=str(basis))
        panel.fill_between(rows["axes"], rows["low"], rows["high"], color=ink, alpha=0.2, linewidth=0)
    panel.set_xscale("log", base=2)
    ticks = sorted(kept["axes"].unique())
    panel.set_xticks(ticks, [str(tick) for tick in ticks])
    panel.set(xlabel="axes of (c, gap) that are left", ylabel="unexplained share of ẑ", ylim=(0, None))
    mark_null(panel, 1.0, "the mean of ẑ", horizontal=True)
    panel.legend(frameon=False, fontsize=7.5)
    return figure


def onsets_by_dynamics(table: pd.DataFrame) -> Figure:
    """AUROC of a step's length for whether a concept of each kind began with it, by what length is measured in.

    table: columns dynamics, length, value, low, high; what could not be computed is left out.
    """
    shown = table.dropna(subset=["value"])
    kinds = list(dict.fromkeys(shown["dynamics"]))[::-1]
    figure, (panel,) = panels(width=6.0, height=0.9 + 0.32 * len(kinds))
    for number, (length, ink) in enumerate(LENGTHS.items()):
        rows = shown[shown["length"] == length]
        places = np.array([kinds.index(kind) for kind in rows["dynamics"]]) + 0.24 - 0.16 * number
        panel.hlines(places, rows["low"], rows["high"], color=ink, linewidth=1.4)
        panel.scatter(rows["value"], places, color=ink, s=11, zorder=3, label=length)
    panel.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    panel.set(xlabel="AUROC of the step's length for an onset")
    mark_null(panel, 0.5, "chance")
    panel.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
