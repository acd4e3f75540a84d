"""Watching: what a save sets off, and pages that stay good while the sources are not."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from jepascope.book import watching
from jepascope.book.notebooks import ChapterError
from jepascope.book.rendering import Renderer
from jepascope.book.watching import Watched
from jepascope.closure import PACKAGE
from jepascope.params import ParameterError, project_root
from jepascope.store import StoreError

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
    monkeypatch.setattr(watching, "_is_run", lambda *_: True)
    monkeypatch.setattr(watching, "is_current", lambda chapter, _, seed: (chapter.name, seed) in done)
    monkeypatch.setattr(watching, "run_chapter", lambda name, _, seed, seeds, if_needed: done.append((name, seed)))
    monkeypatch.setattr(watching, "run_all", lambda *_: done.append("run"))
    monkeypatch.setattr(watching, "stage", lambda *_: done.append("stage"))
    monkeypatch.setattr(watching, "_is_of_before", lambda: False)
    return done


def react(*changed: Path) -> None:
    renderer: Any = SimpleNamespace(source=None, render=list)
    watching.react(changed, Watched("ci", (0, 1), 1, renderer, lambda _: None))


def test_prose_is_woven_into_the_page_of_each_seed_and_runs_no_graph(done: list[Any]) -> None:
    react(CHAPTERS[0].path)
    woven = [("05_one", 0), ("05_one", 1), ("12_all", None)]  # the other's prose was new before
    assert done == [*woven, "stage"]
    react(CHAPTERS[0].path)
    assert done == [*woven, "stage", "stage"]


@pytest.mark.parametrize("changed", [PACKAGE / "analysis" / "stats.py", Path("/project/params/ci.yaml")])
def test_code_of_the_library_and_parameters_run_the_graph(done: list[Any], changed: Path) -> None:
    react(changed, CHAPTERS[0].path)
    assert done[0] == "run"
    assert done[-1] == "stage"


def test_code_of_a_chapter_runs_the_graph_and_another_chapters_does_not(
    done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_is_run", lambda chapter, *_: chapter is not CHAPTERS[1])
    react(CHAPTERS[0].path)
    assert done == [("05_one", 0), ("05_one", 1), "stage"]
    react(CHAPTERS[1].path)
    assert done[3:] == ["run", "stage"]


def test_cells_run_by_hand_leave_no_page_to_weave_new_prose_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one: Any = CHAPTERS[0]
    monkeypatch.setattr(watching, "is_computed", lambda *_: True)
    monkeypatch.setattr(watching, "run_folder", lambda *_: tmp_path)
    params = watching.load_profile("ci")
    assert not watching._is_run(one, params, 0)
    (tmp_path / "executed.ipynb").write_text("{}")
    assert watching._is_run(one, params, 0)
    monkeypatch.setattr(watching, "is_computed", lambda *_: False)
    assert not watching._is_run(one, params, 0)


def test_a_page_without_code_is_only_shown(done: list[Any]) -> None:
    done += [("05_one", 0), ("05_one", 1), ("12_all", None)]
    react(Path("/project/book/notation.md"), Path("/project/_toc.yml"))
    assert done[3:] == ["stage"]


def test_half_typed_code_is_answered_with_its_place_and_runs_nothing(done: list[Any], tmp_path: Path) -> None:
    (tmp_path / "stats.py").write_text("x = 1\ny = (\n")
    with pytest.raises(SyntaxError, match=r"never closed \(stats.py, line 2\)"):
        react(tmp_path / "stats.py")
    assert done == []


def test_code_of_the_watch_itself_is_shown_by_a_new_process_after_it_has_run(
    done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_again(say: Any) -> None:
        done.append("again")
        raise SystemExit  # the old process does nothing more

    monkeypatch.setattr(watching, "_is_of_before", lambda: True)
    monkeypatch.setattr(watching, "_start_again", start_again)
    with pytest.raises(SystemExit):
        react(PACKAGE / "params.py")
    assert done == ["run", "again"]


def test_a_module_written_since_the_watch_started_is_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = max(file.stat().st_mtime for file in PACKAGE.rglob("*.py"))
    monkeypatch.setattr(watching, "STARTED", newest + 1)
    assert not watching._is_of_before()
    monkeypatch.setattr(watching, "STARTED", Path(watching.__file__).stat().st_mtime - 1)
    assert watching._is_of_before()


def test_the_new_process_is_started_as_the_old_one_was_and_not_with_code_that_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, command: started.append([program, *command]))
    tried = SimpleNamespace(returncode=1, stderr="NameError: name 'Pth' is not defined")
    monkeypatch.setattr(watching.subprocess, "run", lambda *_, **__: tried)
    with pytest.raises(ChapterError, match="can't start again:\nNameError"):
        watching._start_again(lambda _: None)
    assert not started
    tried.returncode = 0
    watching._start_again(lambda _: None)
    assert started == [[sys.executable, sys.executable, *sys.orig_argv[1:]]]


def test_what_fails_is_said_and_the_next_change_is_waited_for() -> None:
    said: list[str] = []

    def fail(error: Exception) -> None:
        raise error

    assert not watching.attempt(lambda: fail(ChapterError("05_one stopped in a cell")), said.append)
    assert said == ["05_one stopped in a cell\nthe pages are those of before"]
    assert not watching.attempt(lambda: fail(KeyError("parts")), said.append)
    assert "in fail" in said[-1]  # nobody foresaw it: where it was is said, too
    assert watching.attempt(lambda: None, said.append)


def test_files_that_editors_and_our_own_writers_leave_set_nothing_off() -> None:
    assert watching.is_source(Path("/project/book/05_one.md"))
    unwanted = (".05_one.md.17.tmp", "05_one.md~", ".#05_one.md", "__pycache__/one.cpython-311.pyc", "4913", "x.ipynb")
    assert not [name for name in unwanted if watching.is_source(Path("/project/book") / name)]


def test_a_save_is_noticed_each_time_also_when_the_editor_puts_a_new_file_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAUSE", 0.0)
    monkeypatch.setattr(watching, "_watched_files", lambda: tmp_path.iterdir())
    toc = tmp_path / "_toc.yml"
    toc.write_text("a")
    seen = watching.sources()
    for time in (1, 2):
        (tmp_path / "new.tmp").write_text("b")
        os.replace(tmp_path / "new.tmp", toc)
        os.utime(toc, (time, time))
        assert watching.after_a_save(seen) == (seen := {toc: time * 10**9})
    toc.unlink()
    assert watching.after_a_save(seen) == {}


def test_a_file_that_is_being_written_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAUSE", 0.0)
    file = Path("one.md")
    looks = iter([{file: 1}, {file: 2}, {file: 3}, {file: 3}, {file: 4}])
    monkeypatch.setattr(watching, "sources", lambda: next(looks))
    assert watching.after_a_save({file: 1}) == {file: 3}


def test_every_kind_of_source_is_watched() -> None:
    root = project_root()
    wanted = ("_toc.yml", "_config.yml", "book/index.md", "book/_static/book.css", "params/ci.yaml")
    assert {root / name for name in wanted} | {Path(watching.__file__)} <= watching.sources().keys()


def test_a_watch_that_has_nothing_to_show_says_why_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def nothing(*_: Any) -> None:
        raise StoreError("01_data has no finished run")

    monkeypatch.setattr(watching, "project_root", lambda: tmp_path)
    monkeypatch.setattr(watching, "stage", nothing)
    with pytest.raises(ParameterError, match="no profile 'nobody'"):
        watching.watch("nobody", None, 1, 0, said.append)
    with pytest.raises(ChapterError, match="no page to show yet"):
        watching.watch("ci", None, 1, 0, said.append)
    assert "01_data has no finished run" in said[-1]


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A book of two pages, rendered once."""
    folder = tmp_path_factory.mktemp("book")
    source = folder / "source"
    source.mkdir()
    config = {"title": "Book", "only_build_toc_files": True, "execute": {"execute_notebooks": "off"}}
    config["sphinx"] = {"config": {"html_static_path": ["_static"], "html_css_files": ["book.css"]}}
    toc = {"format": "jb-book", "root": "index", "chapters": [{"file": "one"}]}
    for name, value in (("_config.yml", config), ("_toc.yml", toc)):
        (source / name).write_text(yaml.safe_dump(value))
    (source / "_static").mkdir()
    (source / "_static" / "book.css").write_text("p {color: black}")
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


def test_a_style_sheet_is_new_though_no_page_is(renderer: Renderer) -> None:
    (renderer.source / "_static" / "book.css").write_text("p {color: blue}")
    assert renderer.render() == []
    assert "blue" in (renderer.target / "html" / "_static" / "book.css").read_text()


def test_a_configuration_that_cannot_be_used_costs_no_page_and_no_renderer(renderer: Renderer) -> None:
    config = renderer.source / "_config.yml"
    good = config.read_text()
    config.write_text(good.replace("html_static_path", "extensions: [no.such.extension]\n    html_static_path"))
    with pytest.raises(ChapterError, match=r"did not render.*no\.such\.extension"):
        renderer.render()
    config.write_text(good)
    (renderer.source / "one.md").write_text("# Page one, after all\n")
    renderer.render()
    assert "after all" in (renderer.target / "html" / "one.html").read_text()


def test_a_new_table_of_contents_is_taken_up(renderer: Renderer) -> None:
    (renderer.source / "two.md").write_text("# Page two\n")
    toc = renderer.source / "_toc.yml"
    toc.write_text(toc.read_text().replace("- file: one", "- file: one\n- file: two"))
    renderer.render()
    assert "Page two" in (renderer.target / "html" / "one.html").read_text()
