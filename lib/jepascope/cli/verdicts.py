"""Commands that end in a verdict: whether methods do what they say, and whether anything leaks."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from jepascope.cli.arguments import at_least, seeds_of
from jepascope.params import load_profile


def add(commands: Any) -> None:
    """`certify`, `audit`."""
    certify = commands.add_parser(
        "certify",
        help="make the certificates of all methods current and print them; exit status 1: one is lost, 2: undecided",
    )
    certify.add_argument("--profile", default="synthetic")
    certify.add_argument("--seeds", type=seeds_of, help="whose models are asked (default: the profile's)")
    certify.add_argument("--jobs", type=at_least(1), default=2, help="chapters at a time (default: %(default)s)")
    certify.set_defaults(action=_certify)

    audit = commands.add_parser("audit", help="run the leak audit; exit status 1: red, 2: something not verified")
    audit.add_argument("--profile", default="synthetic")
    audit.add_argument("--seeds", type=seeds_of, help="whose models are audited (default: the profile's)")
    audit.add_argument("--jobs", type=at_least(1), default=2, help="chapters at a time (default: %(default)s)")
    audit.set_defaults(action=_audit)


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
