"""New prose in an executed chapter without running it: the words of the source around the outputs of the run.

An edit of prose moves no result, yet a run would start a kernel and import everything to show the same figures. Where
the cells that compute are those that ran, the new page is put together from both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import nbformat

from jepascope.book import pages
from jepascope.book.notebooks import ChapterError, ChapterSource, parse_notebook
from jepascope.book.standing import EXECUTED, RESULTS, is_computed, recorded_keys, run_folder, text_hash
from jepascope.params import Profile
from jepascope.store import atomic, read_json, write_json

INJECTED = "injected-parameters"  # papermill's tag of the cell that it adds


def weave(source: ChapterSource, profile: Profile, seed: int | None) -> bool:
    """Make the chapter's executed notebook say what the source says now; False when only a run can do that.

    Raises ChapterError, and changes nothing, when the prose uses a number that the run didn't record.
    """
    folder = run_folder(profile.profile, source.name, seed)
    if not (folder / EXECUTED).exists() or not is_computed(source, profile, seed):
        return False
    ran, results = nbformat.read(folder / EXECUTED, as_version=4), read_json(folder / RESULTS)
    woven = parse_notebook(source.text)
    if _computing(ran) != _computing(woven):
        return False
    check_prose(source, results["values"], results["claims"])
    _take_over(woven, ran)
    with atomic(folder / EXECUTED) as temporary:
        nbformat.write(woven, temporary)
    # Last: killed before this line, the chapter counts as out of date and is woven once more.
    write_json(folder / RESULTS, {**results, "text": text_hash(source)})
    return True


def check_prose(source: ChapterSource, values: Iterable[str], claims: Iterable[Mapping[str, Any]]) -> None:
    """Raise ChapterError when the prose uses a number that no code recorded."""
    unknown = pages.glued_keys(source.text) - recorded_keys(values, claims)
    if unknown:
        raise ChapterError(f"{source.path}: the prose uses {sorted(unknown)}, which no code recorded")


def is_injected(cell: nbformat.NotebookNode) -> bool:
    """Tell papermill's cell of injected parameters from the cells of the source."""
    return INJECTED in cell.metadata.get("tags", [])


def _computing(notebook: nbformat.NotebookNode) -> list[tuple[str, list[str]]]:
    """The code cells of the source, each with its tags, in order."""
    code = (cell for cell in notebook.cells if cell.cell_type == "code" and not is_injected(cell))
    return [(cell.source, cell.metadata.get("tags", [])) for cell in code]


def _take_over(woven: nbformat.NotebookNode, ran: nbformat.NotebookNode) -> None:
    """Move the executed cells, outputs and all, to their places in the new notebook; ids are those of the places."""
    woven.metadata = {**ran.metadata, **woven.metadata}
    executed = [cell for cell in ran.cells if cell.cell_type == "code"]
    cells = []
    for cell in woven.cells:
        if cell.cell_type == "code":
            cells.append({**executed.pop(0), "id": cell["id"]})
            if executed and is_injected(executed[0]):  # it stands right after the parameters cell
                cells.append(executed.pop(0))
        else:
            cell.metadata.setdefault("tags", [])  # as papermill leaves it: a woven page is the page of a run
            cells.append(cell)
    woven.cells = [nbformat.from_dict(cell) for cell in cells]
    woven.nbformat_minor = ran.nbformat_minor
