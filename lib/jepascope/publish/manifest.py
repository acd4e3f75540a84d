"""The manifest: what was checked, by whom, under which rules. Nothing else than what it names is published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any

from jepascope.publish.alarms import RULES_VERSION, Alarm, alarm
from jepascope.publish.tree import MANIFEST, Tree
from jepascope.store import StoreError, atomic, read_json, sha256, write_json


def write_manifest(folder: Path, tree: Tree, reviewer: str) -> dict[str, Any]:
    """Write `manifest.json` into a tree that raised no alarm: sha256 of each file, tier, rules, reviewer."""
    manifest = {
        "tier": min(tree.tiers),
        "rules": RULES_VERSION,
        "reviewer": reviewer,
        "checked": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": hashes(folder),
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of each file but the manifest, by its place in the tree; a link has none."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: "a link" if path.is_symlink() else sha256(path) for name, path in named.items() if name != MANIFEST}


def compare(folder: Path) -> list[Alarm]:
    """List what a tree has otherwise than its manifest says: files changed, added, gone; rules; no reviewer.

    Raises StoreError when there is no manifest.
    """
    if not (folder / MANIFEST).exists():
        command = f"jepascope publish-check {quote(str(folder))} --reviewer NAME"
        raise StoreError(f"{folder} has no manifest: `{command}` writes one")
    manifest = read_json(folder / MANIFEST)
    found, told = hashes(folder), dict(manifest.get("files", {}))
    wrong = [(name, "added after the check") for name in found.keys() - told.keys()]
    wrong += [(name, "gone since the check") for name in told.keys() - found.keys()]
    wrong += [(name, "changed after the check") for name in found.keys() & told.keys() if found[name] != told[name]]
    alarms = [alarm(name, "whole file", "manifest", reason) for name, reason in sorted(wrong)]
    if manifest.get("rules") != RULES_VERSION:
        alarms.append(alarm(MANIFEST, "rules", "manifest", "checked under other rules"))
    if not str(manifest.get("reviewer") or "").strip():
        alarms.append(alarm(MANIFEST, "reviewer", "manifest", "nobody has looked at it"))
    return alarms


def checked_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of exactly the files that the manifest names, and then its own.

    Each is hashed as it is read: what is handed out is what was checked. Raises StoreError when a file isn't.
    """
    manifest = (folder / MANIFEST).read_bytes()
    for name, digest in json.loads(manifest)["files"].items():
        content = (folder / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise StoreError(f"{folder / name} changed while it was copied: check the tree again")
        yield name, content
    yield MANIFEST, manifest


def copy_tree(folder: Path, target: Path) -> int:
    """Copy what was checked into a folder that holds nothing yet; returns how many files.

    Raises StoreError when a file isn't what was checked, or when the target holds something.
    """
    if target.exists() and any(path.name != ".git" for path in target.iterdir()):
        raise StoreError(f"{target} isn't empty: what lies there was not checked; empty it, or name another folder")
    copied = 0
    for name, content in checked_files(folder):
        with atomic(target / name) as temporary:
            temporary.write_bytes(content)
        copied += 1
    return copied
