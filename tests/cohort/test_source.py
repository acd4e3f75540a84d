from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from mimic_tree import HEADERS, LOOSE, MIMIC, Tables, add_patient, add_stay, empty, extracted, write

from jepascope.cohort import releases, shard
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.engine import ResourceError
from jepascope.cohort.extract import extract, read
from jepascope.cohort.schema import INDISPENSABLE, SYNTHETIC_MARK, TABLES, patients_digest
from jepascope.cohort.source import SourceError, find_files


def one_patient() -> Tables:
    tables = empty()
    add_patient(tables, 1)
    add_stay(tables, 1, 100, 0, 3, codes=[("0389", 9)])
    return tables


@pytest.fixture
def tables() -> Tables:
    return one_patient()


@pytest.fixture(scope="module")
def whole() -> Encounters:
    return extracted(one_patient())[0]


def refuse(root: Path, *words: str, source=MIMIC) -> str:
    """Extraction must raise one SourceError that says all `words`; return its text."""
    with pytest.raises(SourceError) as caught:
        extract(root.parent / "step", root, source, LOOSE)
    for word in words:
        assert word in str(caught.value)
    return str(caught.value)


def test_a_missing_folder_is_named(tmp_path):
    refuse(tmp_path / "nowhere", "nowhere", "hosp/")


@pytest.mark.parametrize("table", INDISPENSABLE)
def test_a_missing_indispensable_table_is_named(tmp_path, tables, table):
    root = write(tmp_path / "mimic", tables)
    (root / f"{table}.csv").unlink()
    refuse(root, f"{table}.csv.gz", "missing")


@pytest.mark.parametrize("table", [table for table in TABLES if table not in INDISPENSABLE])
def test_without_an_optional_table_its_tokens_are_missing_and_nothing_else(tables, whole, table):
    without, _ = extracted({name: rows for name, rows in tables.items() if name != table})
    pd.testing.assert_frame_equal(
        without.index.drop(columns=["n_tokens", "icu"]), whole.index.drop(columns=["n_tokens", "icu"])
    )
    assert set(without.vocabulary["token"]) <= set(whole.vocabulary["token"])
    assert without.tables.set_index("table")["read"].to_dict() == {
        name: name in tables and name != table for name in TABLES
    }


def test_a_missing_column_is_named_with_what_was_expected(tmp_path, tables):
    root = write(tmp_path / "mimic", tables)
    file = root / "hosp/labevents.csv"
    file.write_text(file.read_text().replace("storetime", "stored_at"))
    refuse(root, "labevents.csv", "column storetime is missing", "charttime")


@pytest.mark.parametrize("kept", [0.5, 0.999])
def test_a_truncated_gzip_is_refused(tmp_path, tables, kept):
    for number in range(500):
        add_stay(tables, 1, 200 + number, 4 + number, 4.5 + number)
    root = write(tmp_path / "mimic", tables, ".csv.gz")
    file = root / "hosp/admissions.csv.gz"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])
    refuse(root, "admissions.csv.gz", "whole gzip", "download it again")


def test_a_gzip_cut_in_its_header_is_refused(tmp_path, tables):
    root = write(tmp_path / "mimic", tables, ".csv.gz")
    (root / "hosp/patients.csv.gz").write_bytes(b"\x1f\x8b\x08")
    refuse(root, "patients.csv.gz", "whole gzip")


@pytest.mark.parametrize("content", [bytes(range(256)) * 8, b"", b"<html>Sign in</html>\n"])
def test_a_file_that_is_no_csv_is_refused(tmp_path, tables, content):
    root = write(tmp_path / "mimic", tables)
    (root / "hosp/patients.csv").write_bytes(content)
    refuse(root, "patients.csv")


def test_rows_of_another_width_are_refused(tmp_path, tables):
    root = write(tmp_path / "mimic", tables)
    with (root / "hosp/services.csv").open("a") as handle:
        handle.write("1,100\n")
    refuse(root, "services.csv", "not a CSV", "header")


def test_a_mistyped_cell_is_located_and_never_quoted(tmp_path, tables):
    tables["hosp/patients"][0]["anchor_age"] = "fifty-something"
    root = write(tmp_path / "mimic", tables)
    assert "fifty" not in refuse(root, "patients.csv", "line 2", "anchor_age", "INTEGER")


def test_an_empty_required_cell_is_refused(tmp_path, tables):
    tables["hosp/admissions"][0]["dischtime"] = ""
    refuse(write(tmp_path / "mimic", tables), "admissions.csv", "dischtime is empty in 1 rows")


@pytest.mark.parametrize(
    ("table", "column", "cell", "words"),
    [
        ("hosp/patients", "gender", "X", "gender"),
        ("hosp/patients", "anchor_year_group", "2011", "anchor_year_group"),
        ("hosp/patients", "subject_id", 2, "not in hosp/patients"),
        ("hosp/admissions", "admission_type", "WALK-IN", "admission_type is unknown"),
    ],
)
def test_a_value_outside_the_schema_is_refused(tmp_path, tables, table, column, cell, words):
    tables[table][0][column] = cell
    refuse(write(tmp_path / "mimic", tables), words)


def test_contradicting_rows_of_one_admission_are_refused(tmp_path, tables):
    tables["hosp/admissions"].append(tables["hosp/admissions"][0] | {"race": "OTHER"})
    refuse(write(tmp_path / "mimic", tables), "hadm_id has rows that differ")


def test_nothing_is_left_behind_by_a_failure(tmp_path, tables):
    tables["hosp/admissions"][0]["admission_type"] = "WALK-IN"
    refuse(write(tmp_path / "mimic", tables), "admission_type")
    assert list((tmp_path / "step").iterdir()) == []


def test_csv_gzip_and_parquet_give_the_same_encounters(tmp_path, tables):
    plain = extracted(tables)[0]
    write(tmp_path / "mimic", tables)
    packed = write(tmp_path / "packed", tables, ".csv.gz")
    for table in HEADERS:
        target = tmp_path / "columnar" / f"{table}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        source = f"read_csv('{tmp_path / 'mimic' / table}.csv', all_varchar = true)"
        duckdb.execute(f"copy (from {source}) to '{target}' (format parquet)")
    for root in (packed, tmp_path / "columnar"):
        other = read(tmp_path / "step", root, MIMIC, LOOSE)[0]
        assert other.index.equals(plain.index)
        assert other.vocabulary.equals(plain.vocabulary)


def test_a_release_with_a_cut_table_of_admissions_is_refused_unless_it_is_a_subset_on_purpose(
    tmp_path, tables, monkeypatch
):
    small = releases.Release("3.1", 2022, {"hosp/patients": 1, "hosp/admissions": 2})
    monkeypatch.setattr(releases, "RELEASES", (small,))
    root = write(tmp_path / "mimic", tables)
    unsaid = MIMIC.model_copy(update={"data_end_year": None})
    refuse(root, "hosp/admissions has 1 of its 2 rows", "source.data_end_year", source=unsaid)
    assert len(read(tmp_path / "subset", root, MIMIC, LOOSE)[0].index) == 1


def test_too_little_memory_says_which_parameter_to_change_and_keeps_what_was_read(tmp_path, tables, monkeypatch):
    def starve(*_):
        raise duckdb.OutOfMemoryException("Out of Memory Error")

    root = write(tmp_path / "mimic", tables)
    with monkeypatch.context() as patch:
        patch.setattr(shard.icd, "map_codes", starve)
        with pytest.raises(ResourceError, match="extraction.memory_gb"):
            extract(tmp_path / "step", root, MIMIC, LOOSE)
    assert list((tmp_path / "step" / "work" / "records" / "hosp").iterdir())


def test_names_in_upper_case_are_the_same_names(tmp_path, tables):
    root = write(tmp_path / "mimic", tables)
    for file in sorted(root.rglob("*.csv")):
        header, rest = file.read_text().split("\n", 1)
        file.write_text(header.upper() + "\n" + rest)
        file.rename(file.with_name(file.name.upper()))
    for folder in list(root.iterdir()):
        folder.rename(folder.with_name(folder.name.upper()))
    encounters, _ = read(tmp_path / "upper", root, MIMIC, LOOSE)
    expected, _ = extracted(tables)
    pd.testing.assert_frame_equal(encounters.index, expected.index)


def test_the_tier_is_synthetic_only_under_a_mark_that_names_the_patients_and_else_credentialed(tmp_path, tables):
    root = write(tmp_path / "mimic", tables)
    (root / "truth").mkdir()
    (root / "truth" / "truth.json").write_text("not even JSON")  # for certification only
    assert read(tmp_path / "step", root, MIMIC, LOOSE)[0].tier == "credentialed"
    (root / SYNTHETIC_MARK).write_text(patients_digest([1, 2, 3]))  # another cohort's: real tables copied over it
    assert read(tmp_path / "step", root, MIMIC, LOOSE)[0].tier == "credentialed"
    subjects = [1]
    (root / SYNTHETIC_MARK).write_text(patients_digest(subjects))
    assert read(tmp_path / "step", root, MIMIC, LOOSE)[0].tier == "synthetic"


def test_a_release_with_other_row_counts_is_refused(tmp_path, tables):
    demo = MIMIC.model_copy(update={"release": "demo-2.2"})
    refuse(write(tmp_path / "mimic", tables), "hosp/patients has 1 rows", "demo-2.2 has 100", source=demo)


@pytest.mark.demo
def test_the_demo_is_known_by_its_patients_and_not_by_its_name(demo_root, demo_encounters, tmp_path):
    assert demo_encounters.tier == "demo"
    less = tmp_path / "less"
    for file in find_files(demo_root).values():
        target = less / file.relative_to(demo_root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(file)
    patients = less / "hosp/patients.csv.gz"
    with gzip.open(patients, "rt") as handle:
        lines = handle.read().splitlines(keepends=True)
    patients.unlink()
    with gzip.open(patients, "wt") as handle:
        handle.writelines([*lines, lines[1].replace("10014729", "99999999")])
    assert read(tmp_path / "step", less, MIMIC, LOOSE)[0].tier == "credentialed"


@pytest.mark.demo
def test_reading_leaves_the_source_untouched(demo_root, demo_encounters):
    listed = dict(
        line.split()[::-1] for line in (demo_root / "SHA256SUMS.txt").read_text().splitlines() if line.strip()
    )
    for file in find_files(demo_root).values():
        name = str(file.relative_to(demo_root))
        assert listed[name] == hashlib.sha256(file.read_bytes()).hexdigest()
