"""Records on disk: whatever the source, the same typed tables, read in shards of whole patients.

One query over all laboratory rows dies at a memory cap, because ordered aggregates don't spill. A shard is a contiguous
range of patients, so shards side by side are in the order of (subject_id, k). MIMIC-IV's tables are sorted by patient:
what parquet keeps of each block's smallest and largest subject_id lets a shard skip the others' blocks.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd

from jepascope import params
from jepascope.cohort import engine, splits
from jepascope.cohort.meds_in import relations as meds_relations
from jepascope.cohort.releases import Ending, Release, data_end, detect, named, near_miss, verify
from jepascope.cohort.schema import DEMO_PATIENTS, MEDS_MARK, REQUIRED, SYNTHETIC_MARK, TABLES, patients_digest
from jepascope.cohort.source import Relation, SourceError, explain, mimic_relations
from jepascope.progress import with_bar
from jepascope.store import read_table, write_table


class Records(NamedTuple):
    """Typed record tables under `folder/<table>/`, and what was found while reading them."""

    folder: Path
    patients: pd.DataFrame  # subject_id, shard, split, sampled; sorted by subject_id
    tables: pd.DataFrame  # table, read (was it there), rows as delivered, published (rows; NaN: not known)
    ending: Ending  # the last real year, and how it is known
    tier: str


def ingest(folder: Path, root: Path, source: params.Source, extraction: params.Extraction) -> Records:
    """Read each table of the source once and write it, typed and sharded, under `folder`.

    A table that is complete from a killed attempt is not read again. Raises SourceError on a missing or damaged
    file, a cell of the wrong type, an empty required cell, or contradicting rows.
    """
    with engine.connect(folder, extraction.memory_gb, extraction.threads) as connection:
        engine.run(connection, "reference")
        relations = meds_relations(root, connection) if source.kind == "meds" else mimic_relations(root)
        patients = _patients(connection, folder, relations["hosp/patients"], extraction)
        for table in with_bar(relations, "reading tables"):
            _copy(connection, folder, table, relations[table])
            _check_required(connection, table, relations[table].file, source.kind)
        _check_identity(connection, {table: relation.file for table, relation in relations.items()})
        rows = {table: _rows(connection, folder, table) for table in relations}
        groups = [
            group for (group,) in connection.execute("select distinct anchor_year_group from patients").fetchall()
        ]
    # A MEDS directory, and a tree made from one, hold what was understood of a source, not a release's rows.
    whole = source.kind == "mimic" and not (root / MEDS_MARK).exists()
    release = _find_release(rows, source, root) if whole else None
    tables = _compare(rows, release)
    ending = Ending(source.data_end_year, "set by hand") if source.data_end_year else data_end(rows, groups)
    tier = source.treat_as or find_tier(patients["subject_id"].to_numpy(), root)
    return Records(folder, patients, tables, ending, tier)


def open_shard(connection: duckdb.DuckDBPyConnection, records: Records, shard: int) -> None:
    """Make one shard's record tables, and `patient_hash`, readable by their plain names."""
    mine = records.patients[records.patients["shard"] == shard]
    first, last = (mine["subject_id"].min(), mine["subject_id"].max()) if len(mine) else (0, -1)
    for table in TABLES:
        _view(connection, records.folder, table, f"where subject_id between {first} and {last}")
    engine.create(connection, "patient_hash", mine[["subject_id", "split", "sampled"]])


def open_all(connection: duckdb.DuckDBPyConnection, records: Records) -> None:
    """Make the record tables of all shards readable by their plain names."""
    for table in TABLES:
        _view(connection, records.folder, table)


def find_tier(subject_id: np.ndarray, root: Path) -> str:
    """Return 'synthetic', 'demo' or 'credentialed', decided by the records and never by a parameter.

    A parameter could be mistyped and would then let records out. Anything not known to be open is credentialed: real
    tables copied over synthetic ones are, because the synthetic cohort's mark names its patients. A parameter may
    only ask for more: `source.treat_as` holds open records to the rules of credentialed ones.
    """
    digest = patients_digest(subject_id)
    mark = root / SYNTHETIC_MARK
    if mark.is_file() and mark.read_text() == digest:
        return "synthetic"
    return "demo" if digest == DEMO_PATIENTS else "credentialed"


def _patients(
    connection: duckdb.DuckDBPyConnection, folder: Path, relation: Relation, extraction: params.Extraction
) -> pd.DataFrame:
    """Decide of each patient the shard, the split and whether they are within the cap.

    The cap counts all patients of the source, kept or not: counting the kept ones would let one patient's later
    admissions decide whether another is in.
    """
    file = folder / "patients.parquet"
    if not file.exists():
        query = f"select distinct subject_id from ({relation.select}) where subject_id is not null order by 1"
        try:
            subject_id = connection.execute(query).df()["subject_id"].to_numpy(np.int64)
        except duckdb.Error as error:
            raise explain(error, relation, "hosp/patients") from None
        rank = np.argsort(np.argsort(splits.uniform(subject_id, f"{extraction.split_key}/cap"), kind="stable"))
        hashed = {
            "subject_id": subject_id,
            "shard": np.arange(len(subject_id)) // extraction.patients_per_shard,
            "split": splits.assign(
                subject_id, extraction.split_key, extraction.validation_share, extraction.test_share
            ),
            "sampled": rank < (extraction.max_patients or len(subject_id)),
        }
        write_table(file, pd.DataFrame(hashed))
    return read_table(file)


def _copy(connection: duckdb.DuckDBPyConnection, folder: Path, table: str, relation: Relation) -> None:
    """Write one table under its name, complete or not there."""
    target = folder / table
    if not target.exists():
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        into = f"{engine.text(partial)} (format parquet, compression zstd, per_thread_output, overwrite_or_ignore)"
        try:
            connection.execute(f"copy ({relation.select}) to {into}")
        except duckdb.Error as error:
            raise explain(error, relation, table) from None
        partial.rename(target)
    _view(connection, folder, table)


def _view(connection: duckdb.DuckDBPyConnection, folder: Path, table: str, where: str = "") -> None:
    name = table.split("/")[1]
    if (folder / table).is_dir():
        files = engine.text(engine.files_in(folder / table, "*.parquet"))
        connection.execute(f"create view {name} as from read_parquet({files}) {where}")
    else:
        columns = ", ".join(f"{column} {kind}" for column, kind in TABLES[table].items())
        connection.execute(f"create table {name} ({columns})")


def _find_release(rows: Mapping[str, int], source: params.Source, root: Path) -> Release | None:
    """Recognise the release, or take the one that was asked for, and refuse a partial download of it."""
    release = named(source.release) if source.release else detect(rows)
    if release and (faults := verify(rows, release)):
        raise SourceError(f"{root}: " + "; ".join(faults))
    if release is None and source.data_end_year is None and (suspicion := near_miss(rows)):
        raise SourceError(f"{root}: {suspicion}. If it is a subset on purpose, say so by setting source.data_end_year.")
    return release


def _compare(rows: Mapping[str, int], release: Release | None) -> pd.DataFrame:
    """Lay the row counts beside the published ones."""
    published = {table: release.rows.get(table) for table in TABLES} if release else {}
    return pd.DataFrame(
        {
            "table": list(TABLES),
            "read": [table in rows for table in TABLES],
            "rows": [rows.get(table, 0) for table in TABLES],
            "published": [float(published.get(table) or np.nan) for table in TABLES],
        }
    )


def _rows(connection: duckdb.DuckDBPyConnection, folder: Path, table: str) -> int:
    files = engine.text(engine.files_in(folder / table, "*.parquet"))
    return engine.count(connection, f"select coalesce(sum(num_rows), 0) from parquet_file_metadata({files})")


def _check_required(connection: duckdb.DuckDBPyConnection, table: str, file: Path, kind: str) -> None:
    for column in REQUIRED.get(table, ()):
        if kind == "meds" and column == "anchor_year_group":
            continue  # only ours have it; without it follow-up is unknown
        empty = engine.count(connection, f"select count(*) from {table.split('/')[1]} where {column} is null")
        if empty:
            raise SourceError(f"{file}: column {column} is empty in {empty:,} rows; every row needs it")


def _check_identity(connection: duckdb.DuckDBPyConnection, files: Mapping[str, Path]) -> None:
    """Refuse rows that contradict each other. Exact duplicates are harmless and pass."""
    checks = {
        "hosp/patients": [
            ("subject_id has rows that differ; expected one row a patient",
             "select count(*) - count(distinct subject_id) from (select distinct * from patients)"),
            ("gender is neither F nor M", "select count(*) from patients where gender not in ('F', 'M')"),
            ("anchor_year_group is not like '2008 - 2010'",
             r"select count(*) from patients where not regexp_full_match(anchor_year_group, '\d{4} ?- ?\d{4}')"),
        ],
        "hosp/admissions": [
            ("hadm_id has rows that differ; expected one row an admission",
             "select count(*) - count(distinct hadm_id) from (select distinct * from admissions)"),
            ("subject_id is not in hosp/patients",
             "select count(*) from admissions anti join patients using (subject_id)"),
            ("admission_type is unknown",
             "select count(*) from admissions anti join admission_kind using (admission_type)"),
        ],
    }  # fmt: skip
    for table, rules in checks.items():
        for words, query in rules:
            if rows := engine.count(connection, query):
                raise SourceError(f"{files[table]}: {words} ({rows:,} rows); mend the table or download it again")
