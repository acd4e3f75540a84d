"""Two runs held against each other: what was planted between them is found, and nothing else."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from jepascope.publish.markup import read_page
from jepascope.review import compare as kinds
from jepascope.review.compare import Comparison, compare
from jepascope.review.comparison_page import comparison_page, write_page
from jepascope.review.snapshot import read_snapshot, take
from jepascope.store import StoreError, read_json, write_json
from tests.review.runs_by_hand import change, claim, estimate, picture, table, write_run


def compared(project: Path) -> Comparison:
    """A first snapshot against one of the run as it is."""
    return compare(read_snapshot(project / "snapshots" / "first"), read_snapshot(take("second", "toy", [0, 1])))


def run(project: Path, seed: int = 0) -> Path:
    return project / "runs" / "toy" / str(seed) / "02_model"


@pytest.fixture
def first(project: Path) -> Path:
    take("first", "toy", [0, 1])
    return project


def test_nothing_differs_between_two_snapshots_of_one_run(first: Path) -> None:
    found = compared(first)
    assert {pair.fate for pair in found.claims} == {kinds.SAME}
    assert [found.moved, found.values, found.tables, found.figures, found.settings] == [[], [], [], [], []]
    assert found.same_figures == 4
    page = comparison_page(found)
    assert "0 of 4 claims moved." in page
    assert "No claim moved" in page


def test_a_verdict_that_flips_is_named_first_with_its_seed(first: Path) -> None:
    change(run(first, 1), claims=[claim("foresees", 0.15, "does not hold", seed=1), claim("another", 0.5, seed=1)])
    moved = compared(first).moved
    assert [(pair.either["id"], pair.seed, pair.fate) for pair in moved] == [
        ("foresees", 1, kinds.VERDICT),
        ("another", 1, kinds.NEW),
    ]


@pytest.mark.parametrize(
    ("value", "half", "fate"),
    [
        (0.56, 0.05, kinds.ESTIMATE),  # beyond the interval that was: 0.45 to 0.55
        (0.54, 0.03, kinds.ESTIMATE),  # within it, but what was, 0.5, isn't within 0.51 to 0.57
        (0.58, 0.20, kinds.ESTIMATE),  # beyond what was, although what was, 0.5, is within 0.38 to 0.78
        (0.54, 0.05, kinds.SMALL),
        (0.50, 0.05, kinds.SAME),
    ],
)
def test_an_estimate_moves_when_one_lies_beyond_the_interval_of_the_other(
    first: Path, value: float, half: float, fate: str
) -> None:
    change(run(first), claims=[{**claim("foresees", 0.5), "estimate": estimate(value, half)}])
    found = {(pair.chapter, pair.seed): pair.fate for pair in compared(first).claims}
    assert found["02_model", 0] == fate


def test_a_claim_whose_bar_is_lowered_has_moved_although_its_verdict_is_the_same(first: Path) -> None:
    change(run(first), claims=[{**claim("foresees", 0.5), "rule": "above 0.0"}])
    found = compared(first)
    assert [pair.fate for pair in found.moved] == [kinds.RULE]
    assert "<del>above 0.2</del> <ins>above 0.0</ins>" in comparison_page(found)


def test_a_claim_that_is_gone_is_named(first: Path) -> None:
    change(run(first), claims=[])
    assert [(pair.either["id"], pair.fate) for pair in compared(first).moved] == [("foresees", kinds.GONE)]


def test_a_reason_told_otherwise_is_no_other_verdict(first: Path) -> None:
    lost = {**claim("foresees", 0.5), "estimate": "not computable here: 3 patients"}
    for name, reason in (("second_but_one", "3 patients"), ("last", "4 patients")):
        change(run(first), claims=[{**lost, "verdict": f"not computable here: {reason}"}])
        take(name, "toy", [0, 1])
    kept = [read_snapshot(first / "snapshots" / name) for name in ("first", "second_but_one", "last")]
    assert [pair.fate for pair in compare(kept[0], kept[1]).moved] == [kinds.VERDICT]
    assert not compare(kept[1], kept[2]).moved


def test_a_number_that_differs_is_told_once_and_a_claims_with_its_claim(first: Path) -> None:
    values = read_json(run(first) / "results.json")["values"]
    change(run(first), values={**values, "skill": 0.6, "foresees_estimate": estimate(0.7), "extra": "a word"})
    found = compared(first).values
    assert [tuple(pair) for pair in found] == [
        ("02_model, seed 0", "skill", 0.5, 0.6),
        ("02_model, seed 0", "extra", None, "a word"),
    ]


def test_tables_differ_cell_by_cell(first: Path) -> None:
    write_run(first, "02_model", 0, table=table(("z", "0.55"), ("raw codes", "0.40"), ("a <new> row", "0.10")))
    found = compared(first)
    (pair,) = found.tables
    assert (pair.where, pair.caption, pair.fate) == ("02_model, seed 0", "Scores of models", "changed")
    assert [(row.label, row.cells) for row in pair.rows] == [
        ("z", {"score": ("0.50", "0.55")}),
        ("a row", {"model": (None, "a row"), "score": (None, "0.10")}),
    ]
    assert "<del>0.50</del> <ins>0.55</ins>" in comparison_page(found)


def test_a_table_of_another_caption_is_another_table(first: Path) -> None:
    write_run(first, "02_model", 0, table=table(("z", "0.50"), caption="Ranks of models"))
    assert [(pair.caption, pair.fate) for pair in compared(first).tables] == [
        ("Ranks of models", kinds.NEW),
        ("Scores of models", kinds.GONE),
    ]


def test_figures_are_shown_side_by_side_where_their_bytes_differ(first: Path) -> None:
    write_run(first, "02_model", 1, picture=picture("b"))
    found = compared(first)
    assert [(pair.where, pair.what) for pair in found.figures] == [("02_model, seed 1", "scores")]
    assert found.same_figures == 3
    assert comparison_page(found).count("data:image/png;base64,") == 2


def test_parameters_software_commits_and_code_that_differ_are_named(first: Path) -> None:
    made = read_json(run(first) / "results.json")["provenance"]
    other = {
        "commit": "bbbb",
        "parameters": {"statistics": {"bootstrap": 200}, "seeds": [0, 1]},
        "code": "d" * 64,
        "software": {"python": "3.11", "numpy": "2.1"},
    }
    change(run(first), provenance={**made, **other})
    assert [tuple(pair) for pair in compared(first).settings] == [
        ("parameter", "statistics.bootstrap", [100], [100, 200]),
        ("run", "commit", ["aaaa"], ["aaaa", "bbbb"]),
        ("software", "numpy", ["2.0"], ["2.0", "2.1"]),
        ("code", "02_model", ["c" * 12], ["c" * 12, "d" * 12]),
    ]


def test_a_seed_that_only_one_run_has_is_left_out_and_named(first: Path) -> None:
    front = first / "runs" / "toy" / "all" / "index"
    change(front, claims=[claim("across", 0.5, seed=0), claim("across", 0.5, seed=1)])
    change(run(first, 0), provenance={**read_json(run(first, 0) / "results.json")["provenance"], "commit": "cccc"})
    both = read_snapshot(take("both", "toy", [0, 1]))
    change(front, claims=[claim("across", 0.5, seed=1)])
    found = compare(read_snapshot(take("one", "toy", [1])), both)
    assert found.seeds == (1,)
    assert {pair.seed for pair in found.claims} == {1, None}
    assert [found.moved, found.settings] == [[], []]
    assert "only one of the runs has 0." in comparison_page(found)


def test_runs_of_different_tiers_are_not_compared(first: Path) -> None:
    second = take("second", "toy", [0, 1])
    write_json(second / "snapshot.json", {**read_json(second / "snapshot.json"), "tier": "credentialed"})
    with pytest.raises(StoreError, match="different data tiers aren't compared"):
        compare(read_snapshot(first / "snapshots" / "first"), read_snapshot(second))


def test_the_page_stands_alone_and_escapes_what_it_shows(first: Path) -> None:
    change(run(first), claims=[{**claim("foresees", 0.7), "statement": "z < <script>alert(1)</script>"}])
    path = write_page(compared(first), first / "_build" / "compare")
    text = path.read_text()
    page = read_page(text)
    assert "script" not in page.tags
    assert not [part for part in page.parts if part.kind == "attribute" and part.text.startswith(("http", "/"))]
    assert 'role="img" aria-label="before 0.5, 0.45 to 0.55; after 0.7' in text
    levels = [int(tag) for tag in re.findall(r"<h(\d)", text)]
    assert levels[0] == 1
    assert all(deeper - level <= 1 for level, deeper in pairwise(levels))
