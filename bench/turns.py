"""Take turns: processes that are timed one after another, again and again, so that a busy minute hits them all alike.

Each contender is a process of its own, because memory that two hold together can't be told apart. It runs its own loop
and stops after the step at which its turn is over; between turns it waits, and uses no processor.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from environments import NotRunError
from measure import GIB, tail


class Step(NamedTuple):
    """What one training step went through."""

    encounters: float
    tokens: float  # of these encounters
    positions: float  # that the encoder computed for them in a pass, padding and [CLS] included
    flops: float  # that the model needs for them, however they are computed; 0 when not known


class Turn(NamedTuple):
    """What a contender did in its turn."""

    seconds: float  # wall
    cpu_seconds: float  # of all its threads: what it takes whoever else is on the machine
    steps: int
    work: Step  # summed
    peak_gib: float  # of the process so far


def peak_of_process() -> float:
    """Return the most this process has held, in GiB; 0 elsewhere than on Linux.

    Not getrusage: its maximum is handed down by the process that started this one.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 / GIB for line in lines if line.startswith("VmHWM:")), 0.0)


class Turns:
    """The contender's side: `wait` before the first step, then `after_step`, which returns when the next one may be."""

    def __init__(self, peak: Callable[[], float] = peak_of_process) -> None:
        self._peak = peak
        # What a program prints on its way goes to the log; answers have a way of their own.
        self._answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def after_step(self, count: Callable[[], Step]) -> None:
        """Note a step; `count` is called when the clock stands still. Raises SystemExit after the last turn."""
        self._steps.append(count)
        seconds = time.perf_counter() - self._began
        if seconds >= self._length:
            work = Step(*map(sum, zip(*(count() for count in self._steps), strict=True)))
            took = [seconds, time.process_time() - self._cpu_began]
            print(json.dumps([*took, len(self._steps), work, self._peak()]), file=self._answers, flush=True)
            self.wait()

    def wait(self) -> None:
        """Wait for the next turn, with nothing counted. Raises SystemExit after the last turn."""
        line = sys.stdin.readline()
        if not line:
            raise SystemExit(0)
        self._length, self._steps = float(line), list[Callable[[], Step]]()
        self._began, self._cpu_began = time.perf_counter(), time.process_time()


class Contender:
    """The other side: a process that is told how long its turn is."""

    def __init__(
        self, name: str, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name, self._log = name, log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                text=True, env={**os.environ, **(environment or {})},
            )  # fmt: skip

    def turn(self, seconds: float) -> Turn:
        """Let it run for about `seconds`, at least one step. Raises NotRunError with its last words when it ended."""
        try:
            print(seconds, file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            status = self._process.wait()
            raise NotRunError(f"it ended early (status {status}: {tail(self._log)})")
        seconds, cpu_seconds, steps, work, peak = json.loads(answer)
        return Turn(seconds, cpu_seconds, steps, Step(*work), peak)

    def close(self) -> None:
        """End it."""
        self._process.communicate()
