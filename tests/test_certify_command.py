"""`jepascope certify`: makes current what certificates rest on, prints them, and answers the shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from jepascope import cli
from jepascope.book import certificates, run
from jepascope.book.notebooks import read_book
from jepascope.book.standing import RESULTS
from jepascope.steps import SIDECAR
from jepascope.store import write_json
from tests.conftest import copy_project, jepascope

GOOD = {"gate": "alarms ≤ 0.10", "measured": "0.04 in 100 cohorts", "power": "", "on": "100 cohorts of nothing"}


def found(*verdicts: str) -> dict[str, dict[str, str]]:
    return {f"method {i}": GOOD | {"verdict": verdict} for i, verdict in enumerate(verdicts)}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which the chapters that certificates rest on have left their marks, and nothing can run."""
    project = copy_project(tmp_path / "project")
    monkeypatch.chdir(project)
    monkeypatch.setattr(run, "run_all", lambda *arguments, **named: None)
    for file in certificates.rests_on("ci", [0, 1]):
        for step in ("one", "other"):
            (file.parent / step).mkdir(parents=True)
            write_json(file.parent / step / SIDECAR, {"seconds": 1.25})
        write_json(file, {})
    return project


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        (("certified", "certified"), 0),
        (("certified", "lost"), 1),
        (("lost", "not computable here"), 1),
        (("certified", "not computable here"), 2),
        ((), 2),
    ],
)
def test_the_exit_status_says_whether_one_is_lost_or_could_not_be_decided(
    project: Path, capsys: pytest.CaptureFixture[str], verdicts: tuple[str, ...], status: int
) -> None:
    folder = project / "runs" / "ci" / "all" / certificates.CHAPTER / "certificates"
    folder.mkdir(parents=True)
    write_json(folder / "certificates.json", found(*verdicts))
    with pytest.raises(SystemExit) as ended:
        cli.main(["certify", "--profile", "ci"])
    assert ended.value.code == status
    printed = capsys.readouterr().out
    for number, verdict in enumerate(verdicts):
        assert f"{verdict:20s} method {number}: 0.04 in 100 cohorts" in printed
    assert printed.count("on: 100 cohorts of nothing") == len(verdicts)
    assert "2 steps of 14_methods" in printed
    assert "4 steps of 05b_dictionary" in printed  # of two seeds
    runs = len(certificates.rests_on("ci", [0, 1]))
    assert f"{2.5 * runs:8,.0f} s  in all" in printed


def test_what_it_took_is_summed_over_seeds(project: Path) -> None:
    took = certificates.costs(certificates.rests_on("ci", [0, 1])).set_index("chapter")
    assert took.loc["05b_dictionary", ["runs", "steps", "seconds"]].tolist() == [2, 4, 5.0]
    assert took.loc["14_methods", ["runs", "steps", "seconds"]].tolist() == [1, 2, 2.5]
    assert set(took.index) == set(read_book().find(certificates.CHAPTER).reads)


def test_only_the_chapter_that_decides_and_what_it_rests_on_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy_project(tmp_path / "project"))
    asked: list[list[str]] = []
    ended = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(run.subprocess, "run", lambda command, **named: asked.append(command) or ended)
    run.run_all("ci", [0], 1, "default", until=certificates.CHAPTER)
    run.run_all("ci", [0], 1, "default")
    target = "runs/ci/all/15_certificates/done.json"
    assert asked[0].index(target) < asked[0].index("--config")  # after it, it would be taken for a setting
    assert target not in asked[1]


def test_a_second_call_executes_nothing_and_prints_the_same(ci_book: Path) -> None:
    first = jepascope(ci_book, "certify", "--profile", "ci")
    before = {file: file.stat().st_mtime_ns for file in ci_book.glob(f"runs/ci/*/*/{RESULTS}")}
    second = jepascope(ci_book, "certify", "--profile", "ci")
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert first.stdout == second.stdout
    assert "block sign-flips" in second.stdout
    assert first.returncode == second.returncode > 0  # three cohorts decide nothing
