"""Effects of steering: on target and off, by size of the edit, and against the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jepascope.book.figures.style import DYNAMICS, NULL, OBJECT, mark_null, panels

SITES = {"z": "z edited", "c": "c edited"}
KINDS = {
    "mean": "difference of means",
    "fisher": "Σ⁻¹ difference of means",
    "probe": "probe",
    "feature": "SAE feature",
    "input": "records edited",
    "encoded": "z moved as records move it",
}
SHADES = ("#0072B2", "#56B4E9", "#009E73", "#999999", "#E69F00", "#CC79A7", "#D55E00")


def effect_forest(regimes: pd.DataFrame, kind: str = "mean") -> Figure:
    """Excess over random labels of the effect on target, and of selectivity, by concept; filled where steerable.

    regimes: columns concept, site, kind, regime, on_over_labels and selective_over_labels with _low and _high.
    """
    shown = regimes[regimes["kind"] == kind]
    names = list(dict.fromkeys(shown["concept"]))
    figure, axes = panels(columns=2, height=0.9 + 0.28 * len(names))
    titles = {"on": "moves its target", "selective": "more than it moves others"}
    for panel, (name, title) in zip(axes, titles.items(), strict=True):
        for offset, (site, label) in zip((0.16, -0.16), SITES.items(), strict=True):
            rows = shown[shown["site"] == site].set_index("concept").loc[names]
            places, column = np.arange(len(names))[::-1] + offset, f"{name}_over_labels"
            panel.hlines(places, rows[f"{column}_low"], rows[f"{column}_high"], color=OBJECT[site], linewidth=1.4)
            fill = [OBJECT[site] if regime == "steerable" else "white" for regime in rows["regime"]]
            panel.scatter(rows[column], places, s=22, c=fill, edgecolors=OBJECT[site], zorder=3, label=label)
        _name_rows(panel, names if panel is axes[0] else [""] * len(names))
        mark_null(panel, 0.0, "random labels")
        panel.set(title=title, xlabel="excess area, SD of the score")
    axes[1].legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def effect_curves(curves: pd.DataFrame) -> Figure:
    """Mean change on and off target against the size of the edit, by site, one line a kind of direction.

    curves: columns site, kind, alpha, on, off.
    """
    figure, axes = panels(columns=2, height=2.8)
    for panel, (site, title) in zip(axes, SITES.items(), strict=True):
        kinds = curves[curves["site"] == site]
        for kind, colour in zip(("mean", "fisher", "probe", "feature"), (*SHADES[:3], SHADES[4]), strict=True):
            mean = kinds[kinds["kind"] == kind].groupby("alpha")[["on", "off"]].mean()
            if len(mean):
                mean.loc[0.0] = 0.0
                mean = mean.sort_index()
                panel.plot(mean.index, mean["on"], color=colour, label=KINDS[kind])
                panel.plot(mean.index, mean["off"], color=colour, linestyle=":", linewidth=1.2)
        panel.set(title=title, xlabel="size of the edit, α", ylabel="change of score, SD" if site == "z" else "")
        mark_null(panel, 0.0, "no change", horizontal=True)
    axes[0].legend(frameon=False, fontsize=7.5, title="on target (dotted: off)", title_fontsize=7.5)
    return figure


def carried_scatter(carried: pd.DataFrame, kinds: tuple[str, ...] = ("input", "mean", "feature")) -> Figure:
    """What turning each concept leaves at the next encounter: true against predicted, by kind of edit.

    carried: columns kind ("truth" among them), concept, dynamics, value, low, high.
    """
    there = [kind for kind in kinds if (carried["kind"] == kind).any()]
    truth = carried[carried["kind"] == "truth"].set_index("concept")
    figure, axes = panels(columns=len(there), height=3.1)
    colour = dict(zip(DYNAMICS, SHADES, strict=True))
    ends = [min(-0.1, carried["low"].min()) - 0.05, max(1.1, carried["high"].max()) + 0.05]
    for panel, kind in zip(axes, there, strict=True):
        rows = carried[carried["kind"] == kind].set_index("concept").loc[truth.index]
        panel.plot(ends, ends, color=NULL, linestyle="--", linewidth=1, zorder=0)
        panel.axhline(0, color=NULL, linewidth=0.6, zorder=0)
        for dynamics in (d for d in DYNAMICS if (truth["dynamics"] == d).any()):
            x, y = rows[rows["dynamics"] == dynamics], truth[truth["dynamics"] == dynamics]
            bars = [[x["value"] - x["low"], x["high"] - x["value"]], [y["value"] - y["low"], y["high"] - y["value"]]]
            panel.errorbar(
                x["value"], y["value"], xerr=bars[0], yerr=bars[1], fmt="o", markersize=4, linewidth=0.9,
                color=colour[dynamics], label=dynamics.replace("_", " "),
            )  # fmt: skip
        panel.set(title=KINDS[kind], xlabel="predicted", xlim=ends, ylim=ends)
    axes[0].set_ylabel("true, by simulation")
    axes[0].legend(frameon=False, fontsize=7.5)
    return figure


def _name_rows(panel: Axes, names: list[str]) -> None:
    panel.set_yticks(range(len(names)), names[::-1], fontsize=8)
    panel.set_ylim(-0.6, len(names) - 0.2)
