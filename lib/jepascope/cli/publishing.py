"""Commands about what leaves the machine: the gate, and the one way through it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from jepascope.params import project_root


def add(commands: Any) -> None:
    """`publish-check`, `publish`, `release`."""
    gate = commands.add_parser("publish-check", help="hold a rendered book against the rules of disclosure")
    gate.add_argument("folder", nargs="?", type=Path, help="default: the project's _build/html")
    gate.add_argument("--reviewer", metavar="NAME", help="who looked at the pages too: writes the manifest")
    gate.add_argument("--staged", action="store_true", help="check what git would commit instead")
    gate.set_defaults(action=_publish_check)

    publish = commands.add_parser("publish", help="copy a checked book, and nothing else, into an empty folder")
    publish.add_argument("folder", type=Path)
    publish.add_argument("target", type=Path)
    publish.set_defaults(action=_publish)

    release = commands.add_parser("release", help="pack a checked book, its claims and what makes it again, to archive")
    release.add_argument("name", help="of the archive, e.g. jepascope-0.1.0")
    release.add_argument("--folder", type=Path, help="default: the project's _build/html")
    release.add_argument("--out", type=Path, help="where to put it (default: the project's dist)")
    release.set_defaults(action=_release)


def _publish_check(options: argparse.Namespace) -> None:
    from jepascope.publish.command import publish_check, staged_check

    if staged_check() if options.staged else publish_check(options.folder or _pages(), options.reviewer):
        sys.exit(1)


def _publish(options: argparse.Namespace) -> None:
    from jepascope.publish.command import publish

    if publish(options.folder, options.target):
        sys.exit(1)


def _release(options: argparse.Namespace) -> None:
    from jepascope.publish.release import release

    if release(options.name, options.folder or _pages(), options.out or project_root() / "dist"):
        sys.exit(1)


def _pages() -> Path:
    return project_root() / "_build" / "html"
