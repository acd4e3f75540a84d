"""The library's reference: complete, unambiguous, and prose that is no markup by accident."""

import ast
import re
from pathlib import Path

import pytest

from jepascope.book import api
from jepascope.closure import PACKAGE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    (folder / "api.md").write_text("# The library\n\n")
    assert set(api.write_pages(folder)) == {f"api/{file.stem}" for file in (folder / "api").iterdir()}
    return folder


def text_of(folder: Path) -> str:
    return "\n".join(file.read_text() for file in sorted((folder / "api").iterdir()))


def test_every_public_name_of_the_library_has_one_entry(folder: Path) -> None:
    told = re.findall(r'<h\d id="([^"]+)">', text_of(folder))
    assert len(told) == len(set(told))
    for file in PACKAGE.rglob("*.py"):
        parts = [part for part in file.relative_to(PACKAGE).with_suffix("").parts if part != "__init__"]
        within = ".".join(parts) or "jepascope"
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and file.name != "__main__.py":
                assert (f"{within}.{node.name}" in told) != node.name.startswith("_")


def test_there_is_a_page_for_each_room_that_the_table_of_contents_can_name(folder: Path) -> None:
    names = [room.page for room in api.rooms()]
    assert names[0] == "api/jepascope"
    assert {"api/analysis", "api/analysis_sae", "api/cohort_synthetic"} <= set(names)
    for name in names:
        text = (folder / f"{name}.md").read_text()
        assert text.startswith("# ")
        assert text.count("```{raw} html\n") == text.count("\n## ") + 1 == text.count("\n```\n")


def test_every_room_and_every_module_says_in_a_line_what_it_is(folder: Path) -> None:
    front = (folder / "api.md").read_text()
    for room in api.rooms():
        assert room.about.endswith((".", "?")), room.name
        assert f"]({room.page}.md): {room.about}\n" in front
        text = (folder / f"{room.page}.md").read_text()
        lines = re.findall(r"<td>([^<]*(?:<code>[^<]*</code>[^<]*)*)</td></tr>", text)
        assert len(lines) == sum(file.name != "__init__.py" for file in room.files)
        assert all(line.endswith((".", "?", "…")) for line in lines), (room.name, lines)


def test_prose_means_itself_and_backticks_mean_code() -> None:
    told = api.prose("Of x [N, D] < 3: `a < b` and *not* $this$.\n\n    e = z − ẑ\n\n* one `f`\n* two")
    assert told.splitlines() == [
        "<p>Of x [N, D] &lt; 3: <code>a &lt; b</code> and *not* $this$.</p>",
        '<pre style="white-space: pre-wrap">e = z − ẑ</pre>',
        "<ul><li>one <code>f</code></li><li>two</li></ul>",
    ]


def test_an_entry_shows_signature_fields_with_their_comments_and_public_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = '''"""A module."""


class Found(NamedTuple):
    """What was found."""

    z: np.ndarray  # [N, D]
    note: str = Field(
        "none", description="why"
    )

    @property
    def size(self) -> int:
        """N."""
        return len(self.z)

    def _hidden(self) -> None:
        """Not told."""


def find(
    x: np.ndarray, level: float = 0.95
) -> Found:
    """Find it."""
    secret = 1
'''
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "__init__.py").write_text('"""A room."""')
    (tmp_path / "room" / "finding.py").write_text(source)
    monkeypatch.setattr(api, "PACKAGE", tmp_path)
    [room] = api.rooms()
    told = api.page(room)
    assert "    z: np.ndarray  # [N, D]\n    note: str = Field(\n        &quot;none&quot;" in told
    assert "def find(\n    x: np.ndarray, level: float = 0.95\n) -&gt; Found:</pre>" in told
    assert '<h4 id="room.finding.Found.size">' in told
    assert "@property\ndef size(self) -&gt; int:" in told
    assert "secret" not in told
    assert "_hidden" not in told


def test_a_module_that_was_edited_is_shown_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches the book renders it again after each save, in one process."""
    monkeypatch.setattr(api, "PACKAGE", tmp_path)
    (tmp_path / "__init__.py").write_text('"""A room."""')
    for word in ("first", "second"):
        (tmp_path / "a.py").write_text(f'"""The {word} line."""\n\n\ndef {word}() -> None:\n    """One."""\n')
        [room] = api.rooms()
        told = api.page(room)
        assert f"The {word} line." in told
        assert f'id="a.{word}"' in told
