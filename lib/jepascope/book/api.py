"""The library's reference, one page a room, made from the sources without importing them.

A documentation generator that imports the library would wait for torch, and would read our plain prose as markup. Here
docstrings are taken as they are: backticks mean code, everything else means itself. What is below a module's heading is
HTML already, because parsing some thousand headings would take the renderer half a minute.
"""

from __future__ import annotations

import ast
import functools
import html
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docutils.nodes import make_id

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

    @property
    def about(self) -> str:
        """What the package says of itself, in a line."""
        return _module(PACKAGE.joinpath(*self.name.split("."), "__init__.py")).about


class Module(NamedTuple):
    """What its page shows of a module."""

    about: str  # what it says of itself, in a line
    section: str  # MyST; none for a package that defines nothing itself, whose line stands on top of the page


def write_pages(folder: Path) -> list[str]:
    """Write the pages below `folder`/api and name them, in the order in which they should be listed.

    Staged beside the chapters, they are searched, linked and checked as pages of the book are. `folder`/api.md, their
    front page, gets the list of rooms.
    """
    found = rooms()
    (folder / "api").mkdir(parents=True, exist_ok=True)
    for room in found:
        (folder / f"{room.page}.md").write_text(page(room))
    with (folder / "api.md").open("a") as front:
        front.writelines(f"* [`{room.name or TOP}`]({room.page}.md): {room.about}\n" for room in found)
    return [room.page for room in found]


def rooms() -> list[Room]:
    """Every package of the library with the modules in it that say something of themselves, the top first."""
    files: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.stat().st_size and file.name != "__main__.py":
            files[".".join(file.parent.relative_to(PACKAGE).parts)].append(file)
    return [Room(name, files[name]) for name in sorted(files)]


def page(room: Room) -> str:
    """One room as MyST: its modules in a line each, and a section a module with each public function and class."""
    modules = [file for file in room.files if file.name != "__init__.py"]
    rows = "\n".join(
        f'<tr><td><a href="#{make_id(_dotted(file))}"><code>{file.stem}</code></a></td>'
        f"<td>{_words(_module(file).about)}</td></tr>"
        for file in modules
    )
    head = '<tr><th scope="col">module</th><th scope="col">what it is</th></tr>'
    listed = f'```{{raw}} html\n<table class="table"><thead>{head}</thead><tbody>\n{rows}\n</tbody></table>\n```\n\n'
    sections = "\n".join(_module(file).section for file in room.files)
    return f"# {room.name or TOP}\n\n{room.about}\n\n{listed}{sections}"


def _dotted(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or TOP


def _module(file: Path) -> Module:
    return _parsed(_dotted(file), file.read_text(), file.name == "__init__.py")


@functools.lru_cache(maxsize=1024)  # whoever watches the book stages it after every save, and few modules are new then
def _parsed(name: str, source: str, is_package: bool) -> Module:
    tree = ast.parse(source)
    docstring, lines = ast.get_docstring(tree) or "", source.splitlines()
    about = docstring.partition("\n")[0]
    entries = [line for node in tree.body for line in _entry(node, lines, name, 3)]
    if is_package and not entries:
        return Module(about, "")
    told = "\n".join((prose(docstring), *entries))
    return Module(about, f"## `{name}`\n\n```{{raw}} html\n{told}\n```\n")


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
