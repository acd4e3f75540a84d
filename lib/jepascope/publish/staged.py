"""The scanner before a commit: what git is about to take in, held against the rules that need no rendered book."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from jepascope.publish import identifiers
from jepascope.publish.alarms import Alarm, alarm
from jepascope.publish.documents import read_document
from jepascope.publish.id_filter import IdFilter
from jepascope.publish.tree import Tree

# Records, weights, embeddings and executed notebooks have no place in a repository, whatever the .gitignore says.
TABLES = ".csv .tsv .parquet .feather .arrow .jsonl .xls .xlsx .dta .rds .sas7bdat .sqlite .duckdb .db".split()  # noqa: SIM905
ARRAYS = ".npy .npz .pt .pth .ckpt .pkl .pickle .joblib .safetensors .h5 .hdf5 .bin .onnx".split()  # noqa: SIM905
ARCHIVES = ".gz .tgz .bz2 .xz .zst .zip .tar .7z".split()  # noqa: SIM905
REFUSED = frozenset((*TABLES, *ARRAYS, *ARCHIVES, ".ipynb", ".pdf", ".log"))
# A program may name a range of identifiers, or a made-up one; a real one it may not.
PROGRAM = frozenset((".py", ".sql"))


def check_staged(root: Path, filters: Sequence[IdFilter] = ()) -> list[Alarm]:
    """List what stands against the files in git's index under `root`. Raises RuntimeError outside a repository."""
    names = _git(root, "diff", "--cached", "--name-only", "--diff-filter=d", "-z").decode().split("\0")
    return check_files({name: _git(root, "show", f":{name}") for name in names if name}, filters)


def check_files(files: dict[str, bytes], filters: Sequence[IdFilter] = ()) -> list[Alarm]:
    """List what stands against some files of a repository: name -> content."""
    alarms = [
        alarm(name, "whole file", "file type", "records, weights and outputs aren't committed")
        for name in files
        if not REFUSED.isdisjoint(Path(name.lower()).suffixes)
    ]
    documents = [found for name, data in files.items() for found in read_document(name, data)]
    tree = Tree(documents, {name: len(data) for name, data in files.items()}, [], frozenset({"synthetic"}), None, ())
    written = tree._replace(documents=[found for found in documents if found.suffix not in PROGRAM])
    for rule in (identifiers.in_range, identifiers.tracebacks):
        alarms += rule(written)
    for ids in filters:
        alarms += identifiers.real_ids(tree._replace(ids=ids))
    return sorted(set(alarms))


def _git(root: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
