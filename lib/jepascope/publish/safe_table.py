"""Tables of a credentialed book: counts rounded, few people withheld, totals made of what is shown (rule 5).

It reads a table as a page has it, after every formatting: what is judged is what is shipped. A chapter's table needs
no other form for it, and a table that can't be judged loses the column, not the page.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jepascope.publish.counts import (
    DECIMAL,
    EXTREME,
    FEW_SHARE,
    FEWEST,
    FEWEST_EVENTS_ALONE,
    ID_KEY,
    NEARLY_ALL,
    PERCENT,
    SHIFTED,
    STEP,
    WITHHELD,
    Kind,
    kind_of,
    kind_of_row,
    rounded,
    whole,
    written,
)
from jepascope.publish.markup import Table, read_page

Rows = list[list[str]]
# Columns that count some of the encounters that another column of the row counts.
PART = re.compile(r"^(?:positives?|events?|with it|with the event|naive|ours|deaths?|readmitted)$")
RATE = re.compile(r"\brate\b|\bprevalence\b")
TOTAL = re.compile(r"(?:grand )?total|sum|all", re.IGNORECASE)
SHOWN = re.compile(r"(?<![\w.])-?\d+\.\d+")


class SafeTable(NamedTuple):
    """A table as it may be shown, row by row, and how many patients stand behind each row where a column says so."""

    rows: Rows
    patients: list[int | None]  # rounded
    changed: int  # cells that differ from those given


def safe_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> SafeTable:
    """Make a table of texts fit to be shown.

    Counts are rounded to 5; counts under 11 become "≤ 10"; a row with fewer than 11 patients keeps its labels alone;
    rates become multiples of 5 over their rounded base, none and all become "few" and "nearly all"; totals and losses
    are computed from the rounded counts; columns of identifiers, dates, extremes, and of integers whose title doesn't
    say what they count are withheld.

    Args: titles: one a column; rows: of cells as text, each as long as the titles.
    """
    kinds: list[Kind] = [kind_of(title, [row[c] for row in rows]) for c, title in enumerate(titles)]
    safe = [list(row) for row in rows]
    for row in safe:
        _judge_row(row, titles, kinds)
    for column, title in enumerate(titles):
        cells = [row[column] for row in rows]
        if EXTREME.search(title.lower()) or ID_KEY.fullmatch(title.strip()) or any(map(SHIFTED.search, cells)):
            _withhold(safe, column, lambda cell: any(c.isdigit() for c in cell))
        elif kinds[column] == "unknown":
            _withhold(safe, column, lambda cell: whole(cell) is not None)
    _retotal(rows, safe, kinds)
    _relose(rows, safe, titles, kinds)
    patients = [_patients(row, kinds) for row in rows]
    told = [None if n is None or n < FEWEST else rounded(n) for n in patients]
    changed = sum(a != b for before, after in zip(rows, safe, strict=True) for a, b in zip(before, after, strict=True))
    return SafeTable(safe, told, changed)


def safe_page(text: str) -> tuple[str, list[tuple[Table, SafeTable]]]:
    """Put every table of a block of HTML into its safe form; returns the block, and each table as it was and is."""
    tables = read_page(text).tables
    done: list[tuple[Table, SafeTable]] = []
    edits: list[tuple[int, int, str]] = []
    for table in tables:
        body = table.body
        safe = safe_table(table.titles, [[cell.text for cell in row] for row in body])
        done.append((table, safe))
        for row, cells in zip(body, safe.rows, strict=True):
            for cell, now in zip(row, cells, strict=True):
                if now != cell.text:
                    edits.append((cell.start, cell.end, html.escape(now)))
    for start, end, now in sorted(edits, reverse=True):
        text = text[:start] + now + text[end:]
    return text, done


def _patients(row: Sequence[str], kinds: Sequence[Kind]) -> int | None:
    """The fewest patients that the row counts."""
    counted = [n for cell, kind in zip(row, kinds, strict=True) if kind == "people" and (n := whole(cell)) is not None]
    return min(counted, default=None)


def _judge_row(row: list[str], titles: Sequence[str], kinds: Sequence[Kind]) -> None:
    patients = _patients(row, kinds)
    label = kind_of_row(titles[0], row[0]) if row else "other"
    mine: list[Kind] = [label if kind in ("other", "unknown") and label != "other" else kind for kind in kinds]
    counts = {c: n for c, cell in enumerate(row) if mine[c] in ("people", "events") and (n := whole(cell)) is not None}
    # Of how many the row's parts and rates are: its encounters, else its patients.
    whole_of = {c: n for c, n in counts.items() if not PART.search(titles[c].lower())}
    base = max(whole_of.values(), default=None)
    parts = [n for c, n in counts.items() if c not in whole_of]
    few = patients is not None and patients < FEWEST
    rare = any(n < FEWEST for n in parts) or (base is not None and any(base - n < FEWEST for n in parts))
    of_all = next((n for c, n in whole_of.items() if mine[c] == "events"), None)
    for c, cell in enumerate(row):
        rate = bool(RATE.search(titles[c].lower()))
        if c in counts:
            alone = mine[c] == "events" and patients is None and counts[c] < FEWEST_EVENTS_ALONE
            part = c not in whole_of and base is not None and counts[c] >= FEWEST and base - counts[c] < FEWEST
            row[c] = WITHHELD if (few or alone) and counts[c] >= FEWEST else NEARLY_ALL if part else written(counts[c])
        elif _numeric(cell) and (few or (rate and rare) or (titles[c] == "share" and WITHHELD in row)):
            row[c] = WITHHELD
        elif titles[c] == "share" and of_all and (found := PERCENT.fullmatch(cell)):
            row[c] = _percent(f"{float(found[1]) * rounded(of_all) / of_all:.1f}%", None)
        elif PERCENT.fullmatch(cell):
            row[c] = _percent(cell, base if rate else None)
        elif rate and base is not None and DECIMAL.match(cell):
            row[c] = SHOWN.sub(lambda number: _on_grid(number[0], 1.0, base), cell)


def _numeric(cell: str) -> bool:
    return bool(DECIMAL.match(cell) or PERCENT.match(cell))


def _percent(cell: str, base: int | None) -> str:
    """A share is never none or all; with its base known, neither may fewer than 11 have it, nor lack it."""
    value = float(cell.rstrip("% \u00a0").replace("−", "-"))
    few = FEWEST / base * 100 if base else 0.0
    if value <= max(few, 0.0):
        return FEW_SHARE if value >= 0 else cell
    if value >= 100 - few and value <= 100:
        return NEARLY_ALL
    number = cell.rstrip("% \u00a0")
    return cell.replace(number, _on_grid(number, 100.0, base), 1) if base else cell


def _on_grid(number: str, unit: float, base: int | None) -> str:
    """A rate as a multiple of 5 over its rounded base, with as many decimals as it had."""
    if not base or rounded(base) == 0:
        return number
    digits = len(number.partition(".")[2])
    step = unit * STEP / rounded(base)
    return f"{min(unit, round(float(number) / step) * step):.{digits}f}"


def _withhold(rows: Rows, column: int, applies: Callable[[str], bool]) -> None:
    for row in rows:
        if applies(row[column]):
            row[column] = WITHHELD


def _retotal(rows: Sequence[Sequence[str]], safe: Rows, kinds: Sequence[Kind]) -> None:
    """Where a row is the sum of the others, let it be the sum of what is shown: the difference tells nothing then."""
    for r, row in enumerate(rows):
        if not row or not TOTAL.fullmatch(row[0].strip()):
            continue
        for c, kind in enumerate(kinds):
            others = [whole(other[c]) for s, other in enumerate(rows) if s != r]
            given = whole(row[c])
            if kind in ("people", "events") and given is not None and given == sum(n or 0 for n in others):
                shown = [whole(other[c]) for s, other in enumerate(safe) if s != r]
                safe[r][c] = written(sum(n or 0 for n in shown))


def _relose(rows: Sequence[Sequence[str]], safe: Rows, titles: Sequence[str], kinds: Sequence[Kind]) -> None:
    """In a table that counts down, rule by rule, keep a count where fewer than 11 went, and lose what is shown lost."""
    losses = [c for c, title in enumerate(titles) if title.endswith(" lost")]
    for lost in losses:
        for c, kind in enumerate(kinds):
            before: int | None = None
            for row in safe if kind in ("people", "events") and c != lost else []:
                now = whole(row[c])
                if now is not None and before is not None and 0 < before - now < FEWEST:
                    row[c] = f"{before:,}"
                before = whole(row[c])
        of = titles[lost].removesuffix(" lost")
        left = [whole(row[titles.index(of)]) for row in safe] if of in titles else []
        for r, now in enumerate(left):
            earlier = left[r - 1] if r else now
            known = now is not None and earlier is not None and whole(rows[r][lost]) is not None
            safe[r][lost] = written(earlier - now) if known else WITHHELD  # type: ignore[operator]
