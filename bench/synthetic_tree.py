"""A tree of synthetic tables in MIMIC-IV's form, at a fraction of release 3.1's size: a shape to time, not science."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import threading
import time
import zlib
from fractions import Fraction
from pathlib import Path

import duckdb

SQL = Path(__file__).parent / "tree"

# Rows of release 3.1, and how many of its patients were admitted at all.
SHAPE = {
    "patients": 364_627,
    "admissions": 546_028,
    "diagnoses_icd": 6_364_488,
    "procedures_icd": 859_655,
    "prescriptions": 20_292_611,
    "labevents": 158_374_764,
    "services": 593_071,
    "transfers": 2_413_581,
    "icustays": 94_458,
}
ADMITTED = 223_452
DICTIONARIES = ("d_labitems", "d_icd_diagnoses", "d_icd_procedures")
FORMATS = {"csv.gz": "csv", "csv": "csv", "parquet": "parquet"}


def rows_at(fraction: Fraction) -> dict[str, int]:
    """Scale every table of `SHAPE`, so that rows per patient and per stay stay what they are."""
    return {table: round(rows * fraction) for table, rows in SHAPE.items()}


def write_tree(root: Path, fraction: Fraction, suffix: str = "csv.gz", seed: int = 2026) -> dict[str, int]:
    """Write `root`/hosp and `root`/icu unless they are there already, streaming, in less than 1 GiB of memory.

    The same seed, fraction and version of DuckDB give the same rows in the same order.
    Returns the rows of each table of `SHAPE`. Raises ValueError when the fraction leaves a table empty, or when `root`
    holds something else.
    """
    rows = rows_at(fraction)
    if min(rows.values()) < 1 or round(ADMITTED * fraction) < 1:
        raise ValueError(f"fraction {fraction} leaves a table without a row; use 1/50000 or more")
    stamp = {"fraction": str(fraction), "format": suffix, "seed": seed, "rows": rows, "sql": _digest()}
    mark = root / "shape.json"
    if mark.is_file() and json.loads(mark.read_text()) == stamp:
        return rows
    if root.exists() and any(root.iterdir()) and not mark.is_file():
        raise ValueError(f"{root} holds something else; name a new folder, since a tree replaces what it finds")
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("hosp", "icu"):
        (root / folder).mkdir(parents=True)
    mark.write_text("{}")  # unfinished
    with duckdb.connect(
        config={"threads": 1, "memory_limit": "1GiB", "temp_directory": str(root / ".spill")}
    ) as connection:
        _prepare(connection, rows, round(ADMITTED * fraction), seed)
        for table in (*SHAPE, *DICTIONARIES):
            folder = "icu" if table == "icustays" else "hosp"
            _copy(connection, (SQL / f"{table}.sql").read_text(), root / folder / f"{table}.{suffix}", suffix)
    shutil.rmtree(root / ".spill", ignore_errors=True)
    mark.write_text(json.dumps(stamp, indent=1))
    return rows


def _digest() -> str:
    """Hash the SQL: a tree that an older one wrote is written anew."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(SQL.glob("*.sql")))).hexdigest()


def _prepare(connection: duckdb.DuckDBPyConnection, rows: dict[str, int], admitted: int, seed: int) -> None:
    # One thread, rows passed on as they come, and dictionaries always on the right of a join: the order of rows is
    # the order of the scan, and nothing is held back.
    connection.execute("set preserve_insertion_order = false")
    connection.execute("set disabled_optimizers = 'join_order,build_side_probe_side'")
    variables = {f"rows_{table}": count for table, count in rows.items()}
    for name, value in {**variables, "patients": rows["patients"], "admitted": admitted, "seed": seed}.items():
        connection.execute(f"set variable {name} = {value}::bigint")
    connection.execute((SQL / "base.sql").read_text())


def _copy(connection: duckdb.DuckDBPyConnection, query: str, file: Path, suffix: str) -> None:
    options = "format parquet, compression zstd" if FORMATS[suffix] == "parquet" else "format csv, header true"
    if suffix != "csv.gz":
        connection.execute(f"copy ({query}) to '{file}' ({options})")
        return
    # DuckDB packs at its slowest level; through a pipe, a second thread packs at the fastest.
    read_end, write_end = os.pipe()
    packer = threading.Thread(target=_pack, args=(read_end, file))
    packer.start()
    try:
        connection.execute(f"copy ({query}) to '/dev/fd/{write_end}' ({options}, use_tmp_file false)")
    finally:
        os.close(write_end)
        packer.join()


def _pack(read_end: int, file: Path) -> None:
    packed = zlib.compressobj(level=1, wbits=31)
    with os.fdopen(read_end, "rb") as source, file.open("wb") as target:
        while block := source.read(1 << 20):
            target.write(packed.compress(block))
        target.write(packed.flush())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="folder to write; what is in it is replaced")
    parser.add_argument("--fraction", type=Fraction, default=Fraction(1, 64))
    parser.add_argument("--format", choices=FORMATS, default="csv.gz")
    parser.add_argument("--seed", type=int, default=2026)
    asked = parser.parse_args()
    started = time.perf_counter()
    rows = write_tree(asked.root, asked.fraction, asked.format, asked.seed)
    print(f"{sum(rows.values()):,} rows in {time.perf_counter() - started:.0f} s: {asked.root}")


if __name__ == "__main__":
    main()
