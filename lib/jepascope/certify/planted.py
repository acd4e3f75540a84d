"""The planted truth, put beside the encounters of a run: the only way to it.

Everything else earns its trust by finding it without.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope.cohort.synthetic.truth import read_truth
from jepascope.cohort.synthetic.utilisation import DEATH, PLANNED

KEY = ["subject_id", "hadm_id"]
# What the planted risk tends to as the hazard grows: some of what happens next is planned, or a death.
CERTAIN = 1 - PLANNED - DEATH


class TruthError(ValueError):
    """The truth doesn't cover these encounters; the message says how many are missing."""


class Truth(NamedTuple):
    """The planted states of N encounters, in the order of an index table."""

    states: pd.DataFrame  # bool [N, C], a column a concept
    concepts: pd.DataFrame  # C rows: name, dynamics, prevalence, ...
    risk: np.ndarray  # [N], oracle probability of 30-day readmission after k
    confounder: str = ""  # a concept that goes with readmission and has no effect on it; "": none was planted


def load_truth(root: Path, index: pd.DataFrame) -> Truth:
    """Read the planted truth of the tree `root` and align it to `index`. Raises TruthError as `align` does."""
    table, description = read_truth(root)
    truth = align(table, pd.DataFrame(description["concepts"]), index)
    return truth._replace(confounder=description.get("confounders", {}).get("concept", ""))


def align(table: pd.DataFrame, concepts: pd.DataFrame, index: pd.DataFrame) -> Truth:
    """Put truth rows in the order of `index` by (subject_id, hadm_id): rows alone would match after any filter.

    Raises TruthError when an encounter of `index` has no truth, or more than one.
    """
    if table.duplicated(KEY).any():
        raise TruthError(f"truth has {int(table.duplicated(KEY).sum())} repeated admissions: make the cohort again")
    rows = index[KEY].merge(table, on=KEY, how="left", indicator="found")
    missing = int((rows["found"] != "both").sum())
    if missing:
        raise TruthError(
            f"{missing} of {len(index)} encounters have no planted truth: objects and truth are of different cohorts"
        )
    columns = {name: rows[f"concept_{name}"].to_numpy(float) > 0.5 for name in concepts["name"]}
    return Truth(pd.DataFrame(columns), concepts, rows["risk_30d"].to_numpy(float))
