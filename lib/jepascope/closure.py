"""Which library code a piece of code uses: the static closure of its imports, and a hash of what that code does.

Neither papermill nor Snakemake sees imports. With the closure, editing one module makes again what uses it, however
indirectly, and nothing else; and a better comment makes nothing again.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parent
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Code(NamedTuple):
    """What there is to know of a source without running it."""

    imports: frozenset[str]  # dotted names; `from a import b` gives both `a` and `a.b`
    does: str  # a hash of it without comments, docstrings and layout


@functools.cache
def text_of(file: Path) -> str:
    """Read a source file as this process first saw it: an edit during a run must not sign results of the older code."""
    return file.read_text()


def look_again() -> None:
    """Forget what the files were like, to see whether one has changed since."""
    text_of.cache_clear()
    imported_files.cache_clear()


@functools.cache
def read_code(source: str, place: str) -> Code:
    """Read Python source. Raises SyntaxError, which names the place."""
    tree = ast.parse(source, place)
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return Code(frozenset(names), _hash([ast.dump(tree)]))


def module_file(name: str) -> Path | None:
    """Find the file of a dotted name inside this package; None for other packages and for names that are no module."""
    first, *rest = name.split(".")
    if first != PACKAGE.name:
        return None
    base = PACKAGE.joinpath(*rest)
    candidates = [base.with_suffix(".py")] if rest else []
    return next((file for file in [*candidates, base / "__init__.py"] if file.is_file()), None)


@functools.cache
def imported_files(names: frozenset[str]) -> frozenset[Path]:
    """Find the files of this package behind names that are imported. Importing a.b.c runs the __init__ of a and a.b."""
    parts = [name.split(".") for name in names]
    dotted = {".".join(name[:depth]) for name in parts for depth in range(1, len(name) + 1)}
    return frozenset(file for file in map(module_file, dotted) if file is not None)


def closure(source: str, place: str = "<code>") -> list[Path]:
    """Collect every file of this package that the source reaches through imports, and the SQL that such a file runs.

    A module that names the folder "sql" runs what is in there: its neighbours don't, and aren't made again for it.
    Relative imports aren't followed: the package doesn't use them (checked by a test). Raises SyntaxError.
    """
    found: set[Path] = set()
    waiting = [read_code(source, place)]
    while waiting:
        new = imported_files(waiting.pop().imports) - found
        found |= new
        waiting += [read_code(text_of(file), str(file)) for file in new]
    queries = {query for file in found if '"sql"' in text_of(file) for query in file.parent.glob("sql/*.sql")}
    return sorted(found | queries)


def code_fingerprint(source: str, leave_out: Collection[str] = (), place: str = "<code>") -> str:
    """Hash what the source does together with its closure, but for modules (file names at the top) keyed otherwise.

    Raises SyntaxError, which names the file.
    """
    left_out = {PACKAGE / name for name in leave_out}
    reached = [file for file in closure(source, place) if file not in left_out]
    done = [read_code(text_of(file), str(file)).does if file.suffix == ".py" else text_of(file) for file in reached]
    return _hash([read_code(source, place).does, *done])


def _hash(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()
