"""Seeds beside each other: how alike their spaces are, what each is blind to, and how far apart they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import NULL, OBJECT, mark_null, panels

# A marker a seed; where seeds are more than these, all look the same, and only their spread is read.
MARKERS = "os^Dv*<>"
SPACES = {"z": OBJECT["z"], "ẑ": OBJECT["ẑ"], "untrained z": OBJECT["untrained z"], "z of another patient": NULL}


def seeds_alike(table: pd.DataFrame) -> Figure:
    """CKA between seeds: a band for each space, and in it a line for each pair.

    table: columns space, value, low, high, a row a pair and space.
    """
    pairs = table["space"].value_counts().max()
    figure, (axes,) = panels(height=0.8 + len(SPACES) * max(0.3, 0.05 * pairs))
    for place, (name, colour) in enumerate(reversed(SPACES.items())):
        rows = table[table["space"] == name]
        places = place + np.linspace(0.3, -0.3, len(rows) + 2)[1:-1]
        axes.hlines(places, rows["low"], rows["high"], color=colour, linewidth=1.6)
        axes.plot(rows["value"], places, "o", color=colour, markersize=4)
    axes.set_yticks(range(len(SPACES)), list(reversed(SPACES)))
    axes.set(xlabel="CKA between two seeds, over different test patients", xlim=(-0.05, 1))
    mark_null(axes, 0, "nothing shared")
    return figure


def blind_spots_by_seed(concepts: pd.DataFrame, fdr: float) -> Figure:
    """What each seed leaves unforeseen of every concept, one row a concept and one marker a seed.

    concepts: columns concept, q, and one named "seed …" for each seed; the first row is drawn at the top. A star marks
    concepts whose q is below `fdr`.
    """
    seeds = [name for name in concepts.columns if name.startswith("seed ")]
    few = len(seeds) <= len(MARKERS)
    figure, (axes,) = panels(height=0.6 + 0.17 * len(concepts))
    places, shares = np.arange(len(concepts))[::-1], concepts[seeds].to_numpy()
    axes.hlines(places, shares.min(axis=1), shares.max(axis=1), color=NULL, linewidth=1, zorder=0)
    for seed, marker, share in zip(seeds, MARKERS if few else "o" * len(seeds), shares.T, strict=False):
        axes.scatter(
            share, places, c=OBJECT["e"], marker=marker, s=22, linewidths=0, alpha=1 if few else 0.5, label=seed
        )
    apart = concepts["q"].lt(fdr)
    names = [f"{name} *" if far else name for name, far in zip(concepts["concept"], apart, strict=True)]
    axes.set_yticks(places, names, fontsize=7.5)
    axes.set(xlabel="share of z along the concept that was not foreseen, test patients")
    mark_null(axes, 1, "the mean")
    if few:
        axes.legend(frameon=False, fontsize=8, ncols=len(seeds), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure
