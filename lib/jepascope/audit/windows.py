"""T2, T3, T12 and T13 on any data: labels, membership, clocks and eras, recomputed from the table of encounters."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.audit.findings import Finding, judge, unverified
from jepascope.cohort.questions import QUESTIONS

SECOND = 1 / 86400  # days: times are kept to the second


def labels_in_window(index: pd.DataFrame, extraction: params.Extraction) -> Finding:
    """Count the yeses without their event: a label copied from elsewhere in the record has no event in its window.

    Each 1 needs a next episode, or a death, within its horizon. Takes an Encounters index of N rows.
    """
    wrong, asked = {}, 0
    for question in QUESTIONS:
        yes = index[question.column] == 1
        soonest = index[list(question.clocks)].min(axis=1)
        wrong[question.column] = int((yes & ~(soonest <= question.days(extraction))).sum())
        asked += int(yes.sum())
    if not asked:
        return unverified("T2", "yeses of these records", "no label is ever 1")
    detail = f"{asked:,} yeses of {len(QUESTIONS)} labels; {_named(wrong)}"
    return judge("T2", "yeses of these records", sum(wrong.values()), 0, detail, asked, _patients(index))


def single_encounters_are_in(index: pd.DataFrame) -> Finding:
    """See whether patients with one encounter are in: a cohort without any was filtered by what came later."""
    lengths = index.groupby("subject_id").size()
    single = int((lengths == 1).sum())
    detail = f"{single:,} of {len(lengths):,} patients have one encounter; none would mean a filter on the future"
    return judge("T3", "patients seen once", float(single == 0), 0, detail, len(index), len(lengths))


def clocks_agree(index: pd.DataFrame) -> Finding:
    """Recompute gap, length of stay and order from the times of admission and discharge, and count what differs.

    A gap to the *next* admission would pass for a gap in any table of numbers. Ages may not fall. Takes an Encounters
    index of N rows, sorted by (subject_id, k).
    """
    patient = index["subject_id"]
    admitted, left = (index[name].astype("datetime64[s]") for name in ("admittime", "dischtime"))
    left_before = left.groupby(patient).cummax().groupby(patient).shift(1)
    gap = ((admitted - left_before).dt.total_seconds() / 86400).clip(lower=0)
    stay = (left - admitted).dt.total_seconds() / 86400
    wrong = {
        "gap_days": ~_close(index["gap_days"], gap),
        "los_days": ~_close(index["los_days"], stay),
        "k": index["k"] != index.groupby("subject_id").cumcount(),
        "order of admissions": admitted < admitted.groupby(patient).shift(1),
        "discharge before admission": left < admitted,
        "age": index["age"] < index["age"].groupby(patient).shift(1) - 0.01,
    }
    counted = {name: int(np.sum(rows)) for name, rows in wrong.items()}
    detail = f"gap, length of stay, order and age of {len(index):,} encounters; {_named(counted)}"
    return judge("T12", "clocks of these records", sum(counted.values()), 0, detail, len(index), _patients(index))


def eras_are_apart(index: pd.DataFrame, first_test_year: int) -> Finding:
    """Count patients on the wrong side of the split by era, or who test here and train in the main split."""
    first = index.drop_duplicates("subject_id")
    years = first["anchor_year_group"].astype("string").str.extract(r"^(\d{4}) ?- ?(\d{4})$").astype("Float64")
    era, split = first["split_era"], first["split"]
    if not (era == "test").any() or not (era == "train").any():
        reason = f"no patient to train on before {first_test_year}, or none to test on from then on, in these records"
        return unverified("T13", "split by era", reason)
    wrong = {
        "tested on an older era": (era == "test") & ~(years[0] >= first_test_year).fillna(False),
        "trained on the newer era": era.isin(["train", "validation"]) & ~(years[1] < first_test_year).fillna(False),
        "in another part of the main split": era.isin(["train", "validation", "test"]) & (era != split),
    }
    counted = {name: int(rows.sum()) for name, rows in wrong.items()}
    parts = f"{int((era == 'train').sum()):,} patients to train, {int((era == 'test').sum()):,} to test"
    return judge("T13", "split by era", sum(counted.values()), 0, f"{parts}; {_named(counted)}", len(index), len(first))


def _close(found: pd.Series, expected: pd.Series) -> np.ndarray:
    return np.isclose(found.to_numpy(float), expected.to_numpy(float), rtol=0, atol=2 * SECOND, equal_nan=True)


def _named(counted: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counted.items() if count) or "nothing amiss"


def _patients(index: pd.DataFrame) -> int:
    return int(index["subject_id"].nunique())
