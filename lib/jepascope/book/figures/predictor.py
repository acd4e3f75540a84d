"""ẑ beside z: likeness, spectra, shared directions, vocabulary."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
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
# Of a long vocabulary this many are shown, from its two ends.
MOST_WORDS = 24
# Readers of psychiatric groups: colour, and whether the dot is filled. ẑ stays amber under a probe of its own.
READERS = {
    "z, z's words": ("z", True),
    "ẑ, z's words": ("ẑ", True),
    "ẑ, own probe": ("ẑ", False),
    "persistence": ("persistence", True),
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
        panel.set_xticks([0, 0.5, 1], ["0", "½", "1"])
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


def known_words(features: pd.DataFrame) -> Figure:
    """Which features of z are known beforehand, by name and with a verdict; the ends of a long vocabulary alone.

    features: columns word, verdict, low, high, auroc ẑ, auroc persistence, auroc ẑ of another patient.
    """
    ordered = features.sort_values("auroc ẑ", ascending=False)
    if len(ordered) > MOST_WORDS:
        ordered = pd.concat([ordered[: MOST_WORDS // 2], ordered[-MOST_WORDS // 2 :]])
    ordered, places = ordered[::-1], np.arange(len(ordered))
    figure, (axes,) = panels(height=0.9 + 0.22 * len(ordered))
    axes.hlines(places, ordered["low"], ordered["high"], color=INK["ẑ"], linewidth=1.6)
    for name in ("ẑ of another patient", "persistence", "ẑ"):
        axes.plot(ordered[f"auroc {name}"], places, "o", color=INK[name], markersize=4.2, label=name)
    _name_rows(axes, [shortened(word) for word in ordered["word"]], ordered["verdict"].tolist())
    axes.set(xlabel="AUROC on test patients, of where the feature comes on")
    mark_null(axes, 0.5, "chance")
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def shortened(title: str, most: int = 40) -> str:
    """A title that fits beside a figure; what stands in brackets at its end, the code, stays."""
    words, bracket, code = title.rpartition(" (")
    if len(title) <= most:
        return title
    return words[: most - len(code) - 3].rstrip(" ,") + "… (" + code if bracket else title[: most - 1] + "…"


def _name_rows(axes: Axes, names: list[str], verdicts: list[str]) -> None:
    """Names on the left, verdicts on the right, at 0, 1, … from below."""
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(-0.7, len(names) - 0.3)
    for place, verdict in enumerate(verdicts):
        colour, weight = ("#8A5F00", "bold") if verdict == "foreseen" else ("#707070", "normal")
        beside = axes.get_yaxis_transform()
        axes.text(1.01, place, verdict, transform=beside, va="center", fontsize=8, color=colour, weight=weight)


def split_codes(codes: pd.DataFrame) -> Figure:
    """Correlation of each feature's codes, found in z alone, with what the JEPA makes of it, against that with rivals.

    codes: columns `CODE, READING`, for the two codes of `temporal_features` and ẑ, persistence, e and z.
    """
    figure, axes = panels(columns=2, height=3.2)
    ends = (min(0.0, float(codes.drop(columns="feature").min().min())) - 0.05, 1.0)
    spoken = {"ẑ": "ẑ", "e": "e", "persistence": "z before", "z": "z itself"}
    sides = (("predictable code", "ẑ", ("persistence", "e")), ("novel code", "e", ("z", "ẑ")))
    for panel, (code, own, rivals) in zip(axes, sides, strict=True):
        for rival in rivals:
            colour, label = {**OBJECT, **INK}[rival], spoken[rival]
            x, y = codes[f"{code}, {rival}"], codes[f"{code}, {own}"]
            panel.scatter(x, y, s=14, linewidths=0, color=colour, label=label)
        panel.plot(ends, ends, color=NULL, linestyle="--", linewidth=1, zorder=0)
        panel.set(xlim=ends, ylim=ends, xlabel="r with a rival", ylabel=f"r with {own}", title=code)
        panel.legend(frameon=False, fontsize=7.5, title="rival", title_fontsize=7.5, loc="lower right")
    return figure


def concept_forest(table: pd.DataFrame) -> Figure:
    """AUROC of psychiatric groups by reader, with intervals and verdicts, by how well ẑ reads them.

    table: columns reader, target, value, low, high, verdict.
    """
    ours = table[table["reader"] == "ẑ, z's words"].sort_values("value")
    order = ours["target"].tolist()
    figure, (axes,) = panels(height=0.8 + 0.34 * len(order))
    for offset, (name, (ink, filled)) in zip(np.linspace(0.27, -0.27, len(READERS)), READERS.items(), strict=True):
        rows = table[table["reader"] == name].set_index("target").reindex(order)
        places = np.arange(len(order)) + offset
        axes.hlines(places, rows["low"], rows["high"], color=INK[ink], linewidth=1.5)
        face = INK[ink] if filled else "white"
        axes.plot(rows["value"], places, "o", color=INK[ink], markerfacecolor=face, markersize=3.8, label=name)
    _name_rows(axes, [target.replace("_", " ") for target in order], ours["verdict"].tolist())
    axes.set(xlabel="AUROC on test patients, of what is coded at the next encounter")
    mark_null(axes, 0.5, "chance")
    axes.legend(frameon=False, fontsize=8, ncols=len(READERS), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure
