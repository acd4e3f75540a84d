"""MEDS in: a directory of coded events told as the record tables, so that one extraction serves every source.

MEDS (Medical Event Data Standard, 0.4): `data/**/*.parquet` with subject_id, time, code, numeric_value, text_value and
any other columns. An encounter is HOSPITAL_ADMISSION to HOSPITAL_DISCHARGE. What each code means is in
`sql/meds_codes.sql`, what becomes of it in `sql/meds_in.sql`. Where the directory has a column named like one of the
record's own (valuenum, charttime, seq_num …), as `meds_out` writes them, that column is preferred: it is exact.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pandas as pd

from jepascope.cohort import engine
from jepascope.cohort.meds_out import new_folder
from jepascope.cohort.schema import INDISPENSABLE, MEDS_MARK, SYNTHETIC_MARK, TABLES
from jepascope.cohort.source import Relation, SourceError

REQUIRED = ("subject_id", "time", "code")
# Read where they are there. The last ones are the record's own columns; DuckDB's names of types.
OPTIONAL = {
    "numeric_value": "DOUBLE", "text_value": "VARCHAR",
    "stay_id": "BIGINT", "labevent_id": "BIGINT", "seq_num": "INTEGER", "chartdate": "DATE", "charttime": "TIMESTAMP",
    "valuenum": "DOUBLE", "flag": "VARCHAR", "drug_type": "VARCHAR", "dod": "DATE", "deathtime": "TIMESTAMP",
    "hospital_expire_flag": "INTEGER",
}  # fmt: skip
# Which record table a kind of code fills; the kinds that aren't here describe patients and stays, or fill none.
FILLS = {
    "diagnosis": "hosp/diagnoses_icd", "procedure": "hosp/procedures_icd", "drug": "hosp/prescriptions",
    "lab": "hosp/labevents", "service": "hosp/services", "transfer": "hosp/transfers", "icu": "icu/icustays",
    "drg": "hosp/drgcodes", "omr": "hosp/omr", "other": "hosp/other_events",
    "gender": "hosp/patients", "birth": "hosp/patients", "death": "hosp/patients", "anchor_age": "hosp/patients",
    "anchor_year": "hosp/patients", "anchor_year_group": "hosp/patients", "admission": "hosp/admissions",
    "discharge": "hosp/admissions", "insurance": "hosp/admissions", "race": "hosp/admissions", "ed": "hosp/admissions",
}  # fmt: skip


def relations(root: Path, connection: duckdb.DuckDBPyConnection) -> dict[str, Relation]:
    """Say, per record table, the query that yields its columns and types: each is one pass over the files.

    Makes tables and views `meds_*` in the connection, which the queries read: codes repeat millions of times, so each
    distinct one is understood once. A table that no code of the directory fills has no entry, unless indispensable.
    `anchor_year_group` is null where the directory doesn't have it: follow-up is unknown then. Patients without a
    birth or a gender are left out, with their stays; `seq_num` is 0 where the order of diagnoses is unknown.

    Raises SourceError on a missing folder, no parquet file, a missing column, or no HOSPITAL_ADMISSION event.
    """
    files = _files(root)
    _view(connection, root, files)
    engine.run(connection, "reference")
    engine.run(connection, "meds_codes")
    _understand(connection)
    _check_admissions(connection, root)
    engine.run(connection, "meds_in")
    filled = coverage(connection)["record"].tolist()
    return {table: Relation(root / "data", _select(table)) for table in TABLES if table in (*INDISPENSABLE, *filled)}


def coverage(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Count what was understood of the directory, because a code that no rule knows makes no diagnosis or drug.

    To be called after `relations`. Returns a row per kind and first part of the codes, the most frequent first:
    kind, record (the table it fills; "" where none), prefix, codes, rows. Of kind 'unknown', rows with a number are in
    hosp/labevents and the others in hosp/other_events; 'left out' is understood and has no place in the tables.
    """
    counted = connection.execute("""
        select kind, '' as record, split_part(code, '//', 1) as prefix, count(*) as codes, sum(rows)::bigint as rows,
               sum(valued)::bigint as valued
        from meds_code group by all
    """).df()
    # A kind with rows of both sorts is told in two lines.
    unknown = counted["kind"] == "unknown"
    valued = counted[unknown & (counted["valued"] > 0)].assign(record="hosp/labevents", rows=lambda t: t["valued"])
    other = counted[unknown & (counted["rows"] > counted["valued"])]
    other = other.assign(record="hosp/other_events", rows=lambda t: t["rows"] - t["valued"])
    known = counted[~unknown].assign(record=lambda t: t["kind"].map(FILLS).fillna(""))
    told = pd.concat([known, valued, other]).drop(columns="valued")
    return told.sort_values(["rows", "prefix", "record"], ascending=[False, True, True], ignore_index=True)


def left_out(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Count the patients and admissions that can't be used, by reason; to be called after `relations`.

    Returns rows: reason, count.
    """
    reasons = {
        "patients without a birth or a gender": "(select count(distinct subject_id) from meds_event) "
        "- (select count(*) from meds_patient)",
        "admissions of such patients": "(select count(*) from meds_stay anti join meds_patient using (subject_id))",
        "admissions without a discharge": """(
            select count(*)
            from (select distinct subject_id, hadm_id, time from meds_coded
                  where kind = 'admission' and time is not null) a
            anti join meds_stay s on s.subject_id = a.subject_id and s.admittime = a.time
        )""",
        "diagnoses whose position is unknown": "(select count(*) from meds_coded "
        "where kind = 'diagnosis' and seq_num is null)",
    }
    counts = [engine.count(connection, f"select {query}") for query in reasons.values()]
    return pd.DataFrame({"reason": list(reasons), "count": counts})


def from_meds(root: Path, out: Path, memory_gb: float = 1.0, threads: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the record tables of the MEDS directory `root` as a MIMIC-IV tree, parquet in `out/hosp` and `out/icu`.

    `out` must not exist or be empty; it is complete or not there. These are records: on credentialed data `out` is
    credentialed too. Returns `coverage` and `left_out`. Raises SourceError as `relations`, and StoreError when `out`
    holds something.
    """
    with new_folder(out) as folder, engine.connect(folder, memory_gb, threads) as connection:
        for table, relation in relations(root, connection).items():
            engine.write(connection, relation.select, folder / f"{table}.parquet")
        (folder / MEDS_MARK).write_text("Made from a MEDS directory.\n")
        if (root / SYNTHETIC_MARK).is_file():
            shutil.copyfile(root / SYNTHETIC_MARK, folder / SYNTHETIC_MARK)
        return coverage(connection), left_out(connection)


def _files(root: Path) -> list[str]:
    if not (root / "data").is_dir():
        raise SourceError(f"{root / 'data'} is not a folder; a MEDS directory holds its events in data/**/*.parquet")
    files = sorted(str(file) for file in (root / "data").rglob("*.parquet") if not file.name.startswith("."))
    if not files:
        raise SourceError(f"{root / 'data'} holds no parquet file; a MEDS directory holds events in data/**/*.parquet")
    return files


def _view(connection: duckdb.DuckDBPyConnection, root: Path, files: list[str]) -> None:
    """Make `meds_event`: all files as one, the columns typed, those that aren't there null."""
    engine.set_variables(connection, {"meds_files": files})
    # Where one file has a time zone and another none, the other is UTC too.
    connection.execute("set timezone = 'UTC'")
    types = _columns(connection, root, files)
    engine.set_variables(connection, {f"meds_has_{name}": name in types for name in ("dod", "deathtime")})
    optional = ", ".join(
        f"try_cast({name if name in types else 'null'} as {kind}) as {name}" for name, kind in OPTIONAL.items()
    )
    # The public ETL calls an ICU stay icustay_id.
    if "stay_id" not in types and "icustay_id" in types:
        optional = optional.replace("try_cast(null as BIGINT) as stay_id", "try_cast(icustay_id as BIGINT) as stay_id")
    connection.execute(f"""
        create or replace view meds_event as
        select cast(subject_id as bigint) as subject_id, {_moment(types["time"], root)} as time,
               cast(code as varchar) as code, {_stay(types)} as hadm_id, {optional}, file_row_number
        from read_parquet(getvariable('meds_files'), union_by_name = true, hive_partitioning = false,
                          file_row_number = true)
    """)


def _columns(connection: duckdb.DuckDBPyConnection, root: Path, files: list[str]) -> dict[str, str]:
    """Return the type of each column over all files; every file must have the three that MEDS requires."""
    reader = "read_parquet(getvariable('meds_files'), union_by_name = true, hive_partitioning = false)"
    try:
        described = connection.execute(f"describe select * from {reader}").fetchall()
        headers = connection.execute(
            "select file_name, list(lower(name)) from parquet_schema(getvariable('meds_files')) group by file_name"
        ).fetchall()
    except duckdb.Error as error:
        damaged = next((file for file in files if file in str(error)), str(root / "data"))
        raise SourceError(f"{damaged} can't be read as parquet; write it again") from None
    for file, names in sorted(headers):
        if missing := [name for name in REQUIRED if name not in names]:
            raise SourceError(f"{file}: column {', '.join(missing)} is missing; MEDS data has {', '.join(REQUIRED)}")
    return {name.lower(): kind for name, kind, *_ in described}


def _moment(kind: str, root: Path) -> str:
    if kind in ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"):
        return "timezone('UTC', cast(time as timestamptz))"
    if not (kind.startswith(("TIMESTAMP", "DATE")) or kind == "VARCHAR"):
        raise SourceError(f"{root / 'data'}: column time is of type {kind}; expected a timestamp")
    return "cast(time as timestamp)"


def _stay(types: dict[str, str]) -> str:
    """Spell hadm_id: a number also where it is written as text, a hash of any other text."""
    if "hadm_id" not in types:
        return "null::bigint"
    if types["hadm_id"] == "VARCHAR":
        # The hash of a null is a number too.
        return "if(hadm_id is null, null, coalesce(try_cast(hadm_id as bigint), (hash(hadm_id) >> 2)::bigint))"
    return "try_cast(hadm_id as bigint)"


def _understand(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `meds_code`: each distinct code with its rows, its kind ('unknown': no rule), and what the code names."""
    rules = connection.execute("select position, '^(?:' || pattern || ')$' from meds_rule order by position").fetchall()
    # Spelled out, because a pattern that is a constant is compiled once, and one from a table for every code.
    first = " ".join(f"when regexp_matches(code, {engine.text(p)}, 'is') then {position}" for position, p in rules)
    connection.execute(f"""
        create or replace table meds_code as
        with found as (select code, count(*) as rows, count(numeric_value) as valued from meds_event group by code),
        matched as (select *, case {first} end as position from found)
        select code, rows, valued, coalesce(kind, 'unknown') as kind,
               -- 'UNK' is how a missing part of a code is written.
               nullif(nullif(regexp_replace(code, '^(?:' || pattern || ')$', m.item, 'is'), ''), 'UNK') as item,
               nullif(nullif(regexp_replace(code, '^(?:' || pattern || ')$', m.detail, 'is'), ''), 'UNK') as detail
        from matched left join meds_rule m using (position)
        where code is not null
    """)


def _check_admissions(connection: duckdb.DuckDBPyConnection, root: Path) -> None:
    if engine.count(connection, "select count(*) from meds_code where kind = 'admission'"):
        return
    most = coverage(connection).groupby("prefix")["rows"].sum().nlargest(5)
    found = ", ".join(f"{prefix} ({rows:,})" for prefix, rows in most.items()) or "none"
    raise SourceError(
        f"{root / 'data'}: no HOSPITAL_ADMISSION event, so there are no encounters; the most frequent codes begin "
        f"with {found}. Name admissions HOSPITAL_ADMISSION//<type>//<from> and discharges HOSPITAL_DISCHARGE//<to>."
    )


def _select(table: str) -> str:
    columns = ", ".join(f"cast({column} as {kind}) as {column}" for column, kind in TABLES[table].items())
    return f"select {columns} from meds_{table.split('/')[1]}"
