"""The error, taken apart: its parts, the blind-spot map, spectra relative to z, and what it says in z's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.figures.style import NULL, OBJECT, mark_null, panels
from jepascope.publish.counts import rounded

# Parts of e in shades of its own red: the lighter, the less anyone could have known.
SYSTEMATIC, LOST, INNOVATION = "#7A1F00", OBJECT["e"], "#F5C3A6"
INK = "#333333"


def error_parts(shares: pd.DataFrame) -> Figure:
    """What could have been known of e, in per cent of E‖e‖²: from the predictor's own input, and from the past beyond.

    shares: columns model, reader, part, value, low, high, of `pipeline.error.parts.take_apart`.
    """
    parts = [("own", "systematic", "from the predictor's own input"), ("past", "lost", "from the past beyond it")]
    models = [name for name in dict.fromkeys(shares["model"]) if name != "mean predictor"][::-1]
    figure, axes = panels(columns=2, height=0.9 + 0.35 * len(models))
    indexed = shares.set_index(["model", "reader", "part"])
    for panel, (reader, part, title) in zip(axes, parts, strict=True):
        for place, model in enumerate(models):
            row = 100 * indexed.loc[(model, reader, part), ["value", "low", "high"]].astype(float)
            ink = OBJECT["untrained z"] if "untrained" in model else OBJECT["e"]
            panel.plot([row["low"], row["high"]], [place, place], color=ink, linewidth=1.8)
            panel.plot(row["value"], place, "o", color=ink, markersize=4.5)
        panel.set_yticks(range(len(models)), [name.replace(", ", ",\n") for name in models], fontsize=7.5)
        panel.set(title=title, xlabel="% of E‖e‖²", ylim=(-0.6, len(models) - 0.4))
        panel.margins(x=0.15)
        mark_null(panel, 0, "")
    axes[1].set_yticklabels([])
    return figure


def blind_spot_map(trained: pd.DataFrame, twin: pd.DataFrame) -> Figure:
    """Per concept, how much of z along its direction was not foreseen, and how much of that could have been.

    Both tables: columns concept, family, unforeseen, systematic, lost (each with _low, _high), band_low, band_high,
    foreseen, carriers, of `pipeline.error.concepts.load_map`; the first in the order to draw, worst foreseen on top.
    """
    rows = trained[::-1].reset_index(drop=True)
    beside = twin.set_index("concept").reindex(rows["concept"])
    # Narrow, so that letters are still large where a phone shows the whole width.
    figure, (left, right) = panels(columns=2, width=5.8, height=1.25 + 0.215 * len(rows))
    cast(GridSpec, left.get_gridspec()).set_width_ratios([1.75, 1])
    _unforeseen(left, rows)
    # Beneath the trained model's mark, so that neither hides the other.
    twins, ink = 100 * beside["unforeseen"], OBJECT["untrained z"]
    left.plot(twins, rows.index - 0.27, "d", color=ink, markersize=4, label="untrained twin")
    for name, ink, shift in (("systematic", SYSTEMATIC, 0.17), ("lost", LOST, -0.17)):
        places = rows.index + shift
        right.hlines(places, 100 * rows[f"{name}_low"], 100 * rows[f"{name}_high"], color=ink, linewidth=1.5)
        right.plot(100 * rows[name], places, "o", color=ink, markersize=3.5)
    left.set_xlim(0, None)
    mark_null(right, 0, "")
    right.set_yticks(rows.index, [""] * len(rows))
    right.tick_params(axis="y", length=0)
    right.set_title("could have been\nforeseen", fontsize=8.5)
    right.set_xlabel("% of z's variation", fontsize=8.5)
    for panel in (left, right):
        panel.set_ylim(-0.7, len(rows) - 0.3)
        panel.tick_params(axis="x", labelsize=8)
        panel.hlines(rows.index, 0, 1, transform=panel.get_yaxis_transform(), color=NULL, linewidth=0.3, zorder=-1)
    figure.legend(frameon=False, fontsize=8, ncols=2, loc="outside lower center", handletextpad=0.6, columnspacing=1.5)
    return figure


def _unforeseen(axes: Axes, rows: pd.DataFrame) -> None:
    """The left half of the map: bars of three kinds, and where they end beside what random directions have."""
    places, ends = rows.index, 100 * rows["unforeseen"]
    axes.barh(
        places, 100 * (rows["band_high"] - rows["band_low"]), left=100 * rows["band_low"], height=0.86,
        color=NULL, alpha=0.45, linewidth=0, label="random directions of like variance",
    )  # fmt: skip
    # A part that its reader did not find may be below nought, and a bar has no length for that.
    known, past = (100 * rows[name].clip(lower=0) for name in ("systematic", "lost"))
    bars = [
        (0 * known, known, SYSTEMATIC, "in the predictor's input"),
        (known, past, LOST, "in the past beyond it"),
        (known + past, ends - known - past, INNOVATION, "in neither: news"),
    ]
    for start, length, ink, label in bars:
        axes.barh(places, length, left=start, height=0.42, color=ink, linewidth=0, label=label)
    axes.hlines(places, 100 * rows["unforeseen_low"], 100 * rows["unforeseen_high"], color=INK, linewidth=1.1)
    for foreseen, marker, fill in (("worse", ">", INK), ("like", "o", "white"), ("better", "<", INK)):
        some = rows["foreseen"] == foreseen
        label = f"{foreseen} than random ones" if foreseen != "like" else "like random ones"
        axes.plot(ends[some], places[some], marker, color=INK, markerfacecolor=fill, markersize=4.5, label=label)
    mark_null(axes, 100, "")
    axes.text(100, 1.0, "the mean", transform=axes.get_xaxis_transform(), ha="center", fontsize=7.5, color="#707070")
    _name_rows(axes, rows)
    axes.set_title("not foreseen", fontsize=8.5)
    axes.set_xlabel("% of z's variation along the concept", fontsize=8.5)


def _name_rows(axes: Axes, rows: pd.DataFrame) -> None:
    """Concepts beside the axis, their kind told by the letters, and the patients who have them, to the nearest five."""
    axes.set_yticks(rows.index, rows["concept"], fontsize=8)
    axes.tick_params(axis="y", pad=26, length=0)
    letters = {"psychiatric": {"fontweight": "bold"}, "nuisance": {"fontstyle": "italic"}}
    for label, family in zip(axes.get_yticklabels(), rows["family"], strict=True):
        label.set(**letters.get(family, {}))
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "right", "fontsize": 7.5}
    # Rounded here, as a figure's words are not looked at on their way to the page.
    for place, carriers in rows["carriers"].items():
        axes.text(-0.02, place, f"{rounded(carriers):,}", va="center", **beside)
    axes.text(-0.02, len(rows) - 0.3, "patients", **beside)


def relative_spectra(table: pd.DataFrame) -> Figure:
    """λ along the directions of each predictor's relative spectrum, chosen on training and measured on test patients.

    table: columns predictor, direction, value, low, high.
    """
    inks = {"ẑ": OBJECT["e"], "ẑ, untrained twin": OBJECT["untrained z"], "ẑ of another patient": "#56B4E9"}
    figure, (axes,) = panels(height=3.0)
    for name, ink in inks.items():
        rows = table[table["predictor"] == name]
        axes.plot(rows["direction"] + 1, rows["value"], color=ink, linewidth=1.4, label=name)
        axes.fill_between(rows["direction"] + 1, rows["low"], rows["high"], color=ink, alpha=0.2, linewidth=0)
    mark_null(axes, 1, "", horizontal=True)
    axes.text(1.01, 1, "the mean", transform=axes.get_yaxis_transform(), va="center", fontsize=7.5, color="#707070")
    # An untrained twin's worst directions can be tens of times worse than the mean: a straight scale shows these alone.
    axes.set(xlabel="direction, the best foreseen first", ylabel="λ = E(v·e)² / E(v·(z − μ))²", yscale="log")
    axes.legend(frameon=False, fontsize=8)
    return figure


def spoken_bars(spoken: Mapping[str, Mapping[str, Estimate]]) -> Figure:
    """Share of each error's sparse code in features missed and hallucinated. spoken: kind -> error -> estimate."""
    figure, axes = panels(columns=len(spoken), height=2.4)
    for panel, (kind, by_error) in zip(axes, spoken.items(), strict=True):
        for place, (name, found) in enumerate(reversed(list(by_error.items()))):
            ink = {"e": OBJECT["e"], "systematic": SYSTEMATIC, "innovation": LOST}.get(name, NULL)
            panel.barh(place, 100 * found.value, color=ink, height=0.62)
            panel.hlines(place, 100 * found.low, 100 * found.high, color="#333333", linewidth=1.2)
        panel.set_yticks(range(len(by_error)), list(by_error)[::-1], fontsize=7.5)
        panel.set(title=kind, xlabel="% of the code's energy")
    for panel in axes[1:]:
        panel.set_yticklabels([])
    return figure
