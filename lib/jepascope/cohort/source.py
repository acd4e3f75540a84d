"""Read MIMIC-IV tables, checked before anything is computed from them: a half download must fail here, by name."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import duckdb

from jepascope.cohort.engine import count
from jepascope.cohort.schema import DEMO_PATIENTS, REQUIRED, ROW_COUNTS, SYNTHETIC_MARK, TABLES, patients_digest

SUFFIXES = (".parquet", ".csv.gz", ".csv")


class SourceError(RuntimeError):
    """The records can't be read; the message names the file, the column, what was expected and the mend.

    It never quotes a cell: an error text ends up in logs, and on credentialed data a cell is a record.
    """


def find_files(root: Path) -> dict[str, Path]:
    """Return the file of each table, header checked. Raises SourceError on a missing folder, table or column."""
    if not root.is_dir():
        raise SourceError(f"source.root {root} is not a folder; it must hold hosp/ and icu/ of MIMIC-IV")
    files = {table: _find(root, table) for table in TABLES}
    for table, file in files.items():
        present = _columns(file)
        missing = [column for column in TABLES[table] if column not in present]
        if missing:
            raise SourceError(
                f"{file}: column {', '.join(missing)} is missing; expected at least {', '.join(TABLES[table])}. "
                f"Download the table again or export it with MIMIC-IV's own header."
            )
    return files


def load(connection: duckdb.DuckDBPyConnection, files: dict[str, Path], release: str | None) -> None:
    """Copy the projected, typed columns into tables `patients`, `admissions`, … of the connection.

    Raises SourceError on a damaged file, a cell of the wrong type, an empty required cell, contradicting rows,
    or, when `release` is set, a row count that is not the published one.
    """
    for table, file in files.items():
        _copy(connection, table, file)
        expected = ROW_COUNTS.get(release or "", {}).get(table)
        rows = count(connection, f"select count(*) from {_name(table)}")
        if expected is not None and rows != expected:
            raise SourceError(
                f"{file}: {rows:,} rows, but release {release} has {expected:,}. "
                f"Download it again, or unset source.release if this is another release."
            )
        for column in REQUIRED.get(table, ()):
            empty = count(connection, f"select count(*) from {_name(table)} where {column} is null")
            if empty:
                raise SourceError(f"{file}: column {column} is empty in {empty:,} rows; every row needs it")
    _check_identity(connection, files)


def find_tier(connection: duckdb.DuckDBPyConnection, root: Path) -> str:
    """Return 'synthetic', 'demo' or 'credentialed', decided by the records and never by a parameter.

    A parameter could be mistyped and would then let records out. Anything not known to be open is credentialed: real
    tables copied over synthetic ones are, because the synthetic cohort's mark names its patients.
    """
    rows = connection.execute("select distinct subject_id from patients").fetchall()
    digest = patients_digest(row[0] for row in rows)
    mark = root / SYNTHETIC_MARK
    if mark.is_file() and mark.read_text() == digest:
        return "synthetic"
    return "demo" if digest == DEMO_PATIENTS else "credentialed"


def _find(root: Path, table: str) -> Path:
    for suffix in SUFFIXES:
        if (file := root / f"{table}{suffix}").is_file():
            return file
    raise SourceError(
        f"{root / table}.csv.gz is missing (nor .csv, .parquet); put the MIMIC-IV table there. "
        f"Needed: {', '.join(TABLES)}"
    )


def _columns(file: Path) -> list[str]:
    """Return the header; the file's first bytes already tell text from everything else."""
    if file.suffix == ".parquet":
        try:
            return duckdb.execute("select name from parquet_schema($file)", {"file": str(file)}).df()["name"].tolist()
        except duckdb.Error:
            raise SourceError(f"{file} is not a parquet file; download it again") from None
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as handle:
            header = handle.readline(1 << 16)
        text = header.decode("utf-8-sig").rstrip("\r\n")
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise SourceError(f"{file} is not a whole gzip file (truncated or damaged); download it again") from None
    except UnicodeDecodeError:
        raise SourceError(f"{file} is not a CSV file (its header is not text); download it again") from None
    if not text:
        raise SourceError(f"{file} is empty; expected a CSV header")
    return [column.strip('"') for column in text.split(",")]


def _copy(connection: duckdb.DuckDBPyConnection, table: str, file: Path) -> None:
    types = TABLES[table]
    parameters: dict[str, object] = {"file": str(file)}
    if file.suffix == ".parquet":
        reader = "read_parquet($file)"
    else:
        # All columns are declared, the unread ones as text, so that nothing is guessed from a sample.
        columns = {column: types.get(column, "VARCHAR") for column in _columns(file)}
        reader = (
            "read_csv($file, columns = $columns, header = true, auto_detect = false, delim = ',', "
            "quote = '\"', escape = '\"')"
        )
        parameters["columns"] = columns
    selected = ", ".join(f"cast({column} as {kind}) as {column}" for column, kind in types.items())
    try:
        connection.execute(f"create table {_name(table)} as select {selected} from {reader}", parameters)
    except duckdb.Error as error:
        raise SourceError(_explain(str(error), file, types)) from None


def _explain(message: str, file: Path, types: dict[str, str]) -> str:
    """Say what DuckDB found without the cell it found: its own message quotes the record."""
    if "GZIP" in message.upper():
        return f"{file} is not a whole gzip file (truncated or damaged); download it again"
    line = re.search(r"Line: (\d+)", message)
    where = f"{file}, line {line[1]}" if line else str(file)
    column = re.search(r'converting column "(\w+)"', message)
    if column:
        return f"{where}: column {column[1]} holds something that is not {types.get(column[1], 'text')}; mend the cell"
    if "Could not convert" in message or "Conversion Error" in message:
        return f"{where}: a cell can't be read as its type; expected {types}"
    if "CSV" in message:
        return f"{where}: not a CSV whose rows all have the header's columns; download it again"
    return f"{where} can't be read ({message.split(':')[0]}); check the file and the free disk space"


def _check_identity(connection: duckdb.DuckDBPyConnection, files: dict[str, Path]) -> None:
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
            if rows := count(connection, query):
                raise SourceError(f"{files[table]}: {words} ({rows:,} rows); mend the table or download it again")


def _name(table: str) -> str:
    return table.split("/")[1]
