"""Paths through c and z: their order, where they lead, and whether their shape predicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jepascope.book.figures.style import NULL, OBJECT, mark_null, panels
from jepascope.book.tables.trajectories import KINDS

KIND_COLOUR = {"coded": OBJECT["c"], "free": "#4D4D4D", "before": OBJECT["e"], "never yet": NULL}
COLUMNS = 4  # of small multiples
TITLES = {"turning": "cosine between neighbouring steps", "straightness": "net distance / length of path"}
GAINS = {"gain": "gain by shape, ΔAUROC", "order": "of it by order, ΔAUROC"}


def order_forest(table: pd.DataFrame) -> Figure:
    """Observed mean with interval beside the same points shuffled, by space: one panel a measure.

    table: columns space, measure, observed value / low / high, shuffled.
    """
    names = list(dict.fromkeys(table["space"]))
    figure, axes = panels(columns=len(TITLES), height=0.9 + 0.3 * len(names))
    for panel, (measure, title) in zip(axes, TITLES.items(), strict=True):
        rows = table[table["measure"] == measure].set_index("space")
        for place, name in enumerate(reversed(names)):
            row = rows.loc[name]
            _interval(panel, row, place, _colour(name), "observed ")
            panel.plot(row["shuffled"], place, "|", color="#707070", markersize=13)
        _name_rows(panel, names, panel is axes[0])
        panel.set(title=title, xlabel="mean over test patients; bar: shuffled")
        panel.locator_params(axis="x", nbins=5)
    return figure


def flow_field(table: pd.DataFrame) -> Figure:
    """Mean step by cell of the first two axes of c, as the patients went and with encounters shuffled.

    table: columns order, x, y, dx, dy, patients; cells of few patients are not in it. Arrows are drawn longer than the
    steps are, by the same factor in both panels: one in ten reaches over its cell.
    """
    orders = list(dict.fromkeys(table["order"]))
    figure, axes = panels(columns=len(orders), height=3.6)
    sides = np.diff(np.unique(table["x"].round(6)))
    cell = sides.min() if len(sides) else 1.0
    long = float(f"{np.quantile(np.hypot(table['dx'], table['dy']), 0.9):.1g}")
    for panel, name in zip(axes, orders, strict=True):
        rows = table[table["order"] == name]
        columns = (rows[column] for column in ("x", "y", "dx", "dy"))
        colour = OBJECT["c"] if name != "shuffled" else NULL
        arrows = panel.quiver(
            *columns, angles="xy", scale_units="xy", scale=long / cell, color=colour,
            width=0.006, headwidth=4, headlength=4, headaxislength=3.6, minlength=0.5,
        )  # fmt: skip
        panel.quiverkey(arrows, 0.93, 1.04, long, f"a step of {long:g}", labelpos="W", fontproperties={"size": 7.5})
        panel.set(title=name, xlabel="first axis of c", aspect="equal")
        panel.margins(0.12)
    axes[0].set_ylabel("second axis of c")
    for panel in axes[1:]:
        panel.set(xlim=axes[0].get_xlim(), ylim=axes[0].get_ylim())
    return figure


def direction_bands(table: pd.DataFrame) -> Figure:
    """Position of c between a group's two centroids by k, of patients with and without the group so far.

    table: columns group, state, k, value, low, high. One small panel a group.
    """
    figure, axes = _multiples(table, 1.7)
    for panel, (group, rows) in zip(axes, table.groupby("group", sort=False), strict=False):
        for state, colour in (("coded so far", OBJECT["c"]), ("never so far", "#707070")):
            band = rows[rows["state"] == state]
            panel.plot(band["k"], band["value"], "o-", color=colour, markersize=2.5, linewidth=1.2, label=state)
            panel.fill_between(band["k"], band["low"], band["high"], color=colour, alpha=0.2, linewidth=0)
        panel.axhline(0, color=NULL, linewidth=0.7, zorder=0)
        panel.axhline(1, color=NULL, linewidth=0.7, zorder=0)
        panel.set(title=str(group).replace("_", " "))
    figure.supylabel("from never coded (0) to coded (1)", fontsize=8)
    _name_bottom(axes, "k")
    return _legend(figure, axes)


def drift_multiples(table: pd.DataFrame) -> Figure:
    """Drift towards each group's centroid less that towards random ones, by kind of step: one small panel a group,
    each with a scale of its own.

    table: columns group, kind, excess value / low / high (NaN: too few patients), in mean steps.
    """
    figure, axes = _multiples(table, 1.3)
    for panel, (group, rows) in zip(axes, table.groupby("group", sort=False), strict=False):
        found = rows.set_index("kind")
        found = found.assign(**{name: 100 * found[name] for name in ("excess value", "excess low", "excess high")})
        for place, kind in enumerate(KIND_COLOUR):  # downwards, as in the legend
            if kind in found.index:
                _interval(panel, found.loc[kind], -place, KIND_COLOUR[kind], "excess ", KINDS[kind])
        panel.axvline(0, color=NULL, linestyle="--", linewidth=1, zorder=0)
        panel.set(title=str(group).replace("_", " "), yticks=[], ylim=(0.4 - len(KIND_COLOUR), 0.6))
        panel.tick_params(axis="x", labelsize=7)
        panel.locator_params(axis="x", nbins=3)
    _name_bottom(axes, "% of a mean step")
    return _legend(figure, axes)


def gain_forest(table: pd.DataFrame) -> Figure:
    """Gain in AUROC by shape, and the part of it due to order, by space: dots with intervals, nulls as grey bars.

    table: columns space, what ("gain", "order"), value, low, high, null_low, null_high.
    """
    names = list(dict.fromkeys(table["space"]))
    figure, axes = panels(columns=len(GAINS), height=0.9 + 0.3 * len(names))
    for panel, (what, title) in zip(axes, GAINS.items(), strict=True):
        rows = table[table["what"] == what].set_index("space")
        for place, name in enumerate(reversed(names)):
            row = rows.loc[name]
            panel.plot([row["null_low"], row["null_high"]], [place, place], color="#DDDDDD", linewidth=9, zorder=0)
            _interval(panel, row, place, _colour(name))
        _name_rows(panel, names, panel is axes[0])
        mark_null(panel, 0.0, "nothing")
        panel.set(title=title, xlabel="grey: null")
        panel.locator_params(axis="x", nbins=5)
    return figure


def power_curves(table: pd.DataFrame, enough: float) -> Figure:
    """Share of planted cohorts in which shape is found, and the mean gain beside the most there is, by effect.

    table: columns what, effect, power, low, high, gain, reached; enough: the power that counts as found.
    """
    figure, (power, gains) = panels(columns=2)
    looks = {"gain": ("shape adds", OBJECT["c"]), "order": ("its order adds", OBJECT["e"])}
    for what, (label, colour) in looks.items():
        rows = table[table["what"] == what]
        power.plot(rows["effect"], rows["power"], "o-", color=colour, markersize=4, label=label)
        power.fill_between(rows["effect"], rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0)
        gains.plot(rows["effect"], rows["gain"], "o-", color=colour, markersize=4, label=label)
    gains.plot(rows["effect"], rows["reached"], "--", color="#4D4D4D", label="turbulence itself")
    mark_null(power, enough, "found", horizontal=True)
    mark_null(gains, 0.0, "nothing", horizontal=True)
    effect = "planted effect, log-hazard per SD"
    power.set(ylim=(-0.03, 1.03), xlabel=effect, title="share of cohorts where it holds")
    gains.set(xlabel=effect, title="mean ΔAUROC")
    return _legend(figure, [gains])


def _multiples(table: pd.DataFrame, height: float) -> tuple[Figure, list[Axes]]:
    number = table["group"].nunique()
    columns = min(COLUMNS, number)
    figure, axes = panels(rows=-(-number // columns), columns=columns, height=height)
    for spare in axes[number:]:
        spare.set_visible(False)
    return figure, list(axes[:number])


def _name_bottom(axes: list[Axes], label: str) -> None:
    """Name the x axis of the lowest panel in each column."""
    for panel in axes[-COLUMNS:]:
        panel.set_xlabel(label, fontsize=8)


def _legend(figure: Figure, axes: list[Axes]) -> Figure:
    """One legend below for all panels: what any of them shows."""
    found = {label: handle for panel in axes for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def _colour(space: str) -> str:
    return OBJECT["untrained z"] if space.startswith("untrained") else OBJECT[space]


def _interval(
    panel: Axes, row: pd.Series, place: float, colour: str, prefix: str = "", label: str | None = None
) -> None:
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    panel.plot([low, high], [place, place], color=colour, linewidth=1.6)
    panel.plot(row[f"{prefix}value"], place, "o", color=colour, markersize=4.5, label=label)


def _name_rows(panel: Axes, names: list[str], show: bool) -> None:
    panel.set_yticks(np.arange(len(names)), names[::-1] if show else [""] * len(names), fontsize=8)
    panel.set_ylim(-0.6, len(names) - 0.2)
