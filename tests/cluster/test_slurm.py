"""The book on a SLURM cluster: seeds fan out, a killed controller's jobs are not lost, failures are retried and named.

Run by `make test-cluster`: it takes minutes, and needs SLURM.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cluster.conftest import CHAPTERS, Cluster, Job, cluster_project, until
from tests.conftest import jepascope, values

pytestmark = pytest.mark.cluster
RUN = ("run", "--profile", "ci", "--seeds", "1,4")  # the profile names others: no file is edited for a sweep
SEEDS = ("1", "4")
ON_SLURM = ("--on", "slurm", "--jobs", "2")


class Story(NamedTuple):
    """A run whose controller was killed while the seeds trained, and the run after it."""

    project: Path
    before: list[Job]  # in SLURM's hands at the moment of the kill
    after: list[Job]  # and just after it
    all: list[Job]  # that either run submitted
    second: str  # what the second run printed


@pytest.fixture(scope="module")
def story(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Story:
    project = cluster_project(tmp_path_factory.mktemp("cluster") / "project")
    log = project / "first.log"
    command = [sys.executable, "-m", "jepascope", *RUN, *ON_SLURM]
    with log.open("w") as out:
        controller = subprocess.Popen(
            command, cwd=project, env=cluster.environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        until(lambda: len(cluster.jobs(project, ended=False)) > 1, "two jobs side by side", project)
        before = cluster.jobs(project, ended=False)
    finally:
        os.killpg(controller.pid, signal.SIGKILL)
        controller.wait()
    after = cluster.jobs(project, ended=False)
    second = jepascope(project, *RUN, *ON_SLURM, environment=cluster.environment)
    assert second.returncode == 0, second.stdout[-2000:] + second.stderr[-6000:]
    return Story(project, before, after, cluster.jobs(project), second.stderr)


def named(jobs: list[Job]) -> Counter[tuple[str, str]]:
    return Counter((job.seed, job.chapter) for job in jobs)


def test_seeds_fan_out_as_jobs_of_their_own(story: Story) -> None:
    assert named(story.before) == Counter((seed, "03_training") for seed in SEEDS)


def test_jobs_outlive_a_killed_controller_and_the_next_one_waits_for_them(story: Story) -> None:
    assert named(story.after) == named(story.before)
    assert all(job.state in ("PENDING", "RUNNING") for job in story.after)
    assert all(f"03_training seed {seed}" in story.second.partition("waiting for")[2] for seed in SEEDS)


def test_after_the_kill_only_the_rest_is_submitted(story: Story) -> None:
    per_seed = [(seed, chapter) for seed in SEEDS for chapter in CHAPTERS[1:3]]
    assert named(story.all) == Counter([("all", "01_extraction"), ("all", "index"), *per_seed])
    assert {job.state for job in story.all} == {"COMPLETED"}


def test_a_chapter_on_the_cluster_says_what_it_says_here(story: Story, tmp_path: Path) -> None:
    here = cluster_project(tmp_path / "here")
    done = jepascope(here, *RUN)
    assert done.returncode == 0, done.stderr[-4000:]
    assert values(story.project) == values(here)


def test_training_on_a_gpu_goes_where_they_are_and_a_failure_is_tried_again_and_named(
    cluster: Cluster, story: Story
) -> None:
    """The cluster has a GPU in its books only, so the seed that is to train on one fails."""
    assert {job.partition for job in story.all} == {"cpu"}
    params = story.project / "params" / "ci.yaml"
    params.write_text(params.read_text() + "overrides: {1: {training: {device: cuda}}}\n")
    without_gpu = {**cluster.environment, "CUDA_VISIBLE_DEVICES": ""}
    failed = jepascope(story.project, *RUN, *ON_SLURM, environment=without_gpu)
    assert failed.returncode == 1
    first, second = cluster.jobs(story.project)[len(story.all) :]
    assert first[:3] == second[:3] == ("1", "03_training", "FAILED")
    assert first.partition == second.partition == "gpu"
    assert int(second.limit.partition(":")[0]) == 2 * int(first.limit.partition(":")[0])
    logs = {Path(name) for name in re.findall(r"(/\S+/ci_1_03_training/\d+\.log)", failed.stderr)}
    assert len(logs) == 2
    assert all("no CUDA device is here" in log.read_text() for log in logs)
