"""Tables of the page that holds the error against simulated futures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.claims import interval
from jepascope.store import read_table

MODELS = {"": "trained", "twin_": "untrained twin"}
PARTS = ("irreducible", "reducible", "cross", "spread")


def share_table(held: Mapping[str, Path]) -> pd.DataFrame:
    """Shares of the squared error, a row a model: held is "" or "twin_" → the folder of `hold_against_oracle`."""
    rows = []
    for name, folder in held.items():
        shares = read_table(folder / "shares.parquet").set_index("name")
        came = read_table(folder / "calibration.parquet").set_index("name").loc["came"]
        row = {"model": MODELS[name]} | {part: _bracket(shares.loc[part]) for part in PARTS}
        rows.append(row | {"what came / its futures": _bracket(came)})
    return pd.DataFrame(rows).rename(columns={"cross": "cross term", "spread": "irreducible, by spread alone"})


def injection_table(injected: Mapping[str, Path]) -> pd.DataFrame:
    """Mean recovery over all injected subspaces, a row a model; what has no interval is a plain mean."""
    rows = []
    for name, folder in injected.items():
        means = read_table(folder / "means.parquet").set_index("name")
        plain = ("axes of e", "random axes")
        found = {name: _bracket(means.loc[name]) for name in ("injected", "nothing injected")}
        rows.append({"model": MODELS[name], **found, **{key: f"{means.loc[key, 'value']:.3f}" for key in plain}})
    return pd.DataFrame(rows).rename(
        columns={"injected": "blind axes", "nothing injected": "blind axes, nothing put in"}
    )


def change_table(trials: Mapping[str, Path]) -> pd.DataFrame:
    """What each trial changed in the concepts that it was told of, a row a model, trial and concept."""
    rows = []
    for name, folder in trials.items():
        changes = read_table(folder / "changes.parquet").query("target")
        aurocs = read_table(folder / "aurocs.parquet").set_index(["trial", "concept"])
        for _, row in changes.iterrows():
            gained = aurocs.loc[(row["trial"], row["concept"])]
            words = {"model": MODELS[name], "told": row["trial"], "concept": row["concept"].replace("_", " ")}
            share = f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
            rows.append(words | {"change in share foreseen (family-wise)": share, "change in AUROC": _bracket(gained)})
    return pd.DataFrame(rows)


def _bracket(row: Any) -> str:
    return interval(Estimate(row["value"], row["low"], row["high"], 0, 0))
