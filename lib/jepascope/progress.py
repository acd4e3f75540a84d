"""Progress bars that reach the terminal, also from inside a notebook kernel, and never the page.

A kernel's own standard error becomes cell output. The runner therefore names its terminal in an environment
variable, and the bar is drawn there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

TERMINAL = "JEPASCOPE_TERMINAL"
T = TypeVar("T")


def terminal_path() -> str | None:
    """Name a path under which another process can write to our standard error; None where there is none."""
    try:
        if os.isatty(2):
            return os.ttyname(2)
        os.stat("/proc/self/fd/2")
        return f"/proc/{os.getpid()}/fd/2"
    except OSError:  # closed, or a system without /proc
        return None


class _Terminal:
    """Where bars are drawn, unbuffered: one that can't be opened, or goes away, costs the bar and never the work."""

    encoding = "utf-8"  # tells tqdm that it may draw smooth bars

    def __init__(self) -> None:
        path = os.environ.get(TERMINAL)
        try:
            self.descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if path else os.dup(2)
        except OSError:
            self.descriptor = os.open(os.devnull, os.O_WRONLY)

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self.descriptor, text.encode())

    def flush(self) -> None:
        """Nothing waits."""


def say(text: str) -> None:
    """Write one line on the terminal."""
    terminal = _Terminal()
    try:
        terminal.write(f"{text}\n")
    finally:
        os.close(terminal.descriptor)


def with_bar(items: Iterable[T], label: str, total: int | None = None, initial: int = 0) -> Iterator[T]:
    """Iterate with a bar on the terminal: redrawn in place on a tty, one line every half minute in a log."""
    terminal = _Terminal()
    interval = 0.5 if os.isatty(terminal.descriptor) else 30.0
    try:
        yield from tqdm(items, desc=label, total=total, initial=initial, file=terminal, mininterval=interval, ncols=90)
    finally:
        os.close(terminal.descriptor)
