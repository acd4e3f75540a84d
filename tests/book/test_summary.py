"""The summary: what it says, and in which order, follows from the ledger."""

import html
import math
import re

import pandas as pd
import pytest

from jepascope.analysis.inference.stats import Estimate, NotComputable
from jepascope.book import summary
from jepascope.book.claims import Claim, NotHere
from jepascope.book.figures.summary import beyond_their_bounds
from jepascope.book.notebooks import read_book
from jepascope.book.tables.summary import abstract, what_fails
from tests.conftest import CLAIMS

BOUNDS = {"above": 0.5, "below": 0.5, "within": (0.4, 0.6)}


def number(value: float, half: float = 0.1) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


@pytest.mark.parametrize(
    ("rule", "value", "null", "expected"),
    [
        ("above 0.5", 0.7, None, 2),
        ("above 0.5", 0.55, None, 0.5),
        ("above 0.5", 0.3, None, -2),
        ("above 0.5", 0.7, number(0.65), 0.5),  # the null is the harder bar
        ("above 0.5", 0.3, number(0.1), -2),  # and no excuse
        ("above 0.5", 0.55, number(0.6), 0),  # below an uncertain null is not against it
        ("above 0.5", 0.55, number(0.85), -2),  # below all of it is
        ("below 0.5", 0.3, None, 2),
        ("below 0.5", 0.7, number(0.9), -2),
        ("below 0.5", 0.3, number(0.35), 0.5),
        ("within (0.4, 0.6)", 0.5, None, 1),
        ("within (0.4, 0.6)", 0.55, None, 0.5),
        ("within (0.4, 0.6)", 0.8, None, -2),
        ("within (0.4, 0.6)", 0.2, None, -2),
    ],
)
def test_margins_by_hand(rule: str, value: float, null: dict | None, expected: float) -> None:
    assert summary.margin(rule, number(value), null) == pytest.approx(expected)


def test_the_half_width_is_the_one_on_the_bounds_side_and_none_is_infinitely_sure() -> None:
    lopsided = {"value": 0.7, "low": 0.6, "high": 1.7}
    assert summary.margin("above 0.5", lopsided, None) == pytest.approx(2)
    assert summary.margin("below 0.5", lopsided, None) == pytest.approx(-2)
    assert summary.margin("above 0.5", number(0.6, 0), None) == math.inf
    assert summary.margin("above 0.5", number(0.4, 0), None) == -math.inf
    assert summary.margin("above 0.5", number(0.5, 0), None) == 0


@pytest.mark.parametrize("holds", BOUNDS)
@pytest.mark.parametrize("value", [0.15, 0.35, 0.42, 0.5, 0.58, 0.65, 0.85])
@pytest.mark.parametrize("null", [0.3, 0.5, 0.7])
def test_a_claim_holds_where_its_margin_is_above_one(holds: str, value: float, null: float) -> None:
    """The figure and the verdict are two readings of one rule."""
    estimate, other = (Estimate(v, v - 0.07, v + 0.07, 10, 5) for v in (value, null))
    claim = Claim("a", "A", "descriptive", holds, BOUNDS[holds], estimate, "null", other)
    entry = claim.entry(0)
    assert (summary.margin(entry["rule"], entry["estimate"], entry["null"]) > 1) == (claim.verdict() == "holds")


def ledger(*claims: tuple[str, str, tuple[float | None, ...]]) -> pd.DataFrame:
    """Rows as `collect` makes them: chapter, id and a value for each seed, "above 0.5"; None is not computable."""
    rows = []
    for chapter, name, values in claims:
        for seed, value in enumerate(values):
            estimate = NotHere("3 patients") if value is None else Estimate(value, value - 0.1, value + 0.1, 90, 40)
            claim = Claim(
                name, f"{name} is so (share)", "descriptive", "above", 0.5, estimate, "n", Estimate(0.1, 0, 0.2, 9, 4)
            )
            numbers = {"value": math.nan, "low": math.nan, "high": math.nan, "n_patients": math.nan, "null_value": 0.1}
            if value is not None:
                numbers |= {name: getattr(estimate, name) for name in ("value", "low", "high", "n_patients")}
            rows.append({**claim.entry(seed), **numbers, "chapter": chapter, "commit": "c"})
    return pd.DataFrame(rows)


LEDGER = ledger(
    ("05_z", "sure", (0.7, 0.9, 0.8)),
    ("05_z", "open", (0.5, 0.45, 0.55)),
    ("05_z", "refuted", (0.2, 0.3, 0.1)),
    ("08_error", "torn", (0.7, 0.5, 0.2)),
    ("08_error", "some", (0.7, None, 0.75)),
    ("09_bridge", "bridge_nothing", (None, None, None)),
)


def test_every_claim_is_summed_up_over_the_seeds_that_have_a_number() -> None:
    found = summary.summarise(LEDGER).set_index("id")
    assert list(found.index) == ["sure", "open", "refuted", "torn", "some", "bridge_nothing"]
    assert found.loc["sure", list(summary.Effect._fields)].tolist()[:5] == pytest.approx([0.8, 0.6, 0.8, 0.7, 0.9])
    assert found.loc["torn", ["n_seeds", "n_hold", "n_against"]].tolist() == [3, 1, 1]
    assert found.loc["open", ["n_seeds", "n_hold", "n_against"]].tolist() == [3, 0, 0]
    assert found.loc["some", ["n_seeds", "n_hold"]].tolist() == [2, 2]
    assert found.loc["bridge_nothing", "reason"] == "not computable here: 3 patients"
    assert found["headline"].tolist() == [True, False, False, True, False, True]
    expected = {"claims": 6, "hold": 2, "depend": 1, "fail": 2, "missing": 1, "contradicted": 1}
    assert summary.counts(summary.summarise(LEDGER)) == expected
    with pytest.raises(NotComputable, match="no claim"):
        summary.summarise(pd.DataFrame())


def test_the_widest_interval_is_the_one_that_is_shown() -> None:
    table = LEDGER[LEDGER["id"] == "sure"].copy()
    table.loc[table["seed"] == 1, "low"] = 0.51
    row = summary.summarise(table).iloc[0]
    assert (row["low"], row["high"]) == pytest.approx((0.51, 1.0))


def test_the_summary_for_machines_has_every_claim_or_its_reason() -> None:
    told = summary.effects(summary.summarise(LEDGER))
    assert told["refuted"].n_against == 3
    assert told["refuted"].value == 0.2
    assert str(told["bridge_nothing"]) == "not computable here: 3 patients"


def test_under_each_question_stand_the_headlines_and_the_clearest_failure() -> None:
    told = summary.shown(summary.summarise(LEDGER))
    assert list(told["id"]) == ["sure", "refuted", "torn", "bridge_nothing"]
    assert list(told["why"]) == ["headline", "fails most clearly", "headline", "headline"]
    drawn = beyond_their_bounds(told, summary.margins(LEDGER))
    assert [tick.get_text() for tick in drawn.axes[0].get_yticklabels()] == [f"{name} is so" for name in told["id"]]


def words(block: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", block.replace("<li>", "\n").replace("<p>", "\n")))


def test_the_abstract_says_numbers_verdicts_and_what_rests_on_a_lost_certificate() -> None:
    text = words(abstract(summary.summarise(LEDGER), {"05_z": ["linear probes"]}))
    assert "What does z hold? Of 3 claims, 1 holds in every seed and 2 hold in no seed." in text
    assert "sure is so (share): 0.70 to 0.90 [0.60, 0.80]; holds in 3 of 3 seeds†." in text
    assert "refuted is so (share): 0.10 to 0.30 [0.10, 0.30]; holds in 0 of 3 seeds, contradicted in 3†." in text
    assert "What can't be named? Of 1 claim, 1 could not be computed." in text
    assert "bridge_nothing is so (share): not computable here: 3 patients." in text
    assert text.rstrip().endswith("lost its certificate in this run: linear probes.")
    assert "†" not in words(abstract(summary.summarise(LEDGER), {}))


def test_what_does_not_hold_is_listed_by_how_it_fails() -> None:
    text = words(what_fails(summary.summarise(LEDGER), {}))
    order = ["1 contradicted in every seed", "refuted is", "1 not shown", "open is", "1 depends on the seed", "torn is"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "sure is" not in text
    assert "1 not computable here" in text
    assert "Every claim holds" in what_fails(summary.summarise(LEDGER[LEDGER["id"] == "sure"]), {})


def test_a_claim_that_was_made_once_and_one_without_any_number_can_be_told() -> None:
    for made in (ledger(("13a_planted_world", "once", (0.8,))), ledger(("05_z", "nothing", (None,)))):
        found = summary.summarise(made)
        assert abstract(found, {})
        assert what_fails(found, {})
        assert beyond_their_bounds(summary.shown(found), summary.margins(made)).axes
    once = words(abstract(summary.summarise(LEDGER[:1]), {}))
    assert "sure is so (share): 0.70 [0.60, 0.80]; holds in 1 of 1 seed." in once


def test_methods_without_their_certificate_are_found_by_chapter() -> None:
    certificates = pd.DataFrame({"method": ["a", "b"], "verdict": ["lost", "certified"]})
    assert summary.lost_here({"05_z": ("a", "b"), "08": ("b",)}, certificates) == {"05_z": ["a"]}


def test_the_summary_reads_every_chapter_that_claims_and_knows_its_question() -> None:
    claiming = set(CLAIMS.values())
    assert claiming <= set(read_book().find("00").reads)
    other = list(summary.QUESTIONS)[-1]
    assert {chapter for chapter in claiming if summary.question(chapter) == other} == set()
    numbers = [number for asked in summary.QUESTIONS.values() for number in asked]
    assert len(numbers) == len(set(numbers))
    assert summary.question("99_new") == other
