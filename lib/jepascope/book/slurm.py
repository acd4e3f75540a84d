"""Jobs that outlive their controller on a SLURM cluster.

`jepascope run --on slurm` submits chapters and watches them. Killed, it can't call them back: they finish by
themselves, and the next run would submit the same chapters once more, beside them. So it waits for them first.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import yaml

from jepascope.book.notebooks import ChapterError, read_book
from jepascope.params import project_root

# Snakemake's executor puts a job's rule and wildcards into its comment: here profile, seed and chapter.
COMMENT = r"rule_chapter_wildcards_{profile}_(?P<seed>all|\d+)_(?P<chapter>\w+)"
SECONDS = 10.0


class Held(NamedTuple):
    """A job that SLURM holds, waiting or running."""

    number: str
    state: str
    seed: str
    chapter: str


def wait_for_held(workflow_profile: str, profile: str, seconds: float = SECONDS) -> None:
    """Wait until SLURM holds no job of the profile that this project submitted; at once where jobs run elsewhere.

    To be called while holding the profile's lock, so that no living controller's jobs are waited for. `seconds` lie
    between two looks. Raises ChapterError as `held`.
    """
    if _executor(workflow_profile) != "slurm":
        return
    said = False
    while jobs := held(project_root(), profile):
        if not said:
            names = ", ".join(f"{job.chapter} seed {job.seed} ({job.number}, {job.state.lower()})" for job in jobs)
            print(f"an earlier run's jobs are still in SLURM's hands; waiting for {names}", file=sys.stderr, flush=True)
        said = True
        time.sleep(seconds)


def held(project: Path, profile: str) -> list[Held]:
    """List this user's jobs for a profile of this project, told by working directory and comment: names are random.

    Raises ChapterError when squeue is missing or refuses.
    """
    command = ["squeue", "--me", "--noheader", "--format=%i|%T|%k|%Z"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise ChapterError("squeue isn't here: run this where jobs may be submitted to SLURM") from error
    except subprocess.CalledProcessError as error:
        raise ChapterError(f"squeue refuses: {error.stderr.strip()}; try again when the cluster answers") from error
    return read_queue(done.stdout, project, profile)


def read_queue(listing: str, project: Path, profile: str) -> list[Held]:
    """Read what squeue printed, one `number|state|comment|folder` a line; other projects' jobs are left out.

    A comment is the profile's only if what follows is a chapter: that of profile `ci_2` begins as one of `ci`, seed 2.
    """
    jobs, chapters = [], {path.stem for path in read_book().sources}
    for line in listing.splitlines():
        number, state, comment, folder = line.split("|", 3)
        found = re.fullmatch(COMMENT.format(profile=re.escape(profile)), comment)
        if found and found["chapter"] in chapters and Path(folder).resolve() == project.resolve():
            jobs.append(Held(number, state, found["seed"], found["chapter"]))
    return jobs


def _executor(workflow_profile: str) -> str | None:
    path = project_root() / "profiles" / workflow_profile / "config.yaml"
    if not path.is_file():
        known = ", ".join(sorted(folder.parent.name for folder in path.parents[1].glob("*/config.yaml")))
        raise ChapterError(f"no {path}: --on takes one of {known}")
    executor: str | None = yaml.safe_load(path.read_text()).get("executor")
    return executor
