"""A snapshot holds what pages show, whole or not at all, and nothing of single patients."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepascope.book.staging import stage
from jepascope.cli import main
from jepascope.params import ParameterError
from jepascope.review import snapshot
from jepascope.review.snapshot import read_snapshot, take
from jepascope.store import StoreError, read_json
from tests.review.runs_by_hand import change


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_snapshot_keeps_results_figures_and_notebooks_of_every_chapter_and_seed(project: Path) -> None:
    kept = read_snapshot(take("first", "toy", [0, 1]))
    assert kept.results.keys() == {("01_data", None), ("02_model", 0), ("02_model", 1), ("index", None)}
    assert kept.results["02_model", 1] == read_json(project / "runs" / "toy" / "1" / "02_model" / "results.json")
    assert (kept.profile, kept.tier, kept.seeds) == ("toy", "synthetic", (0, 1))
    figure = kept.folder / "0" / "02_model" / "figures" / "scores.png"
    assert figure.read_bytes() == (project / "runs" / "toy" / "0" / "02_model" / "figures" / "scores.png").read_bytes()
    assert "raw codes" in (kept.folder / "0" / "02_model" / "notebook.ipynb").read_text()


def test_nothing_but_what_a_page_shows_gets_into_a_snapshot(project: Path) -> None:
    (project / "runs" / "toy" / "0" / "02_model" / "figures" / "left_over.png").write_bytes(b"no page shows it")
    (project / "runs" / "toy" / "0" / "02_model" / "rows.json").write_text("[1, 2]")
    kept = take("first", "toy", [0, 1])
    names = {Path(name).name for name in files(kept)}
    assert names == {"snapshot.json", "results.json", "notebook.ipynb", "scores.png"}
    notebooks = "".join(path.read_text() for path in kept.rglob("*.ipynb"))
    assert "of/this/machine" not in notebooks
    assert "diary" not in notebooks


def test_a_name_is_given_once(project: Path) -> None:
    before = files(take("first", "toy", [0, 1]))
    with pytest.raises(ParameterError, match="first exists"):
        take("first", "toy", [0, 1])
    assert files(project / "snapshots" / "first") == before


@pytest.mark.parametrize("name", ["now", "../first", ".hidden", "", "a/b"])
def test_a_name_that_is_none_is_refused(project: Path, name: str) -> None:
    with pytest.raises(ParameterError, match="no name for a snapshot"):
        take(name, "toy", [0, 1])


def test_a_snapshot_that_is_interrupted_leaves_nothing_under_its_name(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(snapshot, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        take("first", "toy", [0, 1])
    assert not list((project / "snapshots").iterdir())


def test_a_run_that_has_not_finished_is_refused(project: Path) -> None:
    (project / "runs" / "toy" / "1" / "02_model" / "results.json").unlink()
    with pytest.raises(StoreError, match="no finished run"):
        take("first", "toy", [0, 1])
    assert not (project / "snapshots" / "first").exists()


def test_pages_that_are_out_of_date_are_named_when_they_are_kept(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["snapshot", "first", "--profile", "toy"])
    told = capsys.readouterr()
    assert told.out == f"{project / 'snapshots' / 'first'}\n"
    assert "out of date: 02_model_seed1 " in told.err


def test_a_chapter_that_runs_again_while_it_is_copied_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def staged_and_then_run(folder: Path, profile: str, seeds: list[int]) -> list[str]:
        outdated = stage(folder, profile, seeds)
        change(project / "runs" / "toy" / "1" / "02_model", key="1" * 64)
        return outdated

    monkeypatch.setattr(snapshot, "stage", staged_and_then_run)
    with pytest.raises(StoreError, match="02_model ran again while it was being copied"):
        take("first", "toy", [0, 1])
    assert not list((project / "snapshots").iterdir())


def test_a_snapshot_that_is_not_there_is_missed_by_name(project: Path) -> None:
    take("first", "toy", [0, 1])
    with pytest.raises(StoreError, match=r"no snapshot 'frist' \(known: first\)"):
        read_snapshot(project / "snapshots" / "frist")
