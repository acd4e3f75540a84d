"""Tables of the trajectories chapter, as it shows them."""

from __future__ import annotations

import pandas as pd

from jepascope.analysis.inference.stats import Estimate


def order_table(table: pd.DataFrame) -> pd.DataFrame:
    """Turning and straightness by space: observed, shuffled, excess, and the largest excess that shuffles reach."""
    rows = [
        {
            "space": row["space"],
            "measure": row["measure"],
            "observed": _estimate(row, "observed "),
            "shuffled": row["shuffled"],
            "excess": _estimate(row, "excess "),
            "shuffles reach": row["null_high"],
        }
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(rows)


def pace_table(table: pd.DataFrame) -> pd.DataFrame:
    """Speed by space: mean step, median length per day, slope of log length on log days."""
    speeds = {"step": table["step"], "per day, median": table["median per day"]}
    slopes = [_estimate(row, "") for row in table.to_dict("records")]
    return pd.DataFrame({"space": table["space"], **speeds, "slope on days": slopes})


def shape_table(table: pd.DataFrame) -> pd.DataFrame:
    """The shape test by space: AUROC without and with shape, the gain, its part due to order, with the p of both."""
    rows = []
    for space, found in table.groupby("space", sort=False):
        what = found.set_index("what").to_dict("index")
        names = {"without shape": "base", "with shape": "full", "gain": "gain", "by order": "order"}
        cells = {label: _estimate(what[name], "") for label, name in names.items()}
        rows.append({"space": space, **cells, "p (gain)": what["gain"]["p"], "p (order)": what["order"]["p"]})
    return pd.DataFrame(rows)


def power_table(table: pd.DataFrame) -> pd.DataFrame:
    """Power by planted effect: share of cohorts with its Wilson interval, mean gain, and the most there is to gain."""
    what = table["what"].map({"gain": "shape adds", "order": "its order adds"})
    share = [f"{row.power:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in table.itertuples()]
    columns = {name: table[name] for name in ("effect", "cohorts")}
    means = {"mean gain": table["gain"], "turbulence itself": table["reached"]}
    return pd.DataFrame({"reading": what, **columns, "holds in": share, **means})


def _estimate(row: dict[str, float], prefix: str) -> Estimate:
    value, low, high, n_rows, n_patients = (row[f"{prefix}{name}"] for name in Estimate._fields)
    return Estimate(value, low, high, int(n_rows), int(n_patients))
