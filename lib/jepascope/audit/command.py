"""`jepascope audit`: the leak audit made current, printed, and as an exit status."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from jepascope.audit.canary import stop_if_too_good, waiver_file
from jepascope.audit.findings import GREEN, RED
from jepascope.audit.steps import FINDINGS, collect
from jepascope.book.notebooks import read_book
from jepascope.book.run import run_all
from jepascope.book.standing import RESULTS, run_folder
from jepascope.ledger import LEDGER, times_opened
from jepascope.params import load_profile, project_root
from jepascope.store import read_json

CHAPTER = "02_leak_audit"


def audit(profile: str, seeds: Sequence[int] | None = None, jobs: int = 2) -> pd.DataFrame:
    """Run the chapter of the audit and what it rests on, as far as they are out of date, and return all findings.

    Raises ChapterError when a chapter fails; the audit's own fails when a result is too good and nobody has waived it.
    Raises AuditError when that waiver is no more although the chapter, which runs again when it goes, has passed.
    """
    run_all(profile, seeds or load_profile(profile).seeds, jobs, "default", until=CHAPTER)
    findings = collect(audited(profile), opened(profile), read_book().find(CHAPTER).reads)
    stop_if_too_good(findings, waiver_file(profile))
    return findings


def audited(profile: str) -> list[Path]:
    """The folders of findings that the chapter made or found current when it ran; those of earlier seeds may remain."""
    results = run_folder(profile, CHAPTER, None) / RESULTS
    read = [project_root() / relative for relative in read_json(results)["read"]]
    return [folder for folder in read if folder.parent == results.parent and (folder / FINDINGS).exists()]


def opened(profile: str) -> pd.DataFrame:
    """The openings of the test set by evaluation, lines that can't be read among them, as the chapter has them."""
    entered = times_opened(project_root() / "runs" / profile / LEDGER)
    unreadable = [("(unreadable)", 1) for _ in entered.attrs["unreadable"]]
    return pd.DataFrame([*zip(entered["evaluation"], entered["times"], strict=True), *unreadable],
                        columns=["evaluation", "times"])  # fmt: skip


def printed(findings: pd.DataFrame) -> str:
    """One line a finding, and how many there are of each status."""
    lines = [f"{one.check:4s} {one.status:12s} {one.part}: {one.detail}" for one in findings.itertuples()]
    counted = findings["status"].value_counts()
    return "\n".join([*lines, ", ".join(f"{count} {status}" for status, count in counted.items())])


def status(findings: pd.DataFrame) -> int:
    """0: all green; 1: something is red; 2: nothing is, and something could not be verified."""
    if (findings["status"] == RED).any():
        return 1
    return 0 if (findings["status"] == GREEN).all() else 2


def run_audit(profile: str, seeds: Sequence[int] | None = None, jobs: int = 2) -> tuple[str, int]:
    """What the command prints, and its exit status."""
    findings = audit(profile, seeds, jobs)
    return printed(findings), status(findings)
