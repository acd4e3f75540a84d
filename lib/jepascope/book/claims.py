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
from scipy.stats import norm

from jepascope.analysis.inference.between_seeds import heterogeneity as between
from jepascope.analysis.inference.stats import Estimate, NotComputable, Null, q_values
from jepascope.store import read_json

# An interval narrower than this shows its third decimal.
WIDE = 0.1
Tag = Literal["descriptive", "representational", "predictive", "causal"]


class NotHere:
    """A result that the data can't support, with the reason. It absorbs: whatever is asked of it is not here either."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    __iter__ = None  # not a sequence: __getitem__ alone would make it an endless one

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
    interval inside the pair. A `null` is the same statistic where nothing is to be found; for 'above' and 'below' the
    interval must clear its value, too. `untrained` is the untrained twin's value, shown beside and never hidden.
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


def interval(value: Estimate | Null | NotHere | None) -> str:
    """Write an estimate as `0.73 [0.67, 0.79]`, a narrow one with three decimals, a missing one as an em dash."""
    if value is None:
        return "—"
    if isinstance(value, NotHere):
        return str(value)
    digits = 2 if value.high - value.low >= WIDE else 3
    return f"{value.value:z.{digits}f} [{value.low:z.{digits}f}, {value.high:z.{digits}f}]"


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


def read_ledger(runs: Path, chapters: Iterable[str], seeds: Iterable[int]) -> pd.DataFrame:
    """Collect the claims of these chapters and seeds under `runs/<profile>`, in chapter order."""
    folders = ["all", *map(str, seeds)]
    files = [runs / folder / chapter / "results.json" for chapter in chapters for folder in folders]
    return collect(file for file in files if file.exists())


def heterogeneity(ledger: pd.DataFrame, level: float) -> pd.DataFrame:
    """Compare seeds claim by claim: range of estimates, and how much of it the patients don't explain.

    `sd / se` holds the spread of seeds against the mean patient standard error; I² [with its interval], and q over all
    claims, say whether that is more than chance. All seeds have the same test patients, so their errors go together and
    both understate how far seeds differ. `level` is that of the intervals. Raises NotComputable when no claim has a
    number.
    """
    rows = []
    computed = ledger[ledger["value"].notna()]
    if computed.empty:
        raise NotComputable("no claim has a number")
    for _, seeds in computed.groupby("id", sort=False):
        verdicts = set(seeds["verdict"])
        errors = (seeds["high"] - seeds["low"]).to_numpy() / (2 * norm.ppf((1 + level) / 2))
        apart = between(seeds["value"].to_numpy(), np.diag(errors**2), level)
        rows.append(
            {
                "claim": seeds["statement"].iloc[0],
                "seeds": len(seeds),
                "mean": seeds["value"].mean(),
                "lowest": seeds["value"].min(),
                "highest": seeds["value"].max(),
                "sd / se": seeds["value"].std() / errors.mean() if errors.mean() > 0 else math.nan,
                "I²": "—" if math.isnan(apart.I2) else f"{apart.I2:.2f} [{apart.low:.2f}, {apart.high:.2f}]",
                "q": apart.p,
                "verdict": verdicts.pop() if len(verdicts) == 1 else "differs",
            }
        )
    table = pd.DataFrame(rows)
    return table.assign(q=q_values(table["q"].to_numpy()))


def differing(ledger: pd.DataFrame) -> pd.DataFrame:
    """The rows of claims that hold in one seed and not in another: what a single run would have got wrong.

    Raises NotComputable when all seeds agree about every claim that has a number.
    """
    computed = ledger[ledger["value"].notna()]
    apart = computed.groupby("id")["verdict"].transform("nunique") > 1
    if not apart.any():
        raise NotComputable("every claim has the same verdict in all seeds")
    return computed[apart]
