"""Rule 5 as the gate checks it: whatever made a table, its cells are rounded, of many, and have a sidecar."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from jepascope.publish.alarms import Alarm, alarm
from jepascope.publish.counts import (
    EXTREME,
    FEWEST,
    MOST_MARKS,
    PERCENT,
    SHORT_OF,
    STEP,
    Kind,
    kind_of,
    kind_of_row,
    whole,
)
from jepascope.publish.disclosure import digest_of
from jepascope.publish.documents import Document
from jepascope.publish.markup import Table
from jepascope.publish.safe_table import TOTAL
from jepascope.publish.tree import DISCLOSURE, Tree

SAID = re.compile(
    r"(?<![\w.,≥≤–-])(?<!fewer than )(?<!at least )(?<!under )(\d{1,3}(?:,\d{3})+|\d+) "
    r"(?:(?:different |distinct |test |training )?(?:patients?|people)\b|encounters? of\b)"
)
KEYS = {"kind", "digest", "population", "code", "floor", "patients"}
OF_PROSE = "row-odd"  # how Sphinx marks the rows of a table that was typed into a chapter


def small_cells(tree: Tree) -> Iterator[Alarm]:
    """A count under 11, one that isn't rounded, none or all of somebody, a smallest or largest value."""
    for document, table in _tables(tree):
        kinds = _kinds(table)
        for c, title in enumerate(table.titles):
            if EXTREME.search(title.lower()) and any(_has_digit(row[c].text) for row in table.body):
                yield alarm(document.file, f"{table.where}, column {c}", "extreme", "a smallest or largest value")
        for r, row in enumerate(table.body):
            label = kind_of_row(table.titles[0], row[0].text)
            for c, cell in enumerate(row):
                where = f"{table.where}, row {r}, column {c}"
                counts = kinds[c] in ("people", "events") or (label != "other" and c > 0)
                if counts and (n := whole(cell.text)) is not None:
                    if n < FEWEST:
                        yield alarm(document.file, where, "small cell", f"a count under {FEWEST}")
                    elif n % STEP:
                        yield alarm(document.file, where, "rounding", f"a count that is no multiple of {STEP}")
                found = PERCENT.fullmatch(cell.text)
                if found and float(found[1].replace("−", "-")) in (0, 100):
                    yield alarm(document.file, where, "all or none", "a share of none or of all")


def small_words(tree: Tree) -> Iterator[Alarm]:
    """A count in the prose: "7 patients"."""
    for document in tree.documents if tree.credentialed else []:
        for part in document.parts if document.suffix == ".html" else []:
            for found in SAID.finditer(part.text) if part.kind == "text" else []:
                n = whole(found[1])
                if n is not None and n < FEWEST:
                    yield alarm(document.file, part.place(found.start()), "small cell", f"a count under {FEWEST}")
                elif n is not None and n != FEWEST and n % STEP:
                    place = part.place(found.start())
                    yield alarm(document.file, place, "rounding", f"a count that is no multiple of {STEP}")
            for found in SHORT_OF.finditer(part.text) if part.kind == "text" else []:
                if not part.text[: found.start()].endswith("fewer than "):
                    place = part.place(found.start())
                    yield alarm(document.file, place, "small cell", "a count that was too small to be computed with")


def differences(tree: Tree) -> Iterator[Alarm]:
    """Two counts whose difference is of fewer than 11: rows that count down, a total less the rest, linked tables."""
    seen: dict[tuple[str, str], int] = {}
    for document, table in _tables(tree):
        kinds = _kinds(table)
        downwards = any(title.endswith(" lost") for title in table.titles)
        for c, title in enumerate(table.titles):
            if kinds[c] not in ("people", "events") or title.endswith(" lost"):
                continue
            column = [whole(row[c].text) for row in table.body]
            where = f"{table.where}, column {c}"
            if downwards and any(a and b and 0 < a - b < FEWEST for a, b in pairwise(column)):
                yield alarm(document.file, where, "differencing", f"rows that differ by fewer than {FEWEST}")
            if _remainder(table, column):
                yield alarm(
                    document.file, where, "differencing", "a total less the rest tells the cell that is withheld"
                )
            for row, n in zip(table.body, column, strict=True) if kinds[c] == "people" else []:
                other = seen.setdefault((row[0].text, title), n if n is not None else -1) if n is not None else None
                if other is not None and n is not None and 0 < abs(other - n) < FEWEST and abs(other - n) % STEP:
                    yield alarm(document.file, where, "differencing", f"linked tables differ by fewer than {FEWEST}")


def sidecars(tree: Tree) -> Iterator[Alarm]:
    """A table or picture of which nobody says how many patients stand behind it."""
    if not tree.credentialed:
        return
    known = {entry["digest"]: entry for entries in _entries(tree).values() for entry in entries}
    for document, table in _tables(tree, every=True):
        if OF_PROSE not in table.classes and digest_of(table) not in known:
            yield alarm(document.file, table.where, "sidecar", "a table without its sidecar")
    for document in tree.documents:
        if document.suffix == ".png" and hashlib.sha256(document.data).hexdigest() not in known:
            yield alarm(document.file, document.where or "whole file", "sidecar", "a picture without its sidecar")
    for file, entries in _entries(tree, complete=False).items():
        for position, entry in enumerate(entries):
            if fault := _fault(entry):
                yield alarm(file, f"entry {position}", "sidecar", fault)


def _fault(entry: Any) -> str | None:
    if not isinstance(entry, dict) or not entry.keys() >= KEYS:
        return f"a sidecar tells {', '.join(sorted(KEYS))}"
    counts = [n for n in entry["patients"] or () if n is not None]
    if entry["floor"] < FEWEST or any(n < FEWEST or n % STEP for n in counts):
        return f"fewer than {FEWEST} patients, or a count that isn't rounded"
    return "a mark for every row" if entry.get("marks", 0) > MOST_MARKS else None


def _entries(tree: Tree, complete: bool = True) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for document in tree.documents:
        if document.file.startswith(DISCLOSURE + "/") and PurePosixPath(document.file).suffix == ".json":
            try:
                loaded = json.loads(document.data)
            except ValueError:
                continue  # reported as no JSON
            entries = loaded if isinstance(loaded, list) else [loaded]
            found[document.file] = [entry for entry in entries if not complete or _fault(entry) is None]
    return found


def _tables(tree: Tree, every: bool = False) -> Iterator[tuple[Document, Table]]:
    """The tables of a credentialed tree; with `every`, those without titles, too."""
    for document in tree.documents if tree.credentialed else []:
        for table in document.tables:
            if every or table.titles:
                yield document, table


def _kinds(table: Table) -> list[Kind]:
    return [kind_of(title, [row[c].text for row in table.body]) for c, title in enumerate(table.titles)]


def _remainder(table: Table, column: list[int | None]) -> bool:
    """Whether one cell is withheld that the total tells, and tells to be small."""
    totals = [n for row, n in zip(table.body, column, strict=True) if TOTAL.fullmatch(row[0].text)]
    rest = [n for row, n in zip(table.body, column, strict=True) if not TOTAL.fullmatch(row[0].text)]
    if len(totals) != 1 or totals[0] is None or sum(n is None for n in rest) != 1:
        return False
    return 0 < totals[0] - sum(n or 0 for n in rest) < FEWEST


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)
