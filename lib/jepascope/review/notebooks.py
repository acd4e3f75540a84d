"""Whole notebooks of two kept runs, held against each other by nbdime: prose, code and outputs."""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from jepascope.review.compare import place
from jepascope.review.snapshot import NOTEBOOK, Snapshot, place_of
from jepascope.store import StoreError

PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")
FLAGS = ("--ignore-metadata", "--ignore-id", "--ignore-details")


def compare_notebooks(before: Snapshot, after: Snapshot, chapter: str, seed: int | None) -> None:
    """Print what differs between two executed notebooks; nothing where nothing does.

    Raises StoreError when a run lacks the chapter in this seed, or nbdime isn't installed.
    """
    try:
        nbdiff = importlib.import_module("nbdime.nbdiffapp")
    except ImportError as error:
        mend = "`pip install -c constraints.txt -e .[review]`"
        raise StoreError(f"notebooks are compared by nbdime ({error}): {mend}") from error
    with tempfile.TemporaryDirectory() as folder:
        shown = []
        for run, label in ((before, "before"), (after, "after")):
            notebook = place_of(run, chapter, seed) / NOTEBOOK
            if not notebook.exists():
                raise StoreError(f"{run.name} has no run of {place(chapter, seed)}")
            shown.append(Path(folder) / f"{label}.ipynb")
            shown[-1].write_text(PICTURE.sub(_named, notebook.read_text()))
        colour = () if sys.stdout.isatty() else ("--no-color",)
        nbdiff.main([*FLAGS, *colour, *map(str, shown)])


def _named(picture: re.Match[str]) -> str:
    """A picture's hash: a terminal shows no picture, and of its bytes too many."""
    return f"picture {sha256(picture[0].encode()).hexdigest()[:12]}"
