"""The cards' HTML: what it holds, what it must not hold, and that markup in a title can't get out."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from jepascope.analysis.features.enrichment import MIN_CELL
from jepascope.book.feature_cards import WIDTH, bar, cards_block, others_table, share
from jepascope.book.figures import cards as figures

MOVES = dict.fromkeys(["stay", "stay_any_order", "excess", "excess_low", "excess_high", "begin", "dwell",
                       "dwell_any_order", "back", "back_any_order"], 0.5)  # fmt: skip


def tables(cards=2, title="heart failure (I50)"):
    """Cards, each with one code and one label."""
    features = pd.DataFrame(
        [{"feature": 7 + i, "name": f"name {i}", "rate": 0.131, "patients": 123, "counts": 3, "voters": 4,
          "elsewhere": 5, "checkers": 5, "reappears": 0.9, "followed": 40, **MOVES} for i in range(cards)]
    )  # fmt: skip
    evidence = pd.DataFrame(
        [{"feature": 7 + i, "title": title, "odds": 12.3, "low": 9.0, "high": 17.0, "q": 1e-9, "coverage": 0.52,
          "patients": 57, "leads": True} for i in range(cards)]
    )  # fmt: skip
    labels = pd.DataFrame(
        [{"feature": 7, "label": "self_harm", "family": "group", "r": 0.4, "r_low": 0.3, "r_high": 0.5, "auroc": 0.7,
          "adjusted": 0.001, "entropy": 0.6, "expected": 0.9}]
    )  # fmt: skip
    return features, evidence, labels


class Balanced(HTMLParser):
    """Raises where tags don't nest."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("input", "rect", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("rect", "line"):
            assert self.open.pop() == tag


def parsed(block):
    page = Balanced()
    page.feed(block)
    assert page.open == []
    return page.seen


def test_there_is_a_card_a_feature_with_its_code_and_label_in_words():
    block = cards_block(*tables(), level=0.95)
    seen = parsed(block)
    assert sum(tag == "li" for tag, _ in seen) == 2
    assert "heart failure (I50)" in block
    assert "self harm" in block
    assert "12.3 [9, 17]" in block


def test_the_box_and_every_drawing_can_be_used_without_seeing_them():
    seen = parsed(cards_block(*tables(), level=0.95))
    box = next(attrs for tag, attrs in seen if tag == "input")
    assert any(tag == "label" and attrs["for"] == box["id"] for tag, attrs in seen)
    assert all(attrs["role"] == "img" and "odds ratio" in attrs["aria-label"] for tag, attrs in seen if tag == "svg")
    assert any(tag == "output" and attrs["aria-live"] == "polite" for tag, attrs in seen)


def test_nothing_is_fetched_and_a_page_of_64_cards_stays_under_a_megabyte():
    features, evidence, labels = tables(64)
    block = cards_block(features, pd.concat([evidence] * 6), labels, level=0.95)
    assert "http" not in block
    assert "src=" not in block
    assert len(block.encode()) < 1_000_000


def test_a_title_with_markup_stays_text():
    block = cards_block(*tables(title="<script>alert(1)</script>"), level=0.95)
    assert "<script>alert" not in block
    parsed(block)


def test_counts_are_rounded_to_five_and_no_share_says_none_or_all():
    block = cards_block(*tables(), level=0.95)
    assert "125 patients" in block
    assert not re.search(r"\b(123|57)\b", re.sub(r"<style>.*?</style>", "", block, flags=re.DOTALL))
    assert [share(value) for value in (0.0, 0.131, 0.52, 1.0)] == ["under 10 %", "15 %", "50 %", "over 90 %"]


def test_a_bar_is_as_long_as_the_logarithm_of_its_odds_ratio_and_never_leaves_its_axis():
    width = float(re.search(r'<rect[^>]* width="([\d.]+)"', bar(100, 50, 200))[1])
    assert width == pytest.approx(WIDTH / 2, abs=0.1)
    assert float(re.search(r'<rect[^>]* width="([\d.]+)"', bar(1e9, 1, 1e12))[1]) == WIDTH


def test_a_feature_with_nothing_to_show_says_so():
    features, evidence, labels = tables(1)
    empty = cards_block(features.assign(stay=np.nan, name="mixed"), evidence[:0], labels[:0], level=0.95)
    parsed(empty)
    for words in ("No code is enriched", "Too few patients", "No label can be held against it"):
        assert words in empty
    chance = cards_block(features, evidence, labels.assign(adjusted=0.8), level=0.95)
    assert "With no label beyond" in chance


def test_features_without_a_card_are_counts_and_few_patients_are_no_number():
    others = pd.DataFrame({"feature": [3], "counts": [1], "voters": [4], "elsewhere": [0], "checkers": [5],
                           "reappears": [0.1], "rate": [np.nan], "patients": [np.nan]})  # fmt: skip
    row = others_table(others).iloc[0]
    assert row["held by fits to the same patients"] == "1 of 4"
    assert (row["on in"], row["test patients"]) == ("—", "under 11")


def test_how_a_feature_stays_is_not_told_of_few_patients_neither_on_its_card_nor_in_the_figure():
    features, evidence, labels = tables(3)
    features = features.assign(followed=[MIN_CELL, MIN_CELL - 1, 40], excess=[0.1, 0.2, 0.3])
    drawn = figures.staying_on(features).axes[0]
    assert [label.get_text() for label in drawn.get_yticklabels()] == ["name 0", "name 2"]
    assert cards_block(features, evidence, labels, level=0.95).count("Too few patients have it on") == 1


def test_a_leading_code_is_drawn_where_it_was_found_and_where_it_was_held_to():
    evidence = pd.DataFrame({"leads": [True, False], "odds_train": [8.0, 99.0], "odds": [5.0, 99.0],
                             "low": [4.0, 90.0], "high": [7.0, 120.0]})  # fmt: skip
    axes = figures.names_on_test(evidence, 2.0).axes[0]
    points, *_ = axes.containers[0]
    assert (points.get_xdata().tolist(), points.get_ydata().tolist()) == ([8.0], [5.0])
    assert axes.containers[0].lines[2][0].get_segments()[0][:, 1] == pytest.approx([4, 7])
