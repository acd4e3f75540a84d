"""The book's structure and the bars of style: what isn't checked rots."""

import ast
import itertools
import re
import statistics
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

from jepascope.book.notebooks import ChapterError, parse_notebook, read_book, read_chapter
from jepascope.book.pages import glued_keys
from jepascope.closure import closure
from jepascope.params import project_root

ROOT = project_root()
BOOK = read_book()
CHAPTERS = [pytest.param(chapter, id=chapter.name) for chapter in BOOK.chapters]
LIBRARY = sorted((ROOT / "lib").rglob("*.py"))


def cells(chapter) -> list[str]:
    return [cell.source for cell in parse_notebook(chapter.text).cells if cell.cell_type == "code"]


def prose(chapter) -> str:
    text = "\n".join(cell.source for cell in parse_notebook(chapter.text).cells if cell.cell_type == "markdown")
    return re.sub(r"\$\$.*?\$\$|```.*?```|\{[\w:]+\}`[^`]*`|\$[^$]*\$", " ", text, flags=re.DOTALL)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_holds_prose_and_calls_only(chapter) -> None:
    tree = ast.parse(chapter.code)
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)]
    assert "plt." not in chapter.code
    assert max(len(cell.splitlines()) for cell in cells(chapter)) <= 24


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_is_mostly_prose(chapter) -> None:
    code_lines = sum(len(cell.splitlines()) for cell in cells(chapter))
    assert code_lines <= 120
    assert len(prose(chapter).split()) >= 120


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_result_is_typed_into_prose(chapter) -> None:
    """Decimals in prose are results that a re-run would contradict; rules and parameters are allowed by name."""
    allowed = {"0.47", "0.53"}
    assert set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", prose(chapter))) <= allowed


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_ends_by_closing_itself(chapter) -> None:
    assert cells(chapter)[-1].strip() == "chapter.close()"
    assert f'open_chapter("{chapter.name}", globals())' in chapter.code


def test_every_page_is_in_the_table_of_contents_and_the_other_way_round() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = {toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])}
    assert listed == {file.stem for file in (ROOT / "book").glob("*.md")}


def test_no_output_is_in_git_and_no_notebook_in_the_book() -> None:
    assert not list((ROOT / "book").rglob("*.ipynb"))


def test_a_source_without_a_parameters_cell_and_one_with_an_unknown_section_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "07_x.md"
    text = BOOK.find("01").path.read_text()
    path.write_text(text.replace(":tags: [parameters]\n", ""))
    with pytest.raises(ChapterError, match="exactly one cell tagged 'parameters'"):
        read_chapter(path)
    path.write_text(text.replace("extraction = None", "extractoin = None"))
    with pytest.raises(ChapterError, match="extractoin"):
        read_chapter(path)


def test_the_keys_that_prose_asks_for_are_found_in_all_forms() -> None:
    text = "{glue:text}`a:.2f` {glue:text}`b` {glue:}`c`\n```{glue:md} d_e\n```"
    assert glued_keys(text) == {"a", "b", "c", "d_e"}


def functions() -> list[ast.FunctionDef]:
    return [
        node
        for file in LIBRARY
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def length(node: ast.FunctionDef) -> int:
    """Lines of a function without its docstring: saying what it does shouldn't count against it."""
    docstring = node.body[0].end_lineno - node.body[0].lineno + 1 if ast.get_docstring(node) else 0
    return node.end_lineno - node.lineno + 1 - docstring


def test_functions_and_files_of_the_library_are_short() -> None:
    lengths = sorted(length(node) for node in functions())
    assert statistics.median(lengths) <= 12
    assert lengths[int(0.9 * len(lengths))] <= 35
    assert lengths[-1] <= 70
    assert max(len(file.read_text().splitlines()) for file in LIBRARY) <= 350


def test_public_functions_and_modules_say_what_they_are_for() -> None:
    silent = [
        f"{file.relative_to(ROOT)}: {node.name}"
        for file in LIBRARY
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    written = [file for file in LIBRARY if file.stat().st_size]
    silent += [str(file.relative_to(ROOT)) for file in written if not ast.get_docstring(ast.parse(file.read_text()))]
    assert silent == []


ROOMS = {
    "models": set(),
    "cohort": {"params", "store", "progress"},
    "analysis": set(),
    "training": {"params", "store", "progress", "cohort", "models"},
    "objects": {"store", "cohort", "models", "training"},
    "certify": {"store", "params", "cohort", "objects", "analysis"},
    "pipeline": {"params", "store", "steps", "cohort", "objects", "analysis", "training", "certify", "models"},
    "audit": {
        *("params", "store", "ledger", "progress", "cohort", "objects", "analysis", "training", "models"),
        *("pipeline", "book"),
    },
    "ledger": {"steps", "store"},
    "publish": {"params", "store", "steps"},
    "review": {"params", "store", "book", "publish"},
    "book": {"params", "store", "steps", "closure", "progress", "cohort", "analysis", "ledger", "publish"},
    "store": set(),
    "params": set(),
    "closure": set(),
    "progress": set(),
    "steps": {"store", "closure", "progress"},
}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_arrows_between_rooms_run_one_way(room: str) -> None:
    base = ROOT / "lib" / "jepascope"
    files = sorted((base / room).rglob("*.py")) if (base / room).is_dir() else [base / f"{room}.py"]
    reached = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("jepascope"):
                parts = node.module.split(".")[1:] or [alias.name for alias in node.names]
                reached.add(parts[0])
            elif isinstance(node, ast.Import):
                reached |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("jepascope.")}
    assert reached - {room} <= ROOMS[room]


@pytest.mark.parametrize("room", ["analysis", "pipeline"])
def test_rooms_within_a_room_lean_on_each_other_without_a_circle(room: str) -> None:
    base = ROOT / "lib" / "jepascope" / room
    leans: dict[str, set[str]] = {}
    for file in sorted(base.glob("*/*.py")):
        found = re.findall(rf"^from jepascope\.{room}\.(\w+)", file.read_text(), re.MULTILINE)
        leans.setdefault(file.parent.name, set()).update(set(found) - {file.parent.name})
    assert len(list(TopologicalSorter(leans).static_order())) >= len(leans) >= 12


def test_a_chapter_that_looks_at_test_patients_enters_the_test_set_ledger_first() -> None:
    """Whoever spells the name of the test split, in the chapter or in a module it calls, must have opened it."""
    base = ROOT / "lib" / "jepascope"
    looking = {
        file for file in [*base.glob("pipeline/**/*.py"), *base.glob("certify/*.py")] if '"test"' in file.read_text()
    }
    assert base / "certify" / "concepts.py" in looking
    for chapter in BOOK.chapters:
        looks = '"test"' in chapter.code or bool(looking & set(closure(chapter.code)))
        assert looks == ("chapter.open_test(" in chapter.code), chapter.name


def test_only_certification_reads_the_planted_truth() -> None:
    readers = [
        str(file.relative_to(ROOT / "lib" / "jepascope"))
        for file in LIBRARY
        if re.search(r"\btruth\b", "\n".join(line for line in file.read_text().splitlines() if "import" in line))
    ]
    allowed = {"certify/planted.py", "certify/futures.py"}
    assert {name for name in readers if not name.startswith("cohort/synthetic/")} <= allowed
    mentions = [file for file in (ROOT / "book").glob("*.md") if "read_truth" in file.read_text()]
    assert mentions == []


def test_the_environment_file_points_at_existing_extras_and_the_lock() -> None:
    import tomllib

    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = re.search(r"\[(.*)\]", pip[1]).group(1).split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    assert pip[0] == "-c constraints.txt"
    python = next(entry for entry in environment["dependencies"] if str(entry).startswith("python="))
    assert python.removeprefix("python=") in project["requires-python"]


def test_every_dependency_is_pinned_once() -> None:
    import tomllib

    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "name==version, nothing else"
    names = [re.split("==", line)[0].lower().replace("_", "-") for line in lines]
    assert len(names) == len(set(names))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    # A marker ("; sys_platform == …") says where a dependency is wanted, and isn't part of its name.
    assert {name.split(";")[0].lower().replace("_", "-") for name in wanted} <= set(names)
