"""Where a chapter's results lie, what they follow from, and whether they still do.

A page has two halves. What computes (its code cells and all they reach, its parameters, what it reads) has a key: when
that moves, the page is run again. Its text has a hash of its own: when only that moves, `weaving` puts the new prose
around the outputs that are there.

Every job of a run asks these questions, and most find nothing to do: nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jepascope.book.notebooks import ChapterSource
from jepascope.closure import code_fingerprint
from jepascope.params import Profile, params_folder, project_root
from jepascope.steps import SIDECAR, content
from jepascope.store import fingerprint, read_json

RESULTS = "results.json"
EXECUTED = "executed.ipynb"
DONE = "done.json"


def run_folder(profile: str, chapter: str, seed: int | None) -> Path:
    """Where a chapter's results lie."""
    return project_root() / "runs" / profile / ("all" if seed is None else str(seed)) / chapter


def resolved_parameters(source: ChapterSource, profile: Profile) -> dict[str, Any]:
    """The profile's values of just what the chapter declares, as plain data: a change of them can move its results."""
    return profile.model_dump(include=set(source.depends_on))


def outside(source: ChapterSource, profile: Profile) -> str | None:
    """Hash what the chapter reads from outside the run store, if it does: the listing of the records, and the waivers.

    A chapter whose code asks for the `waiver_file` reads it: a waiver that came, went or changed is for the next run.
    """
    found = []
    if "source" in source.depends_on and profile.source.root is not None:
        found.append(project_root() / profile.source.root)
    if "waiver_file" in source.code:
        found.append(params_folder() / "waivers" / f"{profile.profile}.yaml")
    there = {path.name: content(path) for path in found if path.exists()}
    return fingerprint(there) if there else None


def chapter_key(source: ChapterSource, profile: Profile, read: Mapping[str, str]) -> str:
    """Hash everything a chapter's results follow from: its code's closure, its parameters, what it may read and read.

    Its prose is left out, and so are the methods its header names: they move the page and no result. Its code is in as
    it is written, comments and all, since the page shows it.
    """
    parameters = resolved_parameters(source, profile)
    code = [source.code, code_fingerprint(source.code, place=str(source.path))]
    return fingerprint([list(source.reads), code, parameters, outside(source, profile), dict(read)])


def text_hash(source: ChapterSource) -> str:
    """Hash a chapter's source as it was read: prose, code and header."""
    return fingerprint(source.text)


def recorded_keys(values: Iterable[str], claims: Iterable[Mapping[str, Any]]) -> set[str]:
    """List what prose may ask for: each recorded number, alone or with its interval, each claim's box and verdict.

    A claim about another seed than the page's has a key of its own; the name of its recorded estimate tells which.
    """
    values = set(values)
    keys = {key for claim in claims for key in (claim["id"], f"{claim['id']}_seed{claim['seed']}")}
    boxes = {key for key in keys if f"{key}_estimate" in values}
    return {*values, *(f"{name}_interval" for name in values), *boxes, *(f"{key}_verdict" for key in boxes)}


def result_content(path: Path) -> str:
    """Hash what a results.json says, leaving out when and how fast it was made."""
    result = read_json(path)
    return fingerprint([result["values"], result["claims"], result["tier"]])


def chapter_content(folder: Path) -> str:
    """Hash what other chapters can read of this one: its results and the content of its steps."""
    steps = sorted(sidecar.parent for sidecar in folder.glob(f"[!.]*/{SIDECAR}"))
    return fingerprint([result_content(folder / RESULTS), {step.name: content(step) for step in steps}])


def is_computed(source: ChapterSource, profile: Profile, seed: int | None) -> bool:
    """Tell whether the chapter's results follow from its code, parameters and inputs as they are now."""
    results = run_folder(profile.profile, source.name, seed) / RESULTS
    if not results.exists():
        return False
    recorded = read_json(results)
    read = {}
    for relative in recorded["read"]:
        path = project_root() / relative
        if not path.exists():
            return False
        read[relative] = result_content(path) if path.name == RESULTS else content(path)
    return recorded["key"] == chapter_key(source, profile, read)


def is_current(source: ChapterSource, profile: Profile, seed: int | None) -> bool:
    """Tell whether the chapter's page is the one that its text, code, parameters and inputs would give now."""
    results = run_folder(profile.profile, source.name, seed) / RESULTS
    return is_computed(source, profile, seed) and read_json(results).get("text") == text_hash(source)
