"""Tables of the chapter on ẑ and z."""

from __future__ import annotations

import pandas as pd

# Of a long vocabulary this many are shown, from each of its two ends.
SHOWN = 12


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
    """The features that ẑ has the best and the poorest words for, and how z's dictionary writes ẑ."""
    ordered = features.sort_values("auroc ẑ", ascending=False)
    some = pd.concat([ordered[:SHOWN], ordered[SHOWN:][-SHOWN:]])
    value, low, high = (some[name].map("{:.2f}".format) for name in ("auroc ẑ", "low", "high"))
    return pd.DataFrame(
        {
            "feature": some["feature"],
            "goes with": some["word"] + some["word_r"].map(", r {:.2f}".format),
            "on": some["rate"].map("{:.1%}".format),
            "P(reappears)": some["reappears"].map("{:.2f}".format),
            "AUROC by ẑ": value + " [" + low + ", " + high + "]",
            "correlation of codes": some["correlation"].map("{:z.2f}".format),
            "firing ratio": some["firing_ratio"].map("{:.2f}".format),
        }
    )


def coverage_table(coverage: pd.DataFrame) -> pd.DataFrame:
    """By prediction: of how many features it has a word, mean AUROC, counts."""
    return pd.DataFrame(
        {
            "prediction": coverage["prediction"],
            "features with a word": coverage["words"].map("{:,}".format) + coverage["features"].map(" of {:,}".format),
            "mean AUROC": _interval(coverage),
            "encounters": coverage["n_rows"].map("{:,}".format),
            "patients": coverage["n_patients"].map("{:,}".format),
        }
    )


def agreement_table(agreement: pd.DataFrame) -> pd.DataFrame:
    """A row a code, a column a reading: mean r over features, with intervals."""
    spelled = agreement.assign(r=_interval(agreement), reading=agreement["reading"].replace("persistence", "z before"))
    order = {of: list(dict.fromkeys(spelled[of])) for of in ("code", "reading")}
    wide = spelled.pivot(index="code", columns="reading", values="r").loc[order["code"], order["reading"]]
    return wide.rename(columns="mean r with {}".format).reset_index().rename_axis(columns=None)


def shares_table(shares: pd.DataFrame) -> pd.DataFrame:
    """What each part of the split explains of what."""
    return pd.DataFrame({"part": shares["part"], "of": shares["of"], "variance explained": _interval(shares)})
