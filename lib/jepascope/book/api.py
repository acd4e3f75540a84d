"""The library's reference, one page a room, made from the sources without importing them.

A documentation generator that imports the library would wait for torch, and would read our plain prose as markup. Here
docstrings are taken as they are: backticks mean code, everything else means itself. What is below a module's heading is
HTML already, because parsing some thousand headings would take the renderer half a minute.
"""

from __future__ import annotations

import ast
import html
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jepascope.closure import PACKAGE

TOP = "jepascope"
CODE = re.compile(r"`([^`\n]+)`")


class Room(NamedTuple):
    """The modules of one package; the modules at the top stand together in a room of their own."""

    name: str  # dotted, below the package; "" at the top
    files: list[Path]

    @property
    def page(self) -> str:
        """Where its page lies, without suffix."""
        return f"api/{self.name.replace('.', '_') or TOP}"


def write_pages(folder: Path) -> list[str]:
    """Write the pages below `folder`/api and name them, in the order in which they should be listed.

    Staged beside the chapters, they are searched, linked and checked as pages of the book are.
    """
    found = rooms()
    (folder / "api").mkdir(parents=True, exist_ok=True)
    for room in found:
        (folder / f"{room.page}.md").write_text(page(room))
    return [room.page for room in found]


def rooms() -> list[Room]:
    """Every package of the library with the modules in it that say something of themselves, the top first."""
    files: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.stat().st_size and file.name != "__main__.py":
            files[".".join(file.parent.relative_to(PACKAGE).parts)].append(file)
    return [Room(name, files[name]) for name in sorted(files)]


def page(room: Room) -> str:
    """One room as MyST: a section a module, in it each public function and class."""
    return f"# {room.name or TOP}\n\n" + "\n".join(_module(file) for file in room.files)


def _module(file: Path) -> str:
    source = file.read_text()
    tree = ast.parse(source)
    dotted = file.relative_to(PACKAGE).with_suffix("").parts
    name = ".".join(part for part in dotted if part != "__init__") or TOP
    lines = source.splitlines()
    entries = (line for node in tree.body for line in _entry(node, lines, name, 3))
    told = "\n".join((prose(ast.get_docstring(tree)), *entries))
    return f"## `{name}`\n\n```{{raw}} html\n{told}\n```\n"


def _entry(node: ast.stmt, lines: list[str], within: str, level: int) -> Iterator[str]:
    """A function or class: its name, its signature or fields as the source spells them, its docstring, its methods."""
    if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
        return
    name = f"{within}.{node.name}"
    yield f'<h{level} id="{name}"><code>{node.name}</code></h{level}>'
    yield f'<pre style="white-space: pre-wrap">{html.escape(_signature(node, lines))}</pre>'
    yield prose(ast.get_docstring(node))
    if isinstance(node, ast.ClassDef):
        for method in node.body:
            yield from _entry(method, lines, name, level + 1)


def _signature(node: ast.FunctionDef | ast.ClassDef, lines: list[str]) -> str:
    """The source up to the docstring; of a class, its fields too, with their comments."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    shown = lines[first - 1 : max(node.body[0].lineno - 1, node.lineno)]
    if isinstance(node, ast.ClassDef):
        for field in node.body:
            if isinstance(field, ast.AnnAssign):
                shown += lines[field.lineno - 1 : field.end_lineno]
    indent = len(shown[0]) - len(shown[0].lstrip())
    return "\n".join(line[indent:] for line in shown).rstrip()


def prose(docstring: str | None) -> str:
    """A docstring as HTML: paragraphs, indented blocks verbatim, bullets as a list, no blank line in it."""
    return "\n".join(map(_paragraph, re.split(r"\n\s*\n", docstring or "")))


def _paragraph(text: str) -> str:
    lines = text.strip("\n").splitlines()
    if lines and all(line.startswith("    ") for line in lines):
        verbatim = html.escape("\n".join(line[4:] for line in lines))
        return f'<pre style="white-space: pre-wrap">{verbatim}</pre>'
    if lines and all(line.startswith("* ") for line in lines):
        return f"<ul>{''.join(f'<li>{_words(line[2:])}</li>' for line in lines)}</ul>"
    return f"<p>{_words(' '.join(lines))}</p>"


def _words(text: str) -> str:
    return CODE.sub(r"<code>\1</code>", html.escape(text, quote=False))
