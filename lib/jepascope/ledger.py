"""The test-set ledger: how often the test patients were looked at, and by what.

A test set that is opened again after each change becomes a second validation set, and nothing in its numbers shows it.
So every evaluation on test patients first appends a line here. The file is append-only and lies beside the results,
`runs/<profile>/test_ledger.jsonl`; a re-evaluation that changes nothing is one more line, not a hidden one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from jepascope.steps import commit
from jepascope.store import StoreError, fingerprint

LEDGER = "test_ledger.jsonl"
COLUMNS = {
    "time": "datetime64[ns, UTC]",
    "commit": "str",
    "profile": "str",
    "evaluation": "str",
    "seed": "Int64",
    "configuration": "str",
    "n_rows": "int64",
    "n_patients": "int64",
}
IDENTICAL = ["evaluation", "configuration", "seed", "commit"]


def open_test(
    path: Path, evaluation: str, seed: int | None, configuration: Mapping[str, Any], n_rows: int, n_patients: int
) -> None:
    """Enter an evaluation before it is made: one that fails has still seen the test patients.

    Any number of processes may do so at once. The profile is the name of the ledger's folder.

    Args: evaluation: a name, e.g. "05_z_characterisation/probes"; seed: None where it is about all seeds;
    configuration: JSON-able, whatever the result follows from; n_rows, n_patients: of the test patients read.
    Raises StoreError when the line can't be written whole; no evaluation may follow then.
    """
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "commit": commit(),
        "profile": path.absolute().parent.name,
        "evaluation": evaluation,
        "seed": seed,
        "configuration": fingerprint(configuration),
        "n_rows": int(n_rows),
        "n_patients": int(n_patients),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _append(path, json.dumps(entry, ensure_ascii=False).encode())
    except OSError as error:
        raise StoreError(f"{path} can't be written ({error}); the test set stays closed until it can") from error


def read_ledger(path: Path) -> pd.DataFrame:
    """Read all entries, oldest first: the columns of COLUMNS; no rows where the test set was never opened.

    A line that isn't an entry, such as the last one of a machine that lost power, is skipped, and reported: the numbers
    of such lines, from 1, are in `.attrs["unreadable"]`.
    """
    entries, unreadable = [], []
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            entries += [_entry(line)] if line else []
        except (ValueError, KeyError, TypeError):
            unreadable.append(number)
    table = pd.DataFrame(entries, columns=list(COLUMNS)).astype(COLUMNS)
    table.attrs["unreadable"] = unreadable
    return table


def times_opened(path: Path) -> pd.DataFrame:
    """Count the openings by evaluation and configuration.

    Columns: evaluation, configuration, times, repeated (of these, with evaluation, configuration, seed and commit of an
    earlier one), seeds and commits (how many different ones), first, last (times). `.attrs` as of `read_ledger`.
    """
    entries = read_ledger(path)
    entries["repeated"] = entries.duplicated(IDENTICAL)
    summary = entries.groupby(["evaluation", "configuration"], sort=True, as_index=False).agg(
        times=("time", "size"),
        repeated=("repeated", "sum"),
        seeds=("seed", lambda seeds: seeds.nunique(dropna=False)),
        commits=("commit", "nunique"),
        first=("time", "min"),
        last=("time", "max"),
    )
    summary.attrs = entries.attrs
    return summary


def _entry(line: bytes) -> dict[str, Any]:
    entry = json.loads(line)
    texts = {name: str(entry[name]) for name in ("commit", "profile", "evaluation", "configuration")}
    numbers = {name: int(entry[name]) for name in ("n_rows", "n_patients")}
    seed = None if entry["seed"] is None else int(entry["seed"])
    return {"time": datetime.fromisoformat(entry["time"]).astimezone(UTC), "seed": seed, **texts, **numbers}


def _append(path: Path, line: bytes) -> None:
    """Append in one write. A line that a dead writer tore is ended first, or it would take this one with it."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        # O_APPEND keeps writers of one machine apart; machines that share a file system need the lock.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        record = (b"\n" if torn else b"") + line + b"\n"
        if os.write(descriptor, record) != len(record):
            raise OSError("only a part of the line was written; free some disk space")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
