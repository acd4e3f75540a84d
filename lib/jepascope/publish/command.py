"""`jepascope publish-check` and `jepascope publish`: what a person types before a page leaves the machine."""

from __future__ import annotations

import contextlib
import getpass
import socket
import sys
from pathlib import Path
from shlex import quote

from jepascope.params import project_root
from jepascope.publish.alarms import Alarm
from jepascope.publish.check import check
from jepascope.publish.id_filter import IdFilter, filter_of, filter_of_profile
from jepascope.publish.manifest import compare, copy_tree, write_manifest
from jepascope.publish.staged import check_staged
from jepascope.publish.tree import Tree, profiles, read_tree
from jepascope.store import read_json

# Names that many machines share are in many words of a page, and tell nobody.
COMMON = frozenset(
    ("root", "user", "users", "admin", "ubuntu", "runner", "jovyan", "home", "localhost", "docker", "test", "data")
)
SHOWN = 40


def publish_check(folder: Path, reviewer: str | None = None) -> int:
    """Check a rendered book; returns 0 when nothing stands against it, else 1, and says what does, where.

    With a reviewer, who has looked at the pages as well, a tree without alarms gets its manifest. Raises ValueError
    when the reviewer has no name.
    """
    if reviewer is not None and not reviewer.strip():
        raise ValueError("a reviewer signs with a name: `--reviewer NAME`")
    tree = read_rendered(folder)
    alarms = check(tree)
    report(alarms)
    kept = f"{len(tree.sizes)} files, tier {', '.join(sorted(tree.tiers)) or 'unknown'}"
    print(f"{folder}: {kept}: {f'{len(alarms)} alarms' if alarms else 'no alarm'}")
    if not alarms and reviewer:
        write_manifest(folder, tree, reviewer)
        print(f"{folder / 'manifest.json'}: `jepascope publish {quote(str(folder))} TARGET` now copies what it names")
    return 1 if alarms else 0


def publish(folder: Path, target: Path) -> int:
    """Copy a checked book to an empty folder (a checkout of a branch of pages is one); returns 0, or 1 with reasons.

    Raises StoreError when there is no manifest or the target holds something.
    """
    _, alarms = read_checked(folder)
    report(alarms)
    if alarms:
        return 1
    print(f"{target}: {copy_tree(folder, target)} files")
    return 0


def staged_check() -> int:
    """Check what the next commit would take in; returns 0 when nothing stands against it, else 1."""
    alarms = check_staged(project_root(), _filters())
    report(alarms)
    return 1 if alarms else 0


def names_here() -> tuple[str, ...]:
    """The user's and the machine's name, lower case, where they are nobody else's."""
    found = {socket.gethostname().lower().partition(".")[0]}
    with contextlib.suppress(OSError, KeyError):  # a user without an entry has no name to give away
        found.add(getpass.getuser().lower())
    return tuple(sorted(name for name in found if len(name) >= 4 and name not in COMMON))


def read_checked(folder: Path) -> tuple[Tree, list[Alarm]]:
    """Read a tree that is to leave the machine, and list what stands against it.

    It must be its manifest's, to the byte, and raise no alarm now: the rules may be newer than the check. Raises
    StoreError when there is no manifest.
    """
    alarms = compare(folder)
    tree = read_rendered(folder)
    return tree, alarms or check(tree)


def read_rendered(folder: Path) -> Tree:
    """Read the tree, and the identifiers of the cohort of which its banners speak, where the cohort still is."""
    tree = read_tree(folder, names=names_here())
    if tree.synthetic:
        return tree
    known = [ids for profile in sorted(profiles(tree)) if (ids := filter_of_profile(profile)) is not None]
    return tree._replace(ids=known[0] if len(known) == 1 else None)


def _filters() -> list[IdFilter]:
    """The identifiers of every extraction of credentialed records that lies in this project."""
    folders = sorted((project_root() / "runs").glob("*/all/01_extraction/encounters"))
    return [filter_of(folder) for folder in folders if read_json(folder / "tier.json")["tier"] == "credentialed"]


def report(alarms: list[Alarm]) -> None:
    """Say on standard error what stands against it, the first of many."""
    for found in alarms[:SHOWN]:
        print(f"refused: {found}", file=sys.stderr)
    if len(alarms) > SHOWN:
        print(f"refused: and {len(alarms) - SHOWN} more", file=sys.stderr)
