"""Simulated futures beside what came, the error in its two parts, and what a cured predictor foresees."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from jepascope.book.figures.style import DYNAMICS, EMPTY, NULL, OBJECT, TRUTH, mark_null, panels

SPACES = {"state": ("the planted state", TRUTH), "ẑ": ("ẑ", OBJECT["ẑ"])}
TRIALS = {"echoes": "told which echoes are due", "placebo": "told another patient's", "rules": "told the driven rules"}
# A share further out says only that z hardly tells the concept.
FURTHEST = (-1.0, 2.0)


def token_check(tokens: pd.DataFrame) -> Figure:
    """Frequency of each token, expected from futures and as it came; and the scores of their differences.

    tokens: columns came, expected, t, t_simulated.
    """
    figure, (frequency, scores) = panels(columns=2)
    shown = tokens[(tokens["came"] > 0) & (tokens["expected"] > 0)]
    frequency.loglog(shown["expected"], shown["came"], "o", color=OBJECT["raw codes"], markersize=2.5, alpha=0.6)
    ends = [shown[["came", "expected"]].to_numpy().min(), 1.0]
    frequency.plot(ends, ends, color=NULL, linestyle="--", linewidth=1, zorder=0)
    frequency.set(title="each token, share of encounters", xlabel="expected from futures", ylabel="came")
    edges = np.linspace(-4, 4, 33)
    for column, label, colour in (("t", "what came", OBJECT["raw codes"]), ("t_simulated", "a future", TRUTH)):
        scores.hist(
            tokens[column].dropna(),
            edges.tolist(),
            density=True,
            histtype="step",
            color=colour,
            label=label,
            linewidth=1.4,
        )
    scores.plot(edges, norm.pdf(edges), color=NULL, linestyle="--", linewidth=1, label="normal")
    scores.set(title="score of the difference", xlabel="standard errors, by patient", yticks=[])
    scores.legend(frameon=False, fontsize=7.5)
    return figure


def foreseen_by_concept(table: pd.DataFrame) -> Figure:
    """What the planted state, and ẑ, foresee of each concept, by how it behaves in time.

    table: columns concept, dynamics, space ("ẑ", "state"), value, low, high.
    """
    order = {kind: place for place, kind in enumerate(DYNAMICS)}
    ranked = table[table["space"] == "state"].assign(place=lambda t: t["dynamics"].map(order))
    names = ranked.sort_values(["place", "value"], ascending=[True, False])["concept"].tolist()
    figure, (panel,) = panels(height=0.8 + 0.19 * len(names))
    for offset, (space, (label, colour)) in zip((0.16, -0.16), SPACES.items(), strict=True):
        rows = table[table["space"] == space].set_index("concept").loc[names]
        places = np.arange(len(names))[::-1] + offset
        panel.hlines(places, rows["low"], rows["high"], color=colour, linewidth=1.3)
        panel.plot(rows["value"], places, "o", color=colour, markersize=3.5, label=label)
    _rows(panel, names, ranked.set_index("concept").loc[names, "dynamics"].tolist())
    mark_null(panel, 0.0, "blind")
    mark_null(panel, 1.0, "all")
    low, high = panel.get_xlim()
    panel.set_xlim(max(low, FURTHEST[0]), min(high, FURTHEST[1]))
    panel.set_xlabel("share of what the concept does to z that is foreseen")
    panel.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def error_by_axis(axes: pd.DataFrame) -> Figure:
    """Squared error along the principal axes of z, over the variance there: irreducible below, reducible on top.

    axes: columns axis, irreducible, reducible, variance. An axis without variance has no share, and is left out: the
    encoder's last layer norm keeps z in a hyperplane.
    """
    figure, (panel,) = panels(height=2.6)
    axes = axes[axes["variance"] > EMPTY * axes["variance"].max()]
    irreducible, reducible = (axes[name] / axes["variance"] for name in ("irreducible", "reducible"))
    panel.bar(axes["axis"], irreducible, 0.9, color=NULL, label="irreducible: the state doesn't tell")
    panel.bar(
        axes["axis"], reducible, 0.9, bottom=irreducible, color=OBJECT["e"], label="reducible: it does, ẑ doesn't"
    )
    mark_null(panel, 1.0, "no skill", horizontal=True)
    panel.set(xlabel="principal axis of z, largest variance first", ylabel="squared error / variance")
    panel.legend(frameon=False, fontsize=8, loc="upper left")
    panel.set_ylim(0, 1.35 * max(1.0, float((irreducible + reducible).max())))
    return figure


def spots_scatter(spots: pd.DataFrame) -> Figure:
    """Avoidable error along concept directions: estimated without a truth, by either reader, against the oracle's.

    spots: columns dynamics, reducible, own, past.
    """
    figure, axes = panels(columns=2, height=3.3)
    shades = ("#0072B2", "#56B4E9", "#009E73", "#999999", "#E69F00", "#CC79A7", "#D55E00")
    ends = _padded(spots[["own", "past"]].stack())
    titles = {"own": "read from the predictor's own input", "past": "read from the past as well"}
    for panel, (reader, title) in zip(axes, titles.items(), strict=True):
        for kind, shade in zip(DYNAMICS, shades, strict=True):
            rows = spots[spots["dynamics"] == kind]
            label = kind.replace("_", " ")
            panel.plot(rows["reducible"], rows[reader], "o", color=shade, label=label, markersize=4.5)
        panel.axline((0, 0), slope=1, color=NULL, linestyle="--", linewidth=1)
        panel.set(title=title, xlabel="reducible by the oracle / variance of z", ylim=ends)
        panel.set_xlim(left=0)
    axes[0].set_ylabel("estimated / variance of z")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, frameon=False, fontsize=7.5
    )
    return figure


def injection_dots(table: pd.DataFrame) -> Figure:
    """How well each injected blind subspace is recovered, by blind axes and by plain axes of e.

    table: columns subspace, axes, blind axes, axes of e, blind axes, nothing injected.
    """
    figure, (panel,) = panels(height=0.9 + 0.24 * len(table))
    places = np.arange(len(table))[::-1]
    looks = {
        "blind axes": (OBJECT["e"], OBJECT["e"]),
        "axes of e": (OBJECT["raw codes"], "white"),
        "blind axes, nothing injected": (NULL, NULL),
    }
    for column, (colour, fill) in looks.items():
        panel.plot(table[column], places, "o", color=colour, markerfacecolor=fill, markersize=5, label=column)
    counts = [f"{name} ({n})".replace("_", " ") for name, n in zip(table["subspace"], table["axes"], strict=True)]
    panel.set_yticks(places, counts, fontsize=8)
    mark_null(panel, 0.9, "gate")
    panel.set(xlabel="squared cosine with what was put in", xlim=(-0.03, 1.03))
    figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def cure_dumbbells(changed: pd.DataFrame, foretold: pd.DataFrame) -> Figure:
    """What ẑ foresees of each concept before a trial and after it, beside what the state foretells.

    The bar about the later dot is the family-wise interval of the change. changed: columns trial, concept, dynamics,
    target, before, value, low, high; foretold: columns concept, space ("state"), value. Red is what was told.
    """
    order = {kind: place for place, kind in enumerate(DYNAMICS)}
    one = changed[changed["trial"] == "echoes"].assign(place=lambda t: t["dynamics"].map(order)).sort_values("place")
    names = one["concept"].tolist()
    marks = foretold[foretold["space"] == "state"].set_index("concept")["value"].reindex(names)
    figure, axes = panels(columns=len(TRIALS), height=1.1 + 0.17 * len(names))
    places = np.arange(len(names))[::-1]
    for panel, (trial, title) in zip(axes, TRIALS.items(), strict=True):
        rows = changed[changed["trial"] == trial].set_index("concept").reindex(names)
        panel.plot(marks, places, "|", color=TRUTH, markersize=7, markeredgewidth=1.6, label="the state foretells")
        told = rows["target"].eq(True).to_numpy()
        for chosen, colour, word in ((~told, OBJECT["raw codes"], "not told"), (told, OBJECT["e"], "told")):
            mine, at = rows[chosen], places[chosen]
            before, after = mine["before"], mine["before"] + mine["value"]
            panel.hlines(at, before, after, color=colour, linewidth=0.8)
            panel.hlines(at, before + mine["low"], before + mine["high"], color=colour, linewidth=2.2, alpha=0.6)
            panel.plot(before, at, "o", color=colour, markerfacecolor="white", markersize=4, label=f"before, {word}")
            panel.plot(after, at, "o", color=colour, markersize=3, label=f"after, {word}")
        first = panel is axes[0]
        _rows(panel, names if first else [""] * len(names), one["dynamics"].tolist() if first else [""] * len(names))
        mark_null(panel, 0.0, "")
        panel.set(title=title, xlabel="share foreseen")
        panel.title.set_fontsize(8.5)
    ends = np.array([panel.get_xlim() for panel in axes])
    for panel in axes:
        panel.set_xlim(max(ends[:, 0].min(), FURTHEST[0]), min(ends[:, 1].max(), FURTHEST[1]))
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=7.5
    )
    return figure


def _rows(panel: Axes, names: list[str], kinds: list[str]) -> None:
    labels = [f"{name} · {kind}".replace("_", " ").strip(" ·") for name, kind in zip(names, kinds, strict=True)]
    panel.set_yticks(range(len(names)), labels[::-1], fontsize=6.5)
    panel.set_ylim(-0.7, len(names) - 0.1)


def _padded(values: pd.Series) -> tuple[float, float]:
    low, high = min(float(values.min()), 0.0), float(values.max())
    return low - 0.1 * (high - low), high + 0.15 * (high - low)
