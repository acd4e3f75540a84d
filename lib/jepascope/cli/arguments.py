"""What command lines share: seeds, changed parameters, the extraction that a command stands on."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from jepascope.params import ParameterError, Profile


def changed(items: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Sort `SECTION.NAME=VALUE` items by section. Raises ParameterError where one is not written so."""
    changes: dict[str, dict[str, Any]] = {}
    for item in items:
        place, value = pair(item)
        section, dot, name = place.partition(".")
        if not dot:
            raise ParameterError(f"--set {item!r}: write SECTION.NAME=VALUE, e.g. training.epochs=3")
        changes.setdefault(section, {})[name] = value
    return changes


def pair(item: str) -> tuple[str, Any]:
    """Split `NAME=VALUE`, the value read as YAML. Raises ParameterError where it is neither."""
    name, equals, value = item.partition("=")
    if not equals:
        raise ParameterError(f"--set {item!r}: an equals sign is missing")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ParameterError(f"--set {item!r}: the value is not valid YAML") from error


def seeds_of(text: str) -> list[int]:
    """Read a list of seeds, `0-4` or `0,3`. Raises argparse's own error when it is none."""
    seeds: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        named = range(int(found[1]), int(found[2] or found[1]) + 1) if found else ()
        if not named:
            raise argparse.ArgumentTypeError(f"{part!r} names no seed: write them as 0-4 or 0,3")
        seeds.update(named)
    return sorted(seeds)


def at_least(least: int) -> Callable[[str], int]:
    """A reader of whole numbers from `least` on. What it returns raises argparse's own error for any other text."""

    def read(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return read


def extraction_of(profile: Profile) -> Path:
    """The folder of the profile's extraction. Raises RuntimeError when sources or parameters have moved since."""
    from jepascope.book.notebooks import read_book
    from jepascope.book.standing import is_computed, run_folder

    chapter = read_book().find("01_extraction")
    if not is_computed(chapter, profile, None):
        raise RuntimeError(
            f"the extraction is not up to date: run `jepascope run 01 --profile {profile.profile}` first"
        )
    return run_folder(profile.profile, chapter.name, None)
