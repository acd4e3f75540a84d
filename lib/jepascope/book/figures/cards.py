"""Names held to on other patients, and features that stay longer than the same encounters in any order."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.analysis.features.enrichment import MIN_CELL
from jepascope.book.figures.style import NULL, OBJECT, panels


def names_on_test(evidence: pd.DataFrame, bar: float) -> Figure:
    """Odds ratio of each card's leading code: as found on training patients, and with its interval on test patients.

    evidence: `pipeline.dictionary.cards.load_cards`; bar: the odds ratio that a name must exceed.
    """
    leading = evidence[evidence["leads"]]
    figure, (axes,) = panels(width=4.8, height=4.0)
    x, y = leading["odds_train"], leading["odds"]
    spread = np.abs(np.stack([y - leading["low"], leading["high"] - y]))
    axes.errorbar(x, y, yerr=spread, fmt="o", color=OBJECT["z"], markersize=3.5, elinewidth=0.8, alpha=0.8)
    ends = [0.8, 1.5 * max(x.max(), leading["high"].max())] if len(leading) else [0.8, 10.0]
    axes.plot(ends, ends, color=NULL, linewidth=1, zorder=0)
    axes.axhline(bar, color=NULL, linestyle="--", linewidth=1, zorder=0)
    axes.annotate("a name falls below", (ends[0], bar), (4, -3), textcoords="offset points", va="top", fontsize=7.5)
    axes.set(xscale="log", yscale="log", xlabel="odds ratio, training patients", ylabel="odds ratio, test patients")
    return figure


def staying_on(features: pd.DataFrame) -> Figure:
    """P(on | on at the encounter before) beyond any order of the same encounters, a row a card, sorted, with intervals.

    features: `pipeline.dictionary.cards.load_cards`; left out are those that few patients have with an encounter after.
    """
    enough = features["excess_low"].notna() & (features["followed"] >= MIN_CELL)
    rows = features[enough].sort_values("excess").reset_index(drop=True)
    figure, (axes,) = panels(width=6.4, height=max(2.4, 0.6 + 0.15 * len(rows)))
    spread = np.abs(np.stack([rows["excess"] - rows["excess_low"], rows["excess_high"] - rows["excess"]]))
    axes.errorbar(rows["excess"], rows.index, xerr=spread, fmt="o", color=OBJECT["z"], markersize=3, elinewidth=0.8)
    axes.axvline(0, color=NULL, linestyle="--", linewidth=1, zorder=0)
    names = rows["name"].str.slice(0, 44)
    axes.set(yticks=rows.index, xlabel="P(on | on before), less that of any order")
    axes.set_yticklabels(names, fontsize=6.5)
    return figure
