"""Tables and figures of the chapter on the error: every number where it belongs, and a reason where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.figures import error as figures
from jepascope.book.tables import error as tables

COUNTS = {"n_rows": 40, "n_patients": 9}
SHARES = pd.DataFrame(
    [
        {"model": model, "reader": reader, "part": part, "value": 0.5, "low": 0.25, "high": 0.75, **COUNTS}
        for model in ("trained", "untrained twin", "mean predictor")
        for reader, parts in (("own", ["bias", "systematic", "innovation"]), ("past", ["bias", "systematic", "lost"]))
        for part in parts
    ]
)


def concepts() -> pd.DataFrame:
    ends = [f"{name}{end}" for name in ("unforeseen", "systematic", "lost") for end in ("", "_low", "_high")]
    found = pd.DataFrame({name: [0.1 * (i + 1), 0.05] for i, name in enumerate(ends)})
    return found.assign(
        concept=["anaemia", "aged"], family=["diagnosis", "nuisance"], band_low=0.2, band_high=0.9, q=[0.01234, 1.0],
        encounters=[7, 8], **COUNTS,
    )  # fmt: skip


def test_a_part_that_a_reader_does_not_have_is_a_dash():
    told = tables.parts_table(SHARES)
    assert told["model"].tolist() == ["trained"] * 2 + ["untrained twin"] * 2 + ["mean predictor"] * 2
    assert told["gained by the past"].tolist() == ["—", "0.50 [0.25, 0.75]"] * 3
    assert (told["rows"] == 40).all()
    assert (told["patients"] == 9).all()


def test_the_map_says_each_share_beside_its_own_name():
    told = tables.map_table(concepts())
    assert told.loc[0, ["not foreseen", "systematic", "lost"]].tolist() == [
        "0.10 [0.20, 0.30]", "0.40 [0.50, 0.60]", "0.700 [0.800, 0.900]"
    ]  # fmt: skip
    assert told.loc[0, ["random directions", "q", "with it"]].tolist() == ["0.20 to 0.90", 0.012, 7]


def test_an_outcome_that_cannot_be_asked_gives_its_reason():
    row = {"model": "trained", "outcome": "death", "measure": "‖e‖", "reason": "too few died"}
    table = pd.DataFrame([row, row | {"reason": "", "value": 0.5, "low": 0.25, "high": 0.75, "null": 0.001, **COUNTS}])
    told = tables.outcome_gains(table.reindex(columns=[*table, "base", "positives"]))
    assert told["gain"].tolist() == ["too few died", "0.50 [0.25, 0.75]"]
    assert told["null"].tolist() == ["—", "0.0010"]


def test_the_parts_are_drawn_in_per_cent_and_without_the_mean_predictor():
    left, right = figures.error_parts(SHARES).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["untrained twin", "trained"]
    assert left.lines[1].get_xdata() == pytest.approx([50])
    assert right.lines[0].get_xdata() == pytest.approx([25, 75])


def test_the_map_has_the_first_row_on_top_and_the_twin_beside_its_own_concept():
    ours = concepts()
    twin = ours[::-1].assign(unforeseen=[0.3, 0.4])  # aged, anaemia
    left, right = figures.blind_spot_map(ours, twin).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["aged", "anaemia"]
    assert left.lines[0].get_xdata() == pytest.approx([30, 40])
    drawn = {line.get_label(): line.get_xdata() for line in right.lines}
    assert drawn["known to the predictor"] == pytest.approx(100 * ours["systematic"][::-1].to_numpy())


def test_spectra_and_bars_show_what_they_are_given():
    rows = {"direction": [0, 1], "value": [0.2, 1.1], "low": [0.1, 1.0], "high": [0.3, 1.2]}
    table = pd.concat([pd.DataFrame(rows | {"predictor": name}) for name in ("ẑ", "ẑ of another patient")])
    axes = figures.relative_spectra(table).axes[0]
    assert axes.lines[0].get_xydata() == pytest.approx(np.array([[1, 0.2], [2, 1.1]]))
    missed, hallucinated = figures.spoken_bars(
        {"missed": {"e": Estimate(0.4, 0.3, 0.5, 9, 3)}, "hallucinated": {"e": Estimate(0.1, 0.0, 0.2, 9, 3)}}
    ).axes
    assert (missed.patches[0].get_width(), hallucinated.patches[0].get_width()) == (40, 10)
