"""Tables of the arms: one seed's side by side, and all seeds'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.claims import NotHere, interval
from jepascope.params import ARMS
from jepascope.store import read_json

RECORDED_OF_ARMS = {
    "mismatch": "mismatch",
    "RankMe of z": "rankme",
    "within patients": "within",
    "over persistence": "persistence",
    "groups (AUROC)": "reads",
    "rank of e": "rank_e",
}


def arms_table(ended: Mapping[str, Any], measured: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row an arm: readouts of its last epoch, then what was measured on test patients, with intervals.

    ended: arm -> last row of its history; measured: column -> arm -> estimate. What isn't here says why.
    """
    readouts = {"RankMe of z": "rankme_z", "within patients": "within_patient_share_z", "rank of e": "effective_rank_e"}
    rows = []
    for arm, last in ended.items():
        numbers = {title: last[column] for title, column in readouts.items()}
        spelled = {title: str(v) if isinstance(v, NotHere) else f"{v:.2f}" for title, v in numbers.items()}
        rows.append(
            {"arm": arm.replace("_", " "), **spelled, **{t: interval(by_arm[arm]) for t, by_arm in measured.items()}}
        )
    return pd.DataFrame(rows)


def arms_by_seed(results: Mapping[int, Path]) -> pd.DataFrame:
    """What each seed's run of the arms recorded: a row an arm and seed, a column a measure."""
    rows = []
    for seed, file in results.items():
        values = read_json(file)["values"]
        for arm in ARMS:
            cells = {title: _recorded(values[f"{key}_{arm}"]) for title, key in RECORDED_OF_ARMS.items()}
            rows.append({"arm": arm.replace("_", " "), "seed": seed, **cells})
    return pd.DataFrame(rows).sort_values("arm", kind="stable", ignore_index=True)


def arms_over_seeds(results: Mapping[int, Path]) -> pd.DataFrame:
    """What all seeds' runs of the arms recorded: a row an arm, the mean over seeds and the lowest and highest seed."""
    values = [read_json(file)["values"] for file in results.values()]
    rows = []
    for arm in ARMS:
        cells = {title: _spread([one[f"{key}_{arm}"] for one in values]) for title, key in RECORDED_OF_ARMS.items()}
        rows.append({"arm": arm.replace("_", " "), **cells})
    return pd.DataFrame(rows).sort_values("arm", ignore_index=True)


def _spread(recorded: list[Any]) -> str:
    """Mean, lowest and highest of what several seeds recorded; — where one has no number."""
    numbers = [one["value"] if isinstance(one, dict) else one for one in recorded]
    if any(isinstance(number, str) for number in numbers):
        return "—"
    return f"{sum(numbers) / len(numbers):.2f} ({min(numbers):.2f} to {max(numbers):.2f})"


def _recorded(value: Any) -> str:
    """An estimate, a number or a reason of a results.json, as a table shows it."""
    if isinstance(value, dict):
        return interval(Estimate(**value))
    return value if isinstance(value, str) else f"{value:.2f}"
