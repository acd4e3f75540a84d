"""AUROC that others printed, with their task and their records, and when ours would be too good to be true."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

# Above this a model of the next thirty days has, until shown otherwise, read them.
TOO_GOOD = 0.80
# The window that closes soonest is the one that leaks most easily into its own predictors.
WITHIN_30_DAYS = (
    "label_30d_per_enc", "label_30d_or_death_per_enc", "label_escalation_30d_per_enc", "label_psych_crisis_28d_per_enc",
    "label_death_30d_per_enc",
)  # fmt: skip


class Published(NamedTuple):
    """One printed result; `task` is the label of ours that comes nearest, never the same question."""

    source: str
    records: str
    question: str
    low: float
    high: float
    task: str


PUBLISHED = (
    # arXiv:2604.22535, abstract: LACE 0.60 to 0.68; XGBoost 0.696, 95 % interval 0.691 to 0.701.
    Published("Adisa 2026, LACE", "MIMIC-IV, all adults", "readmission, 30 days", 0.60, 0.68, "label_30d_per_enc"),
    Published("Adisa 2026, XGBoost", "MIMIC-IV, all adults", "readmission, 30 days", 0.691, 0.701,
              "label_30d_per_enc"),
    # arXiv:2503.23050, abstract.
    Published("Almeida 2025", "MIMIC-IV, with the notes", "readmission, 30 days", 0.72, 0.72, "label_30d_per_enc"),
    # J Psychiatr Res 61:205, abstract: C-statistic of the READMIT index in derivation and validation.
    Published("Vigod 2015", "Ontario, left a psychiatric unit", "psychiatric readmission, 30 days", 0.630, 0.631,
              "label_psych_crisis_28d_per_enc"),
    # Nat Med 28:1240, abstract.
    Published("Garriga 2022", "Birmingham, in mental health care", "mental health crisis, 28 days", 0.797, 0.797,
              "label_psych_crisis_28d_per_enc"),
    # npj Digit Med 7:227, abstract: transferred and tuned, and the best one.
    Published("Guerreiro 2024", "Chicago, in mental health care", "mental health crisis, 28 days", 0.826, 0.837,
              "label_psych_crisis_28d_per_enc"),
)  # fmt: skip


def too_good(scores: pd.DataFrame) -> pd.DataFrame:
    """The models of the next thirty days whose AUROC is above TOO_GOOD: a leak, until somebody has looked for it.

    Takes columns task, model, metric, value (other metrics and NaN are passed over). Returns its rows, highest first.
    """
    suspect = (scores["metric"] == "auroc") & scores["task"].isin(WITHIN_30_DAYS) & (scores["value"] > TOO_GOOD)
    return scores[suspect].sort_values("value", ascending=False, ignore_index=True)
