"""Tables of dictionaries as the chapter shows them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from jepascope.analysis.inference.stats import Estimate
from jepascope.analysis.sae.baselines import NAMES
from jepascope.book.claims import interval

# Stored names and how pages write them.
VARIANTS = {
    "topk": "TopK",
    "batch_topk": "BatchTopK",
    "jump_relu": "JumpReLU",
    "matryoshka": "Matryoshka",
    "matching_pursuit": "matching pursuit",
}
BASELINES = {**NAMES, "twin": "SAE of the untrained twin"}
CODES = {
    "fvu": "FVU",
    "l0": "L0",
    "dead": "dead",
    "dense": "dense",
    "reaching": "in ≥ 11 patients",
    "splitting": "largest cosine",
}
CONCEPTS = {
    "auroc_1": "AUROC, k = 1",
    "auroc_5": "k = 5",
    "auroc_16": "k = 16",
    "absorbed": "absorbed",
    "label_r": "label r",
    "entropy": "entropy",
    "entropy_expected": "expected",
}


def measured_table(table: pd.DataFrame, names: Mapping[str, str], measures: Mapping[str, str]) -> pd.DataFrame:
    """A row a dictionary, a column a measure: with its interval, or plain where it is a count.

    table: columns dictionary, measure, value, low, high, n_rows, n_patients.
    """
    found = table.set_index(["dictionary", "measure"])
    rows = []
    for name, title in names.items():
        cells = {label: _cell(found, (name, measure)) for measure, label in measures.items()}
        if any(cell != "—" for cell in cells.values()):
            rows.append({"dictionary": title, **cells})
    return pd.DataFrame(rows)


def _cell(found: pd.DataFrame, at: tuple[str, str]) -> str:
    if at not in found.index:
        return "—"
    row = found.loc[at]
    if pd.isna(row["low"]):
        return f"{row['value']:.0f}" if float(row["value"]).is_integer() else f"{row['value']:.2f}"
    return interval(Estimate(row["value"], row["low"], row["high"], int(row["n_rows"]), int(row["n_patients"])))


def floors_table(floors: pd.DataFrame) -> pd.DataFrame:
    """Counts beside shares: features that the vote keeps, over the fits that were the reference in turn.

    floors: columns data, features, kept; one row a reference fit.
    """
    rows = []
    for data, fits in floors.groupby("data", sort=False):
        kept, living = fits["kept"], fits["features"]
        spread = f"{kept.min()} to {kept.max()}" if kept.min() < kept.max() else f"{kept.min()}"
        share = f"{kept.sum() / max(living.sum(), 1):.1%}"
        rows.append(
            {"data": data, "references": len(fits), "living": f"{living.mean():.0f}", "kept": spread, "share": share}
        )
    return pd.DataFrame(rows)


def matches_table(matches: pd.DataFrame) -> pd.DataFrame:
    """Features matched between seeds, counts out of the smaller dictionary beside each other, r with its interval."""
    of = " of " + matches["features"].astype(str)
    together = matches["fire_together"].astype(str) + of
    r = [f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in matches.itertuples()]
    seeds = matches["a"].astype(str) + " and " + matches["b"].astype(str)
    directions = matches["same_direction"].astype(str) + of
    told = {"seeds": seeds, "dictionaries": matches["dictionaries"], "same direction": directions}
    return pd.DataFrame({**told, "fire together": together, "mean r": r})
