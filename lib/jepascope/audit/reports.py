"""T6, T14 and T15: what has to stand beside a result stands there."""

from __future__ import annotations

import pandas as pd

from jepascope.audit.findings import Finding, judge, unverified

FLOOR = "structure"
GROUPINGS = ("encounter", "follow-up", "ICD era")


def floor_is_beside(scores: pd.DataFrame) -> Finding:
    """T6: every outcome that any model has an AUROC for has the structural floor's, on as many rows.

    scores: columns task, model, metric, value, n_rows, as `scoring.score` leaves them.
    """
    aurocs = scores[(scores["metric"] == "auroc") & scores["value"].notna()]
    if aurocs.empty:
        return unverified("T6", "floor", "no model has an AUROC here")
    floor = aurocs[aurocs["model"] == FLOOR].set_index("task")["n_rows"]
    without = sorted(set(aurocs["task"]) - set(floor.index))
    other = aurocs["n_rows"].to_numpy() != aurocs["task"].map(floor).fillna(aurocs["n_rows"]).to_numpy()
    detail = f"{aurocs['task'].nunique()} outcomes, {len(aurocs)} AUROCs"
    detail += f"; without a floor: {', '.join(without)}" if without else "; each beside the floor"
    rows = int(aurocs["n_rows"].max())
    patients = int(aurocs["n_patients"].max()) if "n_patients" in aurocs else 0
    return judge("T6", "floor", len(without) + int(other.sum()), 0, detail, rows, patients)


def results_are_told_by_group(metrics: pd.DataFrame | None) -> Finding:
    """T14: the metrics of the model in full name every grouping of GROUPINGS; None where there are no metrics."""
    if metrics is None:
        return unverified("T14", "groupings", "too few patients to tell any result by group")
    missing = [name for name in GROUPINGS if name not in set(metrics["grouping"])]
    detail = f"{', '.join(GROUPINGS)}; missing: {', '.join(missing) or 'none'}"
    whole = metrics[metrics["grouping"] == "all"].iloc[0]
    return judge("T14", "groupings", len(missing), 0, detail, whole["n_rows"], whole["n_patients"])


def openings_are_counted(opened: pd.DataFrame, looked: list[str]) -> Finding:
    """T15: the ledger of the test set is there, every line can be read, and the chapters that looked are in it.

    opened: `times_opened` of a chapter: evaluation, times. looked: evaluations whose results the audit read.
    """
    entered = set(opened["evaluation"])
    wrong = [name for name in looked if name not in entered] + [name for name in entered if "unreadable" in name]
    detail = (
        f"{int(opened['times'].sum()):,} openings by {len(entered)} chapters; missing: {', '.join(wrong) or 'none'}"
    )
    return judge("T15", "ledger", len(wrong), 0, detail, 0, 0)
