"""Concepts that can be read off the records: psychiatric groups of an encounter, and nuisances beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd

PREFIX = "group_"

# Memberships reached at an encounter or before it, cumulative: once in, a patient stays in.
MEMBERSHIPS = ("f_code_so_far", "f_principal_so_far", "f_psych_service_so_far", "f_core_so_far", "qualified_so_far")


def psychiatric_groups(index: pd.DataFrame) -> dict[str, np.ndarray]:
    """Each psychiatric concept group coded in encounter k, bool [N], from an Encounters index."""
    return {name.removeprefix(PREFIX): index[name].to_numpy(bool) for name in index.columns if name.startswith(PREFIX)}


def psychiatric_subsets(index: pd.DataFrame) -> dict[str, np.ndarray]:
    """The psychiatric subset by four readings, bool [N], known at discharge of k: "patient ever" would read the future.

    An F code (ICD-10 F01–F99, ICD-9 290–319) at ≤ k. Each reading is within the first, the third within the second.
    """
    names = ["any F code", "F code as principal diagnosis", "and on the psychiatric service",
             "any but tobacco, remission, neurocognitive"]  # fmt: skip
    return {name: index[column].to_numpy(bool) for name, column in zip(names, MEMBERSHIPS[:4], strict=True)}


def nuisances(index: pd.DataFrame) -> dict[str, np.ndarray]:
    """What z may know without knowing the patient's state, bool [N]: the ICD era, how early in the record, age."""
    return {
        "ICD-10 era": index["icd_version"].to_numpy() == 10,
        "first encounter": index["k"].to_numpy() == 0,
        "aged 65 or over": index["age"].to_numpy() >= 65,
        "over a week in hospital": index["los_days"].to_numpy() > 7,
    }
