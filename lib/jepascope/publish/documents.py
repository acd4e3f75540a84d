"""The files of a tree, read once into what the rules look at: text with its places, tables, and carried files."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from jepascope.publish.images import text_chunks
from jepascope.publish.markup import Page, Part, Table, read_page
from jepascope.publish.spellings import embedded

MARKUP = (".html", ".svg", ".htm", ".xml", ".xhtml")
INVENTORY = b"# Sphinx inventory version 2"
RECORD = "application/papermill.record/"


class Document(NamedTuple):
    """One file of the tree, or one that another file carries."""

    file: str
    where: str  # place within `file` for a carried one, else empty
    data: bytes
    parts: list[Part]
    tables: list[Table]
    marks: list[tuple[str, int]]  # place and number of marks of each inline drawing
    tags: frozenset[str]
    notebook: dict[str, Any] | None
    mimes: list[tuple[str, str]]  # place and type of each output of a notebook
    readable: bool  # whether it is the text, or the image, that its name says

    @property
    def suffix(self) -> str:
        """The ending of its name; of a carried file, what its first bytes say."""
        return (".png" if self.data.startswith(b"\x89PNG") else "?") if self.where else suffix_of(self.file)


def suffix_of(file: str) -> str:
    """The ending that decides how a file is read; a file that is all ending, such as .buildinfo, has that one."""
    name = PurePosixPath(file).name
    return name if name.startswith(".") and name.count(".") == 1 else PurePosixPath(file).suffix.lower()


def read_document(file: str, data: bytes, where: str = "") -> list[Document]:
    """Read one file, and after it each file that it carries as a data URI or a notebook's image."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and (where or suffix_of(file) == ".png"):
        parts = [Part(where or keyword, 0, "text", text) for keyword, text in text_chunks(data)]
        return [Document(file, where, data, parts, [], [], frozenset(), None, [], True)]
    try:
        text = _inventory(data) if data.startswith(INVENTORY) else data.decode("utf-8")
        readable = "\0" not in text
    except (UnicodeDecodeError, zlib.error):
        text, readable = data.decode("latin-1"), False
    carried: list[tuple[str, bytes]] = []
    plain, found = embedded(text)
    carried += [(f"line {text.count(chr(10), 0, offset) + 1}, data URI", content) for offset, content in found]
    notebook = None
    mimes: list[tuple[str, str]] = []
    suffix = suffix_of(file) if not where else (".svg" if "<svg" in plain[:2000] else "")
    if suffix in (".ipynb", ".json", ".map"):
        try:
            loaded = json.loads(text)
        except ValueError:
            loaded, readable = None, False
        if suffix == ".ipynb" and isinstance(loaded, dict) and isinstance(loaded.get("cells"), list):
            notebook = loaded
            page, mimes, carried = _notebook(loaded)
        else:
            parts = list(_walk(loaded, "")) if loaded is not None else [Part("", 1, "text", plain)]
            page = Page(parts, [], [], frozenset())
    elif suffix in MARKUP:
        page = read_page(plain)
    else:
        page = Page([Part("", 1, "text", plain)], [], [], frozenset())
    document = Document(file, where, data, page.parts, page.tables, page.marks, page.tags, notebook, mimes, readable)
    inner = [other for place, content in carried for other in read_document(file, content, place)]
    return [document, *inner]


def _inventory(data: bytes) -> str:
    """Sphinx's objects.inv: four lines, then the rest compressed."""
    *head, body = data.split(b"\n", 4)
    return b"\n".join(head).decode() + "\n" + zlib.decompress(body).decode()


def _notebook(notebook: dict[str, Any]) -> tuple[Page, list[tuple[str, str]], list[tuple[str, bytes]]]:
    """Read the cells of a notebook: sources, outputs of every type, and metadata down to its last key."""
    page = Page(list(_walk(notebook.get("metadata", {}), "metadata")), [], [], frozenset())
    mimes: list[tuple[str, str]] = []
    carried: list[tuple[str, bytes]] = []
    tags: set[str] = set()
    for number, cell in enumerate(notebook["cells"]):
        at = f"cell {number}"
        page.parts.append(Part(at, 1, "text", _text(cell.get("source", ""))))
        page.parts.extend(_walk(cell.get("metadata", {}), f"{at}, metadata"))
        page.parts.extend(_walk(cell.get("attachments", {}), f"{at}, attachment"))
        for position, output in enumerate(cell.get("outputs", [])):
            place = f"{at}, output {position}"
            page.parts.extend(_walk(output.get("metadata", {}), f"{place}, metadata"))
            if output.get("output_type") == "error":
                page.parts.extend(part._replace(kind="error") for part in _walk(output, place))
            elif "text" in output:
                page.parts.append(Part(place, 1, "text", _text(output["text"])))
            for mime, content in output.get("data", {}).items():
                mimes.append((place, mime))
                _output(page, tags, carried, place, mime, content)
    return page._replace(tags=frozenset(tags)), mimes, carried


def _output(
    page: Page, tags: set[str], carried: list[tuple[str, bytes]], place: str, mime: str, content: Any
) -> None:  # fmt: skip
    kind = mime.removeprefix(RECORD)
    if kind.startswith("image/") and kind != "image/svg+xml":
        try:
            carried.append((place, base64.b64decode(_text(content))))
        except binascii.Error:
            page.parts.append(Part(place, 1, "text", _text(content)))
    elif kind in ("text/html", "image/svg+xml", "text/markdown"):
        plain, found = embedded(_text(content))
        inner = read_page(plain, place)
        carried.extend((f"{place}, data URI", data) for _, data in found)
        page.parts.extend(inner.parts)
        page.tables.extend(inner.tables)
        page.marks.extend(inner.marks)
        tags.update(inner.tags)
    elif isinstance(content, str | list) and kind.startswith("text/"):
        page.parts.append(Part(place, 1, "text", _text(content)))
    else:
        page.parts.extend(_walk(content, place))


def _text(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def _walk(value: Any, where: str) -> Iterator[Part]:
    """Every key and value of a JSON-like value, with its path by positions: a key can be a leak itself."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield Part(where or "top", 0, "key", str(key))
            yield from _walk(inner, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        if value and all(isinstance(item, int | float) for item in value):
            yield Part(f"{where}[0:{len(value)}]", 0, "text", " ".join(map(str, value)))
        else:
            for position, inner in enumerate(value):
                yield from _walk(inner, f"{where}[{position}]")
    elif value is not None:
        yield Part(where or "top", 0, "text", str(value))
