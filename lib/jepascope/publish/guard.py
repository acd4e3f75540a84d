"""A guard at the source: on credentialed records a notebook refuses to show a table of rows, `df.head()` included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from IPython.core.getipython import get_ipython
from pandas.io.formats.style import Styler

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
    """Raise RecordLevelError when a value is, or holds, a table or an array of single patients or encounters."""
    if isinstance(shown, list | tuple):  # also the NamedTuples that hold a cohort
        for inner in shown[:MOST_ROWS]:
            refuse_records(inner)
    if isinstance(shown, dict):
        refuse_records(list(shown.values()))
    if isinstance(shown, Styler):
        shown = shown.data
    if isinstance(shown, pd.Index):
        shown = shown.to_frame()
    many = isinstance(shown, np.ndarray) and shown.ndim > 0 and len(shown) > MOST_ROWS  # z of every encounter
    if many or (isinstance(shown, pd.DataFrame | pd.Series) and _of_rows(shown)):
        raise RecordLevelError(
            "a table of single patients or encounters isn't shown on credentialed records: "
            "aggregate it over at least 11 patients, and show it with chapter.table"
        )


def _of_rows(table: pd.DataFrame | pd.Series) -> bool:
    table = table.to_frame() if isinstance(table, pd.Series) else table
    titles = (title if isinstance(title, tuple) else (title,) for title in (*table.columns, *table.index.names))
    names = {str(name).lower() for title in titles for name in title}
    times = any(map(pd.api.types.is_datetime64_any_dtype, (*table.dtypes, table.index.dtype)))
    return bool(names & set(COLUMNS)) or times or len(table) > MOST_ROWS
