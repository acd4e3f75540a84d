"""What a chapter asks of a cluster: minutes, memory and GPUs, worked out from what it was measured to take.

The measurements are in `profiles/resources.yaml`, made on one planted cohort; the margins are here.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from jepascope.analysis.inference.pairs import compared_pairs
from jepascope.book.notebooks import ChapterError, ChapterSource
from jepascope.params import Profile, project_root

START_MINUTES = 10  # a cluster's file system is slow to read a first import
TIMES = 3  # the measured seconds are of one machine, on a quiet day
DATA = 2  # of the memory that grows with the cohort
LEAST_DATA_MB = 200


class Needs(NamedTuple):
    """One job's request."""

    minutes: int
    mem_mb: int
    gpus: int


def needs(chapter: ChapterSource, profile: Profile, n_seeds: int, attempt: int) -> Needs:
    """Scale the measurement by the cohort, and by seeds where the chapter collects them: fixed requests fail there.

    A planted cohort says how large it is; how large one of records is says resources.yaml, under `cohorts`. A smaller
    one than the measured asks for as much.
    What compares pairs of seeds (`pairs` in resources.yaml) grows with the seeds and the compared pairs, and what holds
    something of all seeds in memory by `seed_mb` each. Each `attempt` (1, 2, …) asks for the first one's time and
    memory once more, as what failed may have lacked them. GPUs are as many as share a batch, for chapters that declare
    a section whose device is cuda. Raises ChapterError when resources.yaml lacks an entry.
    """
    table = read_measured()
    try:
        measured = table["chapters"].get(chapter.name, table["unmeasured"])
        planted = profile.synthetic.patients if profile.source.kind == "synthetic" else 0
        size = table["cohorts"].get(profile.profile, max(1.0, planted / table["patients"]))
        seeds = max(1.0, n_seeds / table["seeds"]) if "seeds" in chapter.depends_on else 1.0
        longer = max(1.0, comparisons(n_seeds) / comparisons(table["seeds"]))
        seconds = measured["seconds"] * size * (longer if measured.get("pairs") else seeds)
        data_mb = max(LEAST_DATA_MB, measured["mem_mb"] - table["libraries_mb"])
        data_mb += measured.get("seed_mb", 0) * max(0, n_seeds - table["seeds"])
        mem_mb = table["snakemake_mb"] + table["libraries_mb"] + DATA * data_mb * size
    except KeyError as error:
        raise ChapterError(f"{chapter.name}: profiles/resources.yaml lacks {error}: add what was measured") from error
    minutes = START_MINUTES + TIMES * seconds / 60
    return Needs(attempt * math.ceil(minutes), attempt * math.ceil(mem_mb), _gpus(chapter, profile))


def compared_in_pairs() -> list[str]:
    """The chapters that compare pairs of seeds: with a few seeds more they grow faster than all others."""
    return [name for name, measured in read_measured()["chapters"].items() if measured.get("pairs")]


def comparisons(seeds: int) -> int:
    """What comparing seeds costs, in pairs: what is made once for each seed takes about as long as a pair."""
    return seeds + len(compared_pairs(seeds))


def read_measured() -> dict[str, Any]:
    """Read profiles/resources.yaml; its own comments say what stands where."""
    return _parsed(project_root() / "profiles" / "resources.yaml")


@functools.cache
def _parsed(path: Path) -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load(path.read_text())
    return table


def _gpus(chapter: ChapterSource, profile: Profile) -> int:
    sections = [getattr(profile, name) for name in chapter.depends_on if name != "seeds"]
    on_gpu = [section for section in sections if getattr(section, "device", "cpu") == "cuda"]
    return max((getattr(section, "processes", 1) for section in on_gpu), default=0)
