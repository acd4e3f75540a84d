"""What a claim needs, kept in a step's folder: the value, the null that was run, and the untrained twin's value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from jepascope.analysis.inference.stats import Estimate, NotComputable, Null
from jepascope.store import read_json, read_table, write_json

FILE = "readings.json"


class Reading(NamedTuple):
    """One statistic with what it is held against."""

    estimate: Estimate
    null: Estimate | Null
    untrained: Estimate | None = None


def save_readings(folder: Path, readings: Mapping[str, Reading]) -> None:
    """Write readings.json: name -> estimate, null, untrained, each as a plain mapping."""
    plain = {
        name: {field: None if value is None else value._asdict() for field, value in reading._asdict().items()}
        for name, reading in readings.items()
    }
    write_json(folder / FILE, plain)


def load_reading(folder: Path, name: str) -> Reading:
    """Read one of them. Raises NotComputable where the step could not compute it, StoreError without the file."""
    found = read_json(folder / FILE)
    if name not in found:
        raise NotComputable(f"{name.replace('_', ' ')} was not computed: too few patients")
    parts = found[name]
    untrained = parts["untrained"]
    return Reading(Estimate(**parts["estimate"]), _null(parts["null"]), untrained and Estimate(**untrained))


def load_table(folder: Path, name: str) -> pd.DataFrame:
    """Read a table that a step left. A function, for a folder that is not here. Raises StoreError."""
    return read_table(folder / f"{name}.parquet")


def _null(value: dict[str, Any]) -> Estimate | Null:
    return Null(**value) if "p" in value else Estimate(**value)
