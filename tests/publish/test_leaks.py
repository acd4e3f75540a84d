"""The gate against a corpus of planted leaks: all refused, by file, place and rule, and none repeated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jepascope.publish import identifiers
from jepascope.publish.alarms import alarm
from jepascope.publish.check import RULES, check
from tests.publish.leaks_of_content import CONTENT
from tests.publish.leaks_of_identity import IDENTITY
from tests.publish.planting import Leak
from tests.publish.trees import read, write_tree

LEAKS = (*IDENTITY, *CONTENT)


@pytest.mark.parametrize("tier", ["synthetic", "demo", "credentialed"])
def test_a_clean_book_raises_no_alarm_on_any_tier(tmp_path: Path, tier: str) -> None:
    assert check(read(write_tree(tmp_path / "html", tier))) == []


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name)
def test_a_leak_is_refused_with_its_place_and_rule_never_its_value_and_passes_without_the_rule(
    tmp_path: Path, leak: Leak
) -> None:
    folder = write_tree(tmp_path / "html", leak.tier)
    leak.plant(folder)
    tree = read(folder)
    for rule in leak.rules:
        found = list(rule(tree))
        assert any(one.file == leak.file and re.search(leak.where, one.where) for one in found), (rule, found)
        assert not leak.value or all(leak.value not in str(one) for one in found)
    assert check(tree, [rule for rule in RULES if rule not in leak.rules]) == []


def test_the_corpus_has_a_leak_for_every_rule_and_more_than_thirty() -> None:
    assert len(LEAKS) >= 30
    assert {rule for leak in LEAKS for rule in leak.rules} == set(RULES)


def test_a_credentialed_book_is_refused_where_its_identifiers_are_not_known(tmp_path: Path) -> None:
    tree = read(write_tree(tmp_path / "html", "credentialed"))._replace(ids=None)
    assert [one.rule for one in check(tree)] == ["real id"]


def test_a_tree_without_any_stamp_is_held_to_the_strict_rules(tmp_path: Path) -> None:
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "a.md").write_text("seen 2150-03-01")
    assert {one.rule for one in check(read(tmp_path / "html"))} == {"tier", "identifier"}


def test_an_alarm_hides_long_numbers_in_the_place_it_names() -> None:
    assert str(alarm("p/10203047.html", "cells[10203047]", "r", "why")) == "p/#.html: cells[#]: r: why"


@pytest.mark.parametrize(
    ("text", "found"),
    [("a 10203047 b", 2), ("p_10203047", 0), ("0010203047", 0), ("1 020 3047", None), ("ab10203047cd", None)],
)
def test_an_identifier_is_found_within_a_word_but_not_within_a_hash(text: str, found: int | None) -> None:
    from tests.publish.trees import IDS

    assert identifiers.find_id(IDS, text) == found
