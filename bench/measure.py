"""Run a command and say what it took: wall and CPU seconds, and memory of all its processes together (Linux)."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

GIB = 1024**3
SAMPLE_SECONDS = 0.1


class Measured(NamedTuple):
    """One run. Memory is read from /proc ten times a second; elsewhere than on Linux it is 0."""

    seconds: float  # wall
    cpu_seconds: float  # user and system, of the command and all it waited for
    peak_gib: float  # the most its processes held together, shared pages counted once; what a machine must have
    status: int  # exit status; negative: the signal that ended it


def run(command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None) -> Measured:
    """Run `command` to its end, with its output in `log`; the largest process alone would miss what runs beside it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}, start_new_session=True,
        )  # fmt: skip
        peak, ended = [0], threading.Event()
        sampler = threading.Thread(target=_sample, args=(process.pid, peak, ended))
        sampler.start()
        # Not `process.wait()`: only wait4 tells what this child used, apart from all children before it. Its ru_maxrss
        # is of no use, because a child inherits the high-water mark of whoever started it.
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    ended.set()
    sampler.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measured(seconds, usage.ru_utime + usage.ru_stime, peak[0] / GIB, process.returncode)


def tail(log: Path, lines: int = 3) -> str:
    """Return the last lines of a log, for a reason why a run failed."""
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-lines:])


def _sample(root: int, peak: list[int], ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_SECONDS):
        held = [_memory(pid) for pid in _tree(root)]
        # The sum can miss a short peak; the kernel keeps each process's own.
        peak[0] = max(peak[0], sum(now for now, _ in held), *(highest for _, highest in held), 0)


def _tree(root: int) -> list[int]:
    """Return the processes of the command's session: a child whose parent has ended is still in it."""
    members = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            try:
                # The name in brackets may hold spaces; session is the fourth field after it.
                session = int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[3])
            except OSError:  # ended meanwhile
                continue
            if session == root:
                members.append(int(name))
    return members


def _memory(pid: int) -> tuple[int, int]:
    """Return a process's bytes now (proportional set: a page shared by n counts 1/n in each) and at its highest."""
    folder = Path("/proc", str(pid))
    try:
        return _kilobytes(folder / "smaps_rollup", "Pss:") * 1024, _kilobytes(folder / "status", "VmHWM:") * 1024
    except OSError:  # ended meanwhile
        return 0, 0


def _kilobytes(file: Path, field: str) -> int:
    return next((int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(field)), 0)
