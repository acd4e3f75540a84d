"""Tables of the page that holds the error against simulated futures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.claims import interval
from jepascope.book.figures.style import DYNAMICS
from jepascope.store import read_json, read_table

MODELS = {"": "trained", "twin_": "untrained twin"}
READERS = {"own": "of the predictor's own input", "past": "of the past as well"}
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


def kind_table(folder: Path) -> pd.DataFrame:
    """What the state foretells and ẑ foresees of each kind of concept, from a folder of `hold_against_oracle`.

    Shares of what the concepts do to z; last, ẑ's share over the state's, where the state surely has one.
    """
    kinds = read_table(folder / "kinds.parquet").set_index("name")
    rows = []
    for kind in DYNAMICS:
        found = {by: f"{kind}, {by}" for by in ("state", "ẑ", "missed", "ẑ of the state's")}
        shown = {by: _bracket(kinds.loc[name]) if name in kinds.index else "—" for by, name in found.items()}
        rows.append({"kind": kind.replace("_", " "), **shown})
    return pd.DataFrame(rows).rename(columns={
        "state": "the state foretells", "ẑ": "ẑ foresees", "missed": "foretold, not foreseen",
        "ẑ of the state's": "foreseen / foretold",
    })  # fmt: skip


def agreement_table(held: Mapping[str, Path]) -> pd.DataFrame:
    """How much of the oracle's avoidable error each reader finds, a row a model and reader.

    R² beside that of another patient's estimate; the squared length that three leading axes share with the oracle's,
    beside that of plain principal axes of e and of random ones; and the correlation of the two maps over concepts.
    """
    rows = []
    for name, folder in held.items():
        correlations = read_table(folder / "correlation.parquet").set_index("name")
        agreements = read_json(folder / "agreement.json")
        for reader, words in READERS.items():
            found = agreements[reader]
            row = {"model": MODELS[name], "reader": words}
            row |= {"R²": _bracket(found["r2"]), "of another patient": _bracket(found["null"])}
            row |= {key: f"{found[key]:.2f}" for key in ("axes", "axes_of_e", "chance")}
            rows.append(row | {"maps correlate": _bracket(correlations.loc[reader])})
    return pd.DataFrame(rows).rename(
        columns={"axes": "leading axes", "axes_of_e": "leading axes of e", "chance": "random axes"}
    )


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


def trial_table(folder: Path) -> pd.DataFrame:
    """What each trial of `falsify` did to the concepts that it told of, and to all others, a row a trial."""
    pooled, changes = (read_table(folder / f"{name}.parquet") for name in ("pooled", "changes"))
    pooled = pooled.set_index("name")
    rows = []
    for trial, mine in changes.groupby("trial", sort=False):
        parts = ("before", "after", "targets", "others", "furthest")
        row = {"told": trial} | {part: _bracket(pooled.loc[f"{trial}, {part}"]) for part in parts}
        others = mine[~mine["target"]]
        moved = others[(others["low"] > 0) | (others["high"] < 0)]
        named = ", ".join(moved["concept"].str.replace("_", " "))
        rows.append(row | {"others moved": f"{len(moved)} of {len(others)}" + (f" ({named})" if named else "")})
    return pd.DataFrame(rows).rename(columns={
        "before": "foreseen before", "after": "foreseen after", "targets": "change", "others": "others, mean change",
        "furthest": "furthest other",
    })  # fmt: skip


def change_table(trials: Mapping[str, Path]) -> pd.DataFrame:
    """What each trial changed in the concepts that it was told of, a row a model, trial and concept."""
    rows = []
    for name, folder in trials.items():
        changes = read_table(folder / "changes.parquet").query("target")
        aurocs = read_table(folder / "aurocs.parquet").set_index(["trial", "concept"])
        for _, row in changes.iterrows():
            gained = aurocs.loc[(row["trial"], row["concept"])]
            words = {"model": MODELS[name], "told": row["trial"], "concept": row["concept"].replace("_", " ")}
            shares = {"foreseen before": f"{row['before']:z.2f}", "after": f"{row['before'] + row['value']:z.2f}"}
            change = f"{row['value']:z.2f} [{row['low']:z.2f}, {row['high']:z.2f}]"
            rows.append(words | shares | {"change (family-wise)": change, "change in AUROC": _bracket(gained)})
    return pd.DataFrame(rows)


def _bracket(row: Any) -> str:
    return interval(Estimate(row["value"], row["low"], row["high"], 0, 0))
