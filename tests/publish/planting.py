"""How a leak is planted, and what is expected of the gate."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jepascope.publish.check import Rule
from tests.publish.trees import (
    ROWS,
    SUBJECT,
    TITLES,
    notebook,
    table,
    write_page,
    write_sidecars,
)


class Leak(NamedTuple):
    """A leak: what it does to a clean tree, which checks find it, in which file, and at which place."""

    name: str
    plant: Callable[[Path], None]
    rules: tuple[Rule, ...]
    file: str
    where: str  # a pattern
    value: str = ""  # what no report may repeat
    tier: str = "credentialed"


def page(body: str) -> Callable[[Path], None]:
    """A second page with this body, and its sidecars."""
    return lambda folder: write_page(folder, "credentialed", body, "other")


def text(name: str, content: str | bytes) -> Callable[[Path], None]:
    """Another file."""

    def plant(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return plant


def book(*given: dict, **changes: object) -> Callable[[Path], None]:
    """A second notebook with these outputs; `metadata` and `source` of its cell may be given."""

    def plant(folder: Path) -> None:
        written = notebook("credentialed", *given, source=str(changes.pop("source", "chapter.close()")))
        written["metadata"] = changes.pop("metadata", {})
        (folder / "_sources" / "other.ipynb").write_text(json.dumps(written))

    return plant


def rows(
    *changed: tuple[str, ...], titles: tuple[str, ...] = TITLES, caption: str = "Groups."
) -> Callable[[Path], None]:
    """A second page whose table has these rows."""
    return page(table(titles, changed, caption))


def edited(name: str, before: str, after: str) -> Callable[[Path], None]:
    """A file of the clean tree, changed."""

    def plant(folder: Path) -> None:
        old = (folder / name).read_text()
        assert before in old
        (folder / name).write_text(old.replace(before, after))

    return plant


def zipped(folder: Path) -> None:
    with zipfile.ZipFile(folder / "downloads.zip", "w") as archive:
        archive.writestr("records.csv", f"subject_id\n{SUBJECT}\n")


def linked(folder: Path) -> None:
    (folder / "records").symlink_to(folder.parent)


def marked(number: int) -> str:
    return f'<svg width="9">{"<circle cx=1 cy=1 r=1 />" * number}</svg>'


def unlisted(folder: Path) -> None:
    write_page(folder, "credentialed", table() + table(rows=[ROWS[0]]), "other")
    (folder / "_static" / "disclosure" / "other.json").unlink()


def thin(folder: Path) -> None:
    write_page(folder, "credentialed", table(), "other")
    write_sidecars(folder, "other", (folder / "other.html").read_bytes(), patients=[4])
