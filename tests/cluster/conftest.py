"""A SLURM cluster of one machine on the loopback, for as long as the tests of this folder run.

Debian and Ubuntu: `apt-get install slurm-wlm munge`. Its daemons are started by nobody else and end with the tests; all
they write lies in pytest's folder.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.conftest import small_project

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue")
CHAPTERS = ("01_extraction", "03_training", "06_trajectories", "index")
COMMENT = re.compile(r"rule_chapter_wildcards_ci_(all|\d+)_(\w+)")
SLURM_CONF = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/builtin
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MinJobAge=7200
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=60000 Gres=gpu:1
PartitionName=cpu Nodes=ALL Default=YES
PartitionName=gpu Nodes=ALL
"""


class Job(NamedTuple):
    """What SLURM knows of a chapter's job."""

    seed: str
    chapter: str
    state: str
    limit: str  # minutes:seconds
    partition: str


class Cluster(NamedTuple):
    """How a test speaks with the cluster."""

    environment: dict[str, str]
    folder: Path

    def jobs(self, project: Path, ended: bool = True) -> list[Job]:
        """The project's jobs, oldest first; without those that ended, if so wished."""
        command = ["squeue", "--noheader", "--sort=i", "--format=%k|%T|%l|%P|%Z", *(["--states=all"] if ended else [])]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        rows = [line.split("|") for line in done.stdout.splitlines()]
        ours = [(COMMENT.fullmatch(comment), *rest) for comment, *rest, at in rows if at == str(project)]
        return [Job(match[1], match[2], *rest) for match, *rest in ours if match]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One machine, two jobs at a time, partitions `cpu` and `gpu`; skipped where SLURM isn't installed."""
    missing = [name for name in NEEDED if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing:
        pytest.skip(f"SLURM is not installed here ({', '.join(missing)} missing): apt-get install slurm-wlm munge")
    folder = tmp_path_factory.mktemp("slurm")
    environment = _configured(folder)
    with contextlib.ExitStack() as daemons:

        def start(*command: str) -> None:
            daemons.enter_context(_daemon(folder, environment, *command))

        start(
            "munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed",
        )  # fmt: skip
        until(lambda: (folder / "munge.socket").exists(), "munged's socket", folder)
        start("slurmctld", "-D", "-c")
        start("slurmd", "-D", "-c")
        cluster = Cluster(environment, folder)
        until(lambda: _state(environment) == "idle", "an idle node", folder)
        yield cluster
        subprocess.run(["scancel", f"--user={getpass.getuser()}"], env=environment, check=False)
        until(lambda: not _queue(environment), "an empty queue", folder)


def until(holds: Callable[[], bool], what: str, folder: Path, seconds: float = 400.0) -> None:
    """Wait for something; when it doesn't come, fail with the ends of the logs in a folder."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            logs = "\n".join(f"{file.name}: {file.read_text()[-2000:]}" for file in folder.glob("*.log"))
            pytest.fail(f"waited {seconds:.0f} s for {what}\n{logs}")
        time.sleep(0.2)


def cluster_project(target: Path) -> Path:
    """A project of four chapters that asks SLURM of this cluster every second, and through squeue."""
    project = small_project(target, CHAPTERS)
    path = project / "profiles" / "slurm" / "config.yaml"
    here = {"slurm-status-command": "squeue", "slurm-init-seconds-before-status-checks": 1, "latency-wait": 5}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **here}))
    return project


def _configured(folder: Path) -> dict[str, str]:
    """Write the configuration, and return the environment in which SLURM's commands find it."""
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    ports = dict(zip(("ctld_port", "d_port"), _free_ports(2), strict=True))
    host = socket.gethostname().partition(".")[0]
    configuration = folder / "slurm.conf"
    configuration.write_text(SLURM_CONF.format(folder=folder, user=getpass.getuser(), host=host, **ports))
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")  # in the books only: enough to be asked for
    # Inside a job, Snakemake's executor hides SLURM's variables from srun, and with them where the configuration is.
    srun = folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    path = f"{folder}/bin:{os.environ['PATH']}:/usr/sbin"
    return {**os.environ, "SLURM_CONF": str(configuration), "PATH": path}


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def _daemon(folder: Path, environment: dict[str, str], *command: str) -> Iterator[None]:
    with (folder / f"{command[0]}.out.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


def _queue(environment: dict[str, str]) -> str:
    return subprocess.run(["squeue", "--noheader"], env=environment, capture_output=True, text=True, check=True).stdout


def _state(environment: dict[str, str]) -> str:
    command = ["sinfo", "--noheader", "--format=%T", "--partition=cpu"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout.strip()
