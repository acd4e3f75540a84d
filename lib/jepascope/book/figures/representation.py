"""What z holds: probes, dictionaries, the map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import NULL, OBJECT, mark_null, panels


def probe_forest(table: pd.DataFrame, representations: Sequence[str], xlabel: str = "AUROC on test patients") -> Figure:
    """AUROC with interval for each target, one colour a representation.

    table: columns representation, target, value, low, high; targets that were not computable (NaN) are left out.
    """
    shown = table.dropna(subset=["value"])
    first = shown[shown["representation"] == representations[0]].set_index("target")["value"].sort_values()
    figure, (axes,) = panels(height=0.8 + 0.32 * max(len(first), 1))
    for offset, name in zip(np.linspace(0.24, -0.24, len(representations)), representations, strict=True):
        rows = shown[shown["representation"] == name].set_index("target").reindex(first.index)
        places = np.arange(len(first)) + offset
        axes.hlines(places, rows["low"], rows["high"], color=OBJECT[name], linewidth=1.6)
        marker = {"raw codes": "s", "untrained z": "D"}.get(name, "o")
        fill = "white" if name == "raw codes" else OBJECT[name]
        axes.plot(rows["value"], places, marker, color=OBJECT[name], markerfacecolor=fill, markersize=4, label=name)
    axes.set_yticks(range(len(first)), [target.replace("_", " ") for target in first.index])
    axes.set(xlabel=xlabel)
    mark_null(axes, 0.5, "chance")
    axes.legend(frameon=False, fontsize=8, ncols=len(representations), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def dictionary_agreement(shares: pd.DataFrame) -> Figure:
    """Share of features that a second fit finds again, on z, the untrained twin and Gaussian noise.

    shares: columns data, share, matched, features; one row a pair of fits.
    """
    figure, (axes,) = panels(height=0.8 + 0.4 * shares["data"].nunique())
    names = list(dict.fromkeys(shares["data"]))[::-1]
    for place, name in enumerate(names):
        rows = shares[shares["data"] == name]
        colour = OBJECT.get(name, NULL)
        axes.plot(rows["share"], np.full(len(rows), place), "o", color=colour)
        text = f"{rows['matched'].mean():.0f} of {rows['features'].mean():.0f} features"
        axes.annotate(text, (rows["share"].max(), place), xytext=(8, -3), textcoords="offset points", fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 1), ylim=(-0.5, len(names) - 0.5), xlabel="share of features found again (decoder cosine > 0.7)")
    return figure


def map_of_z(xy: np.ndarray, groups: dict[str, np.ndarray], cluster: np.ndarray) -> Figure:
    """The map [N, 2], coloured by cluster and by a few groups (bool [N] each). For looking: no claim rests on it."""
    figure, axes = panels(columns=1 + len(groups), height=2.3)
    inside = cluster >= 0
    axes[0].scatter(xy[~inside, 0], xy[~inside, 1], color="#DDDDDD", s=2, linewidths=0)
    axes[0].scatter(xy[inside, 0], xy[inside, 1], c=cluster[inside], cmap="tab20", s=2, linewidths=0)
    axes[0].set_title(f"{cluster.max() + 1} clusters")
    for panel, (name, member) in zip(axes[1:], groups.items(), strict=True):
        panel.scatter(xy[~member, 0], xy[~member, 1], color="#DDDDDD", s=2, linewidths=0)
        panel.scatter(xy[member, 0], xy[member, 1], color=OBJECT["z"], s=3, linewidths=0)
        panel.set_title(f"{name} ({member.mean():.0%})")
    for panel in axes:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    return figure
