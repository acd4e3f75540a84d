"""The HTML and Markdown that chapters show: claim boxes, figures, tables, provenance."""

from __future__ import annotations

import html
import platform
import re
from importlib.metadata import version
from typing import Any

import pandas as pd

from jepascope.book.claims import Claim, NotHere, interval

VERDICT_CLASS = {"holds": "holds", "does not hold": "fails"}
GLUE = re.compile(r"\{glue:(?:text|md|)\}`([^`:>]+)(?::[^`]*)?`|```\{glue:md\} ([\w-]+)")


class Text:
    """A string that glue shows bare, without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def glued_keys(source: str) -> set[str]:
    """List the keys that a chapter's prose asks for."""
    return {first or second for first, second in GLUE.findall(source)}


def verdict_badge(verdict: str) -> str:
    """A verdict as a coloured word; the word itself carries the meaning, the colour repeats it."""
    return f'<span class="verdict {VERDICT_CLASS.get(verdict, "unlicensed")}">{html.escape(verdict)}</span>'


def claim_box(claim: Claim) -> str:
    """A claim as the first thing a reader sees: statement, number with interval, null, twin, n, verdict."""
    head = f"{claim.statement}. {verdict_badge(claim.verdict())}"
    if isinstance(claim.estimate, NotHere):
        return f'<div class="claim">\n\n{head}\n\n</div>'
    facts = [f"**{interval(claim.estimate)}**", f"{claim.null_name}: {interval(claim.null)}"]
    if claim.untrained is not None:
        facts.append(f"untrained twin: {interval(claim.untrained)}")
    facts.append(f"{claim.estimate.n_rows:,} encounters of {claim.estimate.n_patients:,} patients")
    return f'<div class="claim">\n\n{head}<br>\n{" · ".join(facts)}\n\n</div>'


def figure_block(name: str, png: str, caption: str, alt: str) -> str:
    """A figure with its caption; `png` is base64, so that a page stands alone."""
    image = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{png}">'
    return (
        f'<figure id="figure-{name.replace("_", "-")}">{image}<figcaption>{html.escape(caption)}</figcaption></figure>'
    )


def table_block(table: pd.DataFrame, caption: str) -> str:
    """A table that scrolls sideways on a narrow screen; estimates are shown with their intervals."""
    shown = table.map(lambda cell: interval(cell) if hasattr(cell, "n_patients") else cell)
    body = shown.to_html(index=False, border=0, classes="table results", float_format=lambda number: f"{number:,.3g}")
    return f'<div class="table-block"><p class="table-caption">{html.escape(caption)}</p>{body}</div>'


def software() -> dict[str, str]:
    """The versions that results depend on."""
    packages = ("jepascope", "torch", "numpy", "scikit-learn", "duckdb", "pandas")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def provenance_block(result: dict[str, Any]) -> str:
    """Where a chapter's numbers come from, as a folded table."""
    provenance = result["provenance"]
    rows = {
        "profile, seed": f"{result['profile']}, {'all seeds' if result['seed'] is None else result['seed']}",
        "data tier": result["tier"],
        "commit": provenance["commit"],
        "code": provenance["code"][:12],
        "key": result["key"][:12],
        "seconds": provenance["seconds"],
        "software": ", ".join(f"{name} {number}" for name, number in provenance["software"].items()),
        "read": "<br>".join(
            f"{html.escape(path)} <code>{digest[:12]}</code>" for path, digest in result["read"].items()
        ),
        "parameters": "<br>".join(
            f"{section}.{name} = {html.escape(str(value))}" if name else f"{section} = {html.escape(str(value))}"
            for section, values in provenance["parameters"].items()
            for name, value in (values.items() if isinstance(values, dict) else [("", values)])
        ),
    }
    body = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
    summary = f"Provenance: {result['profile']}, commit {provenance['commit']}, key {result['key'][:12]}"
    return f'<details class="provenance"><summary>{summary}</summary><table class="table">{body}</table></details>'
