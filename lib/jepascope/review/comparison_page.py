"""A comparison as one HTML page that stands alone: what has moved first, then everything that differs."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jepascope.book.claims import interval
from jepascope.book.pages import verdict_badge
from jepascope.publish.tiers import BANNERS
from jepascope.review.compare import MOVED, SAME, SMALL, ClaimPair, Comparison, Pair, TablePair
from jepascope.review.compare import place as where
from jepascope.review.drawing import intervals
from jepascope.review.snapshot import Snapshot
from jepascope.review.standalone import page, table
from jepascope.store import atomic

MISSING = "—"


def comparison_page(comparison: Comparison) -> str:
    """The page: verdict, claims, values, tables, figures, and what the two runs were made from."""
    before, after = comparison.before, comparison.after
    body = "".join(
        (
            f'<p class="verdict-first">{verdict(comparison)}</p>',
            f"<ul>{_run('Before', before)}{_run('After', after)}</ul>{_seeds(comparison)}",
            f'<p class="soft">{BANNERS[after.tier]}</p>',
            _claims(comparison),
            _values(comparison.values),
            _tables(comparison.tables),
            _figures(comparison),
            _settings(comparison.settings),
        )
    )
    return page(f"{before.name} and {after.name} compared", body)


def write_page(comparison: Comparison, folder: Path) -> Path:
    """Write the page as `folder/index.html`; returns its path."""
    path = folder / "index.html"
    with atomic(path) as temporary:
        temporary.write_text(comparison_page(comparison))
    return path


def verdict(comparison: Comparison) -> str:
    """How many claims have moved, and how."""
    fates = Counter(claim.fate for claim in comparison.claims)
    ways = ", ".join(f"{fates[fate]} {fate}" for fate in MOVED if fates[fate])
    return (
        f"{len(comparison.moved)} of {len(comparison.claims)} claims moved{f': {ways}' if ways else ''}. "
        f"{fates[SMALL]} more differ within their intervals, {fates[SAME]} are identical."
    )


def _run(label: str, run: Snapshot) -> str:
    late = f"; {len(run.outdated)} pages were out of date" if run.outdated else ""
    return (
        f"<li>{label}: <strong>{html.escape(run.name)}</strong>, profile {html.escape(run.profile)}, "
        f"{run.tier} records, kept {html.escape(run.made)}{late}</li>"
    )


def _seeds(comparison: Comparison) -> str:
    apart = sorted({*comparison.before.seeds} ^ {*comparison.after.seeds})
    compared = f"Compared in seeds {', '.join(map(str, comparison.seeds)) or '(none in common)'}"
    return f"<p>{compared}; only one of the runs has {', '.join(map(str, apart))}.</p>" if apart else ""


def _claims(comparison: Comparison) -> str:
    small = [claim for claim in comparison.claims if claim.fate == SMALL]
    same = [claim for claim in comparison.claims if claim.fate == SAME]
    body = _claim_table(comparison.moved, "Claims that moved") if comparison.moved else "<p>No claim moved.</p>"
    for claims, label in ((small, "Claims that differ within their intervals"), (same, "Identical claims")):
        if claims:
            body += f"<details><summary>{label}: {len(claims)}</summary>{_claim_table(claims, label)}</details>"
    legend = "Grey is before, blue after, dashed the null. An estimate moved where one is beyond the other's interval."
    return f'<h2>Claims</h2><p class="soft">{legend}</p>{body}'


def _claim_table(claims: Sequence[ClaimPair], label: str) -> str:
    rows = (
        (
            f'<td class="statement">{_rule(claim)}</td><td>{html.escape(where(claim.chapter, claim.seed))}</td>'
            f"<td>{claim.fate}</td><td>{_side(claim.before)}</td><td>{_side(claim.after)}</td>"
            f"<td>{_drawn(claim)}</td>"
        )
        for claim in claims
    )
    return table(("claim", "chapter", "what happened", "before", "after", "intervals"), rows, label)


def _rule(claim: ClaimPair) -> str:
    """The statement, and what of claim and rule was said otherwise before."""
    old, now = claim.before or {}, claim.either
    said = [
        f"{key.replace('_', ' ')}: {changed(old[key], now[key])}"
        for key in ("rule", "tag", "null_name")
        if old.get(key, now[key]) != now[key]
    ]
    statement = changed(old.get("statement", now["statement"]), now["statement"])
    return "<br>".join([statement, *said])


def _side(claim: dict[str, Any] | None) -> str:
    if claim is None:
        return MISSING
    number = html.escape(told(claim["estimate"]))
    shown = "" if isinstance(claim["estimate"], str) else f'<br><span class="number">{number}</span>'
    return f"{verdict_badge(claim['verdict'])}{shown}"


def _drawn(claim: ClaimPair) -> str:
    before, after = (side and side["estimate"] for side in (claim.before, claim.after))
    return intervals(before, after, claim.either["null"])


def _values(values: Sequence[Pair]) -> str:
    if not values:
        return "<h2>Numbers in the text</h2><p>All are the same.</p>"
    body = ""
    for chapter, group in groupby(values, key=lambda pair: pair.where):
        mine = list(group)
        summary = f"<summary>{html.escape(chapter)}: {len(mine)}</summary>"
        body += f"<details>{summary}{_pairs(mine, f'Numbers of {chapter}')}</details>"
    return f"<h2>Numbers in the text</h2><p>{len(values)} differ.</p>{body}"


def _pairs(pairs: Iterable[Pair], label: str) -> str:
    rows = (
        f"<td>{html.escape(pair.what)}</td><td>{html.escape(told(pair.before))}</td>"
        f"<td>{html.escape(told(pair.after))}</td>"
        for pair in pairs
    )
    return table(("name", "before", "after"), rows, label)


def _tables(tables: Sequence[TablePair]) -> str:
    body = "".join(
        f"<details><summary>{html.escape(pair.where)}: {html.escape(pair.caption or 'a table')} "
        f"({pair.fate}{f', {len(pair.rows)} rows' if pair.rows else ''})</summary>{_rows(pair)}</details>"
        for pair in tables
    )
    return f"<h2>Tables</h2>{body or '<p>All are the same.</p>'}"


def _rows(pair: TablePair) -> str:
    if not pair.rows:
        return f"<p>The table is {pair.fate}.</p>"
    titles = list(dict.fromkeys(title for row in pair.rows for title in row.cells))
    rows = (
        f'<th scope="row">{html.escape(row.label) or MISSING}</th>'
        + "".join(f"<td>{changed(*row.cells[title]) if title in row.cells else ''}</td>" for title in titles)
        for row in pair.rows
    )
    return table(("row", *titles), rows, f"{pair.where}: {pair.caption}")


def _figures(comparison: Comparison) -> str:
    blocks = "".join(
        f"<h3>{html.escape(pair.where)}: {html.escape(pair.what.replace('_', ' '))}</h3><div class='pair'>"
        + "".join(_figure(side, label, pair) for side, label in ((pair.before, "before"), (pair.after, "after")))
        + "</div>"
        for pair in comparison.figures
    )
    same = f"<p>{len(comparison.figures)} differ, {comparison.same_figures} are identical.</p>"
    return f"<h2>Figures</h2>{same}{blocks}"


def _figure(png: bytes | None, label: str, pair: Pair) -> str:
    if png is None:
        return f"<p>{label}: there was none.</p>" if label == "before" else f"<p>{label}: there is none.</p>"
    alt = html.escape(f"{pair.what.replace('_', ' ')} of {pair.where}, {label}")
    image = f'<img alt="{alt}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
    return f"<figure>{image}<figcaption>{label}</figcaption></figure>"


def _settings(settings: Sequence[Pair]) -> str:
    rows = (
        f"<td>{html.escape(pair.where)}</td><td>{html.escape(pair.what)}</td><td>{html.escape(listed(pair.before))}</td>"
        f"<td>{html.escape(listed(pair.after))}</td>"
        for pair in settings
    )
    label = "What the runs were made from"
    body = table(("kind", "name", "before", "after"), rows, label) if settings else "<p>All is the same.</p>"
    return f"<h2>{label}</h2>{body}"


def changed(before: str | None, after: str | None) -> str:
    """A cell: what it says, and before it what it said otherwise."""
    if before == after:
        return html.escape(after or "")
    old = "" if before is None else f"<del>{html.escape(before)}</del> "
    return old + (f"<ins>{html.escape(after)}</ins>" if after is not None else "(gone)")


def told(value: Any) -> str:
    """A recorded number or estimate as a reader knows it."""
    if isinstance(value, dict) and {"value", "low", "high"} <= value.keys():
        return interval(SimpleNamespace(**value))  # type: ignore[arg-type]
    if value is None:
        return MISSING
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def listed(values: Sequence[Any] | None) -> str:
    """The values that some chapters ran under."""
    return MISSING if values is None else " or ".join(map(str, values))
