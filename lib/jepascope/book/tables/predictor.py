"""Tables of the chapter on ẑ and z."""

from __future__ import annotations

import pandas as pd

SHOWN = 6


def _interval(table: pd.DataFrame, prefix: str = "") -> pd.Series:
    parts = (table[f"{prefix}{part}"].map("{:z.3f}".format) for part in ("value", "low", "high"))
    value, low, high = parts
    return value + " [" + low + ", " + high + "]"


def skill_table(skills: pd.DataFrame) -> pd.DataFrame:
    """A row a predictor: skill, share of z's variance, slope of z on it, and ẑ's skill less its own."""
    columns = {"predictor": skills["predictor"], "skill": _interval(skills)}
    names = {"share_": "share of z's variance", "slope_": "slope of z on it", "less_": "ẑ's skill less its own"}
    shown = pd.DataFrame({**columns, **{title: _interval(skills, of) for of, title in names.items()}})
    shown.loc[shown["predictor"].isin(["ẑ", "untrained ẑ"]), names["less_"]] = "—"
    return shown


def words_table(features: pd.DataFrame) -> pd.DataFrame:
    """The features that ẑ has the best and the poorest words for, by AUROC."""
    ordered = features.sort_values("auroc ẑ", ascending=False)
    some = pd.concat([ordered[:SHOWN], ordered[SHOWN:][-SHOWN:]])
    return pd.DataFrame(
        {
            "feature": some["feature"],
            "goes with": some["word"] + " (r " + some["word_r"].map("{:.2f}".format) + ")",
            "on": some["rate"].map("{:.1%}".format),
            "P(reappears)": some["reappears"].map("{:.2f}".format),
            "AUROC by ẑ": some["auroc ẑ"].map("{:.2f}".format)
            + some["low"].map(" [{:.2f}".format)
            + some["high"].map(", {:.2f}]".format),
            "by persistence": some["auroc persistence"].map("{:.2f}".format),
            "correlation of codes": some["correlation"].map("{:z.2f}".format),
            "firing ratio": some["firing_ratio"].map("{:.2f}".format),
        }
    )


def coverage_table(coverage: pd.DataFrame) -> pd.DataFrame:
    """By prediction: share of features with a word, mean AUROC, counts."""
    return pd.DataFrame(
        {
            "prediction": coverage["prediction"],
            "features with a word": _interval(coverage),
            "mean AUROC": _interval(coverage, "auroc_"),
            "encounters": coverage["n_rows"].map("{:,}".format),
            "patients": coverage["n_patients"].map("{:,}".format),
        }
    )


def shares_table(shares: pd.DataFrame) -> pd.DataFrame:
    """What a dictionary of the novel part explains of several things."""
    return pd.DataFrame({"of": shares["of"], "variance explained": _interval(shares)})
