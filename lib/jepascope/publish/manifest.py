"""The manifest: what was checked, by whom, under which rules. Nothing else than what it names is published."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
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
        raise StoreError(f"{folder} has no manifest: `jepascope publish-check {folder} --reviewer NAME` writes one")
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


def copy_tree(folder: Path, target: Path) -> int:
    """Copy exactly the files that the manifest names into a folder that holds nothing yet; returns how many.

    Each copy is hashed again: what arrives is what was checked. Raises StoreError when a file isn't, or when the
    target holds something.
    """
    if target.exists() and any(path.name != ".git" for path in target.iterdir()):
        raise StoreError(f"{target} isn't empty: what lies there was not checked; empty it, or name another folder")
    told = read_json(folder / MANIFEST)["files"]
    for name, digest in told.items():
        with atomic(target / name) as temporary:
            shutil.copyfile(folder / name, temporary)
            if sha256(temporary) != digest:
                raise StoreError(f"{folder / name} changed while it was copied: check the tree again")
    shutil.copyfile(folder / MANIFEST, target / MANIFEST)
    return len(told)
