"""Tables of the pages on steering."""

from __future__ import annotations

import pandas as pd

from jepascope.book.claims import interval
from jepascope.book.figures.steering import KINDS


def regime_table(counts: pd.DataFrame) -> pd.DataFrame:
    """How many concepts are in each regime, and mean effects, a row a site and kind of direction."""
    spelled = counts.assign(kind=counts["kind"].map(KINDS), on=[interval(e) for e in counts["on"]])
    spelled["selective"] = [interval(e) for e in counts["selective"]]
    titles = {"site": "edited", "kind": "direction", "on": "on target over random labels"}
    return spelled.rename(columns=titles | {"selective": "selectivity over random labels"})


def part_table(parts: pd.DataFrame) -> pd.DataFrame:
    """What the row-space and null-space parts of edits do, mean over concepts, and how many look like an illusion."""
    numbers = {name: parts[name].map("{:z.2f}".format) for name in ("in_row_space", "whole", "row_part", "null_part")}
    flagged = [f"{n} of {m}" for n, m in zip(parts["illusion"], parts["moves"], strict=True)]
    table = pd.DataFrame({"edited": parts["site"], "direction": parts["kind"].map(KINDS), **numbers})
    titles = {"in_row_space": "squared length in row space", "whole": "effect of all", "row_part": "of row-space part"}
    return table.assign(illusion=flagged).rename(
        columns=titles | {"null_part": "of null-space part", "illusion": "illusion, of those that move"}
    )


def concept_table(regimes: pd.DataFrame, concepts: pd.DataFrame, kind: str = "mean") -> pd.DataFrame:
    """Each concept at both sites: how well ẑ tells it, how large the edit is, its effects and its regime."""
    rows = regimes[regimes["kind"] == kind].merge(concepts[["concept", "auroc"]], on="concept")
    cells = {
        title: [
            f"{v:z.2f} [{a:z.2f}, {b:z.2f}]"
            for v, a, b in zip(rows[name], rows[f"{name}_low"], rows[f"{name}_high"], strict=True)
        ]
        for name, title in (("on_over_labels", "on target"), ("selective_over_labels", "selectivity"))
    }
    fixed = {"edited": rows["site"], "concept": rows["concept"], "AUROC in ẑ": rows["auroc"].map("{:.2f}".format)}
    return pd.DataFrame({**fixed, "length": rows["size"].map("{:.2f}".format), **cells, "regime": rows["regime"]})


def kind_table(compared: pd.DataFrame) -> pd.DataFrame:
    """Each kind of edit against the truth, with both nulls below."""
    table = pd.DataFrame({"edit": compared["kind"].map(lambda kind: KINDS.get(kind, kind))})
    titles = {
        "cosine": "cosine, rows and axes", "slope": "slope, true on predicted", "r": "r over concepts",
        "acting": "carried over: concepts that act", "shocks": "carried over: shocks",
        "shocks told apart": "shocks, as z tells them apart",
    }  # fmt: skip
    for name, title in titles.items():
        table[title] = ["—" if value is None else interval(value) for value in compared[name]]
    return table
