"""Comment threads as the review server keeps them: read, judged open or resolved, archived.

A thread is a comment and its replies. One database a profile and tier, so that what was said about credentialed pages
never turns up among comments on open ones.
"""

from __future__ import annotations

import contextlib
import html
import re
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from jepascope.params import project_root
from jepascope.store import StoreError

RESOLVED = "Resolved"  # how the last reply of a resolved thread begins
DELETED = "(deleted)"
PLACE = re.compile(r"\]\((#[\w-]+)\)")  # the link that "Quote the selection" writes
COMMENTS = """
    select c.id, c.parent, c.author, c.created, c.text, t.uri, t.title, a.snapshot
    from comments c join threads t on t.id = c.tid left join archived a on a.id = c.id and a.created = c.created
    where c.mode in (1, 4) order by t.uri, c.created, c.id
"""  # mode 1: as written; 4: deleted by its author, kept for its replies. SQLite gives a deleted comment's id again.


class Comment(NamedTuple):
    """One comment, in its author's Markdown."""

    id: int
    author: str
    written: datetime  # UTC
    text: str


class Thread(NamedTuple):
    """A comment with its replies, in the order in which they were written."""

    page: str  # 08_error, 08_error_seed1
    title: str  # of the page
    opening: Comment
    replies: tuple[Comment, ...]
    snapshot: str | None  # into which it was archived, if nothing has been said since

    @property
    def resolved(self) -> bool:
        """Whether the last word of the thread is that it is resolved; if not, somebody still has to look at it."""
        last = self.replies[-1].text.lstrip("*_ ") if self.replies else ""
        return last.casefold().startswith(RESOLVED.casefold())

    @property
    def archived(self) -> bool:
        """Whether it is closed: resolved, and kept in a snapshot."""
        return self.resolved and self.snapshot is not None

    @property
    def anchor(self) -> str:
        """Where on the page it belongs: the section that it quotes, or itself."""
        found = PLACE.search(self.opening.text)
        return found[1] if found else f"#isso-{self.opening.id}"

    @property
    def first_line(self) -> str:
        """The first line that isn't a quotation; of nothing but quotations, the first."""
        lines = [line.strip() for line in self.opening.text.splitlines() if line.strip()]
        own = [line for line in lines if not line.startswith(">")]
        return (own or [line.strip("> ") for line in lines] or [DELETED])[0]


def database_for(profile: str, tier: str) -> Path:
    """Where comments on a profile's pages are kept: outside `runs/` and `_build/`, which are made again at will."""
    return project_root() / "review" / tier / f"{profile}.sqlite"


def database_of(profile: str) -> Path:
    """Find the database of a profile. Raises StoreError when there is none, or there are comments in two data tiers."""
    databases = sorted((project_root() / "review").glob(f"*/{profile}.sqlite"))
    found = [path for path in databases if read_threads(path)] or databases[:1]
    if len(found) != 1:
        tiers = " and ".join(path.parent.name for path in found)
        reason = f"there are comments on pages of {tiers} records: move one away" if found else "there are no comments"
        raise StoreError(f"profile {profile}: {reason}; `jepascope review` serves the pages and takes comments")
    return found[0]


def read_threads(database: Path) -> list[Thread]:
    """Read all threads, by page and time; none where the database isn't there yet."""
    if not database.exists():
        return []
    with _connected(database) as connection:
        rows = connection.execute(COMMENTS).fetchall()
    replies: dict[int, list[Comment]] = {}
    last: dict[int, str | None] = {}  # opening comment -> the snapshot that has the thread up to its last word
    for number, parent, author, created, text, _, _, snapshot in rows:
        last[number if parent is None else parent] = snapshot
        if parent is not None:
            replies.setdefault(parent, []).append(_comment(number, author, created, text))
    return [
        Thread(
            uri.strip("/"), title, _comment(number, author, created, text), tuple(replies.get(number, ())), last[number]
        )
        for number, parent, author, created, text, uri, title, _ in rows
        if parent is None
    ]


def archive(database: Path, threads: Iterable[Thread], snapshot: str) -> None:
    """Mark threads as archived up to their last word: they leave the index, and stay in the database."""
    with _connected(database) as connection:
        rows = [(snapshot, (thread.opening, *thread.replies)[-1].id) for thread in threads]
        connection.executemany("insert into archived select id, created, ? from comments where id = ?", rows)


@contextlib.contextmanager
def _connected(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that commits at its end, and has our one table beside those of isso."""
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("create table if not exists archived (id integer, created float, snapshot text)")
            yield connection
    except sqlite3.Error as error:
        mend = "end what else has it open, or move it away if it is damaged"
        raise StoreError(f"{database}: the comments can't be read or changed ({error}): {mend}") from error


def _comment(number: int, author: str | None, created: float, text: str) -> Comment:
    name = html.unescape(author) if author else "Anonymous"  # isso keeps names escaped, texts as they were typed
    return Comment(number, name, datetime.fromtimestamp(created, UTC), text)
