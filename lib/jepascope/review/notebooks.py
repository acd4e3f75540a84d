"""Whole notebooks of two kept runs, held against each other by nbdime: prose, code and outputs."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from jepascope.review.snapshot import NOTEBOOK, Snapshot, place_of
from jepascope.store import StoreError

PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")
FLAGS = ("--ignore-metadata", "--ignore-id", "--ignore-details")


def compare_notebooks(before: Snapshot, after: Snapshot, chapter: str, seed: int | None, web: bool) -> None:
    """Print what differs between two executed notebooks, or show it in a browser.

    Raises StoreError when a snapshot lacks the chapter, or nbdime isn't installed.
    """
    if importlib.util.find_spec("nbdime") is None:
        raise StoreError("notebooks are compared by nbdime: `pip install -c constraints.txt -e .[review]`")
    files = [place_of(snapshot, chapter, seed) / NOTEBOOK for snapshot in (before, after)]
    for file in files:
        if not file.exists():
            raise StoreError(f"{file} is missing: the snapshot has no run of {chapter} in this seed")
    with tempfile.TemporaryDirectory() as folder:
        shown = files if web else [_readable(file, Path(folder), n) for n, file in enumerate(files)]
        module = "nbdime.webapp.nbdiffweb" if web else "nbdime.nbdiffapp"
        flags = ("--ip", "127.0.0.1") if web else FLAGS
        subprocess.run([sys.executable, "-m", module, *flags, *map(str, shown)], check=False)


def _readable(file: Path, folder: Path, number: int) -> Path:
    """A copy in which a picture is its hash: a terminal shows no picture, and of its bytes too many."""
    text = PICTURE.sub(lambda found: f"picture {sha256(found[0].encode()).hexdigest()[:12]}", file.read_text())
    copy = folder / f"{('before', 'after')[number]}.ipynb"
    copy.write_text(json.dumps(json.loads(text)))
    return copy
