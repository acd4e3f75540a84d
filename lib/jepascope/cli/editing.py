"""Commands for writing: a chapter as a notebook, pages that follow every save, and what a run costs."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from jepascope.cli.arguments import at_least, seeds_of
from jepascope.params import ParameterError, load_profile


def add(commands: Any) -> None:
    """`edit`, `watch`, `times`."""
    edit = commands.add_parser("edit", help="open a chapter in JupyterLab; each save goes back to book/<chapter>.md")
    edit.add_argument("chapter", help="name or number, e.g. 08")
    edit.add_argument("--profile", default="synthetic", help="whose parameters (default: %(default)s)")
    edit.add_argument("--seed", type=at_least(0), help="for which seed, where the chapter runs per seed")
    edit.set_defaults(action=_edit)

    watch = commands.add_parser("watch", help="run and render what each save touches, and reload the browser")
    watch.add_argument("--profile", default="synthetic")
    watch.add_argument("--seeds", type=seeds_of, help="whose pages (default: the profile's)")
    watch.add_argument("--jobs", type=at_least(1), default=2, help="chapters at a time (default: %(default)s)")
    watch.add_argument("--port", type=int, default=8001, help="on this machine only (default: %(default)s)")
    watch.set_defaults(action=_watch)

    times = commands.add_parser("times", help="what each chapter took, and what a number of seeds would cost")
    times.add_argument("--profile", default="synthetic")
    times.add_argument(
        "--seeds", type=at_least(1), metavar="N", help="how many seeds (default: as many as the profile's)"
    )
    times.set_defaults(action=_times)


def _edit(options: argparse.Namespace) -> None:
    from jepascope.book.editing import edit

    edit(options.chapter, options.profile, options.seed)


def _watch(options: argparse.Namespace) -> None:
    from functools import partial

    from jepascope.book.watching import watch

    with contextlib.suppress(KeyboardInterrupt):
        watch(options.profile, options.seeds, options.jobs, options.port, partial(print, flush=True))


def _times(options: argparse.Namespace) -> None:
    from jepascope.book.needs import compared_in_pairs
    from jepascope.book.times import chapter_times, cost_of_seeds

    times = chapter_times(options.profile)
    if times.empty:
        raise ParameterError(f"nothing has run yet: `jepascope run --profile {options.profile}` does")
    n = options.seeds or len(load_profile(options.profile).seeds)
    for chapter, rows in times.groupby("chapter", sort=False):
        seconds = "  ".join(f"{row.seed}: {row.seconds:.0f}" for row in rows.itertuples())
        print(f"{chapter:32s} {seconds}{'  (over all seeds)' if rows['collects_seeds'].any() else ''}")
    cost = cost_of_seeds(times, n, compared_in_pairs())
    repeated = cost.loc[cost["runs"] > 1, "seconds"].sum() if n > 1 else cost["seconds"].sum()
    total, found = cost["seconds"].sum(), times["seconds"].sum()
    print(f"seconds from nothing, by seed, as measured with whatever ran beside; {found:,.0f} in all")
    print(
        f"{n} seeds: {total / 3600:.1f} hours of one job at a time, {repeated / n / 60:.0f} minutes for each seed more"
    )
    print("chapters over all seeds are counted once, and grow with the seeds, or with the pairs that are compared")
