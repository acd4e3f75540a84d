"""How results are written and read: parquet for tables, safetensors for arrays, JSON for the rest, each atomically.

Every job of a run asks here whether there is anything to do, mostly in JSON alone: pandas, half a second, is imported
where a table is read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

if TYPE_CHECKING:
    import pandas as pd

LOG = "log"  # a folder within a step's, for looking at while it runs: no part of what the step made
TIERS = ("synthetic", "demo", "credentialed")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
T = TypeVar("T")


class StoreError(RuntimeError):
    """A result is missing, damaged or mixed; the message names the file and the command that mends it."""


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling to write to, renamed to `path` on success: a killed writer leaves no half file.

    Raises StoreError when the disk is full or the folder may not be written; what lay at `path` is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say what to do where the system says that it can't: raises StoreError for a full disk and a closed folder."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            reason, mend = "the disk or its quota is full", "free some space"
        elif error.errno in CLOSED:
            reason, mend = str(error.strerror), f"make {path.parent} writable"
        else:
            raise
        raise StoreError(f"{path} can't be written ({reason}): {mend} and run the same command again") from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON that a person can read; NaN and infinity are refused because other readers reject them."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON. Raises StoreError when the file is missing or damaged."""
    return _read(path, lambda file: json.loads(file.read_text()))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as zstd parquet, without its row index."""
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


def read_table(path: Path) -> pd.DataFrame:
    """Read a parquet table. Raises StoreError when the file is missing or damaged."""
    import pandas as pd

    return _read(path, pd.read_parquet)


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write arrays as safetensors: typed, shaped, and loaded without executing anything (pickles are not)."""
    with atomic(path) as temporary:
        try:
            save_file({name: np.asarray(array, order="C") for name, array in tensors.items()}, temporary)
        except SafetensorError as error:  # it hides the system's error number in its text
            number = re.search(r"os error (\d+)", str(error))
            raise OSError(int(number[1]) if number else errno.EIO, str(error), str(path)) from error


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read safetensors. Raises StoreError when the file is missing or damaged."""
    return _read(path, load_file)


def _read(path: Path, reader: Callable[[Path], T]) -> T:
    if not path.exists():
        raise StoreError(f"{path} is missing: run the chapter that writes it (`jepascope run`)")
    try:
        return reader(path)
    except Exception as error:
        mend = "remove the chapter's folder, runs/<profile>/<seed>/<chapter>, and run again"
        raise StoreError(f"{path} is damaged ({error}): {mend}") from error


def sha256(path: Path) -> str:
    """Hash a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """Hash a JSON-able value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
