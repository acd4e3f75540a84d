"""A run as its pages showed it, kept under a name: claims, numbers, figures, tables, parameters, notebooks.

Only what a page shows goes in, never a step's folder: a snapshot holds aggregates, of the same tier as its run. It
stays on this machine.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from jepascope.book.chapter import RESULTS, run_folder
from jepascope.book.notebooks import ChapterSource, read_book
from jepascope.book.staging import page_name, stage
from jepascope.params import ParameterError, project_root
from jepascope.store import StoreError, read_json, write_json

NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
NOW = "now"  # stands for the run as it is
NOTEBOOK = "notebook.ipynb"
SNAPSHOT = "snapshot.json"


class Snapshot(NamedTuple):
    """A kept run."""

    folder: Path
    name: str
    profile: str
    tier: str
    seeds: tuple[int, ...]
    made: str  # when, UTC
    outdated: tuple[str, ...]  # pages whose sources had moved since they ran
    results: dict[tuple[str, int | None], dict[str, Any]]  # (chapter, seed) -> its results.json


def take(name: str, profile: str, seeds: Sequence[int]) -> Path:
    """Keep a finished run as `snapshots/<name>`, which appears only when it is whole; returns the folder.

    Raises ParameterError when the name is no name or taken, StoreError when a chapter hasn't run or tiers are mixed.
    """
    if not NAME.fullmatch(name) or name == NOW:
        raise ParameterError(f"{name!r} is no name for a snapshot: letters, digits, '.', '-', '_'; {NOW!r} is taken")
    target = project_root() / "snapshots" / name
    if target.exists():
        raise ParameterError(f"{target} exists: a snapshot isn't changed; take another name, or remove it")
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}.") as work:
        gather(Path(work) / name, name, profile, seeds)
        (Path(work) / name).rename(target)
    return target


def gather(folder: Path, name: str, profile: str, seeds: Sequence[int]) -> Snapshot:
    """Fill a new folder with what a run's pages show: `<seed|all>/<chapter>/` with results, notebook and figures.

    Raises StoreError when a chapter hasn't run, ran again meanwhile, or tiers are mixed.
    """
    with tempfile.TemporaryDirectory() as pages:
        outdated = stage(Path(pages) / "source", profile, seeds)
        tiers = {
            _keep(folder, Path(pages) / "source", profile, chapter, seed, reference=seed in (None, seeds[0]))
            for chapter in read_book().chapters
            for seed in (seeds if chapter.per_seed else [None])
        }
    facts = {
        "name": name,
        "profile": profile,
        "tier": tiers.pop(),  # staging has refused more than one
        "seeds": list(seeds),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "outdated": outdated,
    }
    write_json(folder / SNAPSHOT, facts)
    return read_snapshot(folder)


def read_snapshot(folder: Path) -> Snapshot:
    """Read a snapshot's facts and results. Raises StoreError when there is none."""
    if not (folder / SNAPSHOT).exists():
        known = ", ".join(sorted(path.parent.name for path in folder.parent.glob(f"[!.]*/{SNAPSHOT}"))) or "none"
        raise StoreError(f"there is no snapshot {folder.name!r} (known: {known}); `jepascope snapshot NAME` takes one")
    facts = read_json(folder / SNAPSHOT)
    results = [read_json(file) for file in sorted(folder.glob(f"*/*/{RESULTS}"))]
    return Snapshot(
        folder,
        facts["name"],
        facts["profile"],
        facts["tier"],
        tuple(facts["seeds"]),
        facts["made"],
        tuple(facts["outdated"]),
        {(result["chapter"], result["seed"]): result for result in results},
    )


def place_of(snapshot: Snapshot, chapter: str, seed: int | None) -> Path:
    """The folder of one chapter's run within a snapshot."""
    return snapshot.folder / ("all" if seed is None else str(seed)) / chapter


def _keep(
    folder: Path, source: Path, profile: str, chapter: ChapterSource, seed: int | None, reference: bool
) -> str:  # fmt: skip
    made = run_folder(profile, chapter.name, seed)
    kept = folder / ("all" if seed is None else str(seed)) / chapter.name
    (kept / "figures").mkdir(parents=True)
    result, page = read_json(made / RESULTS), source / f"{page_name(chapter, seed, reference)}.ipynb"
    if result["key"][:12] not in page.read_text():  # a page tells its run's key
        raise StoreError(f"{made} ran again while it was being copied: take the snapshot when the run has ended")
    write_json(kept / RESULTS, result)
    shutil.copyfile(page, kept / NOTEBOOK)
    for figure in result["figures"]:
        shutil.copyfile(made / "figures" / f"{figure['name']}.png", kept / "figures" / f"{figure['name']}.png")
    return str(result["tier"])
