"""The front page's table of claims: every claim, every seed."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from jepascope.book.claims import collect, interval
from jepascope.book.pages import verdict_badge

# How a claim fared over the seeds, in the order of the front page.
FARED = ("holds in every seed", "depends on the seed", "holds in no seed", "not computable here")


def claims_overview(results: Iterable[Path]) -> str:
    """The ledger as an HTML table: what holds in every seed first, what could not be computed last.

    A row a claim, linked to its chapter; a column a seed, with number and verdict. Each number leads to its chapter's
    provenance; `data-seed` says in which seed, for the renderer, which knows the pages.
    """
    ledger = collect(results)
    seeds = sorted(ledger["seed"].unique())
    rows: dict[str, list[str]] = {fared: [] for fared in FARED}
    for (chapter, statement), claims in ledger.groupby(["chapter", "statement"], sort=False):
        rows[how_it_fared(claims["verdict"])].append(_claim_row(str(chapter), str(statement), claims, seeds))
    body = "".join(
        f'<tbody><tr class="fared"><th colspan="{len(seeds) + 4}" scope="rowgroup">{len(found)} '
        f"{'claim' if len(found) == 1 else 'claims'}: {fared}</th></tr>{''.join(found)}</tbody>"
        for fared, found in rows.items()
        if found
    )
    titles = ["claim", *(f"seed {seed:.0f}" for seed in seeds), "null that was run", "untrained twin", "patients"]
    header = "".join(f'<th scope="col">{title}</th>' for title in titles)
    table = f'<table id="claims" class="table results"><thead><tr>{header}</tr></thead>{body}</table>'
    return f'<div class="table-block" role="region" tabindex="0" aria-label="All claims">{table}</div>'


def how_it_fared(verdicts: Iterable[str]) -> str:
    """One of `FARED`, from a claim's verdicts in all seeds; a seed without a number decides nothing."""
    found = {verdict for verdict in verdicts if not verdict.startswith(("not computable", "not licensed"))}
    if not found:
        return FARED[3]
    return FARED[0] if found == {"holds"} else FARED[1] if "holds" in found else FARED[2]


def _claim_row(chapter: str, statement: str, claims: pd.DataFrame, seeds: list[float]) -> str:
    cells = {row.seed: _claim_cell(row) for row in claims.itertuples()}
    patients = claims["n_patients"].max()
    return (
        f'<tr><td><a href="{chapter}.html">{html.escape(statement)}</a><br><small>{claims["tag"].iloc[0]}</small></td>'
        + "".join(f"<td>{cells.get(seed, '—')}</td>" for seed in seeds)
        + f"<td>{_first_number(claims, 'null')}<br><small>{html.escape(claims['null_name'].iloc[0])}</small></td>"
        + f"<td>{_first_number(claims, 'untrained')}</td>"
        + f"<td>{'—' if pd.isna(patients) else f'{patients:,.0f}'}</td></tr>"
    )


def _claim_cell(row: Any) -> str:
    badge = verdict_badge(row.verdict)
    if pd.isna(row.value):
        return badge
    number, bracket, rest = interval(row).partition("[")
    spelled = f'{number}<br><small class="number">{bracket}{rest}</small>'
    return f"{_made(row.chapter, row.seed, spelled)}<br>{badge}"


def _first_number(claims: pd.DataFrame, which: str) -> str:
    """The first seed's value of a null or twin, as ledger entries hold it; an em dash where there is none."""
    entries = zip(claims["chapter"], claims["seed"], claims[which], strict=True)
    numbers = [
        _made(chapter, seed, f"{entry['value']:z.2f}") for chapter, seed, entry in entries if isinstance(entry, dict)
    ]
    return numbers[0] if numbers else "—"


def _made(chapter: str, seed: float, number: str) -> str:
    return f'<a class="made" href="{chapter}.html#provenance" data-seed="{seed:.0f}">{number}</a>'
