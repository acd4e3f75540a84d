"""Editing: a chapter opened as a notebook, saved through a real server, written back to its source."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from jepascope.book import editing
from jepascope.book.editing import edit, ended, lab_command, open_notebook, with_cells, write_back
from jepascope.book.notebooks import ChapterError, parse_notebook, read_book
from jepascope.params import ParameterError, load_profile, project_root
from jepascope.store import StoreError
from tests.book.sources import HEAD, PARAMETERS

SOURCE = f"""{HEAD.replace("reads: []", "reads: [01_extraction]")}{PARAMETERS}
```{{code-cell}} python
from jepascope.book.chapter import open_chapter

chapter = open_chapter("05_one", globals())
```

```{{code-cell}} python
print(chapter.seed, chapter.params.profile, chapter.params.sae.epochs)
```
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two chapters, of which the first has finished."""
    project = tmp_path / "project"
    (project / "book").mkdir(parents=True)
    for name in ("_config.yml", "params/ci.yaml"):
        (project / name).parent.mkdir(exist_ok=True)
        shutil.copy(project_root() / name, project / name)
    (project / "book" / "05_one.md").write_text(SOURCE)
    first = SOURCE.replace("[01_extraction]", "[]").replace("seed = 0\n", "")
    (project / "book" / "01_extraction.md").write_text(first)
    monkeypatch.chdir(project)
    finished = project / "runs" / "ci" / "all" / "01_extraction" / "results.json"
    finished.parent.mkdir(parents=True)
    finished.write_text("{}")
    return project


def opened(project: Path, seed: int = 1) -> Path:
    return open_notebook(read_book().find("05"), "ci", seed)


def saved(notebook: Path) -> None:
    """Save the notebook as Jupyter does, our hook behind it."""
    write_back(str(notebook), {"type": "notebook"})


def source(project: Path) -> str:
    return (project / "book" / "05_one.md").read_text()


def change(notebook: Path, old: str, new: str) -> None:
    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        cell.source = cell.source.replace(old, new)
    nbformat.write(content, notebook)


@pytest.mark.parametrize("chapter", read_book().chapters, ids=lambda chapter: chapter.name)
def test_a_source_that_is_opened_and_saved_is_the_same_to_the_byte(chapter: Any) -> None:
    assert with_cells(chapter.text, parse_notebook(chapter.text)) == chapter.text


def test_a_save_writes_prose_and_code_back_and_no_output_parameter_or_cell_setting(project: Path) -> None:
    notebook = opened(project)
    content = nbformat.read(notebook, as_version=4)
    assert "seed = 1" in content.cells[2].source  # injected below the parameters cell
    content.cells[0].source = "# One, edited"
    content.cells[4].update(outputs=[nbformat.v4.new_output("stream", text="1 ci 3")], execution_count=3)
    content.cells[4].metadata.update(collapsed=True, tags=["hide-input"])
    content.cells.append(nbformat.v4.new_code_cell("  "))
    nbformat.write(content, notebook)
    saved(notebook)
    wanted = SOURCE.replace("# One", "# One, edited").replace("python\nprint", "python\n:tags: [hide-input]\n\nprint")
    assert source(project) == wanted


def refused(notebook: Path) -> list[Path]:
    """What was saved and could not be written to the source."""
    return list(notebook.parent.glob("05_one.refused-*.ipynb"))


def test_a_source_changed_by_another_hand_is_left_alone_and_what_was_saved_is_kept(project: Path) -> None:
    notebook = opened(project)
    elsewhere = SOURCE.replace("# One", "# One, by another hand")
    (project / "book" / "05_one.md").write_text(elsewhere)
    saved(notebook)  # nothing was edited here: an autosave refuses nothing
    change(notebook, "# One", "# One, edited")
    for _ in range(2):  # an autosave asks again
        with pytest.raises(ChapterError, match="changed elsewhere since it was opened here"):
            saved(notebook)
    assert source(project) == elsewhere
    (kept,) = refused(notebook)
    opened(project)
    assert "# One, by another hand" in notebook.read_text()
    assert "# One, edited" in kept.read_text()


def test_a_header_changed_by_another_hand_is_kept_and_stands_in_no_saves_way(project: Path) -> None:
    notebook = opened(project)
    header = SOURCE.replace("reads: [01_extraction]", "reads: [01_extraction, 03_training]")
    (project / "book" / "05_one.md").write_text(header)
    change(notebook, "# One", "# One, edited")
    saved(notebook)
    assert source(project) == header.replace("# One", "# One, edited")


def test_one_save_after_another_is_not_taken_for_another_hand(project: Path) -> None:
    notebook = opened(project)
    for old, new in (("# One", "# Two"), ("# Two", "# Three")):
        change(notebook, old, new)
        saved(notebook)
    assert "# Three" in source(project)


def test_a_cell_that_markdown_cannot_hold_is_refused_and_what_was_saved_is_kept(project: Path) -> None:
    notebook = opened(project)
    change(notebook, "# One", "# One\n\n```{code-cell} python\nprint(1)\n```")
    with pytest.raises(ChapterError, match="would not read back from Markdown"):
        saved(notebook)
    assert source(project) == SOURCE
    opened(project)
    assert "print(1)" not in notebook.read_text()
    assert [path for path in refused(notebook) if "print(1)" in path.read_text()]


def test_a_notebook_that_no_chapter_was_opened_in_is_none_of_our_business(project: Path) -> None:
    notebook = opened(project)
    scratch = notebook.with_name("Untitled.ipynb")
    shutil.copy(notebook, scratch)
    saved(scratch)
    assert source(project) == SOURCE


def test_a_chapter_whose_inputs_are_missing_is_not_opened_and_the_command_is_named(project: Path) -> None:
    (project / "runs" / "ci" / "all" / "01_extraction" / "results.json").unlink()
    with pytest.raises(StoreError, match="`jepascope run 01 --profile ci` makes what is missing"):
        opened(project)
    with pytest.raises(ParameterError, match="needs --seed"):
        open_notebook(read_book().find("05"), "ci", None)


def test_ctrl_c_is_left_to_jupyterlab_which_asks_back() -> None:
    class Lab:
        """A server whose user says no at first."""

        returncode: int | None = None
        asked = 0

        def poll(self) -> int | None:
            return self.returncode

        def wait(self) -> None:
            self.asked += 1
            if self.asked == 1:
                raise KeyboardInterrupt
            self.returncode = 0

    lab: Any = Lab()
    assert ended(lab) == 0
    assert lab.asked == 2


def test_a_server_that_fails_is_no_end_of_an_edit(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editing.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(editing, "lab_command", lambda notebook: [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(ChapterError, match="stopped with status 3"):
        edit("05", "ci", 1)


def test_a_chapter_is_being_edited_as_long_as_its_server_lives(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = project / "gate"
    os.mkfifo(gate)
    servers: list[Any] = []
    monkeypatch.setattr(editing.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(editing, "lab_command", lambda _: [sys.executable, "-c", f"open({str(gate)!r}).read()"])
    monkeypatch.setattr(editing, "ended", servers.append)  # we were killed, it was not
    edit("05", "ci", 1)
    with pytest.raises(ChapterError, match="another editing of 05_one is under way"):
        edit("05", "ci", 1)
    gate.write_text("")
    servers[0].wait()
    edit("05", "ci", 1)
    gate.write_text("")
    servers[1].wait()


@pytest.fixture
def server(project: Path) -> Iterator[tuple[Path, str]]:
    """A real server, as `jepascope edit` starts it, and how to reach the notebook in it."""
    pytest.importorskip("jupyterlab", reason="JupyterLab (extra `edit`) is not installed")
    notebook = opened(project)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*lab_command(notebook), "--no-browser", f"--ServerApp.port={port}", "--allow-root"]
    folders = {f"JUPYTER_{name}_DIR": str(project.parent / name) for name in ("RUNTIME", "CONFIG", "DATA")}
    environment = {**os.environ, **folders, "JUPYTER_TOKEN": "secret"}
    with (project.parent / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=log)
        yield notebook, f"http://127.0.0.1:{port}/api/contents/{notebook.name}"
        process.terminate()
        process.wait()


def ask(url: str, content: Any = None) -> Any:
    data = None if content is None else json.dumps({"type": "notebook", "content": content}).encode()
    request = urllib.request.Request(
        url, data, {"Authorization": "token secret"}, method="GET" if data is None else "PUT"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def answered(url: str) -> Any:
    for _ in range(300):
        try:
            return ask(url)
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError("the server did not answer within 30 seconds")


def test_a_notebook_saved_in_jupyterlab_reaches_the_source_and_runs_with_the_injected_parameters(
    project: Path, server: tuple[Path, str]
) -> None:
    notebook, url = server
    content = answered(url)["content"]
    content["cells"][0]["source"] = "# One, saved in the browser"
    ask(url, content)
    assert source(project) == SOURCE.replace("# One", "# One, saved in the browser")

    (project / "book" / "05_one.md").write_text(SOURCE)
    content["cells"][0]["source"] = "# One, saved over another hand"
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(url, content)
    assert "were changed elsewhere since it was opened here" in json.load(refused.value)["message"]
    assert source(project) == SOURCE

    opened_there = nbformat.read(notebook, as_version=4)
    NotebookClient(opened_there, resources={"metadata": {"path": notebook.parent}}).execute()
    assert opened_there.cells[-1].outputs[0].text.split() == ["1", "ci", str(load_profile("ci").sae.epochs)]
