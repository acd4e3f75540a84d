"""What a check of the audit finds, and the rule that a check nobody ran has failed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

GREEN, RED, UNVERIFIED = "green", "red", "not verified"
# An audit looks in many places: each one that asks for an interval asks for this one, or clean data would ring weekly.
ALARM_LEVEL = 0.999
ALARM_ERRORS = 3.29  # half its width in standard errors of a normal

# Every check that an audit consists of. One that leaves no finding is red: not configured is never a pass.
CHECKS = (
    ("T1", "the future is perturbed, nothing at or before k moves"),
    ("T2", "a label reads its window and nothing beyond"),
    ("T3", "who is in at k is decided by k"),
    ("T4", "splits share no patient and no encounter"),
    ("T5", "what is fitted does not move with test patients"),
    ("T6", "the structural floor stands beside every result"),
    ("T7", "no single feature tells an outcome"),
    ("T8", "no model is too good"),
    ("T9", "permuted labels are at chance"),
    ("T10", "labels that mean nothing are at chance"),
    ("T11", "leaks that were put in are caught"),
    ("T12", "what counts at k was known at discharge of k"),
    ("T13", "the split by era has an era between its parts"),
    ("T14", "results are told by k, certainty of follow-up and ICD era"),
    ("T15", "openings of the test set are counted"),
)


class AuditError(RuntimeError):
    """A finding that stops the build; the message says which, and what would let it go on."""


class Finding(NamedTuple):
    """One part of a check: green where value ≤ bound, red where it isn't, not verified where there is no value."""

    check: str  # T1 … T15
    part: str  # what was looked at
    status: str
    value: float
    bound: float
    detail: str
    n_rows: int
    n_patients: int


def judge(check: str, part: str, value: float, bound: float, detail: str, n_rows: int, n_patients: int) -> Finding:
    """Compare a value with the most that may be; NaN is neither a pass nor a leak."""
    status = UNVERIFIED if math.isnan(value) else GREEN if value <= bound else RED
    return Finding(check, part, status, float(value), float(bound), detail, int(n_rows), int(n_patients))


def unverified(check: str, part: str, reason: str) -> Finding:
    """What could not be looked at, with the reason."""
    return judge(check, part, math.nan, math.nan, reason, 0, 0)


def gather(findings: Iterable[Finding]) -> pd.DataFrame:
    """Put findings in the order of CHECKS, one row each; a check without any becomes a red row of its own.

    Returns the fields of Finding. Raises ValueError on a finding of an unknown check.
    """
    found = list(findings)
    known = [check for check, _ in CHECKS]
    if unknown := {one.check for one in found} - set(known):
        raise ValueError(f"findings of {sorted(unknown)}, which are no checks of the audit: add them to CHECKS")
    missing = [
        Finding(check, title, RED, math.nan, math.nan, "not configured: nobody ran this check", 0, 0)
        for check, title in CHECKS
        if check not in {one.check for one in found}
    ]
    ordered = sorted([*found, *missing], key=lambda one: known.index(one.check))
    return pd.DataFrame(ordered, columns=list(Finding._fields))


def as_findings(table: pd.DataFrame) -> list[Finding]:
    """The findings of a table that was saved by a step."""
    return [Finding(*row) for row in table[list(Finding._fields)].itertuples(index=False, name=None)]
