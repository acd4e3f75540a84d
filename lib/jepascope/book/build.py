"""Rendering: the staged chapters of one profile, built by Jupyter Book with warnings as errors."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from jepascope.book.notebooks import ChapterError
from jepascope.book.run import only_one
from jepascope.book.staging import stage
from jepascope.params import project_root


def build(profile: str, seeds: Sequence[int]) -> list[str]:
    """Render `_build/html` from the run store, and name the pages whose sources have moved since they ran.

    Raises StoreError when a chapter has not run or data tiers are mixed, ChapterError when the renderer warns.
    """
    target = project_root() / "_build"
    with only_one(target, "build"):
        outdated = stage(target / "source", profile, seeds)
        _render(target / "source", target)
    return outdated


def _render(stage: Path, target: Path) -> None:
    """Run Jupyter Book with warnings as errors into a fresh folder, and put it in place only when it is whole."""
    fresh = target / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(stage), "--path-output", str(fresh)]
    run = subprocess.run([*command, "-W", "-n", "--keep-going", "-q"], capture_output=True, text=True)
    html = fresh / "_build" / "html"
    if run.returncode or not (html / "index.html").exists():
        raise ChapterError(f"the book did not render:\n{run.stdout[-4000:]}\n{run.stderr[-8000:]}")
    if (target / "html").exists():
        (target / "html").rename(fresh / "old")  # removing it first would leave no book for a while
    html.rename(target / "html")
    shutil.rmtree(fresh)
