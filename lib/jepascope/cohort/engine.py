"""DuckDB, capped in memory and spilling beside the result: records larger than memory must not kill the machine."""

from __future__ import annotations

import contextlib
import glob
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pandas as pd

from jepascope.store import atomic

SQL = Path(__file__).parent / "sql"


class ResourceError(RuntimeError):
    """Memory or disk don't suffice, whatever the records are; the message says what to change."""


@contextlib.contextmanager
def connect(folder: Path, memory_gb: float, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that holds at most `memory_gb` (GiB) and spills the rest to `folder/.duckdb`.

    The folder is removed when the block ends, and a killed attempt's leftover before it begins.
    """
    scratch = folder / ".duckdb"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_gb}GiB",
        "threads": threads,
        "temp_directory": str(scratch / "spill"),
        # The order of rows in a file means nothing here, and keeping it costs memory.
        "preserve_insertion_order": False,
    }
    connection = duckdb.connect(":memory:", config=config)
    try:
        yield connection
    except duckdb.OutOfMemoryException:
        raise ResourceError(
            f"{memory_gb} GiB are too little for these records: raise extraction.memory_gb, or compute fewer patients "
            f"at a time with a smaller extraction.patients_per_shard"
        ) from None
    except duckdb.IOException as error:
        if "No space left" not in str(error):
            raise
        raise ResourceError(f"the disk of {folder} is full; free some space and run the same command again") from None
    finally:
        connection.close()
        shutil.rmtree(scratch, ignore_errors=True)


def set_variables(connection: duckdb.DuckDBPyConnection, values: Mapping[str, object]) -> None:
    """Bind parameters that the SQL files read as `getvariable('name')`."""
    for name, value in values.items():
        connection.execute(f"set variable {name} = $value", {"value": value})


def count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """Return the one number of a query."""
    return int(connection.execute(query).fetchall()[0][0])


def run(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Run `sql/<name>.sql`; each file opens with what it reads and what it makes."""
    connection.execute((SQL / f"{name}.sql").read_text())


def create(connection: duckdb.DuckDBPyConnection, name: str, table: pd.DataFrame) -> None:
    """Copy a data frame into the table `name`."""
    connection.register("given", table)
    connection.execute(f"create or replace table {name} as from given")
    connection.unregister("given")


def write(connection: duckdb.DuckDBPyConnection, query: str, file: Path) -> None:
    """Write a query's rows to one parquet file, complete under its name or not there."""
    with atomic(file) as temporary:
        connection.execute(f"copy ({query}) to {text(temporary)} (format parquet, compression zstd)")


def view(connection: duckdb.DuckDBPyConnection, name: str, files: Path | str) -> None:
    """Let `name` stand for parquet files (a path, or a pattern of them), read anew by each query."""
    connection.execute(f"create or replace view {name} as from read_parquet({text(files)}, hive_partitioning = false)")


def files_in(folder: Path, pattern: str) -> Path:
    """Point a pattern at a folder, whose own name may hold signs that would mean something in it: [, ], * or ?."""
    return Path(glob.escape(str(folder))) / pattern


def text(value: Path | str) -> str:
    """Spell a value as SQL text."""
    return "'" + str(value).replace("'", "''") + "'"
