"""Staging: the sources of a book as its run and its pages are now, and nothing else."""

from pathlib import Path

import pytest

from jepascope.book.notebooks import ChapterError
from jepascope.book.staging import stage
from tests.review.runs_by_hand import enter_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return enter_project(tmp_path, monkeypatch)


def times(folder: Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def test_only_what_differs_is_written_and_what_is_gone_goes(project: Path) -> None:
    folder = project / "_build" / "source"
    (project / "book" / "notation.md").write_text("# Notation")
    (project / "book" / "old.md").write_text("# Old")
    stage(folder, "toy", [0, 1])
    before = times(folder)
    (project / "book" / "notation.md").write_text("# Notation, edited")
    (project / "book" / "old.md").unlink()
    stage(folder, "toy", [0, 1])
    now = times(folder)
    assert before.keys() - now.keys() == {"old.md"}
    assert {name for name in now if now[name] != before[name]} == {"notation.md"}


def test_what_an_editor_keeps_beside_a_page_is_not_staged(project: Path) -> None:
    for name in ("book/.index.md.swp", "book/index.md~", "book/.ipynb_checkpoints/index-checkpoint.md"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("half a page")
    stage(project / "_build" / "source", "toy", [0, 1])
    staged = [file for file in (project / "_build" / "source").rglob("*") if file.is_file()]
    assert not [file for file in staged if file.read_text() == "half a page"]


def test_what_a_killed_staging_left_goes_with_the_next(project: Path) -> None:
    left = project / "_build" / ".source.made"
    left.mkdir(parents=True)
    (left / "half.md").write_text("half a page")
    stage(project / "_build" / "source", "toy", [0, 1])
    assert [path.name for path in (project / "_build").iterdir()] == ["source"]
    assert not (project / "_build" / "source" / "half.md").exists()


@pytest.mark.parametrize("name", ["_toc.yml", "_config.yml"])
def test_a_slip_in_the_contents_or_the_configuration_is_named(project: Path, name: str) -> None:
    with (project / name).open("a") as file:
        file.write("\nparts: [")
    with pytest.raises(ChapterError, match=f"{name} is not valid YAML"):
        stage(project / "_build" / "source", "toy", [0, 1])
