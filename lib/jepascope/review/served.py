"""What the review server adds: the thread under a page, and the index of all threads."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime

from jepascope.review.threads import RESOLVED, Thread

SECTION = f"""
<section id="comments" class="review" aria-labelledby="comments-title">
<h2 id="comments-title">Comments</h2>
<p>To comment on a passage, select it, then
<button type="button" id="quote-selection">Quote the selection</button>.
A thread is resolved when its last reply begins with “{RESOLVED}”. <a href="/review/">All open threads</a></p>
<section id="isso-thread" aria-label="Thread of this page" data-isso-id="/{{page}}" data-title="{{title}}"></section>
<noscript><p>Comments need JavaScript.</p></noscript>
<link rel="stylesheet" href="/comments/css/isso.css"><link rel="stylesheet" href="/review/static/review.css">
<script data-isso="/comments/" data-isso-css="false" data-isso-avatar="false" data-isso-vote="false"
 data-isso-max-comments-nested="inf" data-isso-lang="en" data-isso-postbox-text-text-en="Your comment, in Markdown"
 data-isso-postbox-author-placeholder-text-en="shown" src="/comments/js/embed.min.js" defer></script>
<script src="/review/static/review.js" defer></script>
</section>
"""
INDEX = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Open threads</title><link rel="stylesheet" href="/review/static/pages.css"></head>
<body><main><h1>Open threads</h1><p><a href="/">Back to the book</a>. A thread is resolved when its last reply begins
with “{resolved}”.</p>{body}</main></body></html>
"""


def with_thread(page: str, name: str, title: str) -> str:
    """A rendered page with a comment thread at the end of its article; a page without an article stays as it is."""
    before, end, after = page.rpartition("</article>")
    section = SECTION.format(page=html.escape(name), title=html.escape(title))
    return f"{before}{section}{end}{after}" if end else page


def index_page(threads: Sequence[Thread], now: datetime) -> str:
    """The open threads, oldest first as the book goes, and under them the resolved ones that aren't archived."""
    waiting = [thread for thread in threads if thread.open]
    done = [thread for thread in threads if thread.resolved and thread.snapshot is None]
    body = _table(waiting, now, "Open threads") if waiting else "<p>No thread is open.</p>"
    if done:
        body += f"<h2>Resolved</h2>{_table(done, now, 'Resolved threads')}"
    return INDEX.format(body=body, resolved=RESOLVED)


def age(written: datetime, now: datetime) -> str:
    """How long ago, in the largest unit of which there is one."""
    seconds = max(0, int((now - written).total_seconds()))
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if count := seconds // size:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "just now"


def _table(threads: Sequence[Thread], now: datetime, label: str) -> str:
    rows = "".join(
        f'<tr><td><a href="/{html.escape(thread.page)}.html{html.escape(thread.anchor)}">{html.escape(thread.title)}'
        f'</a></td><td><a href="/{html.escape(thread.page)}.html#isso-{thread.opening.id}">'
        f"{html.escape(thread.first_line)}</a></td><td>{html.escape(thread.opening.author)}</td>"
        f"<td>{age(thread.opening.written, now)}</td><td>{len(thread.replies)}</td></tr>"
        for thread in threads
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("page", "comment", "author", "age", "replies"))
    return (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
