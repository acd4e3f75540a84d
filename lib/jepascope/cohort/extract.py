"""From hospital records to encounters: the one step that reads MIMIC-IV tables."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from jepascope import params
from jepascope.cohort import engine, labels, splits
from jepascope.cohort.encounters import Encounters, save
from jepascope.cohort.source import find_files, find_tier, load
from jepascope.cohort.tokens import Fitted, Tokens, tokenize

# What the index takes from `encounter`, in the contract's order.
COLUMNS = (
    "subject_id", "hadm_id", "k", "admittime", "dischtime", "age", "sex", "admission_type", "insurance", "race",
    "anchor_year_group", "gap_days", "los_days", "icd_version", "icu",
)  # fmt: skip
TYPES = {
    "subject_id": "int64", "hadm_id": "int64", "k": "int32", "admittime": "datetime64[s]",
    "dischtime": "datetime64[s]", "age": "float64", "gap_days": "float64", "los_days": "float64",
    "icd_version": "int32",
}  # fmt: skip


class CohortError(RuntimeError):
    """The filters leave nobody; the message names the filter that emptied the cohort."""


def extract(folder: Path, root: Path, source: params.Source, extraction: params.Extraction) -> None:
    """Read the records under `root` and save `Encounters` in `folder`, as a step of a run.

    Raises SourceError when the records can't be read and CohortError when the filters leave nobody to train on.
    """
    extracted, _ = read(folder, root, source, extraction)
    save(folder, extracted)


def read(
    folder: Path, root: Path, source: params.Source, extraction: params.Extraction, fitted: Fitted | None = None
) -> tuple[Encounters, Fitted]:
    """Compute encounters from the records under `root`, spilling to `folder`.

    Every filter reads the record up to k, because "at least n encounters" would tell k about its future: patients
    with one encounter stay. With `fitted`, tokens use that vocabulary and those deciles.
    Returns the encounters and what their tokens learnt from training patients. Raises as `extract`.
    """
    files = find_files(root)
    with engine.connect(folder, extraction.memory_gb, extraction.threads) as connection:
        engine.run(connection, "reference")
        load(connection, files, source.release)
        tier = find_tier(connection, root)
        engine.set_variables(connection, {"data_end_year": source.data_end_year, **extraction.model_dump()})
        _hash_patients(connection, extraction)
        engine.run(connection, "codes")
        engine.run(connection, "stays")
        attrition = connection.table("attrition").df()
        _refuse_empty(connection, attrition)
        outcomes, groups = labels.label(connection), labels.concept_groups(connection)
        tokens, fitted = tokenize(connection, fitted)
        stays = connection.execute("select *, gender as sex from encounter order by row_id").df()
    if extraction.label_level == "patient":
        outcomes = labels.leak_to_patient(outcomes, stays["subject_id"].to_numpy())
    index = _index(stays, tokens, outcomes, groups)
    return Encounters(index, *tokens, fitted.vocabulary, attrition, tier), fitted


def _index(stays: pd.DataFrame, tokens: Tokens, outcomes: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Put the columns of the index side by side, N rows in the order of (subject_id, k)."""
    n_tokens = pd.Series(np.diff(tokens.offsets).astype(np.int32), name="n_tokens")
    # Version 0: no coded diagnosis.
    identity = stays[list(COLUMNS)].fillna({"icd_version": 0}).astype(TYPES)
    return pd.concat([identity, n_tokens, stays["split"], outcomes, stays["f_code_so_far"], groups], axis=1)


def _hash_patients(connection: duckdb.DuckDBPyConnection, extraction: params.Extraction) -> None:
    """Make `patient_hash`: the split of each patient, and whether they are within the cap.

    The cap counts all patients of the source, kept or not: counting the kept ones would let one patient's later
    admissions decide whether another is in.
    """
    rows = connection.execute("select distinct subject_id from patients order by 1").df()
    subject_id = rows["subject_id"].to_numpy()
    rank = np.argsort(np.argsort(splits.uniform(subject_id, f"{extraction.split_key}/cap"), kind="stable"))
    hashed = pd.DataFrame(
        {
            "subject_id": subject_id,
            "split": splits.assign(
                subject_id, extraction.split_key, extraction.validation_share, extraction.test_share
            ),
            "sampled": rank < (extraction.max_patients or len(subject_id)),
        }
    )
    connection.register("hashed", hashed)
    connection.execute("create table patient_hash as from hashed")
    connection.unregister("hashed")


def _refuse_empty(connection: duckdb.DuckDBPyConnection, attrition: pd.DataFrame) -> None:
    emptied = np.flatnonzero(attrition["encounters"] == 0)
    if len(emptied):
        step = attrition.iloc[emptied[0]]
        before = attrition["encounters"].iloc[emptied[0] - 1] if emptied[0] else 0
        raise CohortError(
            f"the cohort is empty after rule {step['step']} ({step['rule']}): {before:,} encounters before it. "
            f"Loosen that parameter of extraction, or check the records."
        )
    if not engine.count(connection, "select count(*) from encounter where split = 'train'"):
        raise CohortError(
            "the cohort has no training patient, so no vocabulary can be fitted: use more patients, "
            "smaller extraction.validation_share and test_share, or another extraction.split_key"
        )
