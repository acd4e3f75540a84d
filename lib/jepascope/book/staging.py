"""The executed chapters of one profile, staged as the sources of a Jupyter Book.

The first seed's chapters are published in full; every other seed's run of a chapter is a page below it, with the
targets of its labels removed so that a label means one place.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import yaml

from jepascope.book import api
from jepascope.book.certificates import badges, load_certificates
from jepascope.book.notebooks import ChapterError, ChapterSource, book_folder, read_book
from jepascope.book.standing import EXECUTED, RESULTS, is_current, run_folder
from jepascope.book.weaving import is_injected
from jepascope.params import load_profile, project_root
from jepascope.publish.tiers import BANNERS
from jepascope.publish.tree import DISCLOSURE
from jepascope.store import StoreError, atomic, read_json, write_json

LABEL = re.compile(r"^\([\w-]+\)=\n", re.MULTILINE)


def stage(folder: Path, profile: str, seeds: Sequence[int]) -> list[str]:
    """Make `folder` hold the book's sources, and name the pages whose own sources have moved since they ran.

    Only files whose content differs are written, so that a renderer which looks at times renders what changed. Raises
    StoreError when a chapter has not run or data tiers are mixed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = folder.with_name(f".{folder.name}.made")  # one name, so that what a killed call left goes with the next
    shutil.rmtree(made, ignore_errors=True)
    try:
        outdated = _stage(made, profile, seeds)
        _mirror(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return outdated


def _stage(stage: Path, profile: str, seeds: Sequence[int]) -> list[str]:
    shutil.copytree(book_folder(), stage, ignore=shutil.ignore_patterns("*.ipynb", ".*", "*~"))
    chapters = {chapter.name: chapter for chapter in read_book().chapters}
    profiles = {seed: load_profile(profile, {"seeds": list(seeds)}, seed) for seed in (*seeds, None)}
    certificates = load_certificates(profile)
    tiers, outdated = set(), []
    for chapter in chapters.values():
        (stage / chapter.path.name).unlink()
        line = badges(chapter.methods, certificates) if chapter.methods else None
        for seed in seeds if chapter.per_seed else [None]:
            below = None if seed in (None, seeds[0]) else seed
            name = page_name(chapter, seed, below is None)
            if not is_current(chapter, profiles[seed], seed):
                outdated.append(name)
            tiers.add(_stage_chapter(stage, name, run_folder(profile, chapter.name, seed), below, line))
    if len(tiers) != 1:
        raise StoreError(f"profile {profile} mixes data tiers {sorted(tiers)}: a book has one")
    config, toc = (_read_yaml(project_root() / name) for name in ("_config.yml", "_toc.yml"))
    _write_yaml(stage / "_config.yml", _config(config, tiers.pop(), profile))
    _write_yaml(stage / "_toc.yml", _toc(toc, chapters, seeds, api.write_pages(stage)))
    return outdated


def _mirror(made: Path, folder: Path) -> None:
    """Bring `folder` to what was made, leaving alone the files that are the same."""
    wanted = {file.relative_to(made) for file in made.rglob("*") if file.is_file()}
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        if file.relative_to(folder) not in wanted:
            file.unlink()
    for name in wanted:
        new, old = made / name, folder / name
        if not old.exists() or new.read_bytes() != old.read_bytes():
            old.parent.mkdir(parents=True, exist_ok=True)
            new.touch()  # a copy has its source's time, which may lie before the last rendering
            new.replace(old)


def _stage_chapter(stage: Path, name: str, folder: Path, seed: int | None, line: str | None) -> str:
    """Stage a run of a chapter as the page `name`, and return its data tier.

    `seed` stands in the title of a page below the reference seed's, `line` (its certificates) under it.
    """
    if not (folder / EXECUTED).exists() or not (folder / RESULTS).exists():
        raise StoreError(f"{folder} has no finished run: `jepascope run --profile {folder.parts[-3]}` makes it")
    with atomic(stage / f"{name}.ipynb") as temporary:
        temporary.write_text(_page(folder / EXECUTED, seed, line))
    result = read_json(folder / RESULTS)
    if result.get("disclosure"):
        write_json(stage / DISCLOSURE / f"{name}.json", result["disclosure"])
    return result["tier"]


def _page(executed: Path, seed: int | None, line: str | None) -> str:
    notebook = nbformat.read(executed, as_version=4)
    notebook.metadata.pop("papermill", None)
    # The parameters are in the provenance table, without paths of this machine.
    notebook.cells = [cell for cell in notebook.cells if not is_injected(cell)]
    for cell in notebook.cells:
        _stage_cell(cell)
    if line is not None:
        notebook.cells.insert(1, nbformat.v4.new_markdown_cell(line, id="certificates"))
    if seed is not None:
        for cell in notebook.cells:
            cell.source = LABEL.sub("", cell.source)
        first = notebook.cells[0]
        first.source = re.sub(r"^# (.*)$", rf"# \1, seed {seed}", first.source, count=1, flags=re.MULTILINE)
    return nbformat.writes(notebook) + "\n"


def page_name(chapter: ChapterSource, seed: int | None, reference: bool) -> str:
    """Name the page of a chapter's run: the reference seed's page has the chapter's own name."""
    return chapter.name if reference else f"{chapter.name}_seed{seed}"


def _stage_cell(cell: nbformat.NotebookNode) -> None:
    """Fold code away, one click from the reader, and leave out what libraries said on standard error."""
    cell.metadata.pop("papermill", None)
    if cell.cell_type == "code":
        tags = cell.metadata.get("tags", [])
        cell.metadata["tags"] = [*tags, "remove-input" if "parameters" in tags else "hide-input"]
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]


def _config(config: dict[str, Any], tier: str, profile: str) -> dict[str, Any]:
    theme = config.setdefault("sphinx", {}).setdefault("config", {}).setdefault("html_theme_options", {})
    theme["announcement"] = f"{BANNERS[tier]} Profile <strong>{profile}</strong>."
    return config


def _toc(
    toc: dict[str, Any], chapters: dict[str, ChapterSource], seeds: Sequence[int], rooms: Sequence[str]
) -> dict[str, Any]:
    """The table of contents with what lies below its pages: other seeds' runs, and the rooms of the library."""
    for part in toc["parts"]:
        for entry in part["chapters"]:
            if entry["file"] == "api":
                entry["sections"] = [{"file": room} for room in rooms]
            chapter = chapters.get(entry["file"])
            if chapter is not None and chapter.per_seed and len(seeds) > 1:
                entry["sections"] = [{"file": page_name(chapter, seed, False)} for seed in seeds[1:]]
    return toc


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ChapterError(f"{path} is not valid YAML: {error}") from error


def _write_yaml(path: Path, value: Any) -> None:
    path.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
