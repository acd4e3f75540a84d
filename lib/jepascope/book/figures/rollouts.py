"""Rollouts by horizon, steps into a deterioration, and searches for the next encounter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.figures.arms import ARM, words
from jepascope.book.figures.style import NULL, OBJECT, mark_null, panels

QUANTITIES = {
    "drift": ("drift D(h) / D(1) − 1, %", 0.0, "no drift"),
    "of_persistence": ("D(h) / persistence's", 1.0, "a copy of the last true one"),
    "over_mean": ("skill over the mean", 0.0, "no skill"),
    "variance": ("variance of ẑ / of z", 1.0, "as spread as z"),
}
OTHERS: dict[str, dict[str, Any]] = {
    "headline": {"color": OBJECT["ẑ"], "linewidth": 2.4},
    "untrained twin": {"color": OBJECT["untrained z"], "linewidth": 1.6},
    "mean so far": {"color": OBJECT["z"], "linewidth": 1.4, "linestyle": ":"},
    "ẑ of another patient": {"color": NULL, "linewidth": 1.4, "linestyle": "--"},
}


def horizon_curves(found: Mapping[str, Any]) -> Figure:
    """Drift, share of persistence, skill over the mean and variance of ẑ against h, one line a model.

    found: name → `analysis.rollout.rollouts.Horizons`. Bands are the intervals, drawn for the headline and the twin.
    """
    figure, axes = panels(rows=2, columns=2, height=2.5)
    arms = {f"arm {words(arm)}": {"color": colour, "linewidth": 1.0} for arm, colour in ARM.items()}
    looks = {**arms, **OTHERS}
    for panel, (quantity, (title, at, label)) in zip(axes, QUANTITIES.items(), strict=True):
        for name, horizons in found.items():
            if quantity == "of_persistence" and name == "ẑ of another patient":
                continue  # far above, it would flatten the others; the table has it
            estimates = getattr(horizons, quantity)
            h = np.arange(1, len(estimates) + 1)
            panel.plot(h, [e.value for e in estimates], label=name, **looks[name])
            if name in ("headline", "untrained twin"):
                low, high = [e.low for e in estimates], [e.high for e in estimates]
                panel.fill_between(h, low, high, color=looks[name]["color"], alpha=0.2, linewidth=0)
        mark_null(panel, at, label, horizontal=True)
        panel.set(title=title, xlabel="h, encounters ahead", xticks=h)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=7.5, handlelength=3)
    return figure


def displacement_forest(table: pd.DataFrame) -> Figure:
    """Ratio of deteriorating to stable steps, by space: filled as matched, hollow as found.

    table: columns space, step ("into", "before"), matched, unmatched (estimates).
    """
    names = list(dict.fromkeys(table["space"]))
    titles = {"into": "the step into it", "before": "the step before it"}
    figure, axes = panels(columns=len(titles), height=0.9 + 0.28 * len(names))
    for panel, (which, title) in zip(axes, titles.items(), strict=True):
        rows = table[table["step"] == which].set_index("space")
        for place, name in enumerate(reversed(names)):
            colour = OBJECT.get(name, OBJECT["raw codes"] if "codes" in name else OBJECT["z"])
            _interval(panel, rows.loc[name, "matched"], place + 0.14, colour)
            _interval(panel, rows.loc[name, "unmatched"], place - 0.14, colour, hollow=True)
        _name_rows(panel, names if panel is axes[0] else [""] * len(names))
        mark_null(panel, 1.0, "no difference")
        panel.set(title=title, xlabel="length, deteriorating / stable")
    axes[1].sharex(axes[0])
    axes[0].autoscale(axis="x")
    return figure


def search_forest(table: pd.DataFrame) -> Figure:
    """Where the true next encounter ranks, by query: among matched ones of others, and among the patient's own past.

    table: columns query, percentile, own past (estimates, or something else where there is none).
    """
    shown = table[table["query"] != "chance"]
    names = list(shown["query"])
    figure, axes = panels(columns=2, height=0.9 + 0.26 * len(names))
    titles = {"percentile": "among matched others", "own past": "among the patient's own past"}
    for panel, (column, title) in zip(axes, titles.items(), strict=True):
        for place, (name, estimate) in enumerate(zip(reversed(names), reversed(list(shown[column])), strict=True)):
            if isinstance(estimate, Estimate):
                _interval(panel, estimate, place, _colour(name))
        _name_rows(panel, names if panel is axes[0] else [""] * len(names))
        mark_null(panel, 0.5, "chance")
        panel.set(title=title, xlabel="share of the others that are further")
    return figure


def _colour(query: str) -> str:
    if query == "ẑ of another patient":
        return NULL
    if "untrained" in query:
        return OBJECT["untrained z"]
    return OBJECT["ẑ"] if query.startswith("ẑ") else OBJECT["raw codes"] if "codes" in query else OBJECT["z"]


def _interval(panel: Axes, estimate: Estimate, place: float, colour: str, hollow: bool = False) -> None:
    panel.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=1.6)
    panel.plot(estimate.value, place, "o", color=colour, markerfacecolor="white" if hollow else colour, markersize=4.5)


def _name_rows(panel: Axes, names: list[str]) -> None:
    panel.set_yticks(range(len(names)), names[::-1], fontsize=8)
    panel.set_ylim(-0.6, len(names) - 0.2)
