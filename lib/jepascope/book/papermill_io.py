"""Lets papermill read our chapters: `papermill book/05_….md out.ipynb` simply works.

papermill reads notebook JSON only; this handler is registered for paths that start with `book/` (its entry point
`papermill.io`) and converts a MyST source on the way in.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from papermill.iorw import LocalHandler

from jepascope.book.notebooks import parse_notebook


class _MystHandler(LocalHandler):
    def read(self, path: str) -> str:
        """Give papermill the notebook JSON of a MyST source; other files pass unchanged."""
        return nbformat.writes(parse_notebook(Path(path).read_text())) if path.endswith(".md") else super().read(path)


MYST = _MystHandler()
