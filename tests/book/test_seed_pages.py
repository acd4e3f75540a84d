"""Figures and tables over seeds: readable with many of them, and no count of pairs taken for one of people."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from jepascope.book.figures.seeds import SPACES, seeds_alike
from jepascope.book.figures.verdicts import NAMED, claims_by_seed
from jepascope.book.pages import table_block
from jepascope.book.tables.arms import RECORDED_OF_ARMS, arms_over_seeds
from jepascope.book.tables.seeds import pairs_table
from jepascope.params import ARMS
from jepascope.publish.safe_table import safe_page
from jepascope.store import write_json


def test_the_arms_over_seeds_are_mean_lowest_and_highest_and_a_dash_where_a_seed_has_none(tmp_path: Path) -> None:
    for seed, rank in enumerate((1.0, 2.0, 6.0)):
        values = {f"{key}_{arm}": rank for arm in ARMS for key in RECORDED_OF_ARMS.values()}
        estimate = {"value": rank / 10, "low": 0.0, "high": 1.0, "n_rows": 9, "n_patients": 5}
        values |= {f"mismatch_{arm}": estimate for arm in ARMS}
        values |= {f"within_{ARMS[0]}": "not computable here: 3 patients"} if seed else {}
        write_json(tmp_path / f"{seed}.json", {"values": values})
    table = arms_over_seeds({seed: tmp_path / f"{seed}.json" for seed in range(3)}).set_index("arm")
    first = table.loc[ARMS[0].replace("_", " ")]
    assert first["rank of e"] == "3.00 (1.00 to 6.00)"
    assert first["mismatch"] == "0.30 (0.10 to 0.60)"
    assert first["within patients"] == "—"
    assert len(table) == len(ARMS)


@pytest.mark.parametrize("seeds", [3, NAMED, 40])
def test_seeds_of_a_claim_are_named_while_there_is_room(seeds: int) -> None:
    row = {"statement": "ẑ predicts", "value": 0.5, "low": 0.4, "high": 0.6, "null_value": 0.0, "verdict": "holds"}
    figure = claims_by_seed(pd.DataFrame([row | {"seed": seed} for seed in range(seeds)]))
    assert len(figure.axes[0].get_yticklabels()) == (seeds if seeds <= NAMED else 0)
    assert figure.get_size_inches()[1] < 2


def test_a_space_of_many_pairs_gets_room_for_a_line_each() -> None:
    row = {"value": 0.5, "low": 0.4, "high": 0.6}
    few, many = (
        seeds_alike(pd.DataFrame([row | {"space": space} for space in SPACES for _ in range(pairs)]))
        for pairs in (3, 40)
    )
    assert many.get_size_inches()[1] > 2 * few.get_size_inches()[1]
    places = [line.get_ydata() for line in many.axes[0].lines if len(line.get_ydata()) == 40]
    assert len(places) == len(SPACES)
    assert all(abs(y.mean() - round(y.mean())) < 1e-9 and y.max() - y.min() < 1 for y in places)  # bands don't meet


def test_a_number_of_pairs_is_not_withheld_as_a_number_of_people_would_be() -> None:
    pairs = pd.DataFrame({"a": [0, 0, 1], "b": [1, 2, 2], "space": "z", "value": [0.25, 0.27, 0.29]})
    safe = safe_page(table_block(pairs_table(pairs, ["space"], 0.95), "CKA"))[0]
    assert "withheld" not in safe
    assert "3 of 3" in safe
