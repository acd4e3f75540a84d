"""What the tables of several chapters share."""

from __future__ import annotations

import html

import pandas as pd

from jepascope.book.claims import NotHere
from jepascope.book.pages import table_block


def count_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table of counts, with thousands told apart, and shares in per cent."""
    spelled = table.copy()
    for name in table.columns:
        if name == "share":
            spelled[name] = table[name].map("{:.1%}".format)
        elif pd.api.types.is_integer_dtype(table[name]):
            spelled[name] = table[name].map("{:,}".format)
    return spelled.rename(columns=lambda name: name.replace("_", " ")).replace("_", " ", regex=True)


def folded(table: pd.DataFrame | NotHere, caption: str) -> str:
    """A long table behind one click, as HTML."""
    inside = html.escape(str(table)) if isinstance(table, NotHere) else table_block(table, caption)
    return f"<details><summary>Table: {html.escape(caption.partition('.')[0])}</summary>{inside}</details>"
