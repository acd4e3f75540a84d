"""The command line: `jepascope --help` lists the commands."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from jepascope.params import ARMS, ParameterError, Profile, Synthetic, check, load_profile, project_root


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, and turn the errors a user can mend into one message and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        options.action(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has seen enough (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"jepascope: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jepascope", description="Run, render and inspect the book.")
    commands = parser.add_subparsers(required=True, metavar="command")

    run = commands.add_parser("run", help="run the whole book, or one chapter")
    run.add_argument("chapter", nargs="?", help="name or number of one chapter, e.g. 05; default: all")
    run.add_argument("--profile", default="synthetic", help="params/<profile>.yaml (default: %(default)s)")
    run.add_argument("--seed", type=int, help="one chapter: the seed to run it for")
    run.add_argument("--seeds", type=_seeds, help="e.g. 0-4 or 0,3 (default: the profile's)")
    run.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE", help="change a parameter")
    run.add_argument("--if-needed", action="store_true", help="leave a chapter that is up to date as it is")
    run.add_argument("--jobs", type=int, default=2, help="chapters at a time (default: %(default)s)")
    run.add_argument(
        "--on", default="default", help="where: a folder under profiles/, e.g. slurm (default: %(default)s)"
    )
    run.set_defaults(action=_run)

    train = commands.add_parser(
        "train", help="train one arm by hand, beside the book: runs/<profile>/<seed>/train_<arm>"
    )
    train.add_argument("--profile", default="synthetic")
    train.add_argument("--arm", choices=ARMS, help="default: the profile's training.arm")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE", help="change a parameter")
    train.set_defaults(action=_train)

    claims = commands.add_parser("claims", help="print the claims ledger")
    claims.add_argument("--profile", default="synthetic")
    claims.set_defaults(action=_claims)

    synthesize = commands.add_parser("synthesize", help="write the planted cohort in MIMIC-IV's schema")
    synthesize.add_argument("--patients", type=int, default=8000)
    synthesize.add_argument("--seed", type=int, default=2026)
    synthesize.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another knob of the cohort"
    )
    synthesize.add_argument("--out", type=Path, required=True)
    synthesize.set_defaults(action=_synthesize)

    fetch = commands.add_parser("fetch-demo", help="download the open MIMIC-IV demo from PhysioNet, verified")
    fetch.add_argument("--out", type=Path, default=Path("data/mimic-iv-demo"), help="folder (default: %(default)s)")
    fetch.set_defaults(action=_fetch_demo)

    to_meds = commands.add_parser("to-meds", help="write a profile's records and labels as a MEDS directory")
    to_meds.add_argument("out", type=Path, metavar="DIR", help="new folder; what is written there are records")
    to_meds.add_argument("--profile", default="synthetic")
    to_meds.set_defaults(action=_to_meds)

    from_meds = commands.add_parser(
        "from-meds", help="write a MEDS directory's records as MIMIC-IV tables, and say how"
    )
    from_meds.add_argument("root", type=Path, metavar="DIR", help="folder that holds data/")
    from_meds.add_argument("--out", type=Path, required=True, help="new folder; what is written there are records")
    from_meds.set_defaults(action=_from_meds)

    _add_verdicts(commands)
    _add_pages(commands)
    return parser


def _add_verdicts(commands: Any) -> None:
    """The commands that end in a verdict: whether methods do what they say, and whether anything leaks."""
    certify = commands.add_parser(
        "certify",
        help="make the certificates of all methods current and print them; exit status 1: one is lost, 2: undecided",
    )
    certify.add_argument("--profile", default="synthetic")
    certify.add_argument("--seeds", type=_seeds, help="whose models are asked (default: the profile's)")
    certify.add_argument("--jobs", type=int, default=2, help="chapters at a time (default: %(default)s)")
    certify.set_defaults(action=_certify)

    audit = commands.add_parser("audit", help="run the leak audit; exit status 1: red, 2: something not verified")
    audit.add_argument("--profile", default="synthetic")
    audit.add_argument("--seeds", type=_seeds, help="whose models are audited (default: the profile's)")
    audit.add_argument("--jobs", type=int, default=2, help="chapters at a time (default: %(default)s)")
    audit.set_defaults(action=_audit)


def _add_pages(commands: Any) -> None:
    """The commands about rendered pages: to make, to check, to publish, to look at."""
    build = commands.add_parser("build", help="render the executed chapters to _build/html")
    build.add_argument("--profile", default="synthetic")
    build.add_argument("--seeds", type=_seeds)
    build.set_defaults(action=_build)

    gate = commands.add_parser("publish-check", help="hold a rendered book against the rules of disclosure")
    gate.add_argument("folder", nargs="?", type=Path, default=Path("_build/html"), help="default: %(default)s")
    gate.add_argument("--reviewer", metavar="NAME", help="who looked at the pages too: writes the manifest")
    gate.add_argument("--staged", action="store_true", help="check what git would commit instead")
    gate.set_defaults(action=_publish_check)

    publish = commands.add_parser("publish", help="copy a checked book, and nothing else, into an empty folder")
    publish.add_argument("folder", type=Path)
    publish.add_argument("target", type=Path)
    publish.set_defaults(action=_publish)

    serve = commands.add_parser("serve", help="serve _build/html on this machine only")
    serve.add_argument("--port", type=int, default=8000)
    serve.set_defaults(action=_serve)


def _run(options: argparse.Namespace) -> None:
    from jepascope.book.run import run_all, run_chapter

    changes = _changes(options.set)
    if options.chapter is not None:
        run_chapter(options.chapter, options.profile, options.seed, options.seeds, changes, options.if_needed)
        return
    if changes or options.seed is not None:
        raise ParameterError("--set and --seed are for one chapter; for the whole book edit the profile or use --seeds")
    run_all(options.profile, options.seeds, options.jobs, options.on)


def _train(options: argparse.Namespace) -> None:
    from jepascope.book.chapter import run_folder
    from jepascope.steps import run_step
    from jepascope.store import read_table
    from jepascope.training.loop import train

    changes = _changes(options.set)
    if options.arm:
        changes.setdefault("training", {})["arm"] = options.arm
    profile = load_profile(options.profile, changes, options.seed)
    folder = run_folder(profile.profile, f"train_{profile.training.arm}", options.seed)
    run_step(folder, train, _extraction(profile) / "encounters", profile.model, profile.training, options.seed)
    last = read_table(folder / "history.parquet").iloc[-1]
    shown = ("skill_over_mean", "skill_over_persistence", "rankme_z", "within_patient_share_z", "mismatch")
    print(f"{folder}: " + ", ".join(f"{name} {last[name]:.3f}" for name in shown))


def _build(options: argparse.Namespace) -> None:
    from jepascope.book.build import build

    for page in build(options.profile, options.seeds or load_profile(options.profile).seeds):
        print(f"out of date: {page} (`jepascope run --profile {options.profile}` renews it)", file=sys.stderr)


def _certify(options: argparse.Namespace) -> None:
    from jepascope.book.certificates import CHAPTER, costs, load_certificates, printed, rests_on, status
    from jepascope.book.run import run_all

    seeds = options.seeds or load_profile(options.profile).seeds
    run_all(options.profile, seeds, options.jobs, "default", until=CHAPTER)
    found = load_certificates(options.profile)
    print(printed(found, costs(rests_on(options.profile, seeds))))
    sys.stdout.flush()
    sys.exit(status(found))


def _audit(options: argparse.Namespace) -> None:
    from jepascope.audit.command import run_audit

    text, status = run_audit(options.profile, options.seeds, options.jobs)
    print(text)
    sys.stdout.flush()
    sys.exit(status)


def _claims(options: argparse.Namespace) -> None:
    from jepascope.book.claims import read_ledger
    from jepascope.book.notebooks import read_book

    ledger = read_ledger(
        project_root() / "runs" / options.profile,
        [chapter.name for chapter in read_book().chapters],
        load_profile(options.profile).seeds,
    )
    if ledger.empty:
        raise ParameterError(f"no claims yet: `jepascope run --profile {options.profile}` makes them")
    for row in ledger.itertuples():
        number = "" if math.isnan(row.value) else f"{row.value:6.3f} [{row.low:.3f}, {row.high:.3f}]"
        print(f"{row.chapter[:2]}  seed {row.seed}  {row.verdict:14s} {number:24s} {row.statement}")


def _synthesize(options: argparse.Namespace) -> None:
    from jepascope.cohort.synthetic import synthesize

    values = dict(_pair(item) for item in options.set)
    profile = {"profile": "synthesize", "synthetic": {"patients": options.patients, "seed": options.seed, **values}}
    parameters: Synthetic = check(profile, "command line").synthetic
    synthesize(options.out, parameters)


def _fetch_demo(options: argparse.Namespace) -> None:
    from jepascope.cohort.demo import fetch_demo

    fetched = fetch_demo(options.out)
    print(f"{options.out}: {len(fetched.fetched)} files fetched, {len(fetched.kept)} were there")


def _to_meds(options: argparse.Namespace) -> None:
    from jepascope.pipeline.meds import export_meds

    profile = load_profile(options.profile)
    export_meds(_extraction(profile), profile, options.out)


def _extraction(profile: Profile) -> Path:
    """The folder of the profile's extraction. Raises RuntimeError when sources or parameters have moved since."""
    from jepascope.book.chapter import is_current, run_folder
    from jepascope.book.notebooks import read_book

    chapter = read_book().find("01_extraction")
    if not is_current(chapter, profile, None):
        raise RuntimeError(
            f"the extraction is not up to date: run `jepascope run 01 --profile {profile.profile}` first"
        )
    return run_folder(profile.profile, chapter.name, None)


def _from_meds(options: argparse.Namespace) -> None:
    from jepascope.cohort.meds_in import from_meds

    understood, left_out = from_meds(options.root, options.out)
    for row in understood.itertuples():
        print(
            f"{row.rows:12,d} rows {row.codes:7,d} codes  {row.prefix:24s} {row.kind:12s} {row.record or '(no table)'}"
        )
    for row in left_out[left_out["count"] > 0].itertuples():
        print(f"left out: {row.count:,d} {row.reason}")


def _publish_check(options: argparse.Namespace) -> None:
    from jepascope.publish.command import publish_check, staged_check

    if staged_check() if options.staged else publish_check(options.folder, options.reviewer):
        sys.exit(1)


def _publish(options: argparse.Namespace) -> None:
    from jepascope.publish.command import publish

    if publish(options.folder, options.target):
        sys.exit(1)


def _serve(options: argparse.Namespace) -> None:
    import functools
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    folder = project_root() / "_build" / "html"
    if not (folder / "index.html").exists():
        raise FileNotFoundError(f"{folder} holds no book yet: `make book` builds it")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", options.port), handler) as server:
        print(f"http://127.0.0.1:{server.server_port}/ (Ctrl-C stops)")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def _changes(items: Sequence[str]) -> dict[str, dict[str, Any]]:
    changes: dict[str, dict[str, Any]] = {}
    for item in items:
        place, value = _pair(item)
        section, dot, name = place.partition(".")
        if not dot:
            raise ParameterError(f"--set {item!r}: write SECTION.NAME=VALUE, e.g. training.epochs=3")
        changes.setdefault(section, {})[name] = value
    return changes


def _pair(item: str) -> tuple[str, Any]:
    name, equals, value = item.partition("=")
    if not equals:
        raise ParameterError(f"--set {item!r}: an equals sign is missing")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ParameterError(f"--set {item!r}: the value is not valid YAML") from error


def _seeds(text: str) -> list[int]:
    parts = [part.split("-") for part in text.split(",")]
    seeds = sorted({seed for part in parts for seed in range(int(part[0]), int(part[-1]) + 1)})
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} names no seed")
    return seeds


if __name__ == "__main__":
    main()
