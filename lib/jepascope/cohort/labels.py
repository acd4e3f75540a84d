"""Outcomes of each encounter, and the psychiatric concept groups coded in it."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd

from jepascope.cohort import engine

LABELS = ("label_30d_per_enc", "label_escalation_per_enc", "label_psych_crisis_per_enc")


def label(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Label every encounter by what follows its own discharge, because a patient-level label reads the future.

    Returns N rows in the order of `encounter`: the three labels (1, 0, NaN), `eligibility_30d` (str) and
    `follow_up_days` (days from the discharge that were certainly observed, by the latest real date it can have
    had; negative when it may lie after the data's end). Restricting to `follow_up_days >= H` makes being labelled
    independent of the outcome. Rules: `sql/labels.sql`.
    """
    engine.run(connection, "labels")
    columns = ", ".join((*LABELS, "eligibility_30d", "follow_up_days"))
    return connection.execute(f"select {columns} from label order by row_id").df().astype({"follow_up_days": np.int32})


def leak_to_patient(labels: pd.DataFrame, subject_id: np.ndarray) -> pd.DataFrame:
    """Write each patient's maximum to all their rows: the leak that the audit must catch, never a result."""
    leaked = labels.copy()
    for name in LABELS:
        leaked[name] = labels[name].groupby(np.asarray(subject_id)).transform("max")
    return leaked


def concept_groups(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Mark which psychiatric groups are coded at each encounter, in either ICD version.

    Returns N rows in the order of `encounter` with a bool column `group_<name>` each.
    """
    groups = connection.execute("select distinct position, name from concept_group order by position").fetchall()
    pairs = connection.execute("""
        select distinct row_id, name
        from diagnoses_icd join code_meaning using (icd_version, icd_code) join encounter using (hadm_id)
    """).df()
    N = engine.count(connection, "select count(*) from encounter")
    columns = {}
    for _, name in groups:
        member = np.zeros(N, dtype=bool)
        member[pairs.loc[pairs["name"] == name, "row_id"]] = True
        columns[f"group_{name}"] = member
    return pd.DataFrame(columns)
