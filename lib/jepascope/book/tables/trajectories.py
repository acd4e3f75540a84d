"""Tables of the trajectories chapter, as it shows them."""

from __future__ import annotations

import pandas as pd

from jepascope.analysis.inference.stats import Estimate

MEASURES = {
    "turning": "cosine of the turn",
    "angle": "turn, degrees",
    "straightness": "straightness",
    "step": "step length",
    "speed": "length a month",
    "curvature": "turn a month, degrees",
}
KINDS = {
    "coded": "coded now",
    "free": "never so far",
    "before": "one before its first coding",
    "never yet": "not, and not at the next two",
}


def order_table(order: pd.DataFrame, beyond: pd.DataFrame) -> pd.DataFrame:
    """How paths are walked, by measure and trained space: as they were, shuffled, the excess, and the twin's beside it.

    order: columns space, measure, observed, shuffled, excess, null; beyond: excess less the twin's, by space, measure.
    """
    found = order.set_index(["space", "measure"])
    over = beyond.set_index(["space", "measure"])
    rows = []
    for measure, name in MEASURES.items():
        for space in over.index.unique("space"):
            row, twin = found.loc[(space, measure)], found.loc[(f"untrained {space}", measure)]
            rows.append(
                {
                    "measure": name,
                    "space": space,
                    "as walked": _estimate(row, "observed "),
                    "shuffled": row["shuffled"],
                    "excess": _estimate(row, "excess "),
                    "single shuffles": f"{row['null_low']:.3f} to {row['null_high']:.3f}",
                    "twin's excess": _estimate(twin, "excess "),
                    "beyond the twin": _estimate(over.loc[(space, measure)], ""),
                }
            )
    return pd.DataFrame(rows)


def pace_table(table: pd.DataFrame) -> pd.DataFrame:
    """Slope of log step length on log days, of trained spaces and beside them of the twin's."""
    slope = {row["space"]: _estimate(row, "") for row in table.to_dict("records")}
    mine = [space for space in slope if f"untrained {space}" in slope]
    columns = {"slope": [slope[space] for space in mine], "twin's slope": [slope[f"untrained {s}"] for s in mine]}
    return pd.DataFrame({"space": mine, **columns})


def course_table(table: pd.DataFrame) -> pd.DataFrame:
    """Means over groups by trained space and kind of step: drift, and course by step and by month, the twin's beside.

    table: columns space, kind, what, and an estimate's, in mean steps; shown in hundredths.
    """
    shown = table.assign(**{name: 100 * table[name] for name in ("value", "low", "high")})
    found = {(r["space"], r["kind"], r["what"]): _estimate(r, "") for r in shown.to_dict("records")}
    rows = []
    for space, kind in dict.fromkeys((space, kind) for space, kind, _ in found if not space.startswith("untrained")):
        cells: dict[str, object] = {"space": space, "step from": KINDS[kind], "drift": found[space, kind, "drift"]}
        for what in ("by step", "by month"):
            cells[what] = found.get((space, kind, what), "—")
            cells[f"{what}, twin"] = found.get((f"untrained {space}", kind, what), "—")
        rows.append(cells)
    return pd.DataFrame(rows)


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
    means = {"mean gain": table["gain"].round(3), "turbulence itself": table["reached"].round(3)}
    return pd.DataFrame({"reading": what, **columns, "holds in": share, **means})


def _estimate(row: dict[str, float], prefix: str) -> Estimate:
    value, low, high, n_rows, n_patients = (row[f"{prefix}{name}"] for name in Estimate._fields)
    return Estimate(value, low, high, int(n_rows), int(n_patients))
