"""An alarm of the gate: which file, where in it, which rule. Never the value: a report travels, too."""

from __future__ import annotations

import re
from typing import NamedTuple

# Raised whenever a rule changes: a manifest made under other rules is void.
RULES_VERSION = "1"
HIDDEN = re.compile(r"\d{5,}")


class Alarm(NamedTuple):
    """One reason to refuse. `file` and `where` are free of long numbers: a file's name can be a leak itself."""

    file: str  # relative to the tree
    where: str  # "line 12, <td>", "cell 3, output 0, line 2", "whole file"
    rule: str  # its name in docs and tests
    reason: str  # what the rule asks, without what was found

    def __str__(self) -> str:
        return f"{self.file}: {self.where}: {self.rule}: {self.reason}"


def alarm(file: str, where: str, rule: str, reason: str) -> Alarm:
    """Make an alarm whose place can't give an identifier away."""
    return Alarm(HIDDEN.sub("#", file), HIDDEN.sub("#", where), rule, reason)
