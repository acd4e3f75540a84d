"""Certificates of methods, shown under the title of every page that uses them.

They are looked up when the book is rendered, not when a chapter runs: a certificate is about a page's method, not its
numbers, so losing one must not make the page's results again.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from pathlib import Path

from jepascope.book.chapter import run_folder
from jepascope.store import read_json

CHAPTER = "15_certificates"
CLASSES = {"certified": "holds", "lost": "fails"}


def load_certificates(profile: str) -> dict[str, dict[str, str]]:
    """Find the certificates of a profile's run, by method; none where the chapter that decides has not run."""
    file: Path = run_folder(profile, CHAPTER, None) / "certificates" / "certificates.json"
    return read_json(file) if file.exists() else {}


def badges(methods: Iterable[str], found: Mapping[str, Mapping[str, str]]) -> str:
    """One line of HTML: each method, its verdict as a word, and what was measured; a lost one says what it means."""
    told, lost = [], []
    for method in methods:
        certificate = found.get(method, {"verdict": "no certificate", "gate": "not examined", "measured": ""})
        verdict = certificate["verdict"]
        lost += [method] if verdict == "lost" else []
        title = html.escape(f"{certificate['gate']}; {certificate['measured']}".strip("; "))
        badge = f'<span class="verdict {CLASSES.get(verdict, "unlicensed")}">{html.escape(verdict)}</span>'
        told.append(f'<span title="{title}">{html.escape(method)} {badge}</span>')
    line = f'<p class="certificates">Methods: {" · ".join(told)} (<a href="{CHAPTER}.html">certificates</a>)</p>'
    if lost:
        line += (
            f'<p class="certificates"><strong>{html.escape(", ".join(lost))} lost the certificate in this run: what '
        )
        line += "rests on it below is not to be relied on.</strong></p>"
    return line
