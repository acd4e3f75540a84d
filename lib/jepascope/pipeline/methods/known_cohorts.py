"""Methods on cohorts of known content: how often each is wrong where there is nothing, and finds what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.methods.false_findings import alarms, false_findings
from jepascope.cohort import encounters as cohort_encounters
from jepascope.store import read_table, write_table

# How strong the shared factor of the toy cohorts is, and how many cohorts there are of each that holds one: a share of
# so many is known to within a fifth.
STRENGTHS, POWER_COHORTS = (0.2, 0.4, 0.6, 0.8), 25
# Cohorts on which methods are also done by rows, for the table of what that finds.
SHOWN_COHORTS = 5
PATIENTS = 300


def examine_methods(folder: Path, encounters: Path, certification: params.Certification, seed: int) -> None:
    """The step that leaves alarms.parquet (of patient-exact methods) and false_findings.parquet (beside rows).

    Nothing of the encounters is used but how many each of a random sample of patients has.
    """
    rng = np.random.default_rng(seed)
    records = cohort_encounters.load(encounters).index.groupby("subject_id").size().to_numpy()
    lengths = rng.choice(records, min(PATIENTS, len(records)), replace=False)
    cohorts = (certification.cohorts, *[min(POWER_COHORTS, certification.cohorts)] * len(STRENGTHS))
    write_table(folder / "alarms.parquet", alarms(rng, (0.0, *STRENGTHS), cohorts, lengths=lengths))
    shown = min(SHOWN_COHORTS, certification.cohorts)
    write_table(folder / "false_findings.parquet", false_findings(rng, cohorts=shown, lengths=lengths))


def load_alarms(folder: Path) -> pd.DataFrame:
    """Of `alarms`: method, quantity, shared, cohorts, value, largest, alarms, low, high."""
    return read_table(folder / "alarms.parquet")


def load_false_findings(folder: Path) -> pd.DataFrame:
    """Of `false_findings`."""
    return read_table(folder / "false_findings.parquet")
