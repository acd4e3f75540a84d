"""The import closure: what a chapter's code reaches, and nothing else."""

from pathlib import Path

import pytest

from jepascope import closure


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package a → b → c, and d alone."""
    root = tmp_path / "jepascope"
    (root / "room" / "sql").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "a.py": "from jepascope.room import b",
        "room/__init__.py": "",
        "room/b.py": "import numpy\nimport jepascope.room.c",
        "room/c.py": "def late():\n    from jepascope import a\n    return 'room' / \"sql\"",
        "room/beside.py": "",
        "room/sql/q.sql": "select 1",
        "d.py": "x = 1",
    }
    for name, text in files.items():
        (root / name).write_text(text)
    monkeypatch.setattr(closure, "PACKAGE", root)
    closure.look_again()
    return root


def test_the_closure_follows_imports_through_packages_and_late_imports_and_takes_sql_along(package: Path) -> None:
    found = {str(file.relative_to(package)) for file in closure.closure("import jepascope.a")}
    assert found == {"__init__.py", "a.py", "room/__init__.py", "room/b.py", "room/c.py", "room/sql/q.sql"}


def test_the_neighbour_of_a_module_that_runs_sql_does_not_take_it_along(package: Path) -> None:
    assert not any(file.suffix == ".sql" for file in closure.closure("import jepascope.room.beside"))


def test_the_fingerprint_moves_with_what_is_reached_and_with_nothing_else(package: Path) -> None:
    before = closure.code_fingerprint("import jepascope.a")
    (package / "d.py").write_text("x = 2")
    closure.look_again()
    assert closure.code_fingerprint("import jepascope.a") == before
    (package / "room" / "sql" / "q.sql").write_text("select 2")
    assert closure.code_fingerprint("import jepascope.a") == before  # as this process first saw it
    closure.look_again()
    assert closure.code_fingerprint("import jepascope.a") != before


def test_a_module_left_out_of_the_fingerprint_moves_it_no_more_and_what_it_imports_still_does(package: Path) -> None:
    before = closure.code_fingerprint("import jepascope.a", leave_out=("a.py",))
    (package / "a.py").write_text("from jepascope.room import b\nx = 1")
    closure.look_again()
    assert closure.code_fingerprint("import jepascope.a", leave_out=("a.py",)) == before
    (package / "room" / "c.py").write_text("x = 1")
    closure.look_again()
    assert closure.code_fingerprint("import jepascope.a", leave_out=("a.py",)) != before


SAID = '''"""A module."""


def twice(x: int) -> int:
    """Double it."""
    return 2 * x  # by two
'''


@pytest.mark.parametrize(
    ("before", "after", "moves"),
    [
        ("# by two", "# by two, which is enough", False),
        ("Double it.", "Double a number, since it is asked for.", False),
        ("A module.", "One module.", False),
        ("return 2 * x  # by two", "return (\n        2 * x\n    )", False),
        ('    """Double it."""\n', "", False),
        ("2 * x", "3 * x", True),
        ("2 * x", "x * 2", True),
        ("twice", "double", True),
        ("x: int", "x: float", True),
        ("return 2 * x", 'return "2 * x"', True),
    ],
)
def test_a_comment_a_docstring_and_layout_move_no_fingerprint_and_whatever_is_run_does(
    package: Path, before: str, after: str, moves: bool
) -> None:
    (package / "d.py").write_text(SAID)
    closure.look_again()
    first = closure.code_fingerprint("import jepascope.d")
    (package / "d.py").write_text(SAID.replace(before, after))
    closure.look_again()
    assert (closure.code_fingerprint("import jepascope.d") != first) == moves


def test_a_mistake_in_a_module_that_is_reached_is_reported_with_its_file_and_line(package: Path) -> None:
    (package / "room" / "c.py").write_text("x = 1\ny = (\n")
    closure.look_again()
    with pytest.raises(SyntaxError) as raised:
        closure.code_fingerprint("import jepascope.a")
    assert (raised.value.filename, raised.value.lineno) == (str(package / "room" / "c.py"), 2)


def test_the_library_has_no_relative_import_that_the_closure_would_miss() -> None:
    import ast

    relative = [
        file.name
        for file in closure.PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []
