"""What the review server adds: the thread under a page, and the index of all threads."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime

from jepascope.review.standalone import page, table
from jepascope.review.threads import RESOLVED, Thread

SECTION = f"""
<section id="comments" class="review" aria-labelledby="comments-title">
<h2 id="comments-title">Comments</h2>
<p>To comment on a passage, select it, then
<button type="button" id="quote-selection">Quote the selection</button>.
A thread is resolved when its last reply begins with “{RESOLVED}”. <a href="/review/">All open threads</a></p>
<section id="isso-thread" aria-label="Thread of this page" data-isso-id="/{{page}}" data-title="{{title}}"></section>
<noscript><p>Comments need JavaScript.</p></noscript>
<link rel="stylesheet" href="{{comments}}/css/isso.css"><link rel="stylesheet" href="/review/static/review.css">
<script data-isso="{{comments}}/" data-isso-css="false" data-isso-avatar="false" data-isso-vote="false"
 data-isso-max-comments-nested="inf" data-isso-lang="en" data-isso-postbox-text-text-en="Your comment, in Markdown"
 data-isso-postbox-author-placeholder-text-en="shown" src="{{comments}}/js/embed.min.js" defer></script>
<script src="/review/static/review.js" defer></script>
</section>
"""
INTRODUCTION = f"""<p><a href="/">Back to the book</a>. A thread is resolved when its last reply begins with
“{RESOLVED}”.</p>"""


def with_thread(text: str, name: str, title: str, comments: str) -> str:
    """A rendered page with a comment thread at the end of its article; a page without an article stays as it is.

    comments: the address of the comment server.
    """
    before, end, after = text.rpartition("</article>")
    section = SECTION.format(page=html.escape(name), title=html.escape(title), comments=comments)
    return f"{before}{section}{end}{after}" if end else text


def index_page(threads: Sequence[Thread], now: datetime) -> str:
    """The open threads, oldest first as the book goes, and under them the resolved ones that aren't archived."""
    waiting = [thread for thread in threads if not thread.resolved]
    done = [thread for thread in threads if thread.resolved and not thread.archived]
    body = INTRODUCTION + (_table(waiting, now, "Open threads") if waiting else "<p>No thread is open.</p>")
    if done:
        body += f"<h2>Resolved</h2>{_table(done, now, 'Resolved threads')}"
    return page("Open threads", body)


def age(written: datetime, now: datetime) -> str:
    """How long ago, in the largest unit of which there is one."""
    seconds = max(0, int((now - written).total_seconds()))
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if count := seconds // size:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "just now"


def _table(threads: Sequence[Thread], now: datetime, label: str) -> str:
    rows = (
        f"<td>{_link(thread, thread.anchor, thread.title)}</td>"
        f"<td>{_link(thread, f'#isso-{thread.opening.id}', thread.first_line)}</td>"
        f"<td>{html.escape(thread.opening.author)}</td>"
        f"<td>{age(thread.opening.written, now)}</td><td>{len(thread.replies)}</td>"
        for thread in threads
    )
    return table(("page", "comment", "author", "age", "replies"), rows, label)


def _link(thread: Thread, anchor: str, words: str) -> str:
    return f'<a href="/{html.escape(thread.page)}.html{html.escape(anchor)}">{html.escape(words)}</a>'
