"""Tables of the prediction chapters: what is asked and of whom, who scores what, and the alarm."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import pandas as pd

from jepascope.analysis.inference.stats import Estimate
from jepascope.analysis.outcomes.published import PUBLISHED, TOO_GOOD, WITHIN_30_DAYS
from jepascope.book.claims import NotHere, interval
from jepascope.book.pages import verdict_badge
from jepascope.cohort.questions import OF_COLUMN, QUESTIONS

METRICS = {
    "auroc": "AUROC",
    "auprc": "average precision",
    "brier_skill": "Brier skill",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "intercept",
    "calibration_in_the_large": "observed − predicted rate",
    "ece": "ECE",
    "sensitivity_of_flagged": "events among the 5 % flagged",
    "ppv_of_flagged": "flagged who have one",
}
# Stands with every AUROC.
EVERY_SCORE = (
    "Intervals over patients; Brier skill over the training rate. Last encounters: labelled only where the whole "
    "window was certainly watched."
)
NOTHING = "not computable here"


def titled(table: pd.DataFrame) -> pd.DataFrame:
    """The same table, tasks in a few words."""
    return table.assign(task=table["task"].map(lambda task: OF_COLUMN[task].short))


def asked_table(scores: pd.DataFrame) -> pd.DataFrame:
    """What is asked, of whom, and how often the answer is yes among test patients: a row a task.

    scores: `scoring.score`'s columns.
    """
    rows = []
    for task, mine in scores[scores["metric"] == "auroc"].groupby("task", sort=False):
        question = OF_COLUMN[str(task)]
        counted = mine.dropna(subset=["n_rows"])
        cells = {"outcome": question.asks, "asked of": question.of}
        if counted.empty:
            rows.append({**cells, "encounters": f"{NOTHING}: {mine['reason'].iloc[0]}"})
            continue
        one = counted.iloc[0]
        counts = {"encounters": one["n_rows"], "patients": one["n_patients"], "with the event": one["positives"]}
        rate = f"{one['positives'] / one['n_rows']:.1%}"
        rows.append(cells | {column: f"{value:,.0f}" for column, value in counts.items()} | {"rate": rate})
    columns = ["outcome", "asked of", "encounters", "patients", "with the event", "rate"]
    order = [question.asks for question in QUESTIONS]
    table = pd.DataFrame(rows, columns=columns).astype(object).fillna("—")
    return table.sort_values("outcome", key=lambda names: names.map(order.index), ignore_index=True)


def scores_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Every model on every task with all that an AUROC must carry: a row a task and model, what is missing with why."""
    rows = []
    for (task, model), mine in scores.groupby(["task", "model"], sort=False):
        found = mine.set_index("metric")
        one, question = found.loc["auroc"], OF_COLUMN[str(task)]
        cells = {"outcome": question.short, "asked of": question.of, "model": model}
        cells |= {title: _spelled(found.loc[m]) for m, title in METRICS.items() if m in found.index}
        null = "—" if pd.isna(one["null"]) else f"{one['null']:.3f} [{one['null_low']:.3f}, {one['null_high']:.3f}]"
        shown = pd.notna(one["n_rows"])  # what is too small to compute is too small to count in public
        counts = {"encounters": one["n_rows"], "events": one["positives"], "patients": one["n_patients"]}
        cells["AUROC, others' labels"] = null
        rows.append(cells | {column: f"{n:,.0f}" if shown else "—" for column, n in counts.items()})
    order = [question.short for question in QUESTIONS]
    table = pd.DataFrame(rows)
    return table.sort_values("outcome", key=lambda names: names.map(order.index), kind="stable", ignore_index=True)


def differences_table(differences: pd.DataFrame) -> pd.DataFrame:
    """Paired differences in AUROC, a row a task and pair, with the null that was run."""
    rows = []
    for row in differences.to_dict("records"):
        theirs = row["theirs"] if row["theirs"] == row["named"] else f"{row['theirs']}: {row['named']}"
        null = "—" if pd.isna(row["null"]) else f"{row['null']:.3f} [{row['null_low']:.3f}, {row['null_high']:.3f}]"
        cells = {"outcome": OF_COLUMN[row["task"]].short, "ours": row["ours"], "less": theirs}
        rows.append({**cells, "difference in AUROC": _spelled(row), "others' labels": null})
    return pd.DataFrame(rows)


def alarm_box(found: pd.DataFrame, scores: pd.DataFrame) -> str:
    """Say in a box whether an AUROC is too good to be true. found: what `published.too_good` finds in `scores`."""
    mine = scores[(scores["metric"] == "auroc") & scores["task"].isin(WITHIN_30_DAYS)]
    looked = int(mine["value"].notna().sum())
    if not looked:
        return f'<div class="claim"><p>Alarm {verdict_badge(f"{NOTHING}: no AUROC of the next thirty days")}</p></div>'
    if found.empty:
        text = f"none of {looked} AUROC of the next thirty days is above {TOO_GOOD:.2f}"
        return f'<div class="claim"><p>Alarm {verdict_badge("silent")}: {text}.</p></div>'
    named = "; ".join(f"{row.model}, {OF_COLUMN[row.task].short}: {row.value:.3f}" for row in found.itertuples())
    badge = '<span class="verdict fails">too good: look for a leak</span>'
    text = f"{len(found)} of {looked} AUROC of the next thirty days are above {TOO_GOOD:.2f}: {html.escape(named)}"
    return f'<div class="claim"><p>Alarm {badge}: {text}.</p></div>'


def published_table(scores: pd.DataFrame, model: str) -> pd.DataFrame:
    """Printed results with `model`'s on the nearest of our outcomes beside them: other records, other questions."""
    ours = scores[(scores["metric"] == "auroc") & (scores["model"] == model)].set_index("task")
    rows = []
    for one in PUBLISHED:
        low, high = (f"{x:.2f}" if round(x, 2) == x else f"{x:.3f}" for x in (one.low, one.high))
        printed = low if low == high else f"{low} to {high}"
        nearest = {"nearest outcome here": OF_COLUMN[one.task].short, f"here, {model}": NOTHING}
        if one.task in ours.index:
            nearest[f"here, {model}"] = _spelled(ours.loc[one.task])
        rows.append(
            {"source": one.source, "records": one.records, "asked": one.question, "AUROC, printed": printed, **nearest}
        )
    return pd.DataFrame(rows)


def in_full_table(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """Models side by side on readmission, a row a measure. metrics: model -> `InFull.metrics`, or why it isn't here."""
    rows = {"measure": [*METRICS.values(), "ECE of a calibrated model"]}
    for model, table in metrics.items():
        if isinstance(table, NotHere):
            rows[model] = [str(table)] * len(rows["measure"])
            continue
        whole = table[table["grouping"] == "all"].set_index("metric")
        perfect = whole.loc["ece", "null"]
        spelled = [_spelled(whole.loc[metric]) for metric in METRICS]
        rows[model] = [*spelled, "—" if pd.isna(perfect) else f"{perfect:.3f}"]
    return pd.DataFrame(rows)


def subgroups_table(metrics: Mapping[str, pd.DataFrame], headline: str) -> pd.DataFrame:
    """AUROC of each model by subgroup, and how far the headline's risks are off there: a row a group."""
    tables = {model: table.set_index(["grouping", "group", "metric"]) for model, table in metrics.items()}
    rows = []
    for grouping, group in dict.fromkeys(zip(*(metrics[headline][c] for c in ("grouping", "group")), strict=True)):
        one = tables[headline].loc[(grouping, group, "auroc")]
        counts = {"encounters": one["n_rows"], "events": one["positives"], "patients": one["n_patients"]}
        row = {"by": grouping, "group": group}
        row |= {column: "too few" if pd.isna(n) else f"{n:,.0f}" for column, n in counts.items()}
        row |= {f"AUROC, {model}": _spelled(table.loc[(grouping, group, "auroc")]) for model, table in tables.items()}
        off = tables[headline].loc[(grouping, group, "calibration_in_the_large")]
        rows.append({**row, f"observed − predicted, {headline}": _spelled(off)})
    return pd.DataFrame(rows)


def ceiling_table(ceiling: pd.DataFrame) -> pd.DataFrame:
    """Every readmission model beside the planted risk, a row a model: AUROC, share reached, excess."""
    rows = []
    for model, mine in ceiling.groupby("model", sort=False):
        found = mine.set_index("kind")
        titles = {"auroc": "AUROC", "share": "share of what was there", "excess": "AUROC less the true risk's"}
        counts = {"encounters": f"{mine['n_rows'].iloc[0]:,.0f}", "patients": f"{mine['n_patients'].iloc[0]:,.0f}"}
        rows.append({"model": model, **{t: _spelled(found.loc[k]) for k, t in titles.items()}, **counts})
    return pd.DataFrame(rows).sort_values("model", kind="stable", ignore_index=True)


def trap_table(trap: pd.DataFrame) -> pd.DataFrame:
    """A confounder beside the cause that it travels with, in percentage points: a row a concept and quantity."""
    points = trap.assign(**{name: 100 * trap[name] for name in ("value", "low", "high", "null")})
    return pd.DataFrame(
        {
            "concept": points["concept"].str.replace("_", " "),
            "planted effect, log-hazard": points["effect"],
            "with it less without it": points["quantity"],
            "percentage points": [f"{r.value:.1f} [{r.low:.1f}, {r.high:.1f}]" for r in points.itertuples()],
            "states of another patient": points["null"].map("{:.1f}".format),
            "p": points["p"],
            "encounters": points["n_rows"].map("{:,}".format),
        }
    )


def _spelled(row: Any) -> str:
    """A row's value with its interval, or its reason."""
    if pd.isna(row["value"]) or pd.isna(row["low"]):
        reason = row.get("reason")
        return f"{NOTHING}: {reason}" if isinstance(reason, str) and reason else "—"
    return interval(Estimate(row["value"], row["low"], row["high"], 0, 0))
