"""Concepts that can be read off the records: psychiatric groups of an encounter, and nuisances beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd

PREFIX = "group_"


def psychiatric_groups(index: pd.DataFrame) -> dict[str, np.ndarray]:
    """Each psychiatric concept group coded in encounter k, bool [N], from an Encounters index."""
    return {name.removeprefix(PREFIX): index[name].to_numpy(bool) for name in index.columns if name.startswith(PREFIX)}


def nuisances(index: pd.DataFrame) -> dict[str, np.ndarray]:
    """What z may know without knowing the patient's state, bool [N]: the ICD era, how early in the record, age."""
    return {
        "ICD-10 era": index["icd_version"].to_numpy() == 10,
        "first encounter": index["k"].to_numpy() == 0,
        "aged 65 or over": index["age"].to_numpy() >= 65,
        "over a week in hospital": index["los_days"].to_numpy() > 7,
    }
