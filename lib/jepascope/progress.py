"""Progress bars that reach the terminal, also from inside a notebook kernel, and never the page.

A kernel's own standard error becomes cell output. The runner therefore names its terminal in an environment
variable, and the bar is drawn there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

TERMINAL = "JEPASCOPE_TERMINAL"
T = TypeVar("T")


def terminal_path() -> str | None:
    """Name a path under which another process can write to our standard error; None where there is none."""
    path = f"/proc/{os.getpid()}/fd/2"
    if sys.stderr.isatty():
        return os.ttyname(sys.stderr.fileno())
    return path if os.path.exists(path) else None


def with_bar(items: Iterable[T], label: str, total: int | None = None, initial: int = 0) -> Iterator[T]:
    """Iterate with a bar on the terminal: redrawn in place on a tty, one line every half minute in a log."""
    path = os.environ.get(TERMINAL)
    with open(path, "a") if path else os.fdopen(os.dup(2), "w") as terminal:
        interval = 0.5 if terminal.isatty() else 30.0
        yield from tqdm(items, desc=label, total=total, initial=initial, file=terminal, mininterval=interval, ncols=90)
