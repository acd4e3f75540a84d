"""The table of questions against the statement that answers them."""

from __future__ import annotations

import re
from importlib import resources

from jepascope import params
from jepascope.cohort.questions import LABELS, OF_NAME, QUESTIONS


def test_the_sql_answers_every_question_and_no_other():
    sql = resources.files("jepascope.cohort").joinpath("sql/labels.sql").read_text()
    assert re.findall(r"\bas (label_\w+_per_enc)\b", sql) == list(LABELS)


def test_pages_can_tell_any_two_questions_apart():
    for words in ("name", "asks", "short"):
        assert len({getattr(question, words) for question in QUESTIONS}) == len(QUESTIONS), words


def test_a_horizon_is_the_days_written_or_the_parameter_named():
    extraction = params.Extraction(escalation_days=45, crisis_days=99)
    named = {name: OF_NAME[name].days(extraction) for name in ("escalation", "psych_crisis", "death_365d")}
    assert named == {"escalation": 45, "psych_crisis": 99, "death_365d": 365}
