"""Commands about records: to plant them, to fetch the demo, to carry them to and from MEDS."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jepascope.cli.arguments import extraction_of, pair
from jepascope.params import Synthetic, check, load_profile


def add(commands: Any) -> None:
    """`synthesize`, `fetch-demo`, `to-meds`, `from-meds`."""
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


def _synthesize(options: argparse.Namespace) -> None:
    from jepascope.cohort.synthetic import synthesize

    values = dict(pair(item) for item in options.set)
    profile = {"profile": "synthesize", "synthetic": {"patients": options.patients, "seed": options.seed, **values}}
    parameters: Synthetic = check(profile, "command line").synthetic
    synthesize(options.out, parameters)


def _fetch_demo(options: argparse.Namespace) -> None:
    from jepascope.cohort.demo import fetch_demo

    fetched = fetch_demo(options.out)
    print(f"{options.out}: {len(fetched.fetched)} files fetched, {len(fetched.kept)} were there")


def _to_meds(options: argparse.Namespace) -> None:
    from jepascope.pipeline.cohort.meds import export_meds

    profile = load_profile(options.profile)
    export_meds(extraction_of(profile), profile, options.out)


def _from_meds(options: argparse.Namespace) -> None:
    from jepascope.cohort.meds_in import from_meds

    understood, left_out = from_meds(options.root, options.out)
    for row in understood.itertuples():
        print(
            f"{row.rows:12,d} rows {row.codes:7,d} codes  {row.prefix:24s} {row.kind:12s} {row.record or '(no table)'}"
        )
    for row in left_out[left_out["count"] > 0].itertuples():
        print(f"left out: {row.count:,d} {row.reason}")
