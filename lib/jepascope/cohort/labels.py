"""Outcomes of each encounter, and the psychiatric concept groups coded in it."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd

from jepascope.cohort import engine
from jepascope.cohort.questions import LABELS

# What was seen, however long the patient was followed: for describing and for comparing policies, never a label.
SEEN = ("days_to_next", "days_to_death", "returned_30d")
COLUMNS = (*LABELS, "eligibility_30d", "outcome_30d", *SEEN, "acuity", "follow_up_days")

# Reasons of `eligibility_30d` under which the 30-day question is put, answered or not.
ASKED = ("eligible", "follow_up_uncertain")


def label(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Label every encounter by what follows its own discharge, because a patient-level label reads the future.

    A label stands only where follow-up of its whole horizon is certain, for 1 and 0 alike: to label the returns that
    were seen and not the rows where none was would make the outcome of the labelled rows likelier than it is.

    Returns N rows in the order of `encounter`, by the rules of `sql/labels.sql`:
    `LABELS` (1, 0, NaN), each with its own horizon. `label_long_stay_per_enc` is conditional: among next episodes that
    start within 365 days, does it last over 7 days? `label_death_…` is asked at the end of
    every episode that was left alive, hospice included.
    `eligibility_30d` 'eligible', or why the 30-day labels are missing; `outcome_30d` what came first within 30 days:
    'readmit', 'death', 'none', or 'censored' (follow-up uncertain), 'ineligible'.
    `days_to_next`, `days_to_death` (calendar days from the end of this encounter to the next episode and to death, NaN
    if none is known) and `returned_30d` (bool, an unplanned return within 30 days was seen).
    `acuity` of the episode so far: 0 observation, 1 elective, 2 urgent, 3 ICU, 4 died.
    `follow_up_days` certainly observed after discharge, by the latest real date that it can have had: negative when it
    may lie after the data's end, NaN where the source doesn't tell the real years.
    """
    engine.run(connection, "labels")
    return connection.execute(f"select {', '.join(COLUMNS)} from label order by row_id").df()


def leak_to_patient(labels: pd.DataFrame, subject_id: np.ndarray) -> pd.DataFrame:
    """Write each patient's maximum to all their rows: the leak that the audit must catch, never a result."""
    leaked = labels.copy()
    for name in LABELS:
        leaked[name] = labels[name].groupby(np.asarray(subject_id)).transform("max")
    return leaked


def last_encounter_policies(index: pd.DataFrame) -> dict[str, np.ndarray]:
    """30-day readmission by the ways in use to treat an encounter that nothing follows: each is a label of its own.

    All on the encounters of whom the question is asked; they differ only in what counts as answered. The first three
    read beyond 30 days, or call unknown answers negative. Takes an Encounters index of N rows.

    Returns: name → float [N], 1, 0 or NaN.
    """
    asked = index["eligibility_30d"].isin(ASKED)
    seen = index["returned_30d"].astype(float).where(asked)
    comes_again = index["days_to_next"].notna()
    certain = index["follow_up_days"] >= 30
    policies = {
        "drop the last encounter": seen.where(comes_again),
        "last encounter is negative": seen,
        "negative only where certain": seen.where(comes_again | certain | (index["days_to_death"] <= 30)),
        "certain follow-up for both": seen.where(certain),
    }
    return {name: answers.to_numpy(float) for name, answers in policies.items()}


def naive_30d(index: pd.DataFrame) -> np.ndarray:
    """The rule of thumb we don't use: any next admission within 30 elapsed days of a live discharge; else negative.

    Takes an Encounters index of N rows. Returns float [N]: 1, 0, or NaN after a death in hospital.
    """
    gap_to_next = index.groupby("subject_id")["gap_days"].shift(-1)
    return (gap_to_next <= 30).astype(float).where(index["eligibility_30d"] != "died").to_numpy(float)


def explain_against_naive(index: pd.DataFrame) -> pd.DataFrame:
    """Count, by reason, the encounters that `naive_30d` answers otherwise than `label_30d_per_enc`.

    A rate that differs from a published one is then a sum of choices and not a puzzle. Takes an Encounters index.
    `naive` and `ours` are the positives among the encounters of the row: the naive positives, less the sum of
    `naive`, plus the sum of `ours`, are our positives.

    Returns: reason, encounters, naive, ours; most encounters first.
    """
    naive, ours = pd.Series(naive_30d(index), index.index), index["label_30d_per_enc"]
    differ = (naive != ours) & ~(naive.isna() & ours.isna())
    back = index.groupby("subject_id")["admittime"].shift(-1).dt.normalize()
    end = index.groupby("subject_id")["dischtime"].cummax().dt.normalize()
    cases = {
        "the return was planned": naive == 1,
        # A return on the evening of day 30, after a discharge in the morning, is within 30 days to us alone.
        "30 calendar days are not 30 times 24 hours": (back - end).dt.days == index["days_to_next"],
    }
    answered = np.select(list(cases.values()), list(cases), "the return is outside the cohort")
    reason = index["eligibility_30d"].where(ours.isna(), answered)
    table = pd.DataFrame({"reason": reason, "encounters": 1, "naive": naive == 1, "ours": ours == 1})[differ]
    counted = table.groupby("reason", as_index=False)[["encounters", "naive", "ours"]].sum()
    return counted.sort_values(["encounters", "reason"], ascending=[False, True], ignore_index=True)


def concept_groups(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Mark which psychiatric groups are coded at each encounter, in either ICD version.

    Returns N rows in the order of `encounter` with a bool column `group_<name>` each.
    """
    groups = connection.execute("select distinct position, name from concept_group order by position").fetchall()
    pairs = connection.execute("""
        select distinct row_id, name
        from diagnoses_icd join code_meaning using (icd_version, icd_code) join encounter using (subject_id, hadm_id)
    """).df()
    N = engine.count(connection, "select count(*) from encounter")
    columns = {}
    for _, name in groups:
        member = np.zeros(N, dtype=bool)
        member[pairs.loc[pairs["name"] == name, "row_id"]] = True
        columns[f"group_{name}"] = member
    return pd.DataFrame(columns)
