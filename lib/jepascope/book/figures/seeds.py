"""Seeds beside each other: what each is blind to, and how far apart they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import NULL, OBJECT, mark_null, panels


def blind_spots_by_seed(concepts: pd.DataFrame) -> Figure:
    """What each seed leaves unforeseen of every concept, one row a concept and one dot a seed.

    concepts: columns concept, q, and one named "seed …" for each seed; the first row is drawn at the top.
    """
    seeds = [name for name in concepts.columns if name.startswith("seed ")]
    figure, (axes,) = panels(height=0.6 + 0.17 * len(concepts))
    places, shares = np.arange(len(concepts))[::-1], concepts[seeds].to_numpy()
    axes.hlines(places, shares.min(axis=1), shares.max(axis=1), color=NULL, linewidth=1, zorder=0)
    for seed, marker, share in zip(seeds, "os^Dv*<>" * len(seeds), shares.T, strict=False):
        axes.scatter(share, places, c=OBJECT["e"], marker=marker, s=22, linewidths=0)
        axes.scatter([], [], color="#333333", marker=marker, s=22, label=seed)
    apart = concepts["q"].lt(0.05)
    names = [f"{name} *" if far else name for name, far in zip(concepts["concept"], apart, strict=True)]
    axes.set_yticks(places, names, fontsize=7.5)
    axes.set(xlabel="share of z along the concept that was not foreseen, test patients")
    mark_null(axes, 1, "the mean")
    axes.legend(frameon=False, fontsize=8, ncols=len(seeds), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure
