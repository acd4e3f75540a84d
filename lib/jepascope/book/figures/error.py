"""The error, taken apart: its parts, the blind-spot map, spectra relative to z, and what it says in z's words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.figures.style import NULL, OBJECT, mark_null, panels

# Parts of e in shades of its own red: the lighter, the less anyone could have known.
SYSTEMATIC, LOST, INNOVATION = "#7A1F00", OBJECT["e"], "#F5C3A6"
FAMILY = {"psychiatric": "o", "diagnosis": "s", "nuisance": "D"}


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

    Both tables: columns concept, family, unforeseen, systematic, lost (each with _low, _high), band_low, band_high, of
    `pipeline.error.concepts.load_map`; the first in the order to draw, worst foreseen on top.
    """
    rows, beside = trained[::-1], twin.set_index("concept").reindex(trained["concept"][::-1])
    places = np.arange(len(rows))
    figure, (left, right) = panels(columns=2, height=0.9 + 0.19 * len(rows))
    left.hlines(places, 100 * rows["band_low"], 100 * rows["band_high"], color=NULL, linewidth=5, alpha=0.5)
    left.plot(
        100 * beside["unforeseen"], places, "D", color=OBJECT["untrained z"], markersize=3, label="untrained twin"
    )
    left.hlines(places, 100 * rows["unforeseen_low"], 100 * rows["unforeseen_high"], color=OBJECT["e"], linewidth=1.6)
    for family, marker in FAMILY.items():
        some = (rows["family"] == family).to_numpy()
        left.plot(100 * rows["unforeseen"][some], places[some], marker, color=OBJECT["e"], markersize=4, label=family)
    mark_null(left, 100, "")
    left.set_yticks(places, rows["concept"], fontsize=7)
    left.set(xlabel="% of z's variation not foreseen", title="not foreseen (bands: random directions)")
    left.legend(frameon=False, fontsize=7, loc="lower right")
    for name, ink, shift in (("systematic", SYSTEMATIC, 0.15), ("lost", LOST, -0.15)):
        label = {"systematic": "known to the predictor", "lost": "known to the past alone"}[name]
        right.hlines(places + shift, 100 * rows[f"{name}_low"], 100 * rows[f"{name}_high"], color=ink, linewidth=1.4)
        right.plot(100 * rows[name], places + shift, "o", color=ink, markersize=3.5, label=label)
    mark_null(right, 0, "")
    right.set_yticks(places, [""] * len(places))
    right.set(xlabel="% of z's variation", title="blind: it could have been")
    right.legend(frameon=False, fontsize=7, loc="lower right")
    for panel in (left, right):
        panel.set_ylim(-0.7, len(rows) - 0.3)
    return figure


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
    mark_null(axes, 1, "no better than the mean", horizontal=True)
    axes.set(xlabel="direction, the best foreseen first", ylabel="λ = E(v·e)² / E(v·(z − μ))²", ylim=(0, None))
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
