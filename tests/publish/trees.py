"""A small rendered book, clean on its tier, into which a leak can be planted."""

from __future__ import annotations

import base64
import html
import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jepascope.publish.disclosure import digest_of
from jepascope.publish.documents import read_document
from jepascope.publish.id_filter import IdFilter, build_filter
from jepascope.publish.tiers import BANNERS
from jepascope.publish.tree import DISCLOSURE, Tree, read_tree

# In MIMIC-IV's ranges, and nobody's: the records are made up.
SUBJECT, STAY = 10_203_047, 30_405_061
RARE = 987_654  # an identifier outside the ranges, which only the filter knows
TITLES = ("group", "patients", "encounters", "rate")
ROWS = (("anxiety", "1,260", "3,880", "0.165 [0.150, 0.180]"), ("trauma", "45", "120", "0.250 [0.167, 0.333]"))
IDS: IdFilter = build_filter([SUBJECT, STAY, RARE], salt=b"for the tests")


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*extra: bytes, after: bytes = b"") -> bytes:
    """A picture of one grey pixel, with other chunks, and what comes after its end."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixel = chunk(b"IDAT", zlib.compress(b"\0\x7f"))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + pixel + chunk(b"IEND", b"") + after


def table(titles: Sequence[str] = TITLES, rows: Sequence[Sequence[str]] = ROWS, caption: str = "Groups.") -> str:
    """A table as a chapter shows one."""
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    shown = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="table-block"><p class="table-caption">{caption}</p>{shown}</div>'


def figure(picture: bytes, alt: str = "Two curves.", caption: str = "Two curves part.") -> str:
    """A figure as a chapter shows one."""
    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return f'<figure><img alt="{html.escape(alt)}" src="{source}"><figcaption>{caption}</figcaption></figure>'


def provenance(tier: str) -> str:
    """The folded table that every chapter ends with."""
    row = f"<tr><th>data tier</th><td>{tier}</td></tr>"
    return f'<details><summary>Provenance</summary><table class="table">{row}</table></details>'


def notebook(tier: str, *outputs: dict[str, Any], source: str = "chapter.close()") -> dict[str, Any]:
    """An executed chapter; its last cell shows the provenance."""
    shown = {"output_type": "display_data", "metadata": {}, "data": {"text/html": provenance(tier)}}
    cell = {"cell_type": "code", "metadata": {}, "source": source, "outputs": [*outputs, shown], "execution_count": 1}
    return {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def shown(content: str, mime: str = "text/html") -> dict[str, Any]:
    """An output of a notebook's cell."""
    return {"output_type": "display_data", "metadata": {}, "data": {mime: content}}


def write_page(folder: Path, tier: str, body: str = "", name: str = "index", banner: str | None = None) -> None:
    """Write a page with its banner, and a sidecar of everything on it that needs one."""
    told = f"{BANNERS[tier]} Profile <strong>tiny</strong>." if banner is None else banner
    text = f"<!DOCTYPE html><html><body><div>{told}</div>\n<h1>One</h1>\n{body}\n{provenance(tier)}</body></html>"
    (folder / f"{name}.html").write_text(text)
    write_sidecars(folder, name, text.encode())


def write_sidecars(folder: Path, name: str, page: bytes, **facts: Any) -> None:
    """Write the sidecars of a page, as if all on it had been judged."""
    import hashlib

    about = {"population": "test patients", "code": "0123abcd", "floor": 20, "patients": None, **facts}
    documents = read_document(f"{name}.html", page)
    entries = [{"kind": "table", "digest": digest_of(found), **about} for found in documents[0].tables]
    pictures = [inner for inner in documents[1:] if inner.suffix == ".png"]
    entries += [{"kind": "figure", "digest": hashlib.sha256(one.data).hexdigest(), **about} for one in pictures]
    target = folder / DISCLOSURE / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(entries))


def write_tree(folder: Path, tier: str) -> Path:
    """Write a clean book: a page, its notebook, an index to search, a style, an inventory."""
    (folder / "_sources").mkdir(parents=True)
    write_page(folder, tier, table() + figure(png()))
    (folder / "_sources" / "index.ipynb").write_text(json.dumps(notebook(tier, shown(table()), shown(figure(png())))))
    (folder / "searchindex.js").write_text('Search.setIndex({"terms": {"subject_id": [0], "anxieti": 0, "44": [0]}})')
    (folder / "_static").mkdir(exist_ok=True)
    (folder / "_static" / "book.css").write_text(".results { color: #102030; }")
    head = b"# Sphinx inventory version 2\n# Project: book\n# Version: \n# The rest is compressed with zlib.\n"
    (folder / "objects.inv").write_bytes(head + zlib.compress(b"index std:doc -1 index.html One\n"))
    return folder


def read(folder: Path) -> Tree:
    """Read a tree as the command does, with the filter of the made-up identifiers."""
    return read_tree(folder, IDS, names=("mmustermann",))
