"""Mistakes at the command line: each is answered in one message that says what to write, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepascope.cli import main
from tests.conftest import copy_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without any run, which is the working directory."""
    project = copy_project(tmp_path / "project")
    monkeypatch.chdir(project)
    return project


def answer(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that ends in a message says: an error that nobody turned into one comes through."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code
    return f"{capsys.readouterr().err}{ended.value.code}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "01", "--profile", "nobody"], "no profile 'nobody'"),
        (["run", "01", "--profile", "ci", "--set", "extraction.min_agee=3"], "did you mean 'min_age'"),
        (["run", "05", "--profile", "ci"], "needs --seed"),
        (["run", "05", "--profile", "ci", "--seed", "0", "--set", "training.epochs=9"], "doesn't depend on 'training'"),
        (["run", "--profile", "ci", "--seeds", "4-2"], "names no seed"),
        (["run", "01", "--profile", "ci", "--seed", "1"], "leave --seed out"),
        (["run", "77", "--profile", "ci"], "names 0 chapters"),
        (["run", "01", "--profile", "ci", "--set", "source.kind=mimic", "--set", "source.root=nowhere"], "nowhere"),
        (["run", "01", "--profile", "ci", "--set", "extraction.min_age=120"], "cohort is empty after rule"),
        (["synthesize", "--patients", "0", "--out", "x"], "synthetic.patients"),
        (["build", "--profile", "mimic_iv"], "has no finished run"),
    ],
)
def test_a_mistake_at_the_command_line_is_answered_in_one_message(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert message in answer(arguments, capsys)
    assert not list(project.glob("runs/*/*/*/results.json"))


def test_a_change_that_the_seeds_override_would_undo_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (project / "params" / "ci.yaml").open("a") as profile:
        profile.write("overrides:\n  1:\n    map:\n      resamples: 3\n")
    said = answer(["run", "05", "--profile", "ci", "--seed", "1", "--set", "map.resamples=9"], capsys)
    assert "the profile overrides map.resamples for seed 1" in said
