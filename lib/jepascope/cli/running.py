"""Commands that run the book: whole, one chapter, one arm by hand; and the ledger of what came out."""

from __future__ import annotations

import argparse
import math
from typing import Any

from jepascope.cli.arguments import at_least, changed, extraction_of, seeds_of
from jepascope.params import ARMS, ParameterError, load_profile, project_root


def add(commands: Any) -> None:
    """`run`, `train`, `claims`."""
    run = commands.add_parser("run", help="run the whole book, or one chapter")
    run.add_argument("chapter", nargs="?", help="name or number of one chapter, e.g. 05; default: all")
    run.add_argument("--profile", default="synthetic", help="params/<profile>.yaml (default: %(default)s)")
    run.add_argument("--seed", type=at_least(0), help="one chapter: the seed to run it for")
    run.add_argument("--seeds", type=seeds_of, help="e.g. 0-4 or 0,3 (default: the profile's)")
    run.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE", help="change a parameter")
    run.add_argument("--if-needed", action="store_true", help="leave a chapter that is up to date as it is")
    run.add_argument("--jobs", type=at_least(1), default=2, help="chapters at a time (default: %(default)s)")
    run.add_argument(
        "--on", default="default", help="where: a folder under profiles/, e.g. slurm (default: %(default)s)"
    )
    run.set_defaults(action=_run)

    train = commands.add_parser(
        "train", help="train one arm by hand, beside the book: runs/<profile>/<seed>/train_<arm>"
    )
    train.add_argument("--profile", default="synthetic")
    train.add_argument("--arm", choices=ARMS, help="default: the profile's training.arm")
    train.add_argument("--seed", type=at_least(0), default=0)
    train.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE", help="change a parameter")
    train.set_defaults(action=_train)

    claims = commands.add_parser("claims", help="print the claims ledger")
    claims.add_argument("--profile", default="synthetic")
    claims.add_argument("--seeds", type=seeds_of, help="e.g. 0-19, after a run with as many (default: the profile's)")
    claims.set_defaults(action=_claims)


def _run(options: argparse.Namespace) -> None:
    from jepascope.book.run import run_all, run_chapter

    changes = changed(options.set)
    if options.chapter is not None:
        if options.on != "default":
            raise ParameterError("--on is for the whole book: one chapter runs here")
        run_chapter(options.chapter, options.profile, options.seed, options.seeds, changes, options.if_needed)
        return
    if changes or options.seed is not None:
        raise ParameterError("--set and --seed are for one chapter; for the whole book edit the profile or use --seeds")
    run_all(options.profile, options.seeds, options.jobs, options.on)


def _train(options: argparse.Namespace) -> None:
    from jepascope.book.standing import run_folder
    from jepascope.steps import run_step
    from jepascope.store import read_table
    from jepascope.training.step import train

    changes = changed(options.set)
    if options.arm:
        changes.setdefault("training", {})["arm"] = options.arm
    profile = load_profile(options.profile, changes, options.seed)
    folder = run_folder(profile.profile, f"train_{profile.training.arm}", options.seed)
    run_step(folder, train, extraction_of(profile) / "encounters", profile.model, profile.training, options.seed)
    last = read_table(folder / "history.parquet").iloc[-1]
    shown = ("skill_over_mean", "skill_over_persistence", "rankme_z", "within_patient_share_z", "mismatch")
    print(f"{folder}: " + ", ".join(f"{name} {last[name]:.3f}" for name in shown))


def _claims(options: argparse.Namespace) -> None:
    from jepascope.book.claims import read_ledger
    from jepascope.book.notebooks import read_book

    ledger = read_ledger(
        project_root() / "runs" / options.profile,
        [chapter.name for chapter in read_book().chapters],
        options.seeds or load_profile(options.profile).seeds,
    )
    if ledger.empty:
        raise ParameterError(f"no claims yet: `jepascope run --profile {options.profile}` makes them")
    for row in ledger.itertuples():
        number = "" if math.isnan(row.value) else f"{row.value:6.3f} [{row.low:.3f}, {row.high:.3f}]"
        print(f"{row.chapter[:2]}  seed {row.seed}  {row.verdict:14s} {number:24s} {row.statement}")
