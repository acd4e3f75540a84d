"""Watching: what a save sets off, and pages that stay good while the sources are not."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from jepascope.book import watching
from jepascope.book.notebooks import ChapterError
from jepascope.book.rendering import Renderer
from jepascope.closure import PACKAGE

CHAPTERS = (
    SimpleNamespace(name="05_one", path=Path("/project/book/05_one.md"), per_seed=True),
    SimpleNamespace(name="12_all", path=Path("/project/book/12_all.md"), per_seed=False),
)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a change sets off, in order; nothing is run, staged or rendered."""
    done: list[Any] = []
    monkeypatch.setattr(watching, "read_book", lambda: SimpleNamespace(chapters=CHAPTERS))
    monkeypatch.setattr(watching, "params_folder", lambda: Path("/project/params"))
    monkeypatch.setattr(watching, "load_profile", lambda *_: None)
    monkeypatch.setattr(watching, "is_computed", lambda *_: True)
    monkeypatch.setattr(watching, "run_chapter", lambda name, _, seed, seeds, if_needed: done.append((name, seed)))
    monkeypatch.setattr(watching, "run_all", lambda *_: done.append("run"))
    monkeypatch.setattr(watching, "show", lambda *_: done.append("show"))
    return done


def react(*changed: Path) -> None:
    watching.react(changed, None, "ci", (0, 1), 1, lambda _: None)


def test_prose_is_woven_into_the_page_of_each_seed_and_runs_no_graph(done: list[Any]) -> None:
    react(CHAPTERS[0].path, CHAPTERS[1].path)
    assert done == [("05_one", 0), ("05_one", 1), ("12_all", None), "show"]


def test_code_of_a_chapter_or_the_library_and_parameters_run_the_graph(
    done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    react(PACKAGE / "analysis" / "stats.py")
    react(Path("/project/params/ci.yaml"), CHAPTERS[0].path)
    monkeypatch.setattr(watching, "is_computed", lambda *_: False)
    react(CHAPTERS[0].path)
    assert done == ["run", "show"] * 3


def test_a_page_without_code_is_only_shown(done: list[Any]) -> None:
    react(Path("/project/book/notation.md"), Path("/project/_toc.yml"))
    assert done == ["show"]


def test_what_fails_is_said_and_the_next_change_is_waited_for() -> None:
    said: list[str] = []

    def fail() -> None:
        raise ChapterError("05_one stopped in a cell")

    watching.attempt(fail, said.append)
    assert said == ["05_one stopped in a cell\nthe pages are those of before"]


def test_files_that_editors_and_our_own_writers_leave_set_nothing_off() -> None:
    assert watching.is_source(None, "/project/book/05_one.md")
    unwanted = (".05_one.md.17.tmp", "05_one.md~", ".#05_one.md", "__pycache__/one.py", "4913", "x.ipynb")
    assert not [name for name in unwanted if watching.is_source(None, f"/project/book/{name}")]


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A book of two pages, rendered once."""
    folder = tmp_path_factory.mktemp("book")
    source = folder / "source"
    source.mkdir()
    config = {"title": "Book", "only_build_toc_files": True, "execute": {"execute_notebooks": "off"}}
    toc = {"format": "jb-book", "root": "index", "chapters": [{"file": "one"}]}
    for name, value in (("_config.yml", config), ("_toc.yml", toc)):
        (source / name).write_text(yaml.safe_dump(value))
    for name in ("index", "one"):
        (source / f"{name}.md").write_text(f"# Page {name}\n")
    renderer = Renderer(source, folder)
    assert renderer.render() == ["index", "one"]
    yield renderer
    renderer.close()


def test_only_the_page_that_changed_is_read_again(renderer: Renderer) -> None:
    (renderer.source / "one.md").write_text("# Page one, edited\n")
    assert renderer.render() == ["one"]
    assert "Page one, edited" in (renderer.target / "html" / "one.html").read_text()
    assert renderer.render() == []


def test_a_page_with_a_warning_leaves_the_last_good_one_and_is_read_again_until_it_is_good(renderer: Renderer) -> None:
    good = (renderer.target / "html" / "one.html").read_text()
    (renderer.source / "one.md").write_text("# Page one, broken\n\n[nowhere](missing.md)\n")
    for _ in range(2):
        with pytest.raises(ChapterError, match=r"did not render cleanly:\n.*one.md.*missing"):
            renderer.render()
        assert (renderer.target / "html" / "one.html").read_text() == good
    (renderer.source / "one.md").write_text("# Page one, mended\n")
    assert renderer.render() == ["one"]
    assert "mended" in (renderer.target / "html" / "one.html").read_text()


def test_a_new_table_of_contents_is_taken_up(renderer: Renderer) -> None:
    (renderer.source / "two.md").write_text("# Page two\n")
    toc = renderer.source / "_toc.yml"
    toc.write_text(toc.read_text().replace("- file: one", "- file: one\n- file: two"))
    renderer.render()
    assert "Page two" in (renderer.target / "html" / "one.html").read_text()
