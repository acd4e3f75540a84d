"""Tables of the bridge, and the spans of its figure: one row a tier and object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.claims import NotHere, interval
from jepascope.store import read_table

OBJECTS = ("z", "c", "ẑ", "e")
AXES = ("A: axes", "share of variance that labels tell")
CLUSTERS = ("B: clusters that come back", "share of encounters in a labelled one")
PARTS = ("B: a partition", "share of encounters in a labelled part")
FEATURES = ("C: features", "share of code that labels tell")
TRAINED, TWIN, PARTITION = "trained", "untrained twin", "k-means partition"
NO_DICTIONARY, NO_SEARCH = "no dictionary of its own", "not searched"
COLUMNS = ["tier", "unit", "object", "explained", "low", "high", "null", "twin", "reason"]


def spans(axes: Path, others: Sequence[Path | NotHere]) -> pd.DataFrame:
    """How far labels reach, a row a tier and object: explained, low, high, null, twin; NaN with a reason where not run.

    Args: the folder of `bridge.reach_axes`; those of `bridge.reach_clusters` and `bridge_features.reach_features`.
    """
    clusters, features = others
    rows = [_axes(axes, name) for name in OBJECTS]
    rows += [_parts(clusters, search, name) for search in (CLUSTERS, PARTS) for name in OBJECTS]
    rows += [_features(features, name) for name in OBJECTS]
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _axes(folder: Path, name: str) -> dict[str, Any]:
    table = read_table(folder / "explained.parquet").set_index(["model", "object"])
    row, twin = table.loc[(TRAINED, name)], table.loc[(TWIN, name)]
    found = {"explained": row["value"], "low": row["low"], "high": row["high"], "null": row["null"]}
    return _of(AXES, name) | found | {"twin": twin["value"]}


def _parts(folder: Path | NotHere, search: tuple[str, str], name: str) -> dict[str, Any]:
    if isinstance(folder, NotHere):
        return _of(search, name) | {"reason": "not computable here"}
    table = read_table(folder / "reach.parquet")
    table = table[(table["search"] == PARTITION) == (search == PARTS)].set_index(["model", "object"])
    if (TRAINED, name) not in table.index:
        return _of(search, name) | {"reason": NO_SEARCH}
    row = table.loc[(TRAINED, name)]
    twin = 1 - table.loc[(TWIN, name), "value"] if (TWIN, name) in table.index else np.nan
    found = {"explained": 1 - row["value"], "low": 1 - row["high"], "high": 1 - row["low"]}
    return _of(search, name) | found | {"twin": twin}


def _features(folder: Path | NotHere, name: str) -> dict[str, Any]:
    if isinstance(folder, NotHere):
        return _of(FEATURES, name) | {"reason": "not computable here"}
    table = read_table(folder / "reach.parquet").set_index("space")
    if name not in table.index:
        return _of(FEATURES, name) | {"reason": NO_DICTIONARY}
    row = table.loc[name]
    found = {"explained": row["told_value"], "low": row["told_low"], "high": row["told_high"], "null": row["null"]}
    return _of(FEATURES, name) | found | {"twin": table.loc["untrained z", "told_value"] if name == "z" else np.nan}


def _of(tier: tuple[str, str], name: str) -> dict[str, Any]:
    return dict(zip(COLUMNS, (*tier, name, *[np.nan] * 5, ""), strict=True))


def residual_table(table: pd.DataFrame) -> pd.DataFrame:
    """The spans in numbers: what is left of each object at each tier, the null and the twin."""
    rows = table[table["explained"].notna()]
    left = [interval(Estimate(1 - r["explained"], 1 - r["high"], 1 - r["low"], 0, 0)) for _, r in rows.iterrows()]
    return pd.DataFrame(
        {
            "tier": rows["tier"],
            "object": rows["object"],
            "left": left,
            "left, others' labels": (1 - rows["null"]).map(_number),
            "left, untrained twin": (1 - rows["twin"]).map(_number),
            "of what": rows["unit"].str.replace("share of ", "").str.split(" that| in a").str[0],
        }
    )


def parts_table(reach: pd.DataFrame) -> pd.DataFrame:
    """Tier B in numbers, a row a model, object and search."""
    return pd.DataFrame(
        {
            "model": reach["model"],
            "object": reach["object"],
            "parts by": reach["search"],
            "parts": reach["parts"],
            "with a label": reach["labelled"],
            "enriched pairs": reach["pairs"],
            "in nothing": reach["pairs_in_nothing"].map(_number),
            "encounters outside": reach["value"].map("{:.0%}".format),
            "patients never inside": reach["patients_value"].map("{:.0%}".format),
            "patients": reach["n_patients"].map("{:,}".format),
        }
    )


def features_table(reach: pd.DataFrame) -> pd.DataFrame:
    """Tier C in numbers, a row a space."""
    return pd.DataFrame(
        {
            "features of": reach["space"],
            "features": reach["features"],
            "with a label": reach["tied"],
            "share of explained variance they carry": _interval(reach, "carried_"),
            "R² of codes on labels": _interval(reach, "told_"),
            "others' rows": reach["null"].map("{:z.3f}".format),
            "patients": reach["n_patients"].map("{:,}".format),
        }
    )


def stable_table(stable: pd.DataFrame, bar: float) -> pd.DataFrame:
    """The labels that each leading axis of z takes up in at least a share `bar` of half-samples."""
    often = stable[stable["often"] >= bar]
    found = often.groupby("axis")["label"].agg([", ".join, "size"])
    return found.reset_index().set_axis(["axis of z", "labels taken up", "how many"], axis=1)


def candidate_table(found: pd.DataFrame) -> pd.DataFrame:
    """The features that labels tell least, with what their cards say."""
    return pd.DataFrame(
        {
            "feature": found["feature"],
            "left by labels": (1 - found["told"]).map("{:.0%}".format),
            "any label": np.where(found["tied"], "yes", "none over the null"),
            "name on its card": found["name"],
            "best label": found["label"] + " (r " + found["r"].map("{:z.2f}".format) + ")",
            "AUROC": found["auroc"].map("{:.2f}".format),
            "lift": found["lift"].map("{:.1f}".format),
            "precision": found["precision"].map("{:.0%}".format) + " of " + found["among"].astype(str),
            "entropy (by chance)": found["entropy"].map("{:.2f}".format) + found["expected"].map(" ({:.2f})".format),
            "on": found["rate"].map("{:.0%}".format),
            "staying on": found["excess"].map("{:+.3f}".format),
            "P(reappears)": found["reappears"].map("{:.2f}".format),
            "patients": (5 * (found["patients"] / 5).round()).astype(int),
        }
    )


def concept_table(concepts: pd.DataFrame, most: int = 8) -> pd.DataFrame:
    """The named concepts that what labels leave of z tells best, then the one without a label: a column a part."""
    parts = list(dict.fromkeys(concepts["part"]))
    wide = concepts.assign(told=_interval(concepts, "")).pivot(
        index="concept", columns="part", values=["told", "value"]
    )
    about = concepts.drop_duplicates("concept").set_index("concept")
    best = wide["value"][parts[1]].astype(float).sort_values(ascending=False).index
    labelled = about.loc[best, "labelled"].to_numpy(bool)
    order = best[labelled][:most].append(best[~labelled])
    about = about.loc[order]
    named = pd.DataFrame({"concept": order.str.replace("_", " "), "dynamics": about["dynamics"].to_numpy()})
    return named.assign(**{part: wide["told"][part].loc[order].to_numpy() for part in parts})


def feature_table(features: pd.DataFrame, most: int = 6) -> pd.DataFrame:
    """The named concepts that single features go with best once labels are taken out, then the one without a label."""
    labelled = features["labelled"].to_numpy(bool)
    some = pd.concat([features[labelled].head(most), features[~labelled]])
    numbers = some.columns.drop(["concept", "dynamics", "labelled"])
    shown = pd.DataFrame({"concept": some["concept"].str.replace("_", " "), "dynamics": some["dynamics"]})
    return shown.assign(**{f"r, {name}": some[name].map("{:z.3f}".format) for name in numbers})


def _number(value: float) -> str:
    return "—" if np.isnan(value) else f"{value:z.3f}"


def _interval(table: pd.DataFrame, prefix: str) -> pd.Series:
    value, low, high = (table[f"{prefix}{end}"].map("{:z.3f}".format) for end in ("value", "low", "high"))
    return value + " [" + low + ", " + high + "]"
