"""ẑ beside z: likeness, spectra, shared directions, vocabulary."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import EMPTY, NULL, OBJECT, mark_null, panels

# Predictors that are no object of the JEPA; persistence is a z, and has z's colour.
INK = {
    "z": OBJECT["z"],
    "ẑ": OBJECT["ẑ"],
    "persistence": "#56B4E9",
    "ridge c → z": OBJECT["c"],
    "ridge z → z": "#CC79A7",
    "untrained ẑ": OBJECT["untrained z"],
    "ẑ of another patient": NULL,
}
READERS = {
    "z, z's words": "z",
    "ẑ, z's words": "ẑ",
    "ẑ, own probe": "ẑ of another patient",
    "persistence": "persistence",
}


def likeness_bars(table: pd.DataFrame) -> Figure:
    """CKA with z, one panel a measure, one bar a space; intervals where patients were drawn.

    table: columns space, measure, value, low, high.
    """
    measures = list(dict.fromkeys(table["measure"]))
    names = list(dict.fromkeys(table["space"]))[::-1]
    figure, axes = panels(columns=len(measures), height=0.9 + 0.27 * len(names), width=8.4)
    for panel, measure in zip(axes, measures, strict=True):
        rows = table[table["measure"] == measure].set_index("space").reindex(names)
        places = np.arange(len(names))
        panel.barh(places, rows["value"], color=[INK[name] for name in names], height=0.6)
        panel.hlines(places, rows["low"], rows["high"], color="#222222", linewidth=1.4)
        panel.set_yticks(places, names if panel is axes[0] else [""] * len(names))
        panel.set(xlim=(min(0, float(table["value"].min())), 1), xlabel="CKA with z")
        panel.set_title(measure.replace(", ", ",\n"), fontsize=8)
    return figure


def spectra(axes_table: pd.DataFrame) -> Figure:
    """Variance along each space's own axes, and skill along z's, by predictor.

    axes_table: columns predictor, k, variance, skill.
    """
    figure, (spread, gained) = panels(columns=2, height=3.0)
    of_z = axes_table[axes_table["predictor"] == "z"]["variance"].to_numpy()
    filled = of_z > EMPTY * of_z.max()
    for name, rows in axes_table.groupby("predictor", sort=False):
        spread.plot(rows["k"], rows["variance"], color=INK[str(name)], label=str(name), linewidth=1.4)
        if name != "z":
            gained.plot(rows["k"][filled], rows["skill"][filled], ".-", color=INK[str(name)], markersize=3)
    spread.set(yscale="log", ylim=(EMPTY * of_z.max() / 3, None), xlabel="own axis, largest first", ylabel="variance")
    gained.set(xlabel="axis of z, largest first", ylabel="skill on test patients", ylim=(-1, 1))
    mark_null(gained, 0, "mean", horizontal=True)
    spread.legend(frameon=False, fontsize=7.5)
    return figure


def shared_directions(axes_table: pd.DataFrame, angles: pd.DataFrame) -> Figure:
    """Overlap of the k leading axes with z's for every k, and principal angles at the k that is claimed.

    axes_table: columns predictor, k, overlap; angles: columns angle, ẑ, z, random (degrees).
    """
    figure, (curve, turned) = panels(columns=2, height=3.0)
    for name in ("z", "ẑ", "ridge c → z", "ridge z → z"):
        rows = axes_table[axes_table["predictor"] == name]
        label = "z of test patients (ceiling)" if name == "z" else name
        curve.plot(rows["k"], rows["overlap"], color=INK[name], label=label, linewidth=1.4)
    D = int(axes_table["k"].max())
    curve.plot([1, D], [1 / D, 1], color=NULL, linestyle="--", linewidth=1, label="chance, k / D")
    curve.axvline(len(angles), color=NULL, linewidth=1, linestyle=":")
    curve.set(xlabel="k leading axes", ylabel="overlap with z of training patients", ylim=(0, 1.02))
    curve.legend(frameon=False, fontsize=7.5)
    for name, colour in (("z", INK["z"]), ("ẑ", INK["ẑ"]), ("random", NULL)):
        turned.plot(angles["angle"], angles[name], "o-", color=colour, markersize=3.5, label=name)
    turned.set(xlabel="principal angle", ylabel="degrees from z of training patients", ylim=(0, 92))
    turned.legend(frameon=False, fontsize=7.5)
    return figure


def vocabulary_scatter(features: pd.DataFrame) -> Figure:
    """AUROC of each feature by ẑ against that by persistence, coloured by P(reappears); and ẑ's firing of it.

    features: columns auroc ẑ, auroc persistence, reappears, firing_ratio, correlation.
    """
    figure, (words, firing) = panels(columns=2, height=3.2)
    colour = {"c": features["reappears"], "cmap": "viridis", "vmin": 0, "vmax": 1, "s": 16, "linewidths": 0}
    points = words.scatter(features["auroc persistence"], features["auroc ẑ"], **colour)
    ends = [float(features[["auroc persistence", "auroc ẑ"]].min().min()) - 0.02, 1.0]
    words.plot(ends, ends, color=NULL, linestyle="--", linewidth=1, zorder=0)
    words.set(xlabel="AUROC by persistence", ylabel="AUROC by ẑ", xlim=ends, ylim=ends, title="one dot a feature of z")
    firing.scatter(features["firing_ratio"], features["correlation"], **colour)
    firing.axvline(1, color=NULL, linestyle="--", linewidth=1, zorder=0)
    firing.set(
        xlabel="firing rate in ẑ over that in z", ylabel="correlation of codes", title="ẑ written in z's dictionary"
    )
    figure.colorbar(points, ax=firing, label="P(reappears)")
    return figure


def concept_forest(table: pd.DataFrame) -> Figure:
    """AUROC of psychiatric groups by reader, with intervals, by how well ẑ reads them.

    table: columns reader, target, value, low, high.
    """
    order = table[table["reader"] == "ẑ, z's words"].sort_values("value")["target"].tolist()
    figure, (axes,) = panels(height=0.8 + 0.34 * len(order))
    for offset, (name, ink) in zip(np.linspace(0.27, -0.27, len(READERS)), READERS.items(), strict=True):
        rows = table[table["reader"] == name].set_index("target").reindex(order)
        places = np.arange(len(order)) + offset
        axes.hlines(places, rows["low"], rows["high"], color=INK[ink], linewidth=1.5)
        axes.plot(rows["value"], places, "o", color=INK[ink], markersize=3.8, label=name)
    axes.set_yticks(range(len(order)), [target.replace("_", " ") for target in order])
    axes.set(xlabel="AUROC on test patients, of what is coded at the next encounter")
    mark_null(axes, 0.5, "chance")
    axes.legend(frameon=False, fontsize=8, ncols=len(READERS), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def seeds_alike(table: pd.DataFrame) -> Figure:
    """CKA between seeds, a panel for all, one line a pair and space.

    table: columns a, b, space, value, low, high.
    """
    spaces = {"z": OBJECT["z"], "ẑ": OBJECT["ẑ"], "untrained z": OBJECT["untrained z"], "z of another patient": NULL}
    figure, (axes,) = panels(height=0.8 + 0.3 * len(spaces))
    for place, (name, colour) in enumerate(reversed(spaces.items())):
        rows = table[table["space"] == name]
        places = place + np.linspace(-0.2, 0.2, len(rows))
        axes.hlines(places, rows["low"], rows["high"], color=colour, linewidth=1.6)
        axes.plot(rows["value"], places, "o", color=colour, markersize=4)
    axes.set_yticks(range(len(spaces)), list(reversed(spaces)))
    axes.set(xlabel="CKA between two seeds, over different test patients", xlim=(-0.05, 1))
    mark_null(axes, 0, "nothing shared")
    return figure
