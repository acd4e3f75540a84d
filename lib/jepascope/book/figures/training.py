"""How training went, and whether ẑ is a prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.figures.style import NULL, OBJECT, mark_null, panels

SYMBOLS = {"z": "z", "c": "c", "z_hat": "ẑ", "e": "e"}


def learning_curves(history: pd.DataFrame, width: int) -> Figure:
    """Losses, rank of the four objects, and skill, by epoch; validation patients unless marked."""
    figure, (loss, rank, skill) = panels(columns=3, height=2.6)
    epochs = history["epoch"] + 1
    terms = [name.removeprefix("train_") for name in history if name.startswith("train_") and name != "train_total"]
    for term, colour in zip(terms, (OBJECT["ẑ"], OBJECT["c"], "#4D4D4D"), strict=False):
        loss.plot(epochs, history[f"train_{term}"], color=colour, linestyle=":")
        loss.plot(epochs, history[f"validation_{term}"], color=colour, label=term)
    loss.set(title="loss terms (dotted: training)", xlabel="epoch", yscale="log")
    loss.legend(frameon=False, fontsize=7)
    for name, symbol in SYMBOLS.items():
        rank.plot(epochs, history[f"rankme_{name}"], color=OBJECT[symbol])
        rank.annotate(symbol, (epochs.iloc[-1], history[f"rankme_{name}"].iloc[-1]), color=OBJECT[symbol])
    rank.set(title=f"RankMe (of {width})", xlabel="epoch", ylim=(0, width))
    for name, label, colour in (
        ("mean", "over the mean", OBJECT["z"]),
        ("persistence", "over persistence", OBJECT["c"]),
    ):
        skill.plot(epochs, history[f"skill_over_{name}"], color=colour, label=label)
    mark_null(skill, 0, "no skill", horizontal=True)
    skill.set(title="skill of ẑ", xlabel="epoch")
    skill.legend(frameon=False, fontsize=7)
    return figure


def collapse_panels(history: pd.DataFrame, width: int) -> Figure:
    """Every collapse measure of the four objects by epoch, side by side, because each is blind to some collapse.

    history: the columns of a run's history.parquet, one row an epoch; validation patients. `width` is D.
    Rows of the figure: how many directions are used; how far they reach; how much of them is who the patient is.
    """
    measures = {  # title: the solid line's measure, and the dotted one's
        f"RankMe (of {width})": ("rankme", None),
        f"effective rank (of {width})": ("effective_rank", None),
        "LiDAR (by patient)": ("lidar", None),
        "std of a dimension: mean, least": ("std_mean", "std_min"),
        "|cosine| of two encounters": ("mean_absolute_cosine", None),
        "variance share on the top axis": ("top_variance_share", None),
        "variance share within patients": ("within_patient_share", None),
        "variance share between, by step": ("between_patient_share", None),
        "share nearest to their patient": ("same_patient_retrieval", "same_patient_chance"),
    }
    figure, axes = panels(rows=3, columns=3, height=2.0)
    epochs = history["epoch"] + 1
    for panel, (title, (solid, dotted)) in zip(axes, measures.items(), strict=True):
        for name, symbol in SYMBOLS.items():
            panel.plot(epochs, history[f"{solid}_{name}"], color=OBJECT[symbol], marker=".", markersize=3)
            if dotted:
                panel.plot(epochs, history[f"{dotted}_{name}"], color=OBJECT[symbol], linestyle=":")
        panel.set_title(title, fontsize=8.5)
        panel.set_ylim(bottom=0)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    for panel in axes[-3:]:
        panel.set_xlabel("epoch")
    handles = [Line2D([], [], color=OBJECT[symbol], label=symbol) for symbol in SYMBOLS.values()]
    handles.append(Line2D([], [], color=NULL, linestyle=":", label="least std; chance"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    return figure


def skills(estimates: Mapping[str, Estimate]) -> Figure:
    """Skills of prediction with their intervals, one line each."""
    figure, (axes,) = panels(height=0.7 + 0.35 * len(estimates))
    for place, (name, estimate) in enumerate(reversed(list(estimates.items()))):
        colour = "#8A8A8A" if "another patient" in name else OBJECT["ẑ"]
        axes.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=2)
        axes.plot(estimate.value, place, "o", color=colour)
        label: dict[str, Any] = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center", "fontsize": 8}
        axes.annotate(f"{estimate.value:.2f}", (estimate.value, place), **label)
    axes.set_yticks(range(len(estimates)), list(estimates)[::-1])
    axes.set(xlabel="1 − squared error / reference error, test patients", ylim=(-0.6, len(estimates) - 0.3))
    mark_null(axes, 0, "no skill")
    return figure
