"""Tables of the chapter on seeds: what two of them share, and where they part."""

from __future__ import annotations

import pandas as pd

from jepascope.analysis.inference.stats import Estimate, NotComputable
from jepascope.book.claims import interval


def shared_table(shares: pd.DataFrame) -> pd.DataFrame:
    """How like its own z a seed's prediction is, beside what two seeds' z share: a row a model, seed and other seed.

    shares: columns model, seed, other, own, between, value, low, high, of `similarity_of_seeds.compare_seeds`.
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


def smallest(table: pd.DataFrame, model: str, **where: str) -> Estimate:
    """The row of a model whose value is smallest, as an estimate: what holds of it holds of every pair of seeds.

    table: columns model, those of `where` and those of `Estimate`. Raises NotComputable where no value is there.
    """
    mine = table[(table["model"] == model) & table["value"].notna()]
    for name, value in where.items():
        mine = mine[mine[name] == value]
    if mine.empty:
        raise NotComputable(f"no two seeds' {model} models share enough to be compared")
    row = mine.loc[mine["value"].idxmin()]
    return Estimate(row["value"], row["low"], row["high"], int(row["n_rows"]), int(row["n_patients"]))
