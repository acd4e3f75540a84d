"""Models of an outcome side by side: how well they rank, what their probabilities mean, what acting on them brings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import NULL, OBJECT, mark_null, panels

# For models that are no object of the JEPA: none of these is an object's colour.
OTHERS = ("#4D4D4D", "#56B4E9", "#CC79A7", "#8C6D31", "#6A51A3", "#C2A500", "#17807E", "#A65628")
BINS = np.linspace(0, 1, 41)
FOREST_COLUMNS = 3


def colours(models: Iterable[str]) -> dict[str, str]:
    """A colour a model: an object's own for a probe of it ("JEPA z"), grey if untrained, the others in order."""
    paint, others = {}, 0
    for name in dict.fromkeys(models):
        if (symbol := name.removeprefix("JEPA ")) in OBJECT:
            paint[name] = OBJECT[symbol]
        elif name.startswith("untrained"):
            paint[name] = OBJECT["untrained z"]
        else:
            paint[name], others = OTHERS[others % len(OTHERS)], others + 1
    return paint


def calibration_curves(curves: Mapping[str, pd.DataFrame], probabilities: Mapping[str, np.ndarray]) -> Figure:
    """Observed against predicted risk with intervals over patients, and how the predictions are spread.

    curves: model -> `calibration.calibration_curve`; probabilities: the same models -> [N].
    """
    figure, (curve, spread) = panels(columns=2, height=3.1)
    paint = colours(curves)
    top = max(float(table[["predicted", "high"]].max().max()) for table in curves.values()) * 1.05
    for name, table in curves.items():
        curve.plot(
            table["predicted"], table["observed"], "o-", color=paint[name], markersize=3, linewidth=1, label=name
        )
        curve.vlines(table["predicted"], table["low"], table["high"], color=paint[name], linewidth=1)
        share = np.histogram(probabilities[name], BINS)[0] / len(probabilities[name])
        spread.stairs(share, BINS, color=paint[name], linewidth=1.2)
    curve.plot([0, top], [0, top], color=NULL, linestyle="--", linewidth=1, zorder=0)
    curve.set(xlabel="predicted risk", ylabel="observed share", xlim=(0, top), ylim=(0, top), title="calibration")
    spread.set(xlabel="predicted risk", ylabel="share of encounters", title="spread of predictions", xlim=(0, 1))
    curve.legend(frameon=False, fontsize=7, loc="upper left")
    return figure


def decision_curves(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Net benefit of acting on each model by threshold, with that of treating all and of treating none.

    curves: model -> `decision.decision_curve`, of the same rows.
    """
    figure, (benefit, advantage) = panels(columns=2, height=3.1)
    paint = colours(curves)
    for name, table in curves.items():
        percent = 100 * table["threshold"]
        benefit.plot(percent, table["net_benefit"], color=paint[name], linewidth=1.4, label=name)
        benefit.fill_between(percent, table["low"], table["high"], color=paint[name], alpha=0.15, linewidth=0)
        advantage.plot(percent, table["advantage"], color=paint[name], linewidth=1.4)
        advantage.fill_between(
            percent, table["advantage_low"], table["advantage_high"], color=paint[name], alpha=0.15, linewidth=0
        )
    first = next(iter(curves.values()))
    best = max(float(table["high"].max()) for table in curves.values())
    benefit.plot(100 * first["threshold"], first["treat_all"], color="#707070", linestyle=":", label="treat all")
    mark_null(benefit, 0, "treat none", horizontal=True)
    mark_null(advantage, 0, "no gain", horizontal=True)
    benefit.set(ylabel="net benefit per encounter", title="net benefit", ylim=(-0.15 * best, 1.1 * best))
    advantage.set(title="advantage over the better of all and none")
    for panel in (benefit, advantage):
        panel.set(xlabel="threshold, % risk")
    benefit.legend(frameon=False, fontsize=7)
    return figure


def forest_by_task(table: pd.DataFrame, xlabel: str, null: float | None = None) -> Figure:
    """One panel a task, one line a model with its interval, in the order of the table.

    table: columns task, model, value, low, high; a model that was not computable for a task (NaN) keeps its empty line.
    """
    tasks, models = (list(dict.fromkeys(table[column])) for column in ("task", "model"))
    columns = min(FOREST_COLUMNS, len(tasks))
    figure, axes = panels(-(-len(tasks) // columns), columns, height=0.8 + 0.17 * len(models))
    paint = colours(models)
    places = np.arange(len(models))[::-1]
    for number, (panel, task) in enumerate(zip(axes, tasks, strict=False)):
        rows = table[table["task"] == task].set_index("model").reindex(models)
        inks = [paint[name] for name in models]
        panel.hlines(places, rows["low"], rows["high"], color=inks, linewidth=1.6)
        panel.scatter(rows["value"], places, color=inks, s=12, zorder=3)
        panel.set_yticks(places, models if number % columns == 0 else [""] * len(models), fontsize=7)
        panel.set(title=task, ylim=(-0.7, len(models) - 0.3))
        if number >= len(tasks) - columns:
            panel.set_xlabel(xlabel)
        if null is not None:
            panel.axvline(null, color=NULL, linestyle="--", linewidth=1, zorder=0)
    for panel in axes[len(tasks) :]:
        panel.set_axis_off()
    return figure


def label_efficiency(table: pd.DataFrame, ylabel: str, null: float | None = None) -> Figure:
    """How much each model makes of few labelled patients, with intervals; named in the order in which they end.

    table: columns model, share (of training patients, in (0, 1]), value, low, high; NaN is left out.
    """
    figure, (axes,) = panels(height=3.2)
    shown = table.dropna(subset=["value"])
    paint = colours(shown["model"])
    shares = sorted(shown["share"].unique())
    lines = {}
    for number, (name, ink) in enumerate(paint.items()):
        rows = shown[shown["model"] == name].sort_values("share")
        # Side by side: models share their shares, and their intervals would hide each other.
        x = 100 * rows["share"] * 1.03 ** (number - len(paint) / 2)
        (line,) = axes.plot(x, rows["value"], "o-", color=ink, markersize=3.5, linewidth=1.2, label=name)
        lines[line] = rows["value"].iloc[-1]
        axes.vlines(x, rows["low"], rows["high"], color=ink, linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([100 * share for share in shares], [f"{100 * share:g} %" for share in shares])
    axes.minorticks_off()
    axes.set(xlabel="training patients with labels", ylabel=ylabel)
    order = sorted(lines, key=lambda line: -lines[line])
    axes.legend(handles=order, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    if null is not None:
        mark_null(axes, null, "no skill", horizontal=True)
    return figure
