"""Tables of the extraction chapter: who is in, what was read, how it became words, and how often labels are true."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jepascope.book.tables.common import count_table
from jepascope.cohort.questions import QUESTIONS

MAP_KINDS = {
    "native": "an ICD-10 code",
    "exact": "one equivalent category",
    "category": "approximate, all alternatives in one category",
    "combination": "several categories together",
    "ambiguous": "true alternatives: stays ICD-9",
    "unmapped": "no counterpart: stays ICD-9",
}


def attrition_table(attrition: pd.DataFrame) -> pd.DataFrame:
    """Who is in, with what each rule took away; attrition has columns step, rule, patients, encounters."""
    lost = -attrition["encounters"].diff().fillna(0).astype(int)
    counts = {name: attrition[name].map("{:,}".format) for name in ("patients", "encounters")}
    return pd.DataFrame({"rule": attrition["rule"], **counts, "encounters lost": lost.map("{:,}".format)})


def source_table(read: pd.DataFrame) -> pd.DataFrame:
    """What was read of the source: table, rows as delivered, and as published where the release is known."""
    published = read["published"].map(lambda rows: "—" if pd.isna(rows) else f"{rows:,.0f}")
    delivered = read["rows"].map("{:,}".format).where(read["read"], "not there")
    return pd.DataFrame({"table": read["table"], "rows": delivered, "published": published})


def vocabulary_table(vocabulary: pd.DataFrame, tokens: np.ndarray, encounters: int) -> pd.DataFrame:
    """The vocabulary by kind: words, how many of them an encounter has on average, and the commonest one."""
    words = vocabulary.assign(carried=np.bincount(tokens, minlength=len(vocabulary)))
    kinds = words[words["kind"] != "special"].groupby("kind", sort=False)
    table = pd.DataFrame({"words": kinds.size(), "per encounter": kinds["carried"].sum() / max(encounters, 1)})
    table["per encounter"] = table["per encounter"].map("{:.1f}".format)
    table["commonest"] = vocabulary["token"].to_numpy()[kinds["carried"].idxmax()]
    return table.reset_index()


def example_table(example: pd.DataFrame) -> pd.DataFrame:
    """One patient's record, a row per encounter, days rounded."""
    days = example.columns[example.columns.str.startswith("days")]
    rounded = {name: example[name].map(lambda value: "—" if pd.isna(value) else f"{value:.1f}") for name in days}
    return example.assign(**rounded)


def map_table(map_kinds: pd.DataFrame) -> pd.DataFrame:
    """How coded diagnoses became words: ICD version, kind of mapping, rows and their share."""
    share = map_kinds["rows"] / map_kinds["rows"].sum()
    cells = {"rows": map_kinds["rows"].map("{:,}".format), "share": share.map("{:.1%}".format)}
    told = {"version": "ICD-" + map_kinds["icd_version"].astype(str), "how": map_kinds["map_kind"].replace(MAP_KINDS)}
    return pd.DataFrame({**told, **cells})


def rate_table(rates: pd.DataFrame) -> pd.DataFrame:
    """Every label's count and rate with its interval."""
    asks = {question.name: question.asks for question in QUESTIONS}
    counts = count_table(rates[["label", "encounters", "patients", "positives"]].replace({"label": asks}))
    return counts.assign(rate=_bracket(rates, "rate", "low", "high"))


def policy_table(compared: pd.DataFrame) -> pd.DataFrame:
    """The last-encounter policies side by side: counts, rate and AUROC with intervals."""
    counts = count_table(compared[["policy", "encounters", "patients", "positives"]])
    rate = _bracket(compared, "rate", "rate_low", "rate_high")
    return counts.assign(rate=rate, AUROC=_bracket(compared, "auroc", "auroc_low", "auroc_high"))


def _bracket(table: pd.DataFrame, value: str, low: str, high: str) -> list[str]:
    return [
        "not computable here" if pd.isna(v) else f"{v:.3f} [{a:.3f}, {b:.3f}]"
        for v, a, b in zip(table[value], table[low], table[high], strict=True)
    ]


def split_table(index: pd.DataFrame, split: str = "split") -> pd.DataFrame:
    """Patients and encounters per part of a split, and encounters with a predecessor, which give predictions."""
    grouped = index.groupby(split)
    table = pd.DataFrame(
        {
            "patients": grouped["subject_id"].nunique(),
            "encounters": grouped.size(),
            "with a predecessor": index[index["k"] > 0].groupby(split).size(),
        }
    )
    parts = ("train", "validation", "test", "unused")
    known = table.fillna(0).astype(int).loc[[name for name in parts if name in table.index]]
    return count_table(known.reset_index())
