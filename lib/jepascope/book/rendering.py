"""Rendering again and again: Sphinx kept warm over edits, so that a page costs its own seconds and no start-up.

What is published comes from a fresh and full build (`build`); what is served here, from the same sources with the same
settings, is only for looking at while writing.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jupyter_book.config import get_final_config
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import SphinxError
from sphinx.util.docutils import docutils_namespace, patch_docutils

from jepascope.book.notebooks import ChapterError
from jepascope.store import atomic


class _Warm(NamedTuple):
    """A Sphinx application, what it was configured by, and where its warnings go."""

    app: Sphinx
    configuration: list[bytes]
    warnings: io.StringIO
    open: contextlib.ExitStack


class Renderer:
    """Renders staged sources to `<target>/html`, which always holds the last pages that gave no warning."""

    def __init__(self, source: Path, target: Path) -> None:
        self.source, self.target = source, target
        self._warm: _Warm | None = None
        self._read: list[str] = []

    def render(self) -> list[str]:
        """Render what has changed since the last time, and name the pages that were read again.

        Raises ChapterError with the renderer's warnings: then the pages are those of before, and what was read is read
        again the next time.
        """
        try:
            warm = self._started()
            self._read = []
            warm.app.build()
            if not self._read:  # Sphinx then stops early, though a style sheet may be new: with one page, it comes too
                warm.app.builder.build([warm.app.config.root_doc], method="specific")
        except Exception as error:
            self.close()
            if isinstance(error, SphinxError):
                raise ChapterError(f"the book did not render: {error}") from error
            raise
        if said := warm.warnings.getvalue().strip():
            for name in self._read:  # else the next build would hold these pages for done
                (self.target / "doctrees" / f"{name}.doctree").unlink(missing_ok=True)
            raise ChapterError(f"the book did not render cleanly:\n{said}")
        _show(self.target / "rendered", self.target / "html")
        return self._read

    def close(self) -> None:
        """Give back what a warm Sphinx holds; the next page starts another."""
        if self._warm is not None:
            self._warm.open.close()
            self._warm = None

    def _started(self) -> _Warm:
        """The application that is there, without warnings, or a new one where configuration or contents changed."""
        configuration = [(self.source / name).read_bytes() for name in ("_config.yml", "_toc.yml")]
        if self._warm is None or self._warm.configuration != configuration:
            self.close()
            warnings, stack = io.StringIO(), contextlib.ExitStack()
            app = stack.enter_context(_sphinx(self.source, self.target, warnings))
            app.connect("env-before-read-docs", self._note)
            self._warm = _Warm(app, configuration, warnings, stack)
        else:
            self._warm.warnings.seek(0)
            self._warm.warnings.truncate()
        return self._warm

    def _note(self, app: Sphinx, environment: BuildEnvironment, names: list[str]) -> None:
        self._read = sorted(names)


@contextlib.contextmanager
def _sphinx(source: Path, target: Path, warnings: io.StringIO) -> Iterator[Sphinx]:
    """Sphinx as Jupyter Book sets it up, with every doubtful reference a warning, as in the full build."""
    asked = {"nitpicky": True, "latex_individualpages": False}  # the latter is looked for whatever the builder
    settings, _ = get_final_config(user_yaml=source / "_config.yml", sourcedir=source, cli_config=asked)
    with patch_docutils(), docutils_namespace():
        yield Sphinx(
            srcdir=source,
            confdir=None,
            outdir=target / "rendered",
            doctreedir=target / "doctrees",
            buildername="html",
            confoverrides=settings,
            status=None,
            warning=warnings,
        )


def _show(rendered: Path, shown: Path) -> None:
    """Copy the files that differ in size or time, each whole at once, and remove those that are gone."""
    names = {file.relative_to(rendered) for file in rendered.rglob("*") if file.is_file()}
    for name in names:
        new, old = (rendered / name).stat(), (shown / name).stat() if (shown / name).exists() else None
        if old is None or (new.st_size, new.st_mtime_ns) != (old.st_size, old.st_mtime_ns):
            with atomic(shown / name) as temporary:
                shutil.copy2(rendered / name, temporary)
    for file in [file for file in shown.rglob("*") if file.is_file() and file.relative_to(shown) not in names]:
        file.unlink()
