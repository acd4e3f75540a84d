"""Weaving: new prose takes its place around the outputs of a run, and nothing else does."""

from pathlib import Path

import nbformat
import papermill
import pytest

from jepascope.book import run, standing
from jepascope.book.notebooks import Book, ChapterError, ChapterSource, parse_notebook, read_chapter
from jepascope.book.standing import chapter_key, is_current, text_hash
from jepascope.book.weaving import weave
from jepascope.params import load_profile
from jepascope.store import read_json, write_json
from tests.book.sources import HEAD, MEAN, PARAMETERS

SOURCE = f"""{HEAD}{MEAN}{PARAMETERS}
Then it is made.

```{{code-cell}} python
print(seed)
```

```{{code-cell}} python
seed + 1

seed + 2
```
"""
EDITED = SOURCE.replace("# One\n", "# One, renamed\n\n+++\n\nA cell more. {glue:text}`mean_interval`\n").replace(
    "Then it is made.\n\n", ""
)
PROFILE = load_profile("ci")


def executed_by_papermill(source: ChapterSource, target: Path) -> None:
    nbformat.write(parse_notebook(source.text), target)
    papermill.execute_notebook(str(target), str(target), {"profile": "ci", "seed": 7}, progress_bar=False)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a real kernel leaves of the source."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "05_one.md").write_text(SOURCE)
    executed_by_papermill(read_chapter(folder / "05_one.md"), folder / "executed.ipynb")
    return folder / "executed.ipynb"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: Path) -> ChapterSource:
    """A chapter that has run for seed 7, in a project of its own."""
    for module in (standing, run):
        monkeypatch.setattr(module, "project_root", lambda: tmp_path)
    monkeypatch.setattr(run, "read_book", lambda: Book((tmp_path / "book" / "05_one.md",)))
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "05_one.md").write_text(SOURCE)
    source = read_chapter(tmp_path / "book" / "05_one.md")
    folder = standing.run_folder("ci", "05_one", 7)
    folder.mkdir(parents=True)
    (folder / "executed.ipynb").write_bytes(ran.read_bytes())
    result = {"values": {"mean": 1.5, "better_estimate": 2.0}, "claims": [{"id": "better", "seed": 7}]}
    marks = {"tier": "synthetic", "read": {}, "key": chapter_key(source, PROFILE, {}), "text": text_hash(source)}
    write_json(folder / "results.json", {**result, **marks})
    return source


def edited(source: ChapterSource, text: str) -> ChapterSource:
    source.path.write_text(text)
    return read_chapter(source.path)


def contents() -> dict[str, bytes]:
    folder = standing.run_folder("ci", "05_one", 7)
    return {name: (folder / name).read_bytes() for name in ("executed.ipynb", "results.json")}


def as_staged(path: Path) -> list[tuple]:
    """Cells with all that the renderer sees of them: not when they ran, and not the random id of the injected one."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if "injected" not in str(cell.metadata)]
    return [(c.id, c.cell_type, c.source, c.metadata.tags, c.get("outputs"), c.get("execution_count")) for c in cells]


def test_a_woven_page_is_the_page_that_a_run_would_give(source: ChapterSource, tmp_path: Path) -> None:
    new = edited(source, EDITED)
    assert not is_current(new, PROFILE, 7)
    assert weave(new, PROFILE, 7)
    executed_by_papermill(new, tmp_path / "again.ipynb")
    woven = standing.run_folder("ci", "05_one", 7) / "executed.ipynb"
    assert as_staged(woven) == as_staged(tmp_path / "again.ipynb")
    assert is_current(new, PROFILE, 7)


def test_the_injected_parameters_stay_right_after_the_cell_they_replace(source: ChapterSource) -> None:
    assert weave(edited(source, EDITED), PROFILE, 7)
    cells = nbformat.read(standing.run_folder("ci", "05_one", 7) / "executed.ipynb", as_version=4).cells
    tags = [cell.metadata.tags for cell in cells]
    assert tags.index(["injected-parameters"]) == tags.index(["parameters"]) + 1
    assert "seed = 7" in cells[tags.index(["injected-parameters"])].source


def test_weaving_moves_no_result_so_that_no_reader_of_the_chapter_is_run_again(source: ChapterSource) -> None:
    folder = standing.run_folder("ci", "05_one", 7)
    before, results = standing.chapter_content(folder), read_json(folder / "results.json")
    new = edited(source, EDITED)
    weave(new, PROFILE, 7)
    assert standing.chapter_content(folder) == before
    assert read_json(folder / "results.json") == {**results, "text": text_hash(new)}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("print(seed)", "print(seed + 1)"),  # another cell
        ("seed + 1\n\nseed + 2", "seed + 1\n```\n\n```{code-cell} python\nseed + 2"),  # the same code, cut elsewhere
        (":tags: [parameters]\n\n", ":tags: [parameters, hide-output]\n\n"),
        ("reads: []", "reads: [01_extraction]"),  # it may now read what it didn't
    ],
)
def test_what_moves_a_result_is_not_woven(source: ChapterSource, old: str, new: str) -> None:
    before = contents()
    changed = edited(source, EDITED.replace(old, new))
    assert changed.text != EDITED
    assert not weave(changed, PROFILE, 7)
    assert contents() == before


def test_methods_in_the_header_move_a_badge_and_run_nothing(source: ChapterSource) -> None:
    assert weave(edited(source, SOURCE.replace("reads: []", "reads: []\n  methods: [a method]")), PROFILE, 7)


def test_prose_that_asks_for_what_was_not_recorded_is_refused_and_changes_nothing(source: ChapterSource) -> None:
    before = contents()
    with pytest.raises(ChapterError, match=r"\['median'\], which no code recorded"):
        weave(edited(source, SOURCE.replace("`mean:.2f`", "`median`")), PROFILE, 7)
    assert contents() == before
    assert weave(edited(source, SOURCE.replace("# One\n", "# One\n\n```{glue:md} better\n```\n")), PROFILE, 7)


def test_if_needed_weaves_prose_and_a_plain_run_executes(
    source: ChapterSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def no_kernel(*arguments: object) -> None:
        started.append(arguments)
        raise ChapterError("a kernel was started")

    monkeypatch.setattr(run, "_execute", no_kernel)
    new = edited(source, EDITED)
    assert "renamed" in run.run_chapter("05", "ci", 7, if_needed=True).read_text()
    assert is_current(new, PROFILE, 7)
    assert not started
    with pytest.raises(ChapterError, match="a kernel was started"):
        run.run_chapter("05", "ci", 7)
