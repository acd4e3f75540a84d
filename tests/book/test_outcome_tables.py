"""What the prediction chapters show beside every AUROC, and what they don't show of a few patients."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jepascope.analysis.outcomes.published import PUBLISHED, too_good
from jepascope.book.claims import NotHere
from jepascope.book.tables import outcomes as tables
from jepascope.book.tables.common import folded
from jepascope.cohort.questions import OF_NAME

READMISSION, DEATH = "label_30d_per_enc", "label_death_30d_per_enc"
COLUMNS = ["value", "low", "high", "n_rows", "n_patients", "positives", "null", "null_low", "null_high", "p", "reason"]


def row(task, model, value, metric="auroc", reason="", n_rows=1234.0):
    numbers = [value, value - 0.02, value + 0.02, n_rows, n_rows / 2, 99.0, 0.5, 0.48, 0.52, 0.01, reason]
    return {"task": task, "model": model, "metric": metric, **dict(zip(COLUMNS, numbers, strict=True))}


def scores(*rows):
    return pd.DataFrame(rows)


def test_the_alarm_names_what_is_too_good_and_says_how_many_it_looked_at():
    loud = scores(row(READMISSION, "honest", 0.71), row(READMISSION, "<leaky>", 0.93))
    box = tables.alarm_box(too_good(loud), loud)
    assert "too good: look for a leak" in box
    assert "1 of 2" in box
    assert "&lt;leaky&gt;, readmission, 30 days: 0.930" in box
    assert "honest" not in box


def test_the_alarm_is_silent_or_not_computable_and_never_absent():
    quiet = scores(row(READMISSION, "honest", 0.71), row("label_death_365d_per_enc", "other window", 0.95))
    assert "none of 1 AUROC" in tables.alarm_box(too_good(quiet), quiet)
    nothing = scores(row(READMISSION, "a", np.nan, reason="too few"))
    assert "not computable here" in tables.alarm_box(too_good(nothing), nothing)


def test_an_auroc_stands_with_its_interval_null_counts_and_eligibility():
    table = tables.scores_table(
        scores(
            row(READMISSION, "a", 0.7), row(READMISSION, "a", 0.3, "auprc"), row(READMISSION, "a", 0.1, "brier_skill")
        )
    )
    assert len(table) == 1
    cells = table.iloc[0]
    assert cells["AUROC"] == "0.700 [0.680, 0.720]"
    assert cells["Brier skill"] == "0.100 [0.080, 0.120]"
    assert cells["AUROC, others' labels"] == "0.500 [0.480, 0.520]"
    assert cells["asked of"] == "eligible discharges"
    assert tuple(cells[["encounters", "events", "patients"]]) == ("1,234", "99", "617")


def test_too_few_to_compute_are_too_few_to_count_in_public():
    few = scores(row(READMISSION, "a", np.nan, reason="under 20 patients", n_rows=np.nan))
    for table in (tables.scores_table(few), tables.asked_table(few)):
        text = table.to_string()
        assert "not computable here: under 20 patients" in text
        assert "99" not in text


def test_what_is_asked_is_told_once_a_task_in_the_order_of_the_questions():
    table = tables.asked_table(scores(row(DEATH, "a", 0.7), row(READMISSION, "a", 0.7), row(READMISSION, "b", 0.6)))
    assert list(table["outcome"]) == [OF_NAME["30d"].asks, OF_NAME["death_30d"].asks]
    assert list(table["rate"]) == ["8.0%", "8.0%"]


def test_every_printed_result_has_ours_beside_it_or_says_that_there_is_none():
    table = tables.published_table(scores(row(READMISSION, "mine", 0.7)), "mine")
    assert len(table) == len(PUBLISHED)
    ours = dict(zip(table["source"], table["here, mine"], strict=True))
    assert ours["Adisa 2026, LACE"] == "0.700 [0.680, 0.720]"
    assert ours["Garriga 2022"] == "not computable here"
    assert table.set_index("source").loc["Adisa 2026, LACE", "AUROC, printed"] == "0.60 to 0.68"
    assert table.set_index("source").loc["Garriga 2022", "AUROC, printed"] == "0.797"


def test_the_best_simple_model_is_named_beside_its_difference():
    pair = {"task": READMISSION, "ours": "a", "theirs": "best simple model", "named": "b", "value": 0.1, "low": 0.05}
    pair |= {"high": 0.15, "null": 0.0, "null_low": -0.01, "null_high": 0.01, "reason": ""}
    table = tables.differences_table(pd.DataFrame([pair, pair | {"value": np.nan, "low": np.nan, "reason": "why"}]))
    assert list(table["less"]) == ["best simple model: b"] * 2
    assert list(table["difference in AUROC"]) == ["0.100 [0.050, 0.150]", "not computable here: why"]


def test_a_long_table_is_folded_and_a_missing_one_says_why():
    block = folded(pd.DataFrame({"a": [1]}), "All of it. And more.")
    assert block.startswith("<details><summary>Table: All of it</summary>")
    assert "<table" in block
    assert "too few" in folded(NotHere("too few"), "All of it.")


def in_full():
    rows = [
        {"grouping": grouping, "group": group, "metric": metric, "value": 0.6, "low": 0.5, "high": 0.7, "n_rows": n,
         "n_patients": n, "positives": n, "reason": "", "null": 0.012 if metric == "ece" else np.nan}
        for grouping, group, n in (("all", "all", 50), ("sex", "F", 30))
        for metric in tables.METRICS
    ]  # fmt: skip
    small = {"grouping": "sex", "group": "M", "reason": "under 20 patients"}
    return pd.DataFrame([*rows, *({**small, "metric": metric} for metric in tables.METRICS)])


def test_subgroups_stand_side_by_side_and_a_small_one_is_named_and_not_counted():
    table = tables.subgroups_table({"mine": in_full(), "theirs": in_full()}, "mine").set_index("group")
    assert list(table.index) == ["all", "F", "M"]
    assert table.loc["F", "AUROC, theirs"] == "0.60 [0.50, 0.70]"
    assert table.loc["M", "encounters"] == "too few"
    assert table.loc["M", "AUROC, mine"] == "not computable here: under 20 patients"


def test_a_calibration_error_is_read_beside_that_of_a_calibrated_model():
    table = tables.in_full_table({"mine": in_full(), "missing": NotHere("why")}).set_index("measure")
    assert table.loc["ECE of a calibrated model", "mine"] == "0.012"
    assert (table["missing"] == "not computable here: why").all()
