"""The tiny profile end to end: papermill, Snakemake, the ledger; and once more, when there is nothing to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepascope.book.notebooks import read_book
from jepascope.cli import main
from tests.conftest import CLAIMS, jepascope, modified, values

BOOK = read_book()


def test_every_chapter_ran_once_or_once_per_seed(ci_book: Path) -> None:
    ran = {f"{file.parts[-3]}/{file.parts[-2]}" for file in ci_book.glob("runs/ci/*/*/results.json")}
    per_seed = {f"{seed}/{chapter.name}" for seed in (0, 1) for chapter in BOOK.chapters if chapter.per_seed}
    once = {f"all/{chapter.name}" for chapter in BOOK.chapters if not chapter.per_seed}
    assert ran == per_seed | once


def test_every_claim_has_a_row_for_each_seed_with_interval_null_and_patients(ci_book: Path) -> None:
    claims = [claim for result in values(ci_book).values() for claim in result["claims"]]
    seeds: dict[str, set[int]] = {}
    for claim in claims:
        seeds.setdefault(claim["id"], set()).add(claim["seed"])
        if isinstance(claim["estimate"], dict):
            assert claim["estimate"]["low"] <= claim["estimate"]["value"] <= claim["estimate"]["high"]
            assert claim["estimate"]["n_patients"] > 0
            assert claim["null"] is not None
    assert seeds.keys() == CLAIMS.keys()  # each has its box on a page, and each box its claim
    assert all(found == {0, 1} for found in seeds.values())


def test_the_ledger_prints(ci_book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ci_book)
    main(["claims", "--profile", "ci"])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 * len(CLAIMS)
    assert any("Shock concepts are at chance in ẑ" in line for line in printed)


def test_running_again_executes_nothing(ci_book: Path) -> None:
    before = modified(ci_book, "runs/ci/*/*/executed.ipynb")
    assert jepascope(ci_book, "run", "--profile", "ci").returncode == 0
    assert modified(ci_book, "runs/ci/*/*/executed.ipynb") == before
