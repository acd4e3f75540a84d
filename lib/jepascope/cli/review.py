"""Commands of a review round: comments on the pages, a run kept under a name, and what has moved since."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from jepascope.cli.arguments import seeds_of
from jepascope.params import load_profile, project_root


def add(commands: Any) -> None:
    """`review`, `comments`, `snapshot`, `compare`."""
    review = commands.add_parser("review", help="serve _build/html with comments, on this machine only")
    review.add_argument("--port", type=int, default=8000)
    review.set_defaults(action=_review)

    comments = commands.add_parser("comments", help="write the comment threads as Markdown, one file a page")
    comments.add_argument("--profile", default="synthetic")
    where = comments.add_mutually_exclusive_group()
    where.add_argument("--out", type=Path, help="folder (default: comments/PROFILE)")
    where.add_argument("--archive", metavar="NAME", help="put resolved threads into this snapshot instead")
    comments.set_defaults(action=_comments)

    snapshot = commands.add_parser("snapshot", help="keep a run as its pages show it, in snapshots/NAME")
    snapshot.add_argument("name")
    snapshot.add_argument("--profile", default="synthetic")
    snapshot.add_argument("--seeds", type=seeds_of, help="which (default: the profile's)")
    snapshot.set_defaults(action=_snapshot)

    compare = commands.add_parser("compare", help="write a page of what moved between two snapshots")
    compare.add_argument("before", metavar="A")
    compare.add_argument("after", metavar="B", help="a snapshot, or 'now': the run as it is")
    compare.add_argument("--out", type=Path, help="folder (default: _build/compare/A-B)")
    compare.add_argument("--notebooks", metavar="CHAPTER", help="show what differs in one chapter's notebook instead")
    compare.add_argument("--seed", type=int, help="of the notebook (default: the first that both have)")
    compare.set_defaults(action=_compare)


def _review(options: argparse.Namespace) -> None:
    from jepascope.review.server import serve

    serve(project_root() / "_build" / "html", options.port)


def _comments(options: argparse.Namespace) -> None:
    from jepascope.review.export import archive_comments, export_comments

    if options.archive:
        files = archive_comments(options.profile, options.archive)
    else:
        files = export_comments(options.profile, options.out or project_root() / "comments" / options.profile)
    print("\n".join(map(str, files)) or "no threads to write")


def _snapshot(options: argparse.Namespace) -> None:
    from jepascope.review.snapshot import read_snapshot, take

    kept = take(options.name, options.profile, options.seeds or load_profile(options.profile).seeds)
    for page in read_snapshot(kept).outdated:
        print(f"out of date: {page} (`jepascope run --profile {options.profile}` renews it)", file=sys.stderr)
    print(kept)


def _compare(options: argparse.Namespace) -> None:
    import tempfile

    from jepascope.book.notebooks import read_book
    from jepascope.review.compare import compare
    from jepascope.review.comparison_page import verdict, write_page
    from jepascope.review.notebooks import compare_notebooks
    from jepascope.review.snapshot import NOW, gather, read_snapshot

    kept = project_root() / "snapshots"
    before = read_snapshot(kept / options.before)
    with tempfile.TemporaryDirectory() as folder:
        if options.after == NOW:
            after = gather(Path(folder) / NOW, NOW, before.profile, before.seeds)
        else:
            after = read_snapshot(kept / options.after)
        if options.notebooks:
            chapter = read_book().find(options.notebooks)
            first = next((seed for seed in before.seeds if seed in after.seeds), None)
            seed = (first if options.seed is None else options.seed) if chapter.per_seed else None
            compare_notebooks(before, after, chapter.name, seed)
            return
        out = options.out or project_root() / "_build" / "compare" / f"{before.name}-{after.name}"
        comparison = compare(before, after)
        print(f"{verdict(comparison)}\n{write_page(comparison, out)}")
