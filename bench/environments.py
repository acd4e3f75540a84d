"""Throw-away environments for other people's programs, so that the project's own depends on none of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import measure


class NotRunError(RuntimeError):
    """A program can't be had here, or fails; the message is the reason that is printed in its place."""


def install(folder: Path, packages: Sequence[str]) -> Path:
    """Make an environment with `packages` and return its bin folder; one that is there already is used again.

    Raises NotRunError with the installer's last words.
    """
    ready = folder / "installed"
    if not ready.is_file() or ready.read_text() != " ".join(packages):
        log = folder.with_name(f"{folder.name}.log")
        for command in (
            [sys.executable, "-m", "venv", "--clear", folder],
            [folder / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", *packages],
        ):
            if measure.run(command, log).status:
                raise NotRunError(f"{', '.join(packages)} can't be installed: {measure.tail(log, 1)}")
        ready.write_text(" ".join(packages))
    return folder / "bin"
