"""What z holds: probes, its shape, the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
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


def shapes(table: pd.DataFrame) -> Figure:
    """Dimension of each space and agreement of its halves, each beside a Gaussian cloud with its covariance.

    table: columns measure, representation, value, low, high, gaussian, gaussian_low, gaussian_high.
    """
    measures = {"dimension": "intrinsic dimension (TwoNN)", "halves": "agreement of halves (rank correlation)"}
    figure, axes = panels(columns=2, height=2.6)
    for panel, (measure, title) in zip(axes, measures.items(), strict=True):
        rows = table[table["measure"] == measure].iloc[::-1]
        places = np.arange(len(rows))
        colours = [OBJECT.get(name, NULL) for name in rows["representation"]]
        panel.hlines(places + 0.12, rows["low"], rows["high"], color=colours, linewidth=1.6)
        panel.scatter(rows["value"], places + 0.12, c=colours, s=18, label="as it is")
        panel.hlines(places - 0.12, rows["gaussian_low"], rows["gaussian_high"], color=NULL, linewidth=1.2)
        panel.scatter(rows["gaussian"], places - 0.12, c="white", edgecolors=NULL, s=18, label="its Gaussian cloud")
        panel.set_yticks(places, list(rows["representation"]))
        panel.set(xlabel=title, xlim=(min(0.0, rows[["low", "gaussian_low"]].min(axis=None)), None))
    axes[1].legend(frameon=False, fontsize=7.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def map_of_z(picture: Any) -> Figure:
    """The map, plain and by a few groups. For looking: no claim rests on it.

    picture: xy [M, 2], cluster [M], groups (bool [M] each); or, where places could be persons, density (patients per
    cell, NaN where few) alone.
    """
    if picture.density is not None:
        return _densities(picture.density)
    xy, cluster = picture.xy, picture.cluster
    figure, axes = panels(columns=1 + len(picture.groups), height=2.3)
    inside = cluster >= 0
    axes[0].scatter(xy[~inside, 0], xy[~inside, 1], color="#BBBBBB", s=2, linewidths=0)
    axes[0].scatter(xy[inside, 0], xy[inside, 1], c=cluster[inside], cmap="tab20", s=2, linewidths=0)
    axes[0].set_title(f"{cluster.max() + 1} clusters")
    for panel, (name, member) in zip(axes[1:], picture.groups.items(), strict=True):
        panel.scatter(xy[~member, 0], xy[~member, 1], color="#DDDDDD", s=2, linewidths=0)
        panel.scatter(xy[member, 0], xy[member, 1], color=OBJECT["z"], s=3, linewidths=0)
        panel.set_title(f"{name} ({member.mean():.0%})")
    _bare(axes)
    return figure


def _densities(density: Mapping[str, np.ndarray]) -> Figure:
    """Patients per cell, of all and of each group; blank cells hold too few."""
    figure, axes = panels(columns=len(density), height=2.3)
    for panel, (name, counts) in zip(axes, density.items(), strict=True):
        image = panel.imshow(counts.T, origin="lower", cmap="Blues", aspect="auto", vmin=0)
        figure.colorbar(image, ax=panel, shrink=0.6)
        panel.set_title(f"{name}: patients")
    _bare(axes)
    return figure


def _bare(axes: Sequence[Axes]) -> None:
    for panel in axes:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
