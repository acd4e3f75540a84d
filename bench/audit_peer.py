"""The leak audit beside icu-leakage-check, on the same frames: what does each see of leaks that were put in?

    python bench/audit_peer.py ENCOUNTERS

ENCOUNTERS is the folder of a run's extraction, of planted or open records. The peer gets an environment of its own that
is thrown away. A frame has a row per labelled encounter: the structural
columns, age, split and patient. Each leak is put into the frame, the peer reads it as a file, and of its report only
the names of the checks that fail or warn are shown: its own words could carry rows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from environments import install

from jepascope.audit import mutations
from jepascope.cohort import encounters
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.features import structure

PACKAGE = "icu-leakage-check==0.1.0"
LABEL = "label_30d_per_enc"
COLUMNS = ("k", "log_gap", "log_stay", "log_mean_gap", "unplanned")


def frame(cohort: Encounters) -> pd.DataFrame:
    """The rows with an answer: five structural columns and age, beside patient, split, time and answer."""
    index = cohort.index
    table = pd.DataFrame(structure(index), columns=list(COLUMNS))
    table["age"] = index["age"].to_numpy()
    about = index[["subject_id", "split", "dischtime"]].reset_index(drop=True)
    table = pd.concat([about, table, index[[LABEL]].reset_index(drop=True)], axis=1)
    return table[table[LABEL].notna()].replace({"split": {"validation": "valid"}})


def with_column(cohort: Encounters, name: str, column: pd.Series) -> pd.DataFrame:
    """The frame with one more column [N]."""
    table = frame(cohort)
    return table.assign(**{name: column.to_numpy(float)[table.index]})


def frames(cohort: Encounters) -> dict[str, Callable[[], pd.DataFrame]]:
    """Leak → the frame with it."""
    index, rng = cohort.index, np.random.default_rng(0)
    flag = index["returned_30d"].to_numpy(bool) ^ (rng.random(len(index)) < 0.05)
    return {
        "none": lambda: frame(cohort),
        "total length": lambda: with_column(cohort, "n_all", index.groupby("subject_id")["k"].transform("size")),
        "days to death": lambda: with_column(cohort, "f_d", index["days_to_death"].fillna(0)),
        "a flag set on return": lambda: with_column(cohort, "f_b", pd.Series(flag)),
        "gap to the next admission": lambda: frame(mutations.gap_to_next(cohort)),
        "labels per patient": lambda: frame(mutations.patient_level(cohort)),
        "oversampling before the split": lambda: frame(mutations.oversampled(cohort, rng)),
        "split by encounter": lambda: frame(mutations.split_by_encounter(cohort, rng)),
    }


def ask(peer: str, table: pd.DataFrame) -> dict[str, list[str]]:
    """Let the peer read a frame: status → names of its checks with that status."""
    with tempfile.TemporaryDirectory() as name:
        data, report = Path(name) / "frame.csv", Path(name) / "report.json"
        table.to_csv(data, index=False)
        options = ["--label", LABEL, "--split", "split", "--patient-id", "subject_id", "--split-strategy", "patient"]
        options += ["--exclude", "dischtime", "--json", str(report), "--fail-on", "never"]
        ran = subprocess.run([peer, "audit", "--data", str(data), *options], capture_output=True, check=False)
        if not report.exists():
            raise RuntimeError(
                f"{peer} left no report (exit status {ran.returncode}): run it by hand on planted records"
            )
        return by_status(json.loads(report.read_text()))


def by_status(report: dict[str, Any]) -> dict[str, list[str]]:
    """Status → check ids of a report."""
    found: dict[str, list[str]] = {}
    for finding in report["findings"]:
        found.setdefault(finding["status"], []).append(finding["check_id"])
    return found


def main(folder: str) -> None:
    """Install the peer into an environment of its own, beside nothing of ours, and print one line a leak."""
    cohort = encounters.load(Path(folder))
    with tempfile.TemporaryDirectory() as name:
        peer = str(install(Path(name) / "peer", [PACKAGE]) / "icu-leakage-check")
        for leak, make in frames(cohort).items():
            found = ask(peer, make())
            fails, warns = (", ".join(found.get(status, [])) or "-" for status in ("fail", "warn"))
            print(f"{leak:32s} fail: {fails:56s} warn: {warns}")


if __name__ == "__main__":
    main(*sys.argv[1:])
