"""What has moved between two kept runs: claims, numbers, tables, figures, and what they were made from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from jepascope.review.snapshot import NOTEBOOK, Snapshot, place_of
from jepascope.review.tables import RowDifference, difference, name, tables_of
from jepascope.store import StoreError

# How a claim can have fared, what matters most first. The first five count as moved.
VERDICT, RULE, ESTIMATE, NEW, GONE = "verdict changed", "rule changed", "estimate moved", "new", "gone"
MOVED = (VERDICT, RULE, ESTIMATE, NEW, GONE)
SMALL, SAME = "differs within its interval", "identical"
RULES = ("statement", "tag", "rule", "null_name")
CODE = "code"
Run = tuple[str, int | None]  # chapter, seed


class ClaimPair(NamedTuple):
    """One claim in one seed, in both runs; None: not there."""

    chapter: str
    seed: int | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @property
    def fate(self) -> str:
        """How it has fared: a verdict that changed outweighs a rule that did, and that an estimate that moved."""
        before, after = self.before, self.after
        if before is None or after is None:
            return NEW if before is None else GONE
        if _kind(before["verdict"]) != _kind(after["verdict"]):
            return VERDICT
        if any(before[key] != after[key] for key in RULES):
            return RULE
        if _outside(before["estimate"], after["estimate"]) or _outside(after["estimate"], before["estimate"]):
            return ESTIMATE
        return SAME if before == after else SMALL

    @property
    def either(self) -> dict[str, Any]:
        """The claim as it is now, or was."""
        return self.after or self.before or {}


class Pair(NamedTuple):
    """Something that differs: where, what, before, after; None: not there."""

    where: str
    what: str
    before: Any
    after: Any


class TablePair(NamedTuple):
    """A table that differs: rows that do, or, with no rows, a table that is new or gone."""

    where: str
    caption: str
    fate: str  # changed | new | gone
    rows: list[RowDifference]


class Comparison(NamedTuple):
    """All that differs, in the order of the book."""

    before: Snapshot
    after: Snapshot
    seeds: tuple[int, ...]  # that both runs have
    claims: list[ClaimPair]  # all of them
    values: list[Pair]
    tables: list[TablePair]
    figures: list[Pair]  # PNG bytes
    same_figures: int
    settings: list[Pair]  # parameters, software, commits, code

    @property
    def moved(self) -> list[ClaimPair]:
        """The claims that a reader has to look at, what matters most first."""
        return [claim for fate in MOVED for claim in self.claims if claim.fate == fate]


def compare(before: Snapshot, after: Snapshot) -> Comparison:
    """Hold two runs against each other, in the seeds that both have. Raises StoreError when their tiers differ."""
    if before.tier != after.tier:
        raise StoreError(
            f"{before.name} is of {before.tier} records, {after.name} of {after.tier}: results of different data tiers "
            "aren't compared"
        )
    seeds = tuple(seed for seed in before.seeds if seed in after.seeds)
    runs = [run for run in sorted(before.results.keys() | after.results.keys(), key=_order) if run[1] in (None, *seeds)]
    both = [run for run in runs if run in before.results and run in after.results]
    figures = [pair for run in both for pair in _figures(before, after, run)]
    return Comparison(
        before,
        after,
        seeds,
        [claim for run in runs for claim in _claims(before, after, run) if claim.seed in (None, *seeds)],
        [pair for run in both for pair in _values(before.results[run], after.results[run], place(*run))],
        [pair for run in both for pair in _tables(before, after, run)],
        [pair for pair in figures if pair.before != pair.after],
        sum(pair.before == pair.after for pair in figures),
        list(_settings(before, after, runs)),
    )


def place(chapter: str, seed: int | None) -> str:
    """A chapter's run in words."""
    return chapter if seed is None else f"{chapter}, seed {seed}"


def _claims(before: Snapshot, after: Snapshot, run: Run) -> Iterator[ClaimPair]:
    old, new = (
        {(claim["id"], claim["seed"]): claim for claim in snapshot.results.get(run, {"claims": []})["claims"]}
        for snapshot in (before, after)
    )
    for key in dict.fromkeys([*new, *old]):
        yield ClaimPair(run[0], key[1], old.get(key), new.get(key))


def _values(before: Mapping[str, Any], after: Mapping[str, Any], where: str) -> Iterator[Pair]:
    """The numbers that differ, but for those of claims, which are told with their claim."""
    claims = chain(before["claims"], after["claims"])
    told = {f"{c['id']}{tail}_estimate" for c in claims for tail in ("", f"_seed{c['seed']}")}
    old, new = before["values"], after["values"]
    for key in dict.fromkeys([*new, *old]):
        if key not in told and old.get(key) != new.get(key):
            yield Pair(where, key, old.get(key), new.get(key))


def _tables(before: Snapshot, after: Snapshot, run: Run) -> Iterator[TablePair]:
    first, second = (place_of(snapshot, *run) / NOTEBOOK for snapshot in (before, after))
    if first.read_bytes() == second.read_bytes():
        return
    old, new = tables_of(first), tables_of(second)
    for key in dict.fromkeys([*new, *old]):
        if key not in old or key not in new:
            yield TablePair(place(*run), name(key), NEW if key not in old else GONE, [])
        elif rows := difference(old[key], new[key]):
            yield TablePair(place(*run), name(key), "changed", rows)


def _figures(before: Snapshot, after: Snapshot, run: Run) -> Iterator[Pair]:
    folders = [place_of(snapshot, *run) / "figures" for snapshot in (before, after)]
    names = sorted({file.name for folder in folders for file in folder.glob("*.png")})
    for file in names:
        old, new = ((folder / file).read_bytes() if (folder / file).exists() else None for folder in folders)
        yield Pair(place(*run), file.removesuffix(".png"), old, new)


def _settings(before: Snapshot, after: Snapshot, runs: Sequence[Run]) -> Iterator[Pair]:
    """Parameters, versions, commits and code that differ; where chapters ran under several values, all of them."""
    old, new = (
        _facts(snapshot.results[run] for run in runs if run in snapshot.results) for snapshot in (before, after)
    )
    for key in sorted(old.keys() | new.keys(), key=lambda key: (key[0] == CODE, key)):  # a long list comes last
        if old.get(key) != new.get(key):
            yield Pair(*key, old.get(key), new.get(key))


def _facts(results: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], list[Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for result in results:
        made = result["provenance"]
        told = {("run", "profile"): result["profile"], ("run", "commit"): made["commit"]}
        told |= {("software", package): version for package, version in made["software"].items()}
        told[CODE, result["chapter"]] = made["code"][:12]  # its own, or that of a module it reaches
        for section, values in made["parameters"].items():
            inner = values.items() if isinstance(values, dict) else [("", values)]
            told |= {("parameter", f"{section}.{key}" if key else section): value for key, value in inner}
        for key, value in told.items():
            found.setdefault(key, {})[json.dumps(value, sort_keys=True)] = value
    return {key: [values[spelt] for spelt in sorted(values)] for key, values in found.items()}


def _order(run: Run) -> tuple[bool, str, int]:
    """Numbered chapters first, as in the book."""
    return not run[0][0].isdigit(), run[0], -1 if run[1] is None else run[1]


def _kind(verdict: str) -> str:
    """A verdict without its reason, which may tell other numbers."""
    return verdict.partition(":")[0]


def _outside(estimate: Any, other: Any) -> bool:
    """Whether an estimate lies outside the other's interval."""
    both = isinstance(estimate, dict) and isinstance(other, dict)
    return both and not other["low"] <= estimate["value"] <= other["high"]
