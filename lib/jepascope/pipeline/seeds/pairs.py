"""What each seed left, as the steps over seeds take it, and pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from jepascope.analysis.inference.pairs import SPAN, compared_pairs

Made = TypeVar("Made")


def by_seed(read: Callable[[str, str, int], Path], seeds: Sequence[int], *names: tuple[str, str]) -> list[int | Path]:
    """Seed, path, path, …, seed, path, …: what chapters left for each seed. names: (chapter, step), …"""
    found: list[int | Path] = []
    for seed in seeds:
        found += [seed, *(read(chapter, step, seed) for chapter, step in names)]
    return found


def each_pair(seeds: Sequence[int], load: Callable[[int], Made]) -> Iterator[tuple[int, int, Made, Made]]:
    """Both seeds of every compared pair, and what `load` makes of each: loaded when needed and let go afterwards.

    As many are held as a seed has neighbours: memory doesn't grow with the seeds, and all but the last few of the ring,
    which are the first ones' neighbours, too, are loaded once.
    """
    held = lru_cache(maxsize=2 * SPAN + 1)(load)
    for i, j in compared_pairs(len(seeds)):
        yield seeds[i], seeds[j], held(seeds[i]), held(seeds[j])
