"""DuckDB, capped in memory and spilling beside the result: records larger than memory must not kill the machine."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb

SQL = Path(__file__).parent / "sql"


@contextlib.contextmanager
def connect(folder: Path, memory_gb: float, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection whose database and spill lie in `folder/.duckdb`, removed when the block ends.

    On disk and not in memory, so that `memory_gb` (GiB) bounds the records too and not only the query.
    A leftover of a killed attempt is removed first.
    """
    scratch = folder / ".duckdb"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_gb}GiB",
        "threads": threads,
        "temp_directory": str(scratch / "spill"),
    }
    connection = duckdb.connect(scratch / "records.duckdb", config=config)
    try:
        yield connection
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
