"""The chapters as files: which there are, what each declares, and how its MyST source becomes a notebook."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat
import yaml
from jupytext.myst import MystMetadataParsingError

from jepascope.params import SECTIONS, project_root

RESERVED = ("profile", "seed", "seeds")
# At the start of a line: a page that shows how a chapter is written, indented, is none.
CODE_CELL = re.compile(r"^```\{code-cell\}", re.MULTILINE)


class ChapterError(RuntimeError):
    """A chapter's source breaks the house rules, or there is no such chapter; the message says which and why."""


class ChapterSource(NamedTuple):
    """One chapter's MyST source, with what its header and its parameters cell declare."""

    name: str  # 05_z_characterisation
    path: Path
    reads: tuple[str, ...]  # chapters whose results this one may read
    methods: tuple[str, ...]  # whose certificates stand under its title
    parameters: tuple[str, ...]  # names in its parameters cell: profile, seed or seeds, and the sections it uses
    code: str  # all its code cells, as one module
    text: str  # the whole source, as it was read

    @property
    def per_seed(self) -> bool:
        """A chapter that declares `seed` runs once per seed, the others once."""
        return "seed" in self.parameters

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The parts of the profile that can move the chapter's results: sections, and `seeds` if it collects them."""
        return tuple(name for name in self.parameters if name in (*SECTIONS, "seeds"))


class Book(NamedTuple):
    """All chapters that run, in reading order; a chapter is read when it is asked for."""

    sources: tuple[Path, ...]

    @property
    def chapters(self) -> tuple[ChapterSource, ...]:
        """All of them. Raises ChapterError as `read_chapter`, or where one reads what is no chapter."""
        chapters = tuple(map(read_chapter, self.sources))
        for chapter in chapters:
            for read in chapter.reads:
                if read not in self._names():
                    raise ChapterError(f"{chapter.path}: reads {read!r}, which is no chapter")
        return chapters

    def find(self, prefix: str) -> ChapterSource:
        """Find a chapter by its number (`05`), its name, or the start of it. Raises ChapterError if none or several."""
        found = [name for name in self._names() if name.startswith(prefix)]
        exact = [name for name in found if prefix in (name, name.partition("_")[0])]
        if len(exact or found) != 1:
            known = ", ".join(self._names())
            raise ChapterError(f"{prefix!r} names {len(found)} chapters; the chapters are: {known}")
        return read_chapter(self.sources[self._names().index((exact or found)[0])])

    def _names(self) -> list[str]:
        return [path.stem for path in self.sources]


def book_folder() -> Path:
    """The folder of the chapters' sources."""
    return project_root() / "book"


def parse_notebook(text: str) -> nbformat.NotebookNode:
    """Convert a MyST source to a notebook, with cell ids that depend only on the position."""
    notebook = jupytext.reads(text, fmt="md:myst")
    for position, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{position:03d}"
    return notebook


def read_chapter(path: Path) -> ChapterSource:
    """Read what a source declares.

    Raises ChapterError when its header or a cell can't be read, or a chapter that runs has no parameters cell.
    """
    return _declared(path, path.read_text())


@functools.cache
def _declared(path: Path, text: str) -> ChapterSource:
    try:
        notebook = parse_notebook(text)
    except (yaml.YAMLError, MystMetadataParsingError) as error:
        raise ChapterError(f"{path}: its header, or what stands above a cell, is not valid YAML: {error}") from error
    reads, methods = _header_lists(path, notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            line = (error.text or "").strip()
            raise ChapterError(f"{path}: a cell is not valid Python: {error.msg}, at {line!r}") from error
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise ChapterError(f"{path}: a chapter has exactly one cell tagged 'parameters', found {len(tagged)}")
    names = tuple(target.id for node in ast.parse(tagged[0].source).body for target in _targets(path, node))
    unknown = [name for name in names if name not in RESERVED and name not in SECTIONS]
    if "profile" not in names or unknown:
        raise ChapterError(
            f"{path}: its parameters cell must set 'profile', and may set 'seed', 'seeds' and {SECTIONS}; {unknown}"
        )
    return ChapterSource(path.stem, path, reads, methods, names, "\n\n".join(cell.source for cell in cells), text)


def read_book(folder: Path | None = None) -> Book:
    """List every source that has code, numbered chapters first, the front page (which reads them all) last."""
    sources = (path for path in (folder or book_folder()).glob("*.md") if CODE_CELL.search(path.read_text()))
    return Book(tuple(sorted(sources, key=lambda path: (not path.name[0].isdigit(), path.stem))))


def _header_lists(path: Path, notebook: nbformat.NotebookNode) -> Iterator[tuple[str, ...]]:
    """What the header lists under `reads` and under `methods`."""
    header = notebook.metadata.get("jepascope", {})
    for name in ("reads", "methods"):
        listed = header.get(name, []) if isinstance(header, dict) else None
        if not isinstance(listed, list):
            raise ChapterError(f"{path}: `jepascope:` in its header holds lists, as in `{name}: [01_extraction]`")
        yield tuple(listed)


def _targets(path: Path, node: ast.stmt) -> list[ast.Name]:
    if not isinstance(node, ast.Assign) or not all(isinstance(target, ast.Name) for target in node.targets):
        raise ChapterError(f"{path}: a parameters cell holds only `name = value` lines, found: {ast.unparse(node)}")
    return [target for target in node.targets if isinstance(target, ast.Name)]
