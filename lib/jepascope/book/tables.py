"""Tables as chapters show them."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from jepascope.book.claims import collect, interval
from jepascope.book.pages import verdict_badge


def attrition_table(attrition: pd.DataFrame) -> pd.DataFrame:
    """Who is in, with what each rule took away; attrition has columns step, rule, patients, encounters."""
    lost = -attrition["encounters"].diff().fillna(0).astype(int)
    counts = {name: attrition[name].map("{:,}".format) for name in ("patients", "encounters")}
    return pd.DataFrame({"rule": attrition["rule"], **counts, "encounters lost": lost.map("{:,}".format)})


def split_table(index: pd.DataFrame) -> pd.DataFrame:
    """Patients and encounters per split, and encounters with a predecessor, which give predictions."""
    grouped = index.groupby("split")
    table = pd.DataFrame(
        {
            "patients": grouped["subject_id"].nunique(),
            "encounters": grouped.size(),
            "with a predecessor": index[index["k"] > 0].groupby("split").size(),
        }
    )
    return table.loc[[name for name in ("train", "validation", "test") if name in table.index]].reset_index()


def probes_of(table: pd.DataFrame, representation: str) -> pd.DataFrame:
    """The probes on one representation, best first within each family."""
    rows = table[table["representation"] == representation]
    rows = rows.sort_values(["family", "value"], ascending=False).rename(columns={"value": "AUROC"})
    counts = {"with it": rows["positives"].astype(int), "patients": rows["n_patients"].astype(int)}
    table = rows[["family", "target", "AUROC", "low", "high", "null", "selectivity"]].assign(**counts)
    return table.assign(target=table["target"].str.replace("_", " "))


def not_computed(table: pd.DataFrame) -> str:
    """Name the probes that the data can't support; the reasons stand in the stored table."""
    return ", ".join(table.loc[table["value"].isna(), "target"].drop_duplicates()) or "none"


def claims_overview(results: Iterable[Path]) -> str:
    """The ledger as an HTML table: a row a claim linked to its chapter, a column a seed with number and verdict."""
    ledger = collect(results)
    seeds = sorted(ledger["seed"].unique())
    head = "".join(f"<th>seed {seed:.0f}</th>" for seed in seeds)
    body = ""
    for (chapter, statement), rows in ledger.groupby(["chapter", "statement"], sort=False):
        cells = {row.seed: _claim_cell(row) for row in rows.itertuples()}
        patients = rows["n_patients"].max()
        link = f'<a href="{chapter}.html">{html.escape(statement)}</a>'
        body += (
            f"<tr><td>{link}<br><small>{rows['tag'].iloc[0]}</small></td>"
            + "".join(f"<td>{cells.get(seed, '—')}</td>" for seed in seeds)
            + f"<td>{_first_number(rows['null'])}<br><small>{html.escape(rows['null_name'].iloc[0])}</small></td>"
            + f"<td>{_first_number(rows['untrained'])}</td>"
            + f"<td>{'—' if pd.isna(patients) else f'{patients:,.0f}'}</td></tr>"
        )
    header = f"<tr><th>claim</th>{head}<th>null that was run</th><th>untrained twin</th><th>patients</th></tr>"
    table = f'<table id="claims" class="table results"><thead>{header}</thead><tbody>{body}</tbody></table>'
    return f'<div class="table-block">{table}</div>'


def _claim_cell(row: Any) -> str:
    badge = verdict_badge(row.verdict)
    if pd.isna(row.value):
        return badge
    number, bracket, rest = interval(row).partition("[")
    return f'{number}<br><small class="number">{bracket}{rest}</small><br>{badge}'


def _first_number(values: pd.Series) -> str:
    """The first seed's value of a null or twin, as ledger entries hold it; an em dash where there is none."""
    numbers = [entry["value"] for entry in values if isinstance(entry, dict)]
    return f"{numbers[0]:z.2f}" if numbers else "—"
