"""The tables of an executed chapter as its page shows them, and where two of them differ, cell by cell."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jepascope.publish.markup import read_page
from jepascope.publish.tiers import STAMP

Key = tuple[str, int]  # a name, and which of those that are named so


class Shown(NamedTuple):
    """A table: its column titles, empty where it has none, and the words in its cells."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class RowDifference(NamedTuple):
    """A row with what stood in its cells before and after; None: there was no such cell."""

    label: str
    cells: dict[str, tuple[str | None, str | None]]  # column title -> before, after; the columns that differ


def tables_of(notebook: Path) -> dict[Key, Shown]:
    """Read the tables in a notebook's outputs, by caption; the provenance, which differs in every run, is left out."""
    outputs = [
        "".join(output.get("data", {}).get("text/html", ""))
        for cell in json.loads(notebook.read_text())["cells"]
        for output in cell.get("outputs", [])
    ]
    tables = [
        table for text in outputs if "<table" in text and not STAMP.search(text) for table in read_page(text).tables
    ]
    shown = [
        Shown(table.titles, tuple(tuple(c.text for c in row) for row in table.rows[table.heads :])) for table in tables
    ]
    return dict(zip(_keys([table.caption for table in tables]), shown, strict=True))


def difference(before: Shown, after: Shown) -> list[RowDifference]:
    """List the rows that differ, those of `after` first, then those that are gone.

    Rows are matched by their first cell, columns by their title; of several that are called alike, the first is held
    against the first.
    """
    old, new = _cells(before), _cells(after)
    rows = []
    for key in [*new, *(key for key in old if key not in new)]:
        was, now = old.get(key, {}), new.get(key, {})
        columns = [*now, *(column for column in was if column not in now)]
        cells = {name(column): (was.get(column), now.get(column)) for column in columns}
        if moved := {title: pair for title, pair in cells.items() if pair[0] != pair[1]}:
            rows.append(RowDifference(key[0], moved))
    return rows


def name(key: Key) -> str:
    """A key in words."""
    return f"{key[0]} ({key[1] + 1})" if key[1] else key[0]


def _cells(table: Shown) -> dict[Key, dict[Key, str]]:
    keys = _keys([row[0] if row else "" for row in table.rows])
    rows = {}
    for key, row in zip(keys, table.rows, strict=True):
        titles = table.titles if len(table.titles) == len(row) else [f"column {c + 1}" for c in range(len(row))]
        rows[key] = dict(zip(_keys(titles), row, strict=True))
    return rows


def _keys(names: Sequence[str]) -> list[Key]:
    seen: Counter[str] = Counter()
    keys = []
    for given in names:
        keys.append((given, seen[given]))
        seen[given] += 1
    return keys
