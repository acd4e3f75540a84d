"""Tables of the chapter on membership."""

from __future__ import annotations

import pandas as pd

from jepascope.analysis.inference.stats import Estimate, Null
from jepascope.book.claims import interval


def attack_table(table: pd.DataFrame) -> pd.DataFrame:
    """Every attack with its AUROC, its null and whom it catches, as `pipeline.error.membership` measured them."""
    counts = table[["n_rows", "n_patients"]].fillna(0).astype(int)
    told = table.assign(**counts)
    auroc = [_estimate(row, ("value", "low", "high")) for _, row in told.iterrows()]
    null = [interval(Null.of_columns(row)) if not row["reason"] else "—" for _, row in told.iterrows()]
    caught = [_estimate(row, ("caught", "caught_low", "caught_high")) for _, row in told.iterrows()]
    about = told[["asked", "model", "attack"]].rename(columns={"asked": "taken for members"})
    return about.assign(AUROC=auroc, null=null, caught=caught, patients=told["n_patients"])


def _estimate(row: pd.Series, names: tuple[str, str, str]) -> str:
    if row["reason"]:
        return str(row["reason"])
    value, low, high = (row[name] for name in names)
    return interval(Estimate(value, low, high, row["n_rows"], row["n_patients"]))
