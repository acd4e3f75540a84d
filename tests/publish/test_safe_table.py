"""Tables of a credentialed book: what is rounded, what is withheld, what stays."""

from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from jepascope.publish.counts import kind_of, rounded, written
from jepascope.publish.safe_figure import safe_figure
from jepascope.publish.safe_table import safe_page, safe_table
from tests.publish.trees import table

COUNTED = ("label", "encounters", "patients", "positives", "rate")


def one(titles: tuple[str, ...], *row: str) -> list[str]:
    """The only row of a table in its safe form."""
    return safe_table(titles, [row]).rows[0]


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "≤ 10"), (10, "≤ 10"), (11, "15"), (13, "15"), (17, "15"), (18, "20"), (1263, "1,265")]
)
def test_a_count_is_written_to_the_nearest_five_and_few_as_at_most_ten(count: int, shown: str) -> None:
    assert written(count) == shown


def test_a_row_of_fewer_than_eleven_patients_keeps_its_label_alone() -> None:
    assert one(COUNTED, "opioid", "40", "7", "12", "0.300 [0.2, 0.4]") == [
        "opioid", "withheld", "≤ 10", "withheld", "withheld",
    ]  # fmt: skip


def test_a_rate_says_no_more_than_its_rounded_counts() -> None:
    """With 200 encounters, rates are multiples of 5/200: nobody can be counted back from them."""
    shown = one(COUNTED, "death", "203", "90", "33", "0.163 [0.111, 0.220]")
    assert shown == ["death", "205", "90", "35", "0.171 [0.122, 0.220]"]
    values = [float(number) for number in re.findall(r"0\.\d+", shown[4])]
    assert all(abs(v * 205 / 5 - round(v * 205 / 5)) < 0.03 for v in values)


def test_a_rate_of_few_events_is_withheld_and_so_is_a_part_that_is_nearly_all() -> None:
    assert one(COUNTED, "death", "203", "90", "4", "0.020 [0.0, 0.1]")[3:] == ["≤ 10", "withheld"]
    assert one(COUNTED, "death", "203", "90", "198", "0.975 [0.9, 1.0]")[3:] == ["nearly all", "withheld"]


def test_a_share_is_never_none_or_all_and_follows_its_rounded_count() -> None:
    titles = ("subset", "encounters", "patients", "share")
    assert one(titles, "any", "170", "50", "100.0%")[3] == "nearly all"
    assert one(titles, "any", "170", "50", "0%")[3] == "few"
    assert one(titles, "any", "169", "50", "61.5%")[3] == "61.9%"  # 170 of the 275 there are
    assert one(("kind", "rows", "share"), "exact", "58", "1.3%") == ["exact", "withheld", "withheld"]


def test_encounters_without_patients_beside_them_need_more() -> None:
    assert one(("reason", "encounters"), "hospice", "60") == ["hospice", "withheld"]
    assert one(("reason", "encounters"), "hospice", "163") == ["hospice", "165"]


def test_a_total_is_the_sum_of_what_is_shown() -> None:
    safe = safe_table(("group", "patients"), [("a", "43"), ("b", "4"), ("c", "22"), ("total", "69")])
    assert [row[1] for row in safe.rows] == ["45", "≤ 10", "20", "65"]


def test_what_is_lost_follows_from_what_is_shown_and_a_loss_of_few_does_not_show() -> None:
    titles = ("rule", "patients", "encounters", "encounters lost")
    rows = [("all", "1,000", "3,003", "0"), ("adults", "996", "2,999", "4"), ("coded", "901", "2,612", "387")]
    safe = safe_table(titles, rows).rows
    assert [row[1] for row in safe] == ["1,000", "1,000", "900"]
    assert [row[2] for row in safe] == ["3,005", "3,005", "2,610"]
    assert [row[3] for row in safe] == ["≤ 10", "≤ 10", "395"]


@pytest.mark.parametrize(
    ("titles", "cell"),
    [
        (("subject_id", "patients"), "12345"),
        (("admitted", "patients"), "2150-03-01"),
        (("max stay", "patients"), "61.2"),
        (("something", "patients"), "17"),
    ],
)
def test_a_column_that_cannot_be_judged_is_withheld_and_the_rest_stays(titles: tuple[str, ...], cell: str) -> None:
    assert one(titles, cell, "43") == ["withheld", "45"]


def test_integers_that_count_nobody_stay_as_they_are() -> None:
    titles = ("dictionary", "features", "dead", "in ≥ 11 patients", "feature", "k")
    assert one(titles, "TopK", "63", "7", "61", "3", "2") == ["TopK", "63", "7", "61", "3", "2"]
    assert kind_of("p (order)", ["1", "0.307"]) == "other"  # an integer among decimals is no count


def test_a_table_of_measures_is_read_by_row() -> None:
    safe = safe_table(("measure", "JEPA", "floor"), [("AUROC", "0.67", "0.61"), ("patients", "43", "43")])
    assert safe.rows == [["AUROC", "0.67", "0.61"], ["patients", "45", "45"]]


def test_a_block_of_html_changes_in_its_tables_cells_alone() -> None:
    block = "<p>43 words</p>" + table(rows=[("<b>a</b>", "43", "121", "x")])
    safe, judged = safe_page(block)
    assert safe == block.replace("<td>43</td><td>121</td>", "<td>45</td><td>120</td>")
    assert judged[0][1].patients == [45]
    assert judged[0][1].changed == 2


def test_rounding_twice_is_rounding_once() -> None:
    assert all(rounded(rounded(n)) == rounded(n) for n in range(2000))


def bars(lengths: list[float], ylabel: str = "") -> Figure:
    figure = Figure()
    axes = figure.subplots()
    axes.bar(np.arange(len(lengths)), lengths)
    axes.set_ylabel(ylabel)
    return figure


def heights(figure: Figure) -> list[float]:
    return [round(patch.get_height(), 3) for patch in figure.axes[0].patches]


def test_bars_that_count_are_rounded_and_those_of_few_go_with_the_end_of_the_axis() -> None:
    figure = bars([43, 121, 4])
    assert safe_figure(figure, None) is None
    assert heights(figure) == [45, 120, 0]
    assert figure.axes[0].get_xlim()[1] < 1.5


def test_bars_of_statistics_stay_as_they_are() -> None:
    for lengths in ([0.1, 0.7], [2.5, 7.0]):
        figure = bars(lengths)
        assert safe_figure(figure, None) is None
        assert heights(figure) == lengths


def test_shares_of_patients_are_judged_by_how_many_there_are() -> None:
    figure = bars([0.97, 0.03], "share of patients")
    assert "isn't known" in str(safe_figure(figure, None))
    assert safe_figure(figure, 200) is None
    assert heights(figure) == [0.975, 0]  # 194 and 6 of 200


def test_a_figure_with_a_mark_for_every_row_or_numbers_beside_bars_of_few_is_withheld() -> None:
    figure = Figure()
    figure.subplots().scatter(np.zeros(201), np.zeros(201))
    assert "more than 200 marks" in str(safe_figure(figure, None))
    figure = Figure()
    figure.subplots().plot(np.zeros(201), "o")
    assert "more than 200 marks" in str(safe_figure(figure, None))
    figure = bars([43, 4])
    for place in (0, 1):
        figure.axes[0].text(place, 0, "4%")
    assert "counts fewer than 11" in str(safe_figure(figure, None))
