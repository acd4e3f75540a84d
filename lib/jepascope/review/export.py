"""Comment threads as Markdown files, one a page, for whoever wasn't there; scanned before they are written.

A comment may quote a result, so what is said about credentialed pages leaves the machine under the rules of the
publish gate. Only names of users are let through: reviewers sign with theirs.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from jepascope.params import project_root
from jepascope.publish import cells, identifiers
from jepascope.publish.alarms import Alarm
from jepascope.publish.documents import read_document
from jepascope.publish.id_filter import IdFilter, filter_of_profile
from jepascope.publish.tree import Tree
from jepascope.review.snapshot import read_snapshot
from jepascope.review.threads import DELETED, Comment, Thread, archive, database_of, read_threads
from jepascope.store import StoreError, atomic

HEADING = "# Comments on “"  # by which an export knows its own files
RULES = (
    *(identifiers.in_range, identifiers.shifted_dates, identifiers.real_ids, identifiers.paths, identifiers.tracebacks),
    *(identifiers.named_columns, cells.small_words),
)


def export_comments(profile: str, folder: Path) -> list[Path]:
    """Write `folder/<page>.md` for every page with threads, archived ones left out; returns the files.

    Files of an earlier export whose threads have been archived or deleted since are removed. Raises StoreError when
    there are no comments, or when a rule of the publish gate stands against one.
    """
    database = database_of(profile)
    threads = [thread for thread in read_threads(database) if not thread.archived]
    _check(threads, database)
    files = _write(folder, pages_of(threads))
    for file in {*folder.glob("*.md")} - {*files}:
        if file.read_bytes().startswith(HEADING.encode()):
            file.unlink()
    return files


def archive_comments(profile: str, name: str) -> list[Path]:
    """Put resolved threads into a snapshot's `comments/`, and take them off the index; returns the files.

    Raises StoreError as `export_comments`, and when the snapshot isn't there or is of another profile or tier.
    """
    database = database_of(profile)
    snapshot = read_snapshot(project_root() / "snapshots" / name)
    if (snapshot.profile, snapshot.tier) != (profile, database.parent.name):
        raise StoreError(
            f"snapshot {name} is of profile {snapshot.profile}, {snapshot.tier}: the comments are on {profile}, "
            f"{database.parent.name}"
        )
    threads = read_threads(database)
    leaving = [thread for thread in threads if thread.resolved and not thread.archived]
    kept = [thread for thread in threads if thread in leaving or (thread.archived and thread.snapshot == name)]
    _check(kept, database)
    files = _write(snapshot.folder / "comments", pages_of(kept))
    archive(database, leaving, name)
    return files


def pages_of(threads: Sequence[Thread]) -> dict[str, str]:
    """Markdown by page: open threads first, then resolved ones."""
    return {page: _page(list(mine)) for page, mine in groupby(threads, key=lambda thread: thread.page)}


def _page(threads: list[Thread]) -> str:
    parts = [f"{HEADING}{threads[0].title}”\n"]
    for title, mine in (
        ("Open", [thread for thread in threads if not thread.resolved]),
        ("Resolved", [thread for thread in threads if thread.resolved]),
    ):
        if mine:
            parts += [f"## {title}\n", *map(_thread, mine)]
    return "\n".join(parts)


def _thread(thread: Thread) -> str:
    place = f"`{thread.page}.html{thread.anchor}`"
    kept = f", archived in {thread.snapshot}" if thread.archived else ""
    replies = "".join(f"\n{_quoted(_comment(reply))}\n" for reply in thread.replies)
    return f"### {thread.first_line}\n\nOn {place}{kept}\n\n{_comment(thread.opening)}\n{replies}"


def _comment(comment: Comment) -> str:
    return f"**{comment.author}**, {comment.written:%Y-%m-%d %H:%M} UTC:\n\n{comment.text.strip() or DELETED}"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _write(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    files = []
    for page, text in texts.items():
        files.append(folder / f"{page.replace('/', '-')}.md")  # a name came from a browser, and may not lead elsewhere
        with atomic(files[-1]) as temporary:
            temporary.write_text(text)
    return files


def _check(threads: Sequence[Thread], database: Path) -> None:
    """Raise StoreError naming comment, line and rule of all that stands against the threads, never what it is."""
    alarms = alarms_of(threads, database.parent.name, filter_of_profile(database.stem))
    if alarms:
        told = "\n".join(map(str, alarms))
        raise StoreError(f"nothing was written; edit these comments in the browser that wrote them, or delete:\n{told}")


def alarms_of(threads: Sequence[Thread], tier: str, ids: IdFilter | None) -> list[Alarm]:
    """Hold each comment against the rules of the publish gate that are about words; `page#isso-7` names the comment."""
    said = {
        f"{thread.page}#isso-{comment.id}": f"{comment.author}\n{comment.text}"
        for thread in threads
        for comment in (thread.opening, *thread.replies)
    }
    documents = [  # read as pages, since that is how the gate tells prose from a name
        document
        for name, text in said.items()
        for document in read_document(f"{name}.html", html.escape(text).encode())
    ]
    tree = Tree(documents, {}, [], frozenset({tier}), None if tier == "synthetic" else ids, ())
    found = {alarm for rule in RULES for alarm in rule(tree)}
    return sorted(alarm._replace(file=alarm.file.removesuffix(".html")) for alarm in found)
