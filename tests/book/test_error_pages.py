"""Tables and figures of the chapter on the error: every number where it belongs, and a reason where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

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
        foreseen=["worse", "like"], encounters=[7, 8], carriers=[1203, 28], **COUNTS,
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
    counts = ["random directions", "q", "encounters with it", "patients with it", "patients"]
    assert told.loc[0, counts].tolist() == ["0.20 to 0.90", 0.012, 7, 1203, 9]


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


def drawn_map() -> Figure:
    ours = concepts()
    twin = ours[::-1].assign(unforeseen=[1.6, 0.4])  # aged, anaemia
    return figures.blind_spot_map(ours, twin)


def test_the_map_has_the_first_row_on_top_and_the_twin_beside_its_own_concept():
    left, right = drawn_map().axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["aged", "anaemia"]
    twin = next(line for line in left.lines if line.get_label() == "untrained twin")
    assert twin.get_xdata() == pytest.approx([160, 40])
    assert left.get_xlim()[1] > 160  # no diamond is cut off
    assert right.lines[0].get_xdata() == pytest.approx(100 * concepts()["systematic"][::-1].to_numpy())


def test_the_parts_of_a_bar_of_the_map_end_where_the_concept_is_not_foreseen():
    ours = concepts().assign(unforeseen=0.8, systematic=[0.1, -0.05], lost=[0.2, 0.3])
    left, _ = figures.blind_spot_map(ours, ours).axes
    band, known, past, news = ([bar.get_width() for bar in bars] for bars in left.containers)
    assert band == pytest.approx([70, 70])
    assert known == pytest.approx([0, 10])  # a part below nought has no length
    assert past == pytest.approx([30, 20])
    assert [bar.get_x() + bar.get_width() for bar in left.containers[3]] == pytest.approx([80, 80])
    assert news == pytest.approx([50, 50])


def test_the_map_marks_what_is_foreseen_worse_than_random_directions_and_nothing_else():
    marks = {line.get_label(): list(line.get_ydata()) for line in drawn_map().axes[0].lines}
    assert marks["worse than random ones"] == [1]  # anaemia, on top
    assert marks["like random ones"] == [0]
    assert marks["better than random ones"] == []


def test_patients_are_counted_to_the_nearest_five_as_no_filter_reads_a_figure():
    written = [text.get_text() for text in drawn_map().axes[0].texts]
    assert {"1,205", "30"} < set(written)
    assert not {"1,203", "28"} & set(written)


def test_spectra_and_bars_show_what_they_are_given():
    rows = {"direction": [0, 1], "value": [0.2, 1.1], "low": [0.1, 1.0], "high": [0.3, 1.2]}
    table = pd.concat([pd.DataFrame(rows | {"predictor": name}) for name in ("ẑ", "ẑ of another patient")])
    axes = figures.relative_spectra(table).axes[0]
    assert axes.lines[0].get_xydata() == pytest.approx(np.array([[1, 0.2], [2, 1.1]]))
    missed, hallucinated = figures.spoken_bars(
        {"missed": {"e": Estimate(0.4, 0.3, 0.5, 9, 3)}, "hallucinated": {"e": Estimate(0.1, 0.0, 0.2, 9, 3)}}
    ).axes
    assert (missed.patches[0].get_width(), hallucinated.patches[0].get_width()) == (40, 10)
