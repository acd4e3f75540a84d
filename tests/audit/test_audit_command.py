"""`jepascope audit`: what it collects, and what it answers a shell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tests.conftest import copy_project

from jepascope import cli
from jepascope.audit import command
from jepascope.audit.findings import CHECKS, GREEN, RED, UNVERIFIED, AuditError, Finding
from jepascope.ledger import LEDGER, open_test
from jepascope.store import write_json, write_table

READS = ("01_extraction", "03_training", "04_baselines", "04b_prediction")


def found(check: str, status: str, value: float = 0.0) -> Finding:
    part = "highest AUROC, seed 0" if check == "T8" else "a part"
    return Finding(check, part, status, value, 0.8, "seen", 9, 5)


def leave(project: Path, *findings: Finding, step: str = "cohort", read: bool = True) -> None:
    """What a run of the chapter leaves: a step with findings, and the list of what the page was made of."""
    chapter = project / "runs" / "ci" / "all" / command.CHAPTER
    write_table(chapter / step / command.FINDINGS, pd.DataFrame(findings, columns=list(Finding._fields)))
    if read:
        others = ["runs/ci/all/01_extraction/encounters", f"runs/ci/all/{command.CHAPTER}/stories"]
        write_json(
            chapter / "results.json", {"read": dict.fromkeys([*others, f"runs/ci/all/{command.CHAPTER}/{step}"])}
        )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose audit has run, and in which nothing can run; all but T15 are green."""
    project = copy_project(tmp_path / "project")
    monkeypatch.chdir(project)
    monkeypatch.setattr(command, "run_all", lambda *arguments, **named: None)
    leave(project, *(found(check, GREEN) for check, _ in CHECKS if check != "T15"))
    for chapter in READS:
        open_test(project / "runs" / "ci" / LEDGER, chapter, None, {}, 9, 5)
    return project


def answered(capsys: pytest.CaptureFixture[str]) -> tuple[int | str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["audit", "--profile", "ci"])
    return ended.value.code, capsys.readouterr().out


def test_the_exit_status_says_whether_something_is_red_or_could_not_be_verified(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, printed = answered(capsys)
    assert status == 0
    assert "T15  green        ledger: 4 openings by 4 chapters; missing: none" in printed
    assert printed.endswith("15 green\n")
    others = [found(check, GREEN) for check, _ in CHECKS[1:-1]]
    for worst, expected in ((UNVERIFIED, 2), (RED, 1)):
        leave(project, found("T1", worst), *others)
        assert answered(capsys)[0] == expected
    leave(project, *others)  # a check that nobody ran
    assert answered(capsys)[0] == 1


def test_findings_of_seeds_that_are_no_longer_audited_are_not_collected(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(project, found("T1", RED), step="model_7", read=False)
    other = project / "runs" / "ci" / "all" / "01_extraction" / "encounters"  # another chapter's own, of that name
    write_table(other / command.FINDINGS, pd.DataFrame([found("T2", RED)], columns=list(Finding._fields)))
    status, printed = answered(capsys)
    assert (status, printed.count("T1 ")) == (0, 1)


def test_a_torn_line_of_the_ledger_and_a_chapter_that_is_not_in_it_are_red(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = project / "runs" / "ci" / LEDGER
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + b"{torn\n")
    status, printed = answered(capsys)
    assert (status, "missing: (unreadable)" in printed) == (1, True)
    ledger.write_bytes(whole.split(b"\n", 1)[1])
    assert "missing: 01_extraction" in answered(capsys)[1]


def test_a_result_that_is_too_good_needs_its_waiver_each_time(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [found(check, GREEN) for check, _ in CHECKS if check not in ("T8", "T15")]
    leave(project, found("T8", RED, 0.9), *others)
    waiver = project / "params" / "waivers" / "ci.yaml"
    waiver.parent.mkdir()
    waiver.write_text("- {part: highest AUROC, up_to: 0.91, reason: the label is read from a toy, signed: a reader}\n")
    assert answered(capsys)[0] == 1  # waived, and as red as before
    waiver.unlink()
    with pytest.raises(AuditError, match="Look for a leak"):
        command.audit("ci")
    assert "Look for a leak" in str(answered(capsys)[0])
