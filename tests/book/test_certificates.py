"""Certificates under a page's title: the verdict is the run's, a lost one is said in words, a missing one too."""

import re

import pandas as pd

from jepascope.book.certificates import badges
from jepascope.book.tables.methods import certificate_table, cost_table

FOUND = {
    "sign-flips": {"verdict": "certified", "gate": "alarms ≤ 0.10", "measured": "0.04 in 100 cohorts"},
    "CKA": {"verdict": "lost", "gate": "CKA ≤ 0.02", "measured": "0.05 in 100 cohorts"},
}


def words(line: str) -> str:
    return re.sub(r"<[^>]+>", "", line)


def test_each_method_is_named_with_its_verdict_and_what_was_measured() -> None:
    line = badges(["sign-flips", "CKA"], FOUND)
    assert "sign-flips certified · CKA lost" in words(line)
    assert 'title="alarms ≤ 0.10; 0.04 in 100 cohorts"' in line


def test_a_lost_certificate_is_said_to_the_reader_in_a_sentence_and_a_kept_one_is_not() -> None:
    assert "CKA lost the certificate in this run" in words(badges(["sign-flips", "CKA"], FOUND))
    assert "lost" not in words(badges(["sign-flips"], FOUND))


def test_a_method_that_nobody_examined_does_not_pass_for_certified() -> None:
    assert "probes no certificate" in words(badges(["probes"], FOUND))


def test_tables_have_a_dash_for_what_a_method_has_not_and_the_sum_of_what_it_took() -> None:
    table = certificate_table(
        pd.DataFrame([{"method": "m", "power": "", "on": "models of 3 seeds", "verdict": "lost"}])
    )
    assert table.loc[0, ["power, or recovery", "measured on"]].tolist() == ["—", "models of 3 seeds"]
    took = pd.DataFrame({"chapter": ["a", "b"], "runs": [3, 1], "steps": [6, 2], "seconds": [1999.6, 0.6]})
    assert cost_table(took).iloc[-1].tolist() == ["in all", "4", "8", "2,000"]
