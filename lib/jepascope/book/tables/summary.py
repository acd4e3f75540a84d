"""The summary in words: sentences that follow from the ledger by rule, as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.claims import WIDE, interval
from jepascope.book.summary import QUESTIONS, shown
from jepascope.book.tables.claims import FARED

CLASSES = {FARED[0]: "holds", FARED[2]: "fails"}
UNSURE = "unlicensed"
# How one claim, and how several, are said to have fared.
FATES = {
    FARED[0]: ("holds in every seed", "hold in every seed"),
    FARED[1]: ("depends on the seed", "depend on the seed"),
    FARED[2]: ("holds in no seed", "hold in no seed"),
    FARED[3]: ("could not be computed", "could not be computed"),
}


def abstract(found: pd.DataFrame, lost: Mapping[str, Sequence[str]]) -> str:
    """Question by question: how many claims fared in which way, the headlines, and what fails most clearly.

    found: of `summary.summarise`; lost: chapter -> methods without their certificate, which its claims then name.
    """
    told = shown(found)
    blocks = []
    for asked in QUESTIONS:
        mine, lines = found[found["question"] == asked], told[told["question"] == asked]
        if mine.empty:
            continue
        said = [
            f"<li>{'<em>Fails most clearly:</em> ' if row['why'] != 'headline' else ''}{sentence(row, lost)}</li>"
            for row in lines.to_dict("records")
        ]
        blocks.append(f"<p><strong>{html.escape(asked)}</strong> {tally(mine)}</p><ul>{''.join(said)}</ul>")
    return f'<div class="abstract">{"".join(blocks)}{legend(lost)}</div>'


def tally(found: pd.DataFrame) -> str:
    """One sentence on how some claims fared."""
    numbers = found["fared"].value_counts()
    parts = [f"{numbers[fared]} {FATES[fared][int(numbers[fared] > 1)]}" for fared in FARED if fared in numbers]
    one = "claim" if len(found) == 1 else "claims"
    return f"Of {len(found)} {one}, {', '.join(parts[:-1])}{' and ' if len(parts) > 1 else ''}{parts[-1]}."


def sentence(row: Mapping[str, Any], lost: Mapping[str, Sequence[str]]) -> str:
    """A claim as a sentence with a link: statement, range over seeds, widest interval, in how many seeds it holds."""
    head = f'<a href="{row["chapter"]}.html">{html.escape(row["statement"])}</a>'
    if row["reason"]:
        return f"{head}: {_badge(row['reason'], UNSURE)}."
    held = _badge(verdict(row), CLASSES.get(row["fared"], UNSURE))
    return f"{head}: {span(row)}; {held}{mark(lost.get(row['chapter'], ()))}."


def mark(methods: Sequence[str]) -> str:
    """A dagger that names the methods without their certificate, nothing where there are none."""
    return f'<sup title="{html.escape(", ".join(methods))} lost the certificate">†</sup>' if methods else ""


def legend(lost: Mapping[str, Sequence[str]]) -> str:
    """What a dagger says, as a paragraph; nothing where all methods are certified."""
    methods = sorted({method for used in lost.values() for method in used})
    if not methods:
        return ""
    told = "† The claim's page rests, in part or whole, on a method that lost its certificate in this run"
    return f"<p>{told}: {html.escape(', '.join(methods))}.</p>"


def span(row: Mapping[str, Any]) -> str:
    """The estimates of all seeds, from the lowest to the highest, and in brackets the widest interval of one."""
    if row["n_seeds"] == 1:
        return interval(Estimate(row["value"], row["low"], row["high"], 0, 0))
    digits = 2 if row["high"] - row["low"] >= WIDE else 3
    ends = (f"{row[name]:z.{digits}f}" for name in ("lowest", "highest", "low", "high"))
    return "{} to {} [{}, {}]".format(*ends)


def verdict(row: Mapping[str, Any]) -> str:
    """In how many seeds a claim holds, and in how many the whole interval says the opposite."""
    against = f", contradicted in {row['n_against']:.0f}" if row["n_against"] else ""
    return f"holds in {row['n_hold']:.0f} of {row['n_seeds']:.0f} seed{'s' * (row['n_seeds'] != 1)}{against}"


def what_fails(found: pd.DataFrame, lost: Mapping[str, Sequence[str]]) -> str:
    """Every claim that doesn't hold in all seeds, the clearest failure first; folded, what could not be computed."""
    failing = found[found["fared"].isin(FARED[1:3])]
    against = failing["n_against"].gt(0) & failing["n_against"].eq(failing["n_seeds"])
    groups = {
        "contradicted in every seed": failing[against],
        "not shown": failing[~against & failing["fared"].eq(FARED[2])],
        "depends on the seed": failing[failing["fared"].eq(FARED[1])],
    }
    blocks = [_listed(title, rows.sort_values("margin"), lost) for title, rows in groups.items() if len(rows)]
    missing = found[found["fared"] == FARED[3]]
    if len(missing):
        inside = _listed(FARED[3], missing, lost)
        blocks.append(f"<details><summary>{len(missing)} not computable here</summary>{inside}</details>")
    return f'<div class="abstract">{"".join(blocks) or "<p>Every claim holds in every seed.</p>"}</div>'


def _listed(title: str, rows: pd.DataFrame, lost: Mapping[str, Sequence[str]]) -> str:
    items = "".join(f"<li>{sentence(row, lost)}</li>" for row in rows.to_dict("records"))
    return f"<p><strong>{len(rows)} {html.escape(title)}</strong></p><ul>{items}</ul>"


def _badge(text: str, kind: str) -> str:
    return f'<span class="verdict {kind}">{html.escape(text)}</span>'
