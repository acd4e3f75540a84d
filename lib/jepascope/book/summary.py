"""The run in a page: every claim over its seeds, under the question it answers.

What is said, and where, follows from the ledger by rule, so that nobody chooses which result the reader meets first. A
chapter's headline is the claim that it records first; under every question stands, too, the claim that fails most
clearly.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from jepascope.analysis.inference.stats import NotComputable
from jepascope.book.claims import NotHere
from jepascope.book.tables.claims import FARED, how_it_fared

# Which question a chapter answers, by its number: the one place. A chapter that is not here falls under the last.
QUESTIONS = {
    "Does it predict?": ("03", "04", "04b", "10"),
    "What does z hold?": ("03b", "05", "05b", "05c", "06"),
    "What does it not foresee?": ("07", "08", "08b"),
    "What can't be named?": ("09", "09b"),
    "Is it used, or only there?": ("11", "11b"),
    "Can it be trusted?": ("02", "02b", "13", "13a", "14", "14b", "15"),
    "What else was asked?": (),
}
HOLDS, FAILS = "holds", "does not hold"


class Effect(NamedTuple):
    """One claim over the seeds that have a number."""

    value: float  # median over seeds
    low: float  # of the widest interval
    high: float
    lowest: float  # smallest and largest estimate of a seed
    highest: float
    n_seeds: int
    n_hold: int  # seeds in which the claim holds
    n_against: int  # seeds whose whole interval lies on the other side of the bound
    n_patients: int


def question(chapter: str) -> str:
    """The question that a chapter's claims answer."""
    number = chapter.partition("_")[0]
    return next((asked for asked, numbers in QUESTIONS.items() if number in numbers), list(QUESTIONS)[-1])


def margin(rule: str, estimate: Mapping[str, float], null: Mapping[str, float] | None) -> float:
    """How far a claim's estimate lies beyond its bound, in half-widths of its interval: the same scale for all claims.

    Above 1 the claim holds (`Claim.verdict`): the interval clears the bound, and the null's value where that is harder
    to clear. Below −1 it is contradicted: the interval lies on the other side of the bound, or of the null's whole
    interval, since a null that is itself uncertain refutes nothing. Between, it is not shown. An interval without width
    is infinitely far from any other bound. rule: as the ledger writes it, e.g. "above 0.0" or "within (0.47, 0.53)";
    estimate and null: value, low, high.
    """
    kind, _, written = rule.partition(" ")
    bound = ast.literal_eval(written)
    value, below, above = (estimate[name] for name in ("value", "low", "high"))
    below, above = value - below, above - value
    if kind == "within":
        return min(_widths(value - bound[0], below, above), _widths(bound[1] - value, above, below))
    sign = 1 if kind == "above" else -1  # a claim that something is small, in a mirror
    if sign < 0:
        below, above = above, below
    needed = against = sign * bound
    if null is not None:
        needed = max(needed, sign * null["value"])
        against = max(against, min(sign * null["low"], sign * null["high"]))
    if sign * value > needed:
        return _widths(sign * value - needed, below, above)
    return _widths(min(sign * value - against, 0.0), below, above)


def _widths(distance: float, towards: float, away: float) -> float:
    width = towards if distance > 0 else away
    if width > 0:
        return float(distance / width)
    return math.copysign(math.inf, distance) if distance else 0.0


def summarise(ledger: pd.DataFrame) -> pd.DataFrame:
    """Sum up the ledger, a row a claim in the ledger's order.

    Columns: id, chapter, question, statement, fared (of `tables.FARED`), margin (median over seeds), headline (recorded
    first in its chapter), reason (why it has no number, else ""), and those of `Effect`. ledger: of `claims.collect`.
    Raises NotComputable for an empty one.
    """
    if ledger.empty:
        raise NotComputable("no claim was made")
    rows = []
    for name, seeds in ledger.groupby("id", sort=False):
        told = seeds[seeds["verdict"].isin((HOLDS, FAILS))]
        chapter = str(seeds["chapter"].iloc[0])
        about = {"id": name, "chapter": chapter, "question": question(chapter), "statement": seeds["statement"].iloc[0]}
        about |= {"fared": how_it_fared(seeds["verdict"]), "headline": False}
        if told.empty:
            rows.append({**about, "margin": math.nan, "reason": seeds["verdict"].iloc[0]})
        else:
            rows.append({**about, "reason": "", **_over_seeds(told)})
    found = pd.DataFrame(rows).reindex(columns=[*about, "reason", "margin", *Effect._fields])
    return found.assign(headline=~found["chapter"].duplicated())


def margins(ledger: pd.DataFrame) -> pd.DataFrame:
    """Every claim with a number in every seed: id, seed, margin, verdict. ledger: of `claims.collect`."""
    told = ledger[ledger["verdict"].isin((HOLDS, FAILS))]
    entries = zip(*(told[name] for name in ("rule", "estimate", "null")), strict=True)
    far = [margin(rule, found, null if isinstance(null, dict) else None) for rule, found, null in entries]
    return told[["id", "seed", "verdict"]].assign(margin=far)


def _over_seeds(told: pd.DataFrame) -> dict[str, float]:
    far = margins(told)["margin"]
    widest = told.loc[(told["high"] - told["low"]).idxmax()]
    effect = Effect(
        told["value"].median(), widest["low"], widest["high"], told["value"].min(), told["value"].max(), len(told),
        int(told["verdict"].eq(HOLDS).sum()), int((far < -1).sum()), int(told["n_patients"].max()),
    )  # fmt: skip
    return {"margin": float(far.clip(-1e6, 1e6).median()), **effect._asdict()}


def effects(found: pd.DataFrame) -> dict[str, Effect | NotHere]:
    """The summary for machines: each claim's effect, or why it isn't here. found: of `summarise`."""
    return {
        row["id"]: NotHere(row["reason"].removeprefix("not computable here: "))
        if row["reason"]
        else Effect(*(row[name] for name in Effect._fields))
        for row in found.to_dict("records")
    }


def counts(found: pd.DataFrame) -> dict[str, int]:
    """How many claims there are, how many fared in which way, and how many are contradicted in every seed."""
    fared = found["fared"].value_counts()
    names = ("hold", "depend", "fail", "missing")
    against = int((found["n_against"].gt(0) & found["n_against"].eq(found["n_seeds"])).sum())
    told = {name: int(fared.get(which, 0)) for name, which in zip(names, FARED, strict=True)}
    return {"claims": len(found), **told, "contradicted": against}


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The claims that the abstract tells of, by question: headlines, and what fails most clearly of the rest.

    found: of `summarise`. Adds the column `why` ("headline" or "fails most clearly"); questions without claims are
    left out.
    """
    tables = []
    for asked in QUESTIONS:
        mine = found[found["question"] == asked]
        failing = mine[mine["fared"].isin(FARED[1:3]) & ~mine["headline"]].nsmallest(1, "margin")
        tables += [mine[mine["headline"]].assign(why="headline"), failing.assign(why="fails most clearly")]
    return pd.concat(tables, ignore_index=True)


def lost_here(methods: Mapping[str, tuple[str, ...]], certificates: pd.DataFrame) -> dict[str, list[str]]:
    """Which methods of a chapter lost their certificate: chapter -> methods. certificates: columns method, verdict."""
    lost = set(certificates.loc[certificates["verdict"] == "lost", "method"])
    return {chapter: found for chapter, used in methods.items() if (found := [m for m in used if m in lost])}
