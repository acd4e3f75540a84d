"""Tables of the chapter on seeds: which claims hold in which, what two seeds share, and where they part."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import pandas as pd

from jepascope.analysis.inference.between_seeds import over_pairs
from jepascope.analysis.inference.stats import Estimate, NotComputable
from jepascope.book.claims import interval

MARKS = {"holds": "●", "does not hold": "○"}


def claims_table(ledger: pd.DataFrame) -> pd.DataFrame:
    """Claims by seeds: a row a claim with its estimate in every seed, those that hold in most seeds first.

    ledger: of `claims.collect`. ● holds, ○ doesn't, — has no number there; · has one that no control licenses. Claims
    without a number in two seeds are left out. Raises NotComputable where that leaves none.
    """
    computed = ledger[ledger["value"].notna() & ledger["seed"].notna()]
    computed = computed[computed.groupby("id")["seed"].transform("nunique") > 1]
    if computed.empty:
        raise NotComputable("no claim has a number in two seeds")
    marks = computed["verdict"].map(MARKS).fillna("·")
    cells = computed.assign(cell=marks + computed["value"].map(" {:z.2f}".format), holds=marks.eq("●"))
    spread = cells.pivot(index="id", columns="seed", values="cell").fillna("—")
    spread.columns = [f"seed {seed:.0f}" for seed in spread.columns]
    claims = cells.groupby("id", sort=False).agg(
        claim=("statement", "first"), held=("holds", "sum"), of=("seed", "size")
    )
    claims = claims.sort_values("held", ascending=False, kind="stable")
    holds = claims["held"].astype(str) + " of " + claims["of"].astype(str)
    return claims[["claim"]].assign(**{"holds in": holds}).join(spread).reset_index(drop=True)


def pairs_table(
    table: pd.DataFrame, by: Sequence[str], level: float, measures: Sequence[str] = ("value",)
) -> pd.DataFrame:
    """A quantity of two seeds over the compared pairs, of all that the seeds make: a row for each `by` and measure.

    table: a row a pair, columns a and b (or seed and other), `by` and `measures`. The interval of the mean is over
    seeds, not over pairs, which share them; it is left out where it says nothing of any row (`over_pairs`).
    """
    ends = ["a", "b"] if "a" in table else ["seed", "other"]
    rows = []
    for names, pairs in table.groupby(list(by), sort=False):
        for measure in measures:
            found = over_pairs(pairs[measure].to_numpy(float), pairs[ends].to_numpy(), level)
            told = {"measure": measure} if len(measures) > 1 else {}
            counted = len({frozenset(pair) for pair in pairs[ends].itertuples(index=False)})
            possible = comb(len(pd.unique(pairs[ends].to_numpy().ravel())), 2)
            over = "—" if pd.isna(found.low) else f"[{found.low:z.2f}, {found.high:z.2f}]"
            mean = {"pairs": f"{counted} of {possible}", "mean": _number(found.mean), "over seeds": over}
            reach = {"lowest": _number(found.lowest), "highest": _number(found.highest)}
            rows.append(dict(zip(by, names, strict=True)) | told | mean | reach)
    shown = pd.DataFrame(rows)
    return shown.drop(columns="over seeds") if shown["over seeds"].eq("—").all() else shown


def smallest(table: pd.DataFrame, model: str, **where: str) -> Estimate:
    """The compared pair of a model with the smallest value, with that pair's own interval over patients.

    The interval isn't widened for the choice: it says how sure this pair's value is, and what it says of the others is
    that theirs are no smaller. table: columns model, those of `where` and those of `Estimate`. Raises NotComputable
    where no value is there.
    """
    mine = table[(table["model"] == model) & table["value"].notna()]
    for name, value in where.items():
        mine = mine[mine[name] == value]
    if mine.empty:
        raise NotComputable(f"no two seeds' {model} models share enough to be compared")
    row = mine.loc[mine["value"].idxmin()]
    return Estimate(row["value"], row["low"], row["high"], int(row["n_rows"]), int(row["n_patients"]))


def features_table(matches: pd.DataFrame, level: float) -> pd.DataFrame:
    """`pairs_table` of matched features: shares of the smaller dictionary, and the mean correlation in firing.

    matches: of `features.match_features`.
    """
    same, together = (matches[name] / matches["features"] for name in ("same_direction", "fire_together"))
    measures = {"same direction": same, "fire together": together, "mean r": matches["value"]}
    return pairs_table(matches.assign(**measures), ["dictionaries"], level, list(measures))


def shared_table(shares: pd.DataFrame) -> pd.DataFrame:
    """How like its own z a seed's prediction is, beside what two seeds' z share: a row a model, seed and other seed.

    shares: columns model, seed, other, own, between, value, low, high, of `similarity.compare_seeds`.
    """
    rows = [
        {
            "model": row.model,
            "seed": row.seed,
            "other": row.other,
            "CKA, ẑ and z of the seed": f"{row.own:.3f}",
            "CKA, z of the two": f"{row.between:.3f}",
            "first over second": "—" if pd.isna(row.value) else interval(Estimate(row.value, row.low, row.high, 0, 0)),
        }
        for row in shares.itertuples()
    ]
    return pd.DataFrame(rows)


def agreement_table(agreement: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations of two seeds' blind-spot maps, with the null of concepts dealt anew: a row a pair and reading.

    agreement: columns a, b, model, reading, value, low, high, null, null_low, null_high, p.
    """
    rows = []
    for row in agreement.itertuples():
        cells = {"seeds": f"{row.a} and {row.b}", "model": row.model, "read": row.reading}
        rho = interval(Estimate(row.value, row.low, row.high, 0, 0))
        null = interval(Estimate(row.null, row.null_low, row.null_high, 0, 0))
        rows.append({**cells, "rank correlation": rho, "concepts dealt anew": null, "p": f"{row.p:.3f}"})
    return pd.DataFrame(rows)


def _number(value: float) -> str:
    return "—" if pd.isna(value) else f"{value:z.2f}"
