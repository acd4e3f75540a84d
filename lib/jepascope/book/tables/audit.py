"""Tables of the leak audit: every finding with its status, what was put in, what escapes, and the info sheet."""

from __future__ import annotations

import html
from collections.abc import Sequence

import pandas as pd

from jepascope.book.pages import verdict_badge

SEVERITY = ("red", "not verified", "green")  # the worst of several findings is the first of these
# The kinds of leak of Kapoor and Narayanan (2023), each as a question, with the checks that answer it.
SHEET = (
    ("no clean split", "Are there test patients that no fit and no choice has seen?", ("T4", "T5", "T15")),
    ("fitting before the split", "Is all that is learnt from data learnt from training patients?", ("T5", "T9")),
    ("choosing features on all rows", "Do labels of test patients reach what is read?", ("T5", "T9")),
    ("duplicates", "Is any encounter on both sides, under whatever name?", ("T4", "T10")),
    ("illegitimate features", "Is what is read at k known at k, and is nothing in it the outcome itself?",
     ("T1", "T7", "T8", "T12")),
    ("time", "Does what is learnt come before what is asked?", ("T1", "T2", "T12", "T13")),
    ("dependence between the parts", "Could a reader recognise a test patient?", ("T4", "T10")),
    ("another population than meant", "Is anybody in, or out, for what happened later?", ("T3", "T14")),
)  # fmt: skip
# What no check of records and code can tell.
BEYOND = (
    ("when a diagnosis was known", "Diagnoses and procedures are billed after discharge, with no time of their own. "
     "Clinical inputs leave those of k out; z has them in, and is compared with models that do."),
    ("who is in the source", "MIMIC-IV holds patients who came to the emergency department or intensive care at some "
     "time. A record can be there for what came later; the chapter on extraction counts those qualified by then."),
    ("real dates", "Dates are shifted per patient, eras known to three years: an overlap within a group is unseen."),
    ("the hospital's clocks", "A result counts from the time it was stored. Whether it was told by telephone before is "
     "in no table."),
    ("what people tried", "The ledger counts looks at test patients. How many ideas were dropped after such a look is "
     "known to those who had them."),
)  # fmt: skip


def findings_table(findings: pd.DataFrame, checks: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """One row a finding: check, what was looked at, status, value, the most that may be, and what was seen."""
    titles = dict(checks)
    return pd.DataFrame(
        {
            "check": [f"{one.check}: {titles[one.check]}" for one in findings.itertuples()],
            "looked at": findings["part"],
            "status": findings["status"],
            "value": findings["value"].map(_number),
            "at most": findings["bound"].map(_number),
            "seen": findings["detail"],
            "rows": findings["n_rows"].map(_count),
            "patients": findings["n_patients"].map(_count),
        }
    )


def summary_box(findings: pd.DataFrame, checks: Sequence[tuple[str, str]]) -> str:
    """A box with a badge for every check: the worst status of its parts. HTML."""
    lines = []
    for check, title in checks:
        worst = worst_status(findings, (check,))
        badge = verdict_badge("holds").replace(">holds<", ">green<") if worst == "green" else _badge(worst)
        lines.append(f"<li>{check} {badge} {html.escape(title)}</li>")
    return f'<div class="claim"><ul>{"".join(lines)}</ul></div>'


def worst_status(findings: pd.DataFrame, checks: Sequence[str]) -> str:
    """The worst status among findings of these checks; none at all is red."""
    found = set(findings.loc[findings["check"].isin(checks), "status"])
    return next((status for status in SEVERITY if status in found), "red")


def trials_table(tried: pd.DataFrame) -> pd.DataFrame:
    """One row a leak that was put in: how, the check meant for it, what it said with the leak and without."""
    return pd.DataFrame(
        {
            "leak": tried["leak"],
            "put in as": tried["how"],
            "check": tried["check"] + ", " + tried["part"],
            "caught": tried["caught"].map({True: "yes", False: "no"}),
            "value with it": tried["value"].map(_number),
            "without": tried["clean"].map(_number),
            "at most": tried["bound"].map(_number),
        }
    )


def escapes_table(escapes: pd.DataFrame) -> pd.DataFrame:
    """One row a leak that stands in the records: which checks are red, and the best model with it and without."""
    return pd.DataFrame(
        {
            "in the records": escapes["leak"],
            "red": escapes["red"].replace("", "none"),
            "highest AUROC": escapes["auroc"].map(_number),
            "without the leak": escapes["honest"].map(_number),
        }
    )


def info_sheet(findings: pd.DataFrame) -> pd.DataFrame:
    """The questions of the model info sheet with the answer that the findings give: the worst of the checks asked."""
    rows = [
        {
            "kind of leak": kind,
            "question": question,
            "checks": ", ".join(asked),
            "answer": worst_status(findings, asked),
        }
        for kind, question, asked in SHEET
    ]
    return pd.DataFrame(rows)


def unverified_table(findings: pd.DataFrame) -> pd.DataFrame:
    """What could not be verified here, with the reason, and what no audit of records can."""
    here = findings[findings["status"] == "not verified"]
    rows = [{"what": f"{one.check}, {one.part}", "why": one.detail} for one in here.itertuples()]
    return pd.DataFrame([*rows, *({"what": what, "why": why} for what, why in BEYOND)])


def _badge(status: str) -> str:
    return (
        verdict_badge("does not hold").replace(">does not hold<", ">red<") if status == "red" else verdict_badge(status)
    )


def _number(value: float) -> str:
    return "—" if pd.isna(value) else f"{value:,.3g}"


def _count(value: int) -> str:
    return f"{value:,}" if value else "—"
