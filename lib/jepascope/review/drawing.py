"""Two estimates of one claim, drawn on one scale: small enough for a cell of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WIDTH, HEIGHT, MARGIN = 180, 34, 6  # pixels


def intervals(before: Any, after: Any, null: Any) -> str:
    """An inline SVG of the intervals, before above after, and the value of the null; empty where neither is a number.

    before, after, null: as a claim's entry keeps them, a mapping with value, low and high, or a reason, or None.
    """
    estimates = {"before": before, "after": after}
    known = {name: value for name, value in estimates.items() if isinstance(value, Mapping)}
    if not known:
        return ""
    marked = null["value"] if isinstance(null, Mapping) else None
    ends = [value[end] for value in known.values() for end in ("low", "high")] + ([] if marked is None else [marked])
    low, high = min(ends), max(ends)

    def x(value: float) -> float:
        return round(MARGIN + (value - low) / ((high - low) or 1) * (WIDTH - 2 * MARGIN), 1)

    rows = {"before": HEIGHT / 3, "after": 2 * HEIGHT / 3}
    marks = "".join(
        f'<g class="{name}"><line x1="{x(value["low"])}" x2="{x(value["high"])}" y1="{y:.1f}" y2="{y:.1f}" '
        f'stroke-width="2"/><circle cx="{x(value["value"])}" cy="{y:.1f}" r="3.5"/></g>'
        for name, y in rows.items()
        if isinstance(value := estimates[name], Mapping)
    )
    if marked is not None:
        marks += f'<line class="null" x1="{x(marked)}" x2="{x(marked)}" y1="2" y2="{HEIGHT - 2}"/>'
    said = "; ".join(
        f"{name} {value['value']:.3g}, {value['low']:.3g} to {value['high']:.3g}" for name, value in known.items()
    )
    return (
        f'<svg class="interval" role="img" aria-label="{said}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}">{marks}</svg>'
    )
