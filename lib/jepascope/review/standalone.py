"""Pages of a review that are no pages of the book: one style, which travels with them, and tables that scroll."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from importlib.resources import files

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{css}</style></head>
<body><main><h1>{title}</h1>{body}</main></body></html>
"""


def page(title: str, body: str) -> str:
    """A whole page. title: words; body: HTML."""
    css = files("jepascope.review").joinpath("static/pages.css").read_text()
    return PAGE.format(title=html.escape(title), css=css, body=body)


def table(titles: Sequence[str], rows: Iterable[str], label: str) -> str:
    """A table of rows whose cells are HTML, in a block that scrolls by itself and can be reached by keyboard."""
    head = "".join(f'<th scope="col">{html.escape(title)}</th>' for title in titles)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="scroll" role="region" aria-label="{html.escape(label)}" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
