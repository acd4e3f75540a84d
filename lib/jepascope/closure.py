"""Which library code a piece of code uses: the static closure of its imports, and that code's hash.

Neither papermill nor Snakemake sees imports. With the closure, editing one module makes again what uses it, however
indirectly, and nothing else.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path

PACKAGE = Path(__file__).parent


@functools.cache
def text_of(file: Path) -> str:
    """Read a source file as this process first saw it: an edit during a run must not sign results of the older code."""
    return file.read_text()


def look_again() -> None:
    """Forget what the files were like, to see whether one has changed since."""
    text_of.cache_clear()
    imported_files.cache_clear()


def module_file(name: str) -> Path | None:
    """Find the file of a dotted name inside this package; None for other packages and for names that are no module."""
    first, *rest = name.split(".")
    if first != PACKAGE.name:
        return None
    base = PACKAGE.joinpath(*rest)
    candidates = [base.with_suffix(".py")] if rest else []
    return next((file for file in [*candidates, base / "__init__.py"] if file.is_file()), None)


@functools.cache
def imported_names(source: str) -> frozenset[str]:
    """List the dotted names that Python source imports; `from a import b` gives both `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


@functools.cache
def imported_files(source: str) -> frozenset[Path]:
    """Find the files of this package that a source imports itself. Importing a.b.c runs the __init__ of a and a.b."""
    parts = [name.split(".") for name in imported_names(source)]
    dotted = {".".join(name[:depth]) for name in parts for depth in range(1, len(name) + 1)}
    return frozenset(file for file in map(module_file, dotted) if file is not None)


def closure(source: str) -> list[Path]:
    """Collect every file of this package that the source reaches through imports, and the SQL that such a file runs.

    A module that names the folder "sql" runs what is in there: its neighbours don't, and aren't made again for it.
    Relative imports aren't followed: the package doesn't use them (checked by a test).
    """
    found: set[Path] = set()
    waiting = [source]
    while waiting:
        new = imported_files(waiting.pop()) - found
        found |= new
        waiting += map(text_of, new)
    queries = {query for file in found if '"sql"' in text_of(file) for query in file.parent.glob("sql/*.sql")}
    return sorted(found | queries)


def code_fingerprint(source: str, leave_out: Collection[str] = ()) -> str:
    """Hash the source together with its closure, but for modules (file names at the top) that enter a key otherwise."""
    left_out = {PACKAGE / name for name in leave_out}
    return _hash([source, *(text_of(file) for file in closure(source) if file not in left_out)])


def _hash(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()
