"""MIMIC-IV's files as PhysioNet delivers them: found, their headers checked, and said in SQL."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import duckdb

from jepascope.cohort.engine import text
from jepascope.cohort.schema import INDISPENSABLE, TABLES

SUFFIXES = (".parquet", ".csv.gz", ".csv")


class SourceError(RuntimeError):
    """The records can't be read; the message names the file, the column, what was expected and the mend.

    It never quotes a cell: an error text ends up in logs, and on credentialed data a cell is a record.
    """


class Relation(NamedTuple):
    """One record table of a source: the query that yields its columns, and what an error about it names."""

    file: Path
    select: str


def mimic_relations(root: Path) -> dict[str, Relation]:
    """Say, per table, how to read it: typed and projected; a table that may be absent and is has no entry.

    Names of folders, files and columns are taken in lower or upper case. Raises SourceError on a missing folder,
    an indispensable table or a column.
    """
    return {table: Relation(file, _select(table, file)) for table, file in find_files(root).items()}


def find_files(root: Path) -> dict[str, Path]:
    """Return the file of each table that is there. Raises SourceError when an indispensable one is not."""
    if not root.is_dir():
        raise SourceError(f"source.root {root} is not a folder; it must hold hosp/ and icu/ of MIMIC-IV")
    present = {
        f"{folder.name}/{file.name}".lower(): file
        for folder in root.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
    }
    found = {
        table: present[f"{table}{suffix}"]
        for table in TABLES
        for suffix in reversed(SUFFIXES)
        if f"{table}{suffix}" in present
    }
    for table in INDISPENSABLE:
        if table not in found:
            raise SourceError(
                f"{root / table}.csv.gz is missing (nor .csv, .parquet); put the MIMIC-IV table there. "
                f"Needed: {', '.join(INDISPENSABLE)}"
            )
    return found


def explain(error: duckdb.Error, relation: Relation, table: str) -> SourceError:
    """Say what DuckDB found without the cell it found: its own message quotes the record.

    An error that says nothing of the records, memory or disk, is raised as it is.
    """
    if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in str(error):
        raise error
    message, file, types = str(error), relation.file, TABLES[table]
    if "GZIP" in message.upper():
        return SourceError(f"{file} is not a whole gzip file (truncated or damaged); download it again")
    line = re.search(r"Line: (\d+)", message)
    where = f"{file}, line {line[1]}" if line else str(file)
    column = re.search(r'converting column "(\w+)"', message)
    if column:
        kind = types.get(column[1], "text")
        return SourceError(f"{where}: column {column[1]} holds something that is not {kind}; mend the cell")
    if "Could not convert" in message or "Conversion Error" in message:
        return SourceError(f"{where}: a cell can't be read as its type; expected {types}")
    if "CSV" in message:
        return SourceError(f"{where}: not a CSV whose rows all have the header's columns; download it again")
    return SourceError(f"{where} can't be read ({message.split(':')[0]}); check the file and the free disk space")


def _select(table: str, file: Path) -> str:
    types, columns = TABLES[table], _columns(file)
    spelled = {column.lower(): column for column in columns}
    missing = [column for column in types if column not in spelled]
    if missing:
        raise SourceError(
            f"{file}: column {', '.join(missing)} is missing; expected at least {', '.join(types)}. "
            f"Download the table again or export it with MIMIC-IV's own header."
        )
    if file.suffix == ".parquet":
        reader = f"read_parquet({text(file)})"
    else:
        # All columns are declared, the unread ones as text, so that nothing is guessed from a sample.
        declared = ", ".join(f"{text(column)}: {text(types.get(column.lower(), 'VARCHAR'))}" for column in columns)
        reader = (
            f"read_csv({text(file)}, columns = {{{declared}}}, header = true, auto_detect = false, delim = ',', "
            f"quote = '\"', escape = '\"')"
        )
    selected = ", ".join(f'cast("{spelled[column]}" as {kind}) as {column}' for column, kind in types.items())
    return f"select {selected} from {reader}"


def _columns(file: Path) -> list[str]:
    """Return the header; the file's first bytes already tell text from everything else."""
    if file.suffix == ".parquet":
        try:
            # The first row is the schema's root, and has children instead of a type.
            query = "select name from parquet_schema($file) where num_children is null or num_children = 0"
            return duckdb.execute(query, {"file": str(file)}).df()["name"].tolist()
        except duckdb.Error:
            raise SourceError(f"{file} is not a parquet file; download it again") from None
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as handle:
            header = handle.readline(1 << 16)
        line = header.decode("utf-8-sig").rstrip("\r\n")
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise SourceError(f"{file} is not a whole gzip file (truncated or damaged); download it again") from None
    except UnicodeDecodeError:
        raise SourceError(f"{file} is not a CSV file (its header is not text); download it again") from None
    if not line:
        raise SourceError(f"{file} is empty; expected a CSV header")
    return [column.strip('"') for column in line.split(",")]
