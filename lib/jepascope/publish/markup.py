"""An HTML or SVG page taken apart: runs of text, attributes, comments, scripts, and its tables cell by cell."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple

# Tags that don't end a word: an identifier split over two of them is one identifier.
INLINE = frozenset(
    (
        "a",
        "abbr",
        "b",
        "bdi",
        "bdo",
        "code",
        "em",
        "font",
        "i",
        "ins",
        "kbd",
        "mark",
        "s",
        "samp",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "tspan",
        "u",
        "var",
        "wbr",
    )
)
MARKS = frozenset(("circle", "ellipse", "path", "rect", "use", "polygon", "polyline", "line"))
SILENT = frozenset(("style", "script"))


class Part(NamedTuple):
    """A stretch of text and where it stands."""

    where: str  # prefix of its place, may be empty
    line: int  # of the file, or of the cell that `where` names; 0: not told
    kind: str  # text | attribute | comment | script | style | key | error | header
    text: str

    def place(self, offset: int = 0) -> str:
        """Say where the character at `offset` is."""
        line = f"line {self.line + self.text.count(chr(10), 0, offset)}" if self.line else ""
        return ", ".join(word for word in (self.where, line) if word) or "whole file"


class Cell(NamedTuple):
    """One cell of a table: its text, and the span of its content in the page."""

    text: str
    start: int
    end: int


class Table(NamedTuple):
    """A table as shown: its rows of cells, the first ones of `heads` rows being titles."""

    where: str
    heads: int
    rows: tuple[tuple[Cell, ...], ...]
    classes: str  # of the table and its rows
    caption: str

    @property
    def titles(self) -> tuple[str, ...]:
        """The column titles: the last row of the head."""
        return tuple(cell.text for cell in self.rows[self.heads - 1]) if self.heads and self.rows else ()

    @property
    def body(self) -> tuple[tuple[Cell, ...], ...]:
        """The rows under the head that have a cell in every column."""
        return tuple(row for row in self.rows[self.heads :] if len(row) == len(self.titles))


class Page(NamedTuple):
    """What a page holds."""

    parts: list[Part]
    tables: list[Table]
    marks: list[tuple[str, int]]  # place and marks of each <svg>
    tags: frozenset[str]


def read_page(text: str, where: str = "") -> Page:
    """Take HTML or SVG apart. Broken markup is read as a browser would, as far as it goes."""
    reader = _Reader(text, where)
    reader.feed(text)
    reader.close()
    reader.flush()
    return Page(reader.parts, reader.tables, reader.marks, frozenset(reader.seen))


class _Reader(HTMLParser):
    """Collects; text is kept until a block begins or ends."""

    def __init__(self, text: str, where: str) -> None:
        super().__init__(convert_charrefs=True)
        self.where, self.parts, self.tables, self.marks = where, [], [], []  # type: ignore[var-annotated]
        self.seen: set[str] = set()
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._words: list[str] = []
        self._place = (1, "")
        self._open: list[dict] = []  # tables that are open, the innermost last
        self._svg: list[list] = []
        self._silent = ""
        self._caption, self._in_caption = "", False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        line = self.getpos()[0]
        for name, value in attrs:
            if value:
                self.parts.append(Part(self._at(f"<{tag} {name}>"), line, "attribute", value))
        classes = dict(attrs).get("class") or ""
        if tag not in INLINE:
            self.flush()
            self._place = (line, tag)
        if tag in SILENT:
            self._silent = tag
        if "table-caption" in classes or tag in ("caption", "summary"):
            self._caption, self._in_caption = "", True
        if tag == "svg":
            self._svg.append([self._at(f"line {line}, <svg>"), 0])
        elif tag in MARKS and self._svg:
            self._svg[-1][1] += 1
        self._table_start(tag, classes, line)

    def _table_start(self, tag: str, classes: str, line: int) -> None:
        if tag == "table":
            caption, self._caption = self._caption, ""
            where = self._at(f"line {line}, table {len(self.tables) + len(self._open) + 1}")
            self._open.append({"where": where, "rows": [], "heads": 0, "classes": classes, "caption": caption})
        elif tag == "tr" and self._open:
            self._open[-1]["rows"].append([])
            self._open[-1]["classes"] += f" {classes}"
        elif tag in ("td", "th") and self._open and self._open[-1]["rows"]:
            self._open[-1]["cell"] = [self._offset() + len(self.get_starttag_text() or ""), []]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in INLINE:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in INLINE:
            self.flush()
            self._place = (self.getpos()[0], "")
        self._silent = "" if tag == self._silent else self._silent
        self._in_caption &= tag not in ("p", "caption", "summary")
        if tag == "svg" and self._svg:
            self.marks.append(tuple(self._svg.pop()))
        table = self._open[-1] if self._open else None
        if table and tag in ("td", "th") and "cell" in table:
            start, words = table.pop("cell")
            table["rows"][-1].append(Cell(" ".join("".join(words).split()), start, self._offset()))
        elif table and tag == "thead":
            table["heads"] = len(table["rows"])
        elif table and tag == "table":
            rows = tuple(tuple(row) for row in table["rows"] if row)
            heads = min(table["heads"], len(rows))
            self.tables.append(Table(table["where"], heads, rows, table["classes"], table["caption"]))
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for table in self._open:
            if "cell" in table:
                table["cell"][1].append(data)
        if self._in_caption:
            self._caption += data
        if self._silent:
            self.parts.append(Part(self._at(f"<{self._silent}>"), self.getpos()[0], self._silent, data))
        else:
            if not self._words:
                self._place = (self.getpos()[0], self._place[1])
            self._words.append(data)

    def handle_comment(self, data: str) -> None:
        self.parts.append(Part(self._at("comment"), self.getpos()[0], "comment", data))

    def handle_pi(self, data: str) -> None:
        self.handle_comment(data)

    def unknown_decl(self, data: str) -> None:  # CDATA
        self.handle_comment(data)

    def handle_decl(self, decl: str) -> None:
        self.handle_comment(decl)

    def flush(self) -> None:
        """End a run of text."""
        text = "".join(self._words)
        self._words = []
        if text.strip():
            line, tag = self._place
            kind = "header" if tag == "th" else "text"
            self.parts.append(Part(self._at(f"<{tag}>" if tag else ""), line, kind, text))

    def _at(self, what: str) -> str:
        return ", ".join(word for word in (self.where, what) if word)

    def _offset(self) -> int:
        line, column = self.getpos()
        return self._starts[line - 1] + column
