"""Claims: a statement, the estimate behind it, the null it was held against, and the verdict that follows.

A claim never asserts. It renders "holds", "does not hold", "not licensed: control X missing" or "not computable
here: …", so that a null result can't break the book and prose can't contradict the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from jepascope.analysis.stats import Estimate, Null
from jepascope.store import read_json

Tag = Literal["descriptive", "representational", "predictive", "causal"]


class NotHere:
    """A result that the data can't support, with the reason. It absorbs: whatever is asked of it is not here either."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __getattr__(self, name: str) -> NotHere:
        if name.startswith("_"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> NotHere:
        return self

    def __call__(self, *arguments: Any, **named: Any) -> NotHere:
        return self

    def __str__(self) -> str:
        return f"not computable here: {self.reason}"


class Claim(NamedTuple):
    """What is claimed and when it counts as holding.

    `holds` compares the interval with `bound`: 'above' needs low > bound, 'below' high < bound, 'within' needs the
    interval inside the pair. A `null` is the same statistic where nothing is to be found; for 'above' the interval
    must also clear it. `untrained` is the untrained twin's value, shown beside and never hidden.
    """

    id: str
    statement: str
    tag: Tag
    holds: Literal["above", "below", "within"]
    bound: float | tuple[float, float]
    estimate: Estimate | NotHere
    null_name: str
    null: Estimate | Null | NotHere | None
    untrained: Estimate | NotHere | None = None

    def verdict(self) -> str:
        """Say what the run licenses."""
        if isinstance(self.estimate, NotHere):
            return str(self.estimate)
        if self.null is None or isinstance(self.null, NotHere):
            return f"not licensed: control '{self.null_name}' missing"
        return "holds" if self._holds(self.estimate.low, self.estimate.high, self.null.value) else "does not hold"

    def _holds(self, low: float, high: float, null: float) -> bool:
        if isinstance(self.bound, tuple):
            return self.bound[0] <= low and high <= self.bound[1]
        return low > max(self.bound, null) if self.holds == "above" else high < min(self.bound, null)

    def entry(self, seed: int | None) -> dict[str, Any]:
        """The ledger's row for this claim: plain JSON."""
        return {
            "id": self.id,
            "statement": self.statement,
            "tag": self.tag,
            "rule": f"{self.holds} {self.bound}",
            "verdict": self.verdict(),
            "estimate": plain(self.estimate),
            "null_name": self.null_name,
            "null": plain(self.null),
            "untrained": plain(self.untrained),
            "seed": seed,
        }


def plain(value: Any) -> Any:
    """Turn an estimate or a number into plain JSON; what isn't here becomes its reason."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, NotHere):
        return str(value)
    if hasattr(value, "_asdict"):
        return {
            name: int(number) if name.startswith("n_") else float(number) for name, number in value._asdict().items()
        }
    return int(value) if isinstance(value, int | np.integer) else float(value)


def interval(value: Estimate | Null | NotHere | None, digits: int = 2) -> str:
    """Write an estimate as `0.73 [0.70, 0.75]`; a missing one as an em dash."""
    if value is None:
        return "—"
    if isinstance(value, NotHere):
        return str(value)
    return f"{value.value:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"


def collect(results: Iterable[Path]) -> pd.DataFrame:
    """Collect the claims of some results.json files, one row a claim and seed, numbers in columns of their own.

    Columns: those of `Claim.entry`, chapter, commit, and value, low, high, n_patients, null_value (NaN: not here).
    """
    rows = []
    for file in results:
        result = read_json(file)
        for claim in result["claims"]:
            estimate = claim["estimate"] if isinstance(claim["estimate"], dict) else {}
            null = claim["null"] if isinstance(claim["null"], dict) else {}
            numbers = {name: estimate.get(name, math.nan) for name in ("value", "low", "high", "n_patients")}
            source = {"chapter": result["chapter"], "commit": result["provenance"]["commit"]}
            rows.append({**claim, **numbers, "null_value": null.get("value", math.nan), **source})
    return pd.DataFrame(rows)


def read_ledger(runs: Path, seeds: Iterable[int]) -> pd.DataFrame:
    """Collect the claims of every chapter under `runs/<profile>`, for these seeds, in chapter order."""
    folders = {"all", *map(str, seeds)}
    files = [file for file in runs.glob("*/*/results.json") if file.parent.parent.name in folders]
    return collect(sorted(files, key=lambda file: (file.parent.name, file.parent.parent.name)))


def heterogeneity(ledger: pd.DataFrame) -> pd.DataFrame:
    """Compare seeds claim by claim: range of estimates, and their spread over the mean patient standard error."""
    rows = []
    for statement, seeds in ledger.groupby("statement", sort=False):
        verdicts = set(seeds["verdict"])
        error = (seeds["high"] - seeds["low"]).mean() / (2 * 1.96)
        rows.append(
            {
                "claim": statement,
                "seeds": len(seeds),
                "mean": seeds["value"].mean(),
                "lowest": seeds["value"].min(),
                "highest": seeds["value"].max(),
                "sd / se": seeds["value"].std() / error if error > 0 else math.nan,
                "verdict": verdicts.pop() if len(verdicts) == 1 else "differs",
            }
        )
    return pd.DataFrame(rows)
