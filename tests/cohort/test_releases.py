from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from jepascope.cohort.releases import RELEASES, data_end, detect, named, near_miss, verify
from jepascope.cohort.schema import TABLES as ALL_TABLES

TABLES = set(ALL_TABLES) - {"hosp/other_events"}  # a MEDS directory's, and never MIMIC-IV's


@pytest.mark.parametrize("release", RELEASES, ids=[release.name for release in RELEASES])
def test_a_release_counts_every_table_we_read_and_is_recognised_by_its_counts(release):
    assert set(release.rows) == TABLES
    assert detect(release.rows) is release
    assert verify(release.rows, release) == []


def test_the_mimic_iv_releases_grow_with_time():
    old, new = named("2.2").rows, named("3.1").rows
    assert all(1.15 < new[table] / old[table] < 1.4 for table in TABLES)


def test_the_corrections_of_3_1_touch_four_tables_only():
    before, after = named("3.0").rows, named("3.1").rows
    removed = {table: before[table] - after[table] for table in TABLES if before[table] != after[table]}
    assert set(removed) == {"hosp/diagnoses_icd", "hosp/labevents", "hosp/transfers", "hosp/drgcodes"}
    assert all(0 < n < 0.001 * before[table] for table, n in removed.items())


@pytest.mark.demo
def test_the_demo_here_has_the_rows_that_are_published(demo: Path):
    rows = {}
    for table in TABLES:
        with gzip.open(demo / f"{table}.csv.gz") as file:
            rows[table] = sum(1 for _ in file) - 1  # no cell of these tables holds a line break
    assert rows == named("demo-2.2").rows


def test_3_0_and_3_1_are_told_apart_by_their_other_tables_even_when_one_of_them_is_cut_short():
    for name in ("3.0", "3.1"):
        rows = named(name).rows | {"hosp/labevents": 12_345}
        assert detect(rows) is named(name)
    only_who_was_there = {table: named("3.0").rows[table] for table in ("hosp/patients", "hosp/admissions")}
    assert detect(only_who_was_there) is named("3.1")


def test_a_subset_is_no_release():
    rows = dict(named("2.2").rows)
    assert detect(rows | {"hosp/patients": 50_000, "hosp/admissions": 70_000}) is None
    assert detect(rows | {"hosp/admissions": rows["hosp/admissions"] - 1}) is None
    assert detect({"hosp/admissions": rows["hosp/admissions"]}) is None
    assert detect({}) is None


def test_a_partial_download_is_named_with_what_was_found_what_was_expected_and_the_mend():
    rows = named("3.1").rows | {"hosp/labevents": 12_345, "icu/icustays": 0}
    assert verify(rows, detect(rows)) == [
        "hosp/labevents has 12,345 rows, MIMIC-IV 3.1 has 158,374,764: download it again",
        "icu/icustays has 0 rows, MIMIC-IV 3.1 has 94,458: download it again",
    ]


def test_a_table_of_another_release_and_one_with_too_many_rows_are_told_from_a_partial_download():
    mixed = named("3.1").rows | {"hosp/labevents": named("3.0").rows["hosp/labevents"]}
    assert "that is 3.0's table" in verify(mixed, named("3.1"))[0]
    assert "more than were published" in verify(named("3.1").rows | {"hosp/omr": 9_000_000}, named("3.1"))[0]


def test_an_absent_table_is_not_a_partial_one():
    rows = {table: n for table, n in named("2.2").rows.items() if table != "hosp/omr"}
    assert verify(rows, named("2.2")) == []


def test_a_release_that_was_named_wrongly_is_refused_table_by_table():
    assert len(verify(named("2.2").rows, named("3.1"))) == len(TABLES)


def test_a_known_release_ends_when_it_was_published_to_end_whatever_the_groups_say():
    assert data_end(named("3.1").rows, ["2008 - 2010"]).year == 2022
    assert data_end(named("demo-2.2").rows, ["2011 - 2013", "2014 - 2016"]).year == 2019


def test_an_unknown_export_ends_with_its_latest_group_and_says_so():
    ending = data_end({"hosp/patients": 7, "hosp/admissions": 9}, ["2008 - 2010", "2014-2016", None, "2011 - 2013"])
    assert ending == (
        2016,
        "no published release has these row counts; the latest anchor_year_group ends in 2016",
    )


def test_a_release_whose_admissions_are_cut_short_is_suspected():
    suspicion = near_miss(named("3.1").rows | {"hosp/admissions": 100_000})
    assert "hosp/admissions has 100,000 of its 546,028 rows" in suspicion
    assert near_miss({"hosp/patients": 7, "hosp/admissions": 9}) == ""


def test_an_export_without_groups_has_no_known_end():
    ending = data_end({"hosp/patients": 7}, [None])
    assert ending.year is None
    assert "set source.data_end_year" in ending.reason


def test_an_unknown_release_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="known: 3.1, 3.0, 2.2, demo-2.2"):
        named("3.2")
