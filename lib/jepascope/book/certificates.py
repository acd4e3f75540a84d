"""Certificates of methods, shown under the title of every page that uses them, and by `jepascope certify`.

They are looked up when the book is rendered, not when a chapter runs: a certificate is about a page's method, not its
numbers, so losing one must not make the page's results again.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from jepascope.book.notebooks import read_book
from jepascope.book.standing import RESULTS, run_folder
from jepascope.steps import SIDECAR
from jepascope.store import read_json

CHAPTER = "15_certificates"
CLASSES = {"certified": "holds", "lost": "fails"}
# What `jepascope certify` answers to a shell: all certified, one lost, none lost and one that could not be decided.
ALL, ONE_LOST, UNDECIDED = 0, 1, 2


def load_certificates(profile: str) -> dict[str, dict[str, str]]:
    """Find the certificates of a profile's run, by method; none where the chapter that decides has not run."""
    file: Path = run_folder(profile, CHAPTER, None) / "certificates" / "certificates.json"
    return read_json(file) if file.exists() else {}


def lost_methods(found: Mapping[str, Mapping[str, str]]) -> set[str]:
    """The methods that lost their certificate."""
    return {method for method, certificate in found.items() if certificate["verdict"] == "lost"}


def status(found: Mapping[str, Mapping[str, str]]) -> int:
    """The exit status for these certificates: one lost method is worse than any that can't be judged."""
    if lost_methods(found):
        return ONE_LOST
    return ALL if found and all(one["verdict"] == "certified" for one in found.values()) else UNDECIDED


def costs(results: Iterable[Path]) -> pd.DataFrame:
    """What it took to make the steps of the chapters of some results.json files: chapter, runs, steps, seconds.

    Seconds are those of the wall clock when each step was made, whenever and wherever that was.
    """
    rows = []
    for file in results:
        made = [read_json(sidecar)["seconds"] for sidecar in file.parent.glob(f"[!.]*/{SIDECAR}")]
        rows.append({"chapter": file.parent.name, "runs": 1, "steps": len(made), "seconds": sum(made)})
    return pd.DataFrame(rows).groupby("chapter", as_index=False, sort=False).sum()


def rests_on(profile: str, seeds: Iterable[int]) -> list[Path]:
    """The results.json files, of all seeds, from which a profile's certificates were decided."""
    book = read_book()
    read = [book.find(name) for name in book.find(CHAPTER).reads]
    places = [(chapter.name, seed) for chapter in read for seed in (seeds if chapter.per_seed else [None])]
    return [run_folder(profile, name, seed) / RESULTS for name, seed in places]


def printed(found: Mapping[str, Mapping[str, str]], took: pd.DataFrame) -> str:
    """The certificates as lines of text, a method each, and what they took. took: of `costs`."""
    lines = []
    for method, one in found.items():
        lines.append(f"{one['verdict']:20s} {method}: {one['measured']}")
        facts = {"gate": one["gate"], "on": one["on"], "power": one["power"]}
        lines += [f"{'':20s}   {name}: {fact}" for name, fact in facts.items() if fact]
    lines += [f"{row.seconds:8,.0f} s  {row.steps} steps of {row.chapter}" for row in took.itertuples()]
    return "\n".join([*lines, f"{took['seconds'].sum():8,.0f} s  in all, when it was made"])


def badges(methods: Sequence[str], found: Mapping[str, Mapping[str, str]]) -> str:
    """One line of HTML: each method, its verdict as a word, and what was measured; a lost one says what it means."""
    told = []
    for method in methods:
        certificate = found.get(method, {"verdict": "no certificate", "gate": "not examined", "measured": ""})
        verdict = certificate["verdict"]
        title = html.escape(f"{certificate['gate']}; {certificate['measured']}".strip("; "))
        badge = f'<span class="verdict {CLASSES.get(verdict, "unlicensed")}">{html.escape(verdict)}</span>'
        told.append(f'<span title="{title}">{html.escape(method)} {badge}</span>')
    line = f'<p class="certificates">Methods: {" · ".join(told)} (<a href="{CHAPTER}.html">certificates</a>)</p>'
    lost = [method for method in methods if method in lost_methods(found)]
    if lost:
        line += (
            f'<p class="certificates"><strong>{html.escape(", ".join(lost))} lost the certificate in this run: what '
        )
        line += "rests on it below is not to be relied on.</strong></p>"
    return line
