"""A guard at the source: on credentialed records a notebook refuses to show a table of rows, `df.head()` included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from IPython.core.getipython import get_ipython

from jepascope.publish.id_filter import COLUMNS

MOST_ROWS = 200  # of a summary; a longer table has a row for each encounter


class RecordLevelError(RuntimeError):
    """A table with a row for each patient or encounter was about to be shown; nothing of it is in the message."""


def forbid_records(strict: Callable[[], bool]) -> None:
    """Make this kernel refuse to display record-level tables while `strict()` holds; without a kernel, do nothing.

    IPython swallows what a single formatter raises and prints the value in its plain form instead, so the check stands
    before all of them.
    """
    shell = get_ipython()
    if shell is None:
        return
    formatter: Any = shell.display_formatter
    given = type(formatter).format.__get__(formatter)  # what an earlier chapter put there is replaced, not wrapped

    def format(shown: Any, *arguments: Any, **named: Any) -> Any:
        if strict():
            refuse_records(shown)
        return given(shown, *arguments, **named)

    formatter.format = format


def refuse_records(shown: Any) -> None:
    """Raise RecordLevelError when a value is, or holds, a table of single patients or encounters."""
    if isinstance(shown, list | tuple):  # also the NamedTuples that hold a cohort
        for inner in shown[:MOST_ROWS]:
            refuse_records(inner)
    if isinstance(shown, dict):
        refuse_records(list(shown.values()))
    if isinstance(shown, pd.DataFrame | pd.Series) and _of_rows(shown):
        raise RecordLevelError(
            "a table of single patients or encounters isn't shown on credentialed records: "
            "aggregate it over at least 11 patients, and show it with chapter.table"
        )


def _of_rows(table: pd.DataFrame | pd.Series) -> bool:
    columns = list(table.columns) if isinstance(table, pd.DataFrame) else [table.name]
    names = {str(name) for name in (*columns, *table.index.names)}
    times = any(
        pd.api.types.is_datetime64_any_dtype(kind) for kind in (table.dtypes if table.ndim == 2 else [table.dtype])
    )
    return bool(names & set(COLUMNS)) or times or len(table) > MOST_ROWS
