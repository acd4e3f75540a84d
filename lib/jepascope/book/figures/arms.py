"""The arms side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.figures.style import mark_null, panels
from jepascope.book.figures.verdicts import dots_by_dynamics

# Okabe and Ito's palette again, apart from the colours of objects: arms are models, not objects.
ARM = {
    "stop_gradient": "#000000",
    "ema": "#56B4E9",
    "both_sides": "#CC79A7",
    "sigreg": "#B8860B",
    "curriculum": "#7B68EE",
}
UNTRAINED = "#8A8A8A"


def words(arm: str) -> str:
    """An arm's name as prose has it."""
    return {"ema": "EMA", "sigreg": "SIGReg"}.get(arm, arm.replace("_", " "))


def arm_forest(panel_estimates: Mapping[str, Mapping[str, Any]], nulls: Sequence[float]) -> Figure:
    """One panel a measure, one line an arm with its interval; an arm without a number says so in words.

    panel_estimates: title -> arm (or "untrained") -> Estimate, or why it isn't here. nulls: one line a panel.
    """
    names = list(dict.fromkeys(arm for estimates in panel_estimates.values() for arm in estimates))
    figure, axes = panels(columns=len(panel_estimates), height=0.8 + 0.3 * len(names))
    for panel, (title, estimates), null in zip(axes, panel_estimates.items(), nulls, strict=True):
        for place, name in enumerate(reversed(names)):
            found, colour = estimates.get(name), ARM.get(name, UNTRAINED)
            if isinstance(found, Estimate):
                panel.plot([found.low, found.high], [place, place], color=colour, linewidth=2)
                panel.plot(found.value, place, "o", color=colour, markersize=4.5)
            elif found is not None:
                panel.text(0.5, place, "not here", transform=panel.get_yaxis_transform(), ha="center", fontsize=7.5)
        panel.set_yticks(range(len(names)), [words(name) for name in reversed(names)])
        panel.set(ylim=(-0.6, len(names) - 0.4))
        panel.set_title(title, fontsize=8.5)
        mark_null(panel, null, "")
    for panel in axes[1:]:
        panel.set_yticklabels([])
    return figure


def arm_histories(histories: pd.DataFrame, measures: Mapping[str, str]) -> Figure:
    """Measures of validation patients by epoch, one line an arm. measures: column of the history -> title."""
    figure, axes = panels(columns=len(measures), height=2.5)
    for panel, (column, title) in zip(axes, measures.items(), strict=True):
        for arm, rows in histories.groupby("arm", sort=False):
            panel.plot(rows["epoch"] + 1, rows[column], color=ARM[str(arm)], marker=".", label=words(str(arm)))
        panel.set(xlabel="epoch")
        panel.set_title(title, fontsize=8.5)
        panel.set_ylim(bottom=min(0, histories[column].min()))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend(frameon=False, fontsize=7)
    return figure


def error_spectra(spectra: Mapping[str, np.ndarray]) -> Figure:
    """Variance of e along its own principal axes [D], in units of z's mean variance, one line an arm."""
    figure, (axes,) = panels(height=2.8)
    for arm, shares in spectra.items():
        axes.plot(np.arange(1, len(shares) + 1), shares, color=ARM.get(arm, UNTRAINED), label=words(arm))
    axes.set(xlabel="axis of e, largest first", ylabel="variance / mean variance of z", ylim=(0, None))
    mark_null(axes, 1.0, "mean variance of z", horizontal=True)
    axes.legend(frameon=False, fontsize=8)
    return figure


def gains_by_dynamics(gains: pd.DataFrame) -> Figure:
    """What training adds to an untrained z, by how a planted concept behaves in time; an arm a colour.

    gains: columns arm, dynamics, value, low, high (differences in mean AUROC).
    """
    arms = {words(arm): colour for arm, colour in ARM.items() if arm in set(gains["arm"])}
    figure = dots_by_dynamics(gains.assign(arm=gains["arm"].map(words)), "arm", arms)
    figure.axes[0].set(ylabel="mean AUROC, trained z − untrained z")
    mark_null(figure.axes[0], 0.0, "training adds nothing", horizontal=True)
    return figure
