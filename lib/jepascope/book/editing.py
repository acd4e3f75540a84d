"""A chapter as a notebook in JupyterLab: every save of the notebook is written back to its Markdown source.

The notebook is a view: it lies under `_build/edit/`, has a profile's and a seed's parameters injected so that its cells
run as they would in the book, and carries outputs. The source stays what git holds: prose and code, no output. Its
header isn't in the notebook, and may be changed elsewhere meanwhile.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from papermill.parameterize import parameterize_notebook

from jepascope.book.notebooks import ChapterError, ChapterSource, parse_notebook, read_book
from jepascope.book.run import given_parameters, kernel_environment, only_one
from jepascope.book.standing import RESULTS, run_folder
from jepascope.book.weaving import is_injected
from jepascope.params import ParameterError, Profile, load_profile, project_root
from jepascope.store import StoreError, atomic, fingerprint, read_json, write_json

HEADER_END = "\n---\n"


def edit(prefix: str, profile: str, seed: int | None) -> None:
    """Open a chapter in JupyterLab and stay until the server is stopped.

    Raises as `open_notebook`, ChapterError when the chapter is being edited already, or JupyterLab is missing or fails.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise ChapterError("JupyterLab is missing: `pip install -c constraints.txt -e '.[edit]'` installs it")
    source = read_book().find(prefix)
    with only_one(_state(_notebook_path(source, profile, seed)).parent, f"editing of {source.name}") as lock:
        notebook = open_notebook(source, profile, seed)
        # A token of its own, through the environment: a command line can be read by whoever is on this machine.
        with kernel_environment():
            environment = {**os.environ, "JUPYTER_TOKEN": secrets.token_hex(24)}
            # It holds the lock with us: should we be killed alone, the chapter is still being edited.
            lab = subprocess.Popen(lab_command(notebook), cwd=project_root(), env=environment, pass_fds=[lock])
        if ended(lab):
            raise ChapterError(f"JupyterLab stopped with status {lab.returncode}; above it says why")


def ended(lab: subprocess.Popen) -> int:
    """Wait for JupyterLab's end and return its exit status; Ctrl-C is a question to it, and it asks back."""
    while lab.poll() is None:
        with contextlib.suppress(KeyboardInterrupt):
            lab.wait()
    return lab.returncode


def lab_command(notebook: Path) -> list[str]:
    """JupyterLab on this notebook, for this machine and user alone, with our hook behind every save."""
    options = {
        "ServerApp.ip": "127.0.0.1",
        "KernelManager.transport": "ipc",  # the kernel holds records: no TCP port for it
        "FileContentsManager.post_save_hook": "jepascope.book.editing.write_back",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "jupyterlab", str(notebook), *flags]


def open_notebook(source: ChapterSource, profile: str, seed: int | None) -> Path:
    """Write the chapter as a notebook with the profile's and the seed's parameters injected, and return its path.

    Raises ParameterError when the chapter takes a seed and none is given, or the other way round, StoreError when a
    chapter that it reads has not finished.
    """
    if source.per_seed != (seed is not None):
        raise ParameterError(f"{source.name} {'needs --seed' if source.per_seed else 'runs once: leave --seed out'}")
    params = load_profile(profile, seed=seed)
    _need_inputs(source, params, seed)
    notebook = parse_notebook(source.text)
    notebook.metadata["papermill"] = {}  # which papermill expects to find, as it does tags
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
    notebook = parameterize_notebook(notebook, given_parameters(source, params, seed))
    del notebook.metadata["papermill"]
    path = _notebook_path(source, profile, seed)
    with atomic(path) as temporary:
        nbformat.write(notebook, temporary)
    opened = {"source": str(source.path.relative_to(project_root())), "cells": _hash_of_cells(source.text)}
    write_json(_state(path), {**opened, "time": time.strftime("%Y%m%d-%H%M%S")})
    return path


def write_back(os_path: str, model: Mapping[str, Any], contents_manager: Any = None) -> None:
    """Write a saved notebook's cells back to the source that it was opened from; Jupyter calls this after each save.

    What it raises, Jupyter shows to whoever saved. Raises ChapterError when the source can't be written: its cells were
    changed by another hand since they were opened or last saved, or would not read back as those that were saved. Then
    the source is left alone, and a copy of what was saved is kept, which the next `jepascope edit` leaves alone, too.
    """
    notebook = Path(os_path)
    state = _state(notebook)
    if model["type"] != "notebook" or not state.exists():
        return
    opened = read_json(state)
    try:
        cells = _write_cells(project_root() / opened["source"], notebook, opened["cells"])
    except Exception as error:
        kept = notebook.with_name(f"{notebook.stem}.refused-{opened['time']}.ipynb")
        shutil.copy(notebook, kept)
        raise ChapterError(
            f"{opened['source']} was left as it is: {error}. What you saved is also in "
            f"{kept.relative_to(project_root())}, which stays."
        ) from error
    write_json(state, {**opened, "cells": cells})


def _write_cells(path: Path, notebook: Path, agreed: str) -> str:
    """Write a notebook's cells to the source, if that has the `agreed` ones or these already; return their hash."""
    text = path.read_text()
    new = with_cells(text, nbformat.read(notebook, as_version=4))
    cells = _hash_of_cells(new)
    if cells == agreed:  # an autosave, nothing written
        return agreed
    if _hash_of_cells(text) not in (agreed, cells):
        raise ChapterError(
            "its cells were changed elsewhere since it was opened here; take over by hand what you want to keep, close "
            "this notebook and run `jepascope edit` again"
        )
    with atomic(path) as temporary:
        temporary.write_text(new)
    return cells


def _hash_of_cells(text: str) -> str:
    return fingerprint(text.partition(HEADER_END)[2])


def with_cells(text: str, notebook: nbformat.NotebookNode) -> str:
    """Give the source `text` with the notebook's cells for its own: header verbatim, tags kept, outputs left out.

    The injected parameters and empty cells are left out, too. Raises ChapterError when a cell can't be written as
    Markdown that reads back the same.
    """
    made = parse_notebook(text)  # for its header, which tells jupytext how to name the language of a cell
    made.cells = [
        nbformat.from_dict({"cell_type": cell.cell_type, "source": cell.source, "metadata": _tags(cell)})
        for cell in notebook.cells
        if cell.source.strip() and not is_injected(cell)
    ]
    header, body = text.partition(HEADER_END)[0], jupytext.writes(made, fmt="md:myst").partition(HEADER_END)[2]
    new = header + HEADER_END + body
    wanted, got = ([(cell.cell_type, cell.source.strip()) for cell in n.cells] for n in (made, parse_notebook(new)))
    if wanted != got:
        lost = next((cell for cell in wanted if cell not in got), wanted[-1])
        raise ChapterError(f"a cell would not read back from Markdown as it was written: change it: {lost[1]!r}")
    return new


def _tags(cell: nbformat.NotebookNode) -> dict[str, Any]:
    return {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}


def _notebook_path(source: ChapterSource, profile: str, seed: int | None) -> Path:
    folder = f"{profile}-{'all' if seed is None else seed}"
    return project_root() / "_build" / "edit" / folder / f"{source.name}.ipynb"


def _state(notebook: Path) -> Path:
    """What the notebook was opened from, and what the source was like when the two last agreed."""
    return notebook.parent / f".{notebook.stem}" / "opened.json"


def _need_inputs(source: ChapterSource, params: Profile, seed: int | None) -> None:
    book, missing = read_book(), []
    for other in map(book.find, source.reads):
        for one in ([seed] if source.per_seed else params.seeds) if other.per_seed else [None]:
            if not (run_folder(params.profile, other.name, one) / RESULTS).exists():
                command = f"jepascope run {other.name.partition('_')[0]} --profile {params.profile}"
                missing.append(command if one is None else f"{command} --seed {one}")
    if missing:
        command = missing[0] if len(missing) == 1 else f"jepascope run --profile {params.profile}"
        raise StoreError(f"{source.name} reads chapters that have not finished: `{command}` makes what is missing")
