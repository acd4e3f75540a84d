"""Tables as chapters show them."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jepascope.analysis.stats import Estimate
from jepascope.book.claims import NotHere, collect, interval
from jepascope.book.pages import verdict_badge
from jepascope.cohort.questions import QUESTIONS
from jepascope.params import ARMS
from jepascope.store import read_json

MAP_KINDS = {
    "native": "an ICD-10 code",
    "exact": "one equivalent category",
    "category": "approximate, all alternatives in one category",
    "combination": "several categories together",
    "ambiguous": "true alternatives: stays ICD-9",
    "unmapped": "no counterpart: stays ICD-9",
}


RECORDED_OF_ARMS = {
    "mismatch": "mismatch",
    "RankMe of z": "rankme",
    "within patients": "within",
    "over persistence": "persistence",
    "groups (AUROC)": "reads",
    "rank of e": "rank_e",
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


def count_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table of counts, with thousands told apart, and shares in per cent."""
    spelled = table.copy()
    for name in table.columns:
        if name == "share":
            spelled[name] = table[name].map("{:.1%}".format)
        elif pd.api.types.is_integer_dtype(table[name]):
            spelled[name] = table[name].map("{:,}".format)
    return spelled.rename(columns=lambda name: name.replace("_", " ")).replace("_", " ", regex=True)


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


def not_computed(table: pd.DataFrame) -> str:
    """Name the probes that the data can't support; the reasons stand in the stored table."""
    return ", ".join(table.loc[table["value"].isna(), "target"].drop_duplicates()) or "none"


def arms_table(ended: Mapping[str, Any], measured: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row an arm: readouts of its last epoch, then what was measured on test patients, with intervals.

    ended: arm -> last row of its history; measured: column -> arm -> estimate. What isn't here says why.
    """
    readouts = {"RankMe of z": "rankme_z", "within patients": "within_patient_share_z", "rank of e": "effective_rank_e"}
    rows = []
    for arm, last in ended.items():
        numbers = {title: last[column] for title, column in readouts.items()}
        spelled = {title: str(v) if isinstance(v, NotHere) else f"{v:.2f}" for title, v in numbers.items()}
        rows.append(
            {"arm": arm.replace("_", " "), **spelled, **{t: interval(by_arm[arm]) for t, by_arm in measured.items()}}
        )
    return pd.DataFrame(rows)


def arms_by_seed(results: Mapping[int, Path]) -> pd.DataFrame:
    """What each seed's run of the arms recorded: a row an arm and seed, a column a measure."""
    rows = []
    for seed, file in results.items():
        values = read_json(file)["values"]
        for arm in ARMS:
            cells = {title: _recorded(values[f"{key}_{arm}"]) for title, key in RECORDED_OF_ARMS.items()}
            rows.append({"arm": arm.replace("_", " "), "seed": seed, **cells})
    return pd.DataFrame(rows).sort_values("arm", kind="stable", ignore_index=True)


def _recorded(value: Any) -> str:
    """An estimate, a number or a reason of a results.json, as a table shows it."""
    if isinstance(value, dict):
        return interval(Estimate(**value))
    return value if isinstance(value, str) else f"{value:.2f}"


# How a claim fared over the seeds, in the order of the front page.
FARED = ("holds in every seed", "depends on the seed", "holds in no seed", "not computable here")


def claims_overview(results: Iterable[Path]) -> str:
    """The ledger as an HTML table: what holds in every seed first, what could not be computed last.

    A row a claim, linked to its chapter; a column a seed, with number and verdict. Each number leads to its chapter's
    provenance; `data-seed` says in which seed, for the renderer, which knows the pages.
    """
    ledger = collect(results)
    seeds = sorted(ledger["seed"].unique())
    rows: dict[str, list[str]] = {fared: [] for fared in FARED}
    for (chapter, statement), claims in ledger.groupby(["chapter", "statement"], sort=False):
        rows[how_it_fared(claims["verdict"])].append(_claim_row(str(chapter), str(statement), claims, seeds))
    body = "".join(
        f'<tbody><tr class="fared"><th colspan="{len(seeds) + 4}" scope="rowgroup">{len(found)} '
        f"{'claim' if len(found) == 1 else 'claims'}: {fared}</th></tr>{''.join(found)}</tbody>"
        for fared, found in rows.items()
        if found
    )
    titles = ["claim", *(f"seed {seed:.0f}" for seed in seeds), "null that was run", "untrained twin", "patients"]
    header = "".join(f'<th scope="col">{title}</th>' for title in titles)
    table = f'<table id="claims" class="table results"><thead><tr>{header}</tr></thead>{body}</table>'
    return f'<div class="table-block" role="region" tabindex="0" aria-label="All claims">{table}</div>'


def how_it_fared(verdicts: Iterable[str]) -> str:
    """One of `FARED`, from a claim's verdicts in all seeds; a seed without a number decides nothing."""
    found = {verdict for verdict in verdicts if not verdict.startswith(("not computable", "not licensed"))}
    if not found:
        return FARED[3]
    return FARED[0] if found == {"holds"} else FARED[1] if "holds" in found else FARED[2]


def _claim_row(chapter: str, statement: str, claims: pd.DataFrame, seeds: list[float]) -> str:
    cells = {row.seed: _claim_cell(row) for row in claims.itertuples()}
    patients = claims["n_patients"].max()
    return (
        f'<tr><td><a href="{chapter}.html">{html.escape(statement)}</a><br><small>{claims["tag"].iloc[0]}</small></td>'
        + "".join(f"<td>{cells.get(seed, '—')}</td>" for seed in seeds)
        + f"<td>{_first_number(claims, 'null')}<br><small>{html.escape(claims['null_name'].iloc[0])}</small></td>"
        + f"<td>{_first_number(claims, 'untrained')}</td>"
        + f"<td>{'—' if pd.isna(patients) else f'{patients:,.0f}'}</td></tr>"
    )


def _claim_cell(row: Any) -> str:
    badge = verdict_badge(row.verdict)
    if pd.isna(row.value):
        return badge
    number, bracket, rest = interval(row).partition("[")
    spelled = f'{number}<br><small class="number">{bracket}{rest}</small>'
    return f"{_made(row.chapter, row.seed, spelled)}<br>{badge}"


def _first_number(claims: pd.DataFrame, which: str) -> str:
    """The first seed's value of a null or twin, as ledger entries hold it; an em dash where there is none."""
    entries = zip(claims["chapter"], claims["seed"], claims[which], strict=True)
    numbers = [
        _made(chapter, seed, f"{entry['value']:z.2f}") for chapter, seed, entry in entries if isinstance(entry, dict)
    ]
    return numbers[0] if numbers else "—"


def _made(chapter: str, seed: float, number: str) -> str:
    return f'<a class="made" href="{chapter}.html#provenance" data-seed="{seed:.0f}">{number}</a>'
