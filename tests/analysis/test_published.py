"""The alarm rings for what is too good to be true, and for nothing else."""

import numpy as np
import pandas as pd

from jepascope.analysis.outcomes.published import PUBLISHED, TOO_GOOD, WITHIN_30_DAYS, too_good
from jepascope.cohort.questions import LABELS, QUESTIONS


def scores(*rows):
    return pd.DataFrame(rows, columns=["task", "model", "metric", "value"])


def test_an_auroc_above_the_mark_within_thirty_days_rings_and_the_highest_stands_first():
    found = too_good(
        scores(
            ("label_30d_per_enc", "a", "auroc", 0.81),
            ("label_30d_per_enc", "b", "auroc", TOO_GOOD),  # at the mark is not above it
            ("label_psych_crisis_28d_per_enc", "c", "auroc", 0.97),
            ("label_30d_per_enc", "d", "auprc", 0.99),  # another measure
            ("label_death_365d_per_enc", "e", "auroc", 0.95),  # another window
            ("label_30d_per_enc", "f", "auroc", np.nan),
        )
    )
    assert list(found["model"]) == ["c", "a"]


def test_nothing_rings_where_nothing_could_be_computed():
    assert too_good(scores()).empty


def test_every_question_of_thirty_days_or_less_can_ring_and_no_other():
    short = {question.column for question in QUESTIONS if isinstance(question.horizon, int) and question.horizon <= 30}
    assert set(WITHIN_30_DAYS) == short


def test_printed_outcomes_are_labels_and_printed_ranges_run_upwards():
    for one in PUBLISHED:
        assert one.task in LABELS
        assert 0.5 < one.low <= one.high < 1


def test_printed_readmission_spans_what_is_known_of_it_and_no_printed_one_rings():
    printed = [one for one in PUBLISHED if one.task == "label_30d_per_enc"]
    assert min(one.low for one in printed) == 0.60
    assert max(one.high for one in printed) == 0.72 < TOO_GOOD
