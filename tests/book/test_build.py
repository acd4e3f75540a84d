"""Building: the book that is there stays until the next one is whole."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jepascope.book import build
from jepascope.book.notebooks import ChapterError


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `_build` with a book in it; a renderer that makes another, or half of one when `status` says so."""
    (tmp_path / "_build" / "html").mkdir(parents=True)
    (tmp_path / "_build" / "html" / "index.html").write_text("old")
    monkeypatch.setattr(build, "project_root", lambda: tmp_path)
    monkeypatch.setattr(build, "stage", lambda *_: ["05_one"])
    return tmp_path / "_build"


def renderer(status: int) -> Any:
    def run(command: list[str], **_: Any) -> Any:
        html = Path(command[command.index("--path-output") + 1]) / "_build" / "html"
        html.mkdir(parents=True)
        (html / "index.html").write_text("new")
        return SimpleNamespace(returncode=status, stdout="", stderr="one.md: WARNING")

    return run


def test_a_book_that_does_not_render_leaves_the_one_before_and_says_why(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build.subprocess, "run", renderer(1))
    with pytest.raises(ChapterError, match="did not render:\n\n.*WARNING"):
        build.build("ci", [0])
    assert (target / "html" / "index.html").read_text() == "old"


def test_a_new_book_takes_the_place_of_the_old_one_which_is_removed_afterwards(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def removed(path: Path, **options: Any) -> None:
        remove(path, **options)
        assert (target / "html" / "index.html").exists()  # a reader, or a kill, finds a book at any time

    monkeypatch.setattr(build.subprocess, "run", renderer(0))
    monkeypatch.setattr(build.shutil, "rmtree", removed)
    for _ in range(2):
        assert build.build("ci", [0]) == ["05_one"]
    assert (target / "html" / "index.html").read_text() == "new"
    assert {path.name for path in target.iterdir()} == {".lock", "html"}
