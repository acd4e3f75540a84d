from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import meds
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from mimic_tree import LOOSE, MIMIC, random_tables, write

from jepascope import params
from jepascope.cohort import engine, meds_out
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.extract import read
from jepascope.cohort.meds_in import coverage, from_meds, left_out, relations
from jepascope.cohort.meds_out import SPLITS, write_meds
from jepascope.cohort.questions import LABELS
from jepascope.cohort.schema import SYNTHETIC_MARK, TABLES
from jepascope.cohort.source import SourceError, mimic_relations
from jepascope.store import StoreError, read_json

DAY = datetime(2150, 3, 1)
BIRTH = (datetime(2100, 1, 1), "MEDS_BIRTH")
FEMALE = (None, "GENDER//F")


def after(days: float) -> datetime:
    return DAY + timedelta(days=days)


def stay(admit: float, discharge: float) -> list[tuple]:
    return [(after(admit), "HOSPITAL_ADMISSION//EW EMER.//UNK"), (after(discharge), "HOSPITAL_DISCHARGE//HOME")]


def write_events(root: Path, events: list[tuple], file: str = "data/0.parquet", subject_id: int = 1, **columns) -> Path:
    """Write (time, code[, numeric_value]) tuples as one file of a MEDS directory, with further columns as lists."""
    rows = pd.DataFrame({"subject_id": subject_id, "time": [e[0] for e in events], "code": [e[1] for e in events]})
    rows["time"] = rows["time"].astype("datetime64[us]")
    if any(len(e) > 2 for e in events):
        rows["numeric_value"] = np.array([e[2] if len(e) > 2 else np.nan for e in events], dtype=np.float32)
    for name, cells in columns.items():
        rows[name] = cells
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(root / file, index=False)
    return root


def tables_of(root: Path) -> dict[str, list[dict]]:
    """Read a MEDS directory; return each record table as rows in order."""
    with duckdb.connect() as connection:
        queries = relations(root, connection)
        read = {table: connection.sql(f"from ({queries[table].select}) order by all").fetchall() for table in queries}
    return {table: [dict(zip(TABLES[table], row, strict=True)) for row in rows] for table, rows in read.items()}


def record(root: Path) -> duckdb.DuckDBPyConnection:
    """Open the record tables of a MIMIC-IV tree under their plain names."""
    connection, found = duckdb.connect(), mimic_relations(root)
    for table, types in TABLES.items():
        empty = f"select {', '.join(f'null::{kind} as {column}' for column, kind in types.items())} limit 0"
        connection.execute(f"create table {table.split('/')[1]} as {found[table].select if table in found else empty}")
    return connection


def exported(root: Path, out: Path, extraction: params.Extraction, size: int = 1000) -> Encounters:
    """Extract from a MIMIC-IV tree and write it as MEDS; return the encounters."""
    encounters, _ = read(out.parent / "direct", root, MIMIC, extraction)
    with record(root) as connection:
        write_meds(root, connection, encounters, extraction, out, size)
    return encounters


def assert_round_trip(root: Path, folder: Path, extraction: params.Extraction, size: int = 1000) -> None:
    """Written as MEDS and read back, the record must give the same encounters, to the bit."""
    before = exported(root, folder / "meds", extraction, size)
    from_meds(folder / "meds", folder / "tree")
    again, _ = read(folder / "again", folder / "tree", MIMIC, extraction)
    pd.testing.assert_frame_equal(again.index, before.index)
    pd.testing.assert_frame_equal(again.vocabulary, before.vocabulary)
    pd.testing.assert_frame_equal(again.attrition, before.attrition)
    np.testing.assert_array_equal(again.tokens, before.tokens)
    np.testing.assert_array_equal(again.offsets, before.offsets)
    assert again.tier == before.tier


def test_the_synthetic_cohort_comes_back_unchanged_from_meds(synthetic_root, tmp_path):
    assert_round_trip(synthetic_root, tmp_path, params.Extraction())


@pytest.mark.demo
def test_the_demo_comes_back_unchanged_from_meds(demo_root, tmp_path):
    """Less one patient, or it would have to have the published number of rows: a result never stored isn't written."""
    root = tmp_path / "mimic"
    with duckdb.connect() as connection:
        for table, relation in mimic_relations(demo_root).items():
            query = f"from ({relation.select}) where subject_id != 10000032"
            engine.write(connection, query, root / f"{table}.parquet")
    assert_round_trip(root, tmp_path, params.Extraction(min_patients_per_token=2))


def test_a_record_with_every_oddity_comes_back_unchanged_from_meds(tmp_path):
    """Overlapping stays, discharges before admissions, deaths, late results, in files of a few patients."""
    for seed in range(2):
        folder = tmp_path / str(seed)
        root = write(folder / "mimic", random_tables(np.random.default_rng(seed)))
        assert_round_trip(root, folder, LOOSE.model_copy(update={"test_share": 0.2, "validation_share": 0.2}), size=7)


@pytest.mark.parametrize(
    ("code", "table", "cells"),
    [
        ("DIAGNOSIS//ICD//10//F329", "hosp/diagnoses_icd", {"icd_code": "F329", "icd_version": 10, "seq_num": 0}),
        ("ICD10CM//F32.9", "hosp/diagnoses_icd", {"icd_code": "F329", "icd_version": 10}),
        ("icd9cm/296.20", "hosp/diagnoses_icd", {"icd_code": "29620", "icd_version": 9}),
        ("DIAGNOSIS//ICD9CM//038.9", "hosp/diagnoses_icd", {"icd_code": "0389", "icd_version": 9}),
        ("PROCEDURE//ICD//9//3961", "hosp/procedures_icd", {"icd_code": "3961", "chartdate": date(2150, 3, 3)}),
        ("ICD10PCS/0DB68ZX", "hosp/procedures_icd", {"icd_code": "0DB68ZX", "icd_version": 10}),
        ("ICD9Proc/39.61", "hosp/procedures_icd", {"icd_code": "3961", "icd_version": 9}),
        ("MEDICATION//START//Lithium Carbonate//5107", "hosp/prescriptions", {"drug": "Lithium Carbonate"}),
        ("MEDICATION//START//Heparin", "hosp/prescriptions", {"drug": "Heparin"}),
        ("MEDICATION//Insulin//Administered//UNK", "hosp/prescriptions", {"drug": "Insulin", "drug_type": "MAIN"}),
        ("RxNorm//313782", "hosp/prescriptions", {"drug": "RxNorm//313782"}),
        ("MEDICATION//ATC//N05AN01", "hosp/prescriptions", {"drug": "ATC//N05AN01"}),
        ("LAB//RESULT//50912//mg/dL", "hosp/labevents", {"itemid": "50912"}),
        ("LAB//50912//mg/dL", "hosp/labevents", {"itemid": "50912"}),
        ("LOINC//2160-0", "hosp/labevents", {"itemid": "LOINC//2160-0"}),
        ("LAB//LOINC/2160-0//mg/dL", "hosp/labevents", {"itemid": "LOINC//2160-0"}),
        ("ICU_ADMISSION//Coronary Care Unit (CCU)", "icu/icustays", {"hadm_id": 1, "intime": after(2)}),
        ("TRANSFER_TO//admit//Med/Surg/GYN", "hosp/transfers", {"careunit": "Med/Surg/GYN"}),
        ("TRANSFER_TO//discharge//UNK", "hosp/transfers", {"careunit": None}),
        ("SERVICE//PSYCH", "hosp/services", {"curr_service": "PSYCH"}),
        ("DRG//APR//194", "hosp/drgcodes", {"drg_type": "APR", "drg_code": "194"}),
        ("BMI (kg/m2)", "hosp/omr", {"result_name": "BMI (kg/m2)", "chartdate": date(2150, 3, 3)}),
        ("HCPCS//Hospital observation", "hosp/other_events", {"code": "HCPCS//Hospital observation", "hadm_id": 1}),
        ("SMOKER", "hosp/other_events", {"code": "SMOKER", "time": after(2)}),
    ],
)
def test_a_code_fills_the_table_that_its_shape_says(tmp_path, code, table, cells):
    found = tables_of(write_events(tmp_path, [FEMALE, BIRTH, *stay(0, 5), (after(2), code)]))
    assert [len(found.get(name, [])) for name in TABLES if name not in ("hosp/patients", "hosp/admissions", table)] == (
        [0] * (len(TABLES) - 3)
    )
    (row,) = found[table]
    assert row | cells == row


@pytest.mark.parametrize(
    "code",
    ["MEDICATION//STOP//Heparin//1", "MEDICATION//Heparin//Not Given//1", "LAB//SPECIMEN_COLLECTED//50912//STAT",
     "LAB//220045//bpm", "ICU_DISCHARGE//CCU", "LANGUAGE//ENGLISH", "INFUSION_END//225158"],
)  # fmt: skip
def test_a_code_that_is_left_out_fills_no_table(tmp_path, code):
    found = tables_of(write_events(tmp_path, [FEMALE, BIRTH, *stay(0, 5), (after(2), code, 3.0)]))
    assert {table: len(rows) for table, rows in found.items() if rows} == {"hosp/patients": 1, "hosp/admissions": 1}


def test_a_code_no_rule_knows_is_a_result_where_it_has_a_number_and_an_event_where_not(tmp_path):
    events = [FEMALE, BIRTH, *stay(0, 5), (after(1), "PHQ9//TOTAL", 12.0), (after(2), "PHQ9//TOTAL")]
    root = write_events(tmp_path, events)
    found = tables_of(root)
    (result,), (other,) = found["hosp/labevents"], found["hosp/other_events"]
    assert (result["itemid"], result["valuenum"], result["storetime"]) == ("PHQ9//TOTAL", 12, after(1))
    assert (other["code"], other["time"], other["hadm_id"]) == ("PHQ9//TOTAL", after(2), 1)
    with duckdb.connect() as connection:
        relations(root, connection)
        told = coverage(connection)
    unknown = told[told["kind"] == "unknown"].sort_values("record")
    assert unknown[["record", "prefix", "codes", "rows"]].to_numpy().tolist() == [
        ["hosp/labevents", "PHQ9", 1, 1],
        ["hosp/other_events", "PHQ9", 1, 1],
    ]
    assert told["rows"].sum() == len(events)


def test_without_hadm_id_an_admission_takes_the_next_discharge_and_stays_are_numbered(tmp_path):
    events = [FEMALE, BIRTH, *stay(0, 5), (after(10), "HOSPITAL_ADMISSION//URGENT//UNK"), *stay(20, 30)]
    root = write_events(tmp_path, events)
    write_events(root, [FEMALE, BIRTH, *stay(3, 4)], "data/b/c/1.parquet", subject_id=2)
    rows = tables_of(root)["hosp/admissions"]
    assert [(r["subject_id"], r["hadm_id"], r["admittime"], r["dischtime"]) for r in rows] == [
        (1, 1, after(0), after(5)),
        (1, 2, after(20), after(30)),
        (2, 3, after(3), after(4)),
    ]
    with duckdb.connect() as connection:
        relations(root, connection)
        assert left_out(connection).set_index("reason")["count"]["admissions without a discharge"] == 1


def test_an_event_that_names_no_stay_belongs_to_the_one_it_lies_in(tmp_path):
    times = {"Before": -1, "Opening": 0, "Within": 3, "Both": 5, "Between": 15, "Second": 21}
    drugs = [(after(day), f"MEDICATION//START//{drug}//UNK") for drug, day in times.items()]
    events = [FEMALE, BIRTH, *stay(0, 5), *stay(5, 10), *stay(20, 22), *drugs, (after(5), "ICD10CM//F329")]
    found = tables_of(write_events(tmp_path, events))
    placed = sorted((row["drug"], row["hadm_id"]) for row in found["hosp/prescriptions"])
    assert placed == [("Both", 2), ("Opening", 1), ("Second", 3), ("Within", 1)]
    # Codes are billed when a stay ends, so the one at day 5 is of the stay that ends there.
    assert [row["hadm_id"] for row in found["hosp/diagnoses_icd"]] == [1]


def test_hadm_id_decides_where_events_have_one_even_as_text(tmp_path):
    events = [FEMALE, BIRTH, *stay(0, 9), *stay(2, 5), (after(20), "ICD10CM//F329"), (after(3), "LAB//50912//UNK", 1)]
    hadm_id = [None, None, "70", "71", "71", "70", "71", None]
    order = [0, 1, 2, 4, 5, 3, 6, 7]  # admissions 70, 71 and discharges 70 (day 5), 71 (day 9)
    events = [events[i] for i in order]
    found = tables_of(write_events(tmp_path, events, hadm_id=hadm_id))
    assert [(r["hadm_id"], r["admittime"], r["dischtime"]) for r in found["hosp/admissions"]] == [
        (70, after(0), after(9)),
        (71, after(2), after(5)),
    ]
    assert found["hosp/diagnoses_icd"][0]["hadm_id"] == 71
    # A result keeps what it has: extraction places it.
    assert found["hosp/labevents"][0]["hadm_id"] is None


def test_a_moment_in_two_stays_belongs_to_the_one_that_began_last(tmp_path):
    drugs = [(after(day), f"MEDICATION//START//{drug}//UNK") for drug, day in (("Early", 1), ("Late", 3), ("Gone", 7))]
    hadm_id = [None, None, "ward", "ward", "night", "night", None, None, None]
    found = tables_of(write_events(tmp_path, [FEMALE, BIRTH, *stay(0, 9), *stay(2, 5), *drugs], hadm_id=hadm_id))
    # Names that aren't numbers become numbers, another one for another name.
    ward, night = (row["hadm_id"] for row in sorted(found["hosp/admissions"], key=lambda row: row["admittime"]))
    assert ward != night
    placed = sorted((row["drug"], row["hadm_id"]) for row in found["hosp/prescriptions"])
    assert placed == [("Early", ward), ("Late", night)]


def test_an_admission_never_takes_the_discharge_of_another_hadm_id(tmp_path):
    events = [FEMALE, BIRTH, stay(0, 9)[0], *stay(2, 5)[1:]]
    found = tables_of(write_events(tmp_path / "other", events, hadm_id=[None, None, 70, 71]))
    assert found["hosp/admissions"] == []
    found = tables_of(write_events(tmp_path / "nameless", events, hadm_id=[None, None, 70, None]))
    assert [(row["hadm_id"], row["dischtime"]) for row in found["hosp/admissions"]] == [(70, after(5))]


def test_the_records_own_word_on_a_death_in_hospital_outweighs_the_discharge_location(tmp_path):
    events = [FEMALE, BIRTH, *stay(0, 5)]
    found = tables_of(write_events(tmp_path, events, hospital_expire_flag=[None, None, None, 1]))
    assert found["hosp/admissions"][0]["hospital_expire_flag"] == 1


def test_a_patient_without_an_anchor_has_the_same_age_and_an_unknown_year_group(tmp_path):
    events = [(None, "gender//Female"), BIRTH, *stay(0, 5), (after(4.5), "MEDS_DEATH")]
    found = tables_of(write_events(tmp_path, events))
    expected = {"subject_id": 1, "gender": "F", "anchor_age": 0, "anchor_year": 2100, "anchor_year_group": None}
    assert found["hosp/patients"] == [expected | {"dod": date(2150, 3, 5)}]
    (row,) = found["hosp/admissions"]
    assert (row["deathtime"], row["hospital_expire_flag"], row["discharge_location"]) == (after(4.5), 1, "HOME")


def test_a_death_at_midnight_is_a_day_and_not_a_moment_in_hospital(tmp_path):
    found = tables_of(write_events(tmp_path, [FEMALE, BIRTH, *stay(0, 5), (after(4), "MEDS_DEATH")]))
    assert found["hosp/patients"][0]["dod"] == date(2150, 3, 5)
    (row,) = found["hosp/admissions"]
    assert (row["deathtime"], row["hospital_expire_flag"]) == (None, 0)


def test_what_is_known_of_the_patient_at_discharge_is_known_of_the_stay(tmp_path):
    facts = [(None, "RACE//WHITE"), (after(-1), "INSURANCE//Medicare"), (after(7), "INSURANCE//Private")]
    # The first led to no stay: it is too long before.
    emergency = [(after(-3), "ED_REGISTRATION"), (after(9.8), "ED_REGISTRATION"), (after(12.5), "ED_REGISTRATION")]
    found = tables_of(
        write_events(tmp_path, [FEMALE, BIRTH, *facts, *emergency, *stay(0, 5), *stay(10, 12), *stay(13, 14)])
    )
    first, second, third = found["hosp/admissions"]
    assert third["edregtime"] == after(12.5)
    assert (first["race"], first["insurance"], first["edregtime"]) == ("WHITE", "Medicare", None)
    assert (second["race"], second["insurance"], second["edregtime"]) == ("WHITE", "Private", after(9.8))


def test_an_emergency_registration_leads_to_one_stay(tmp_path):
    events = [FEMALE, BIRTH, (after(-0.2), "ED_REGISTRATION"), *stay(0, 1), *stay(1.5, 3)]
    first, second = tables_of(write_events(tmp_path, events))["hosp/admissions"]
    assert (first["edregtime"], second["edregtime"]) == (after(-0.2), None)


def test_a_patient_without_birth_or_gender_is_left_out_with_their_stays_and_counted(tmp_path):
    root = write_events(tmp_path, [FEMALE, BIRTH, *stay(0, 5)])
    write_events(root, [FEMALE, *stay(0, 5)], "data/1.parquet", subject_id=2)
    write_events(root, [BIRTH, *stay(0, 5)], "data/2.parquet", subject_id=3)
    found = tables_of(root)
    assert [row["subject_id"] for row in found["hosp/patients"] + found["hosp/admissions"]] == [1, 1]
    with duckdb.connect() as connection:
        relations(root, connection)
        assert left_out(connection)["count"].tolist()[:2] == [2, 2]


def test_files_may_differ_in_columns_types_and_depth(tmp_path):
    root = write_events(tmp_path, [FEMALE, BIRTH, *stay(0, 5), (after(1), "LAB//1//UNK", 2.5)], "data/train/0.parquet")
    rows = pd.DataFrame({"subject_id": np.array([2] * 5, dtype=np.uint32)})
    times = [None, datetime(2100, 1, 1), after(0), after(5), after(1)]
    rows["time"] = pd.Series(times, dtype="datetime64[ns, UTC]")
    codes = ["GENDER//M", "MEDS_BIRTH", "HOSPITAL_ADMISSION//URGENT", "HOSPITAL_DISCHARGE", "LAB//1"]
    rows["code"] = pd.Categorical(codes)
    (root / "data/test/deep").mkdir(parents=True)
    rows.to_parquet(root / "data/test/deep/er.parquet", index=False)
    found = tables_of(root)
    assert [(r["subject_id"], r["admittime"], r["discharge_location"]) for r in found["hosp/admissions"]] == [
        (1, after(0), "HOME"),
        (2, after(0), None),
    ]
    assert [(r["subject_id"], r["valuenum"]) for r in found["hosp/labevents"]] == [(1, 2.5), (2, None)]


def test_every_relation_has_the_columns_and_types_of_its_table(tmp_path):
    root = write(tmp_path / "mimic", random_tables(np.random.default_rng(0), patients=9))
    exported(root, tmp_path / "meds", LOOSE)
    with duckdb.connect() as connection:
        found = relations(tmp_path / "meds", connection)
        for table, relation in found.items():
            described = connection.execute(f"describe {relation.select}").fetchall()
            assert {name: kind for name, kind, *_ in described} == TABLES[table]
    assert set(found) == {
        table for table in TABLES if table.split("/")[1] not in ("transfers", "drgcodes", "omr", "other_events")
    }


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: root.mkdir(), "data is not a folder"),
        (lambda root: (root / "data").mkdir(parents=True), "no parquet file"),
        (lambda root: write_events(root, [FEMALE, BIRTH]), "no HOSPITAL_ADMISSION event.*GENDER"),
    ],
)
def test_a_directory_that_is_not_usable_meds_is_refused_with_the_reason(tmp_path, make, words):
    make(tmp_path / "meds")
    with duckdb.connect() as connection, pytest.raises(SourceError, match=words):
        relations(tmp_path / "meds", connection)


@pytest.mark.parametrize("column", ["subject_id", "time", "code"])
def test_a_missing_column_is_named_with_its_file(tmp_path, column):
    root = write_events(tmp_path, [FEMALE, BIRTH, *stay(0, 5)])
    write_events(root, [FEMALE], "data/bad.parquet", subject_id=2)
    pd.read_parquet(root / "data/bad.parquet").drop(columns=column).to_parquet(root / "data/bad.parquet")
    with duckdb.connect() as connection, pytest.raises(SourceError, match=rf"bad.parquet: column {column} is missing"):
        relations(root, connection)


def test_a_damaged_file_and_a_time_without_a_unit_are_refused(tmp_path):
    root = write_events(tmp_path, [FEMALE, BIRTH, *stay(0, 5)])
    (root / "data/torn.parquet").write_bytes((root / "data/0.parquet").read_bytes()[:-20])
    with duckdb.connect() as connection, pytest.raises(SourceError, match="torn.parquet can't be read"):
        relations(root, connection)
    (root / "data/torn.parquet").unlink()
    rows = pd.read_parquet(root / "data/0.parquet")
    rows.assign(time=7).to_parquet(root / "data/0.parquet")
    with duckdb.connect() as connection, pytest.raises(SourceError, match="time is of type BIGINT"):
        relations(root, connection)


@pytest.fixture(scope="module")
def meds_folder(synthetic_root, tmp_path_factory) -> tuple[Path, Encounters]:
    out = tmp_path_factory.mktemp("export") / "meds"
    return out, exported(synthetic_root, out, params.Extraction(), size=100)


def test_a_patient_is_in_one_file_of_their_split_sorted_by_time(meds_folder):
    out, encounters = meds_folder
    split = pd.read_parquet(out / "metadata/subject_splits.parquet").set_index("subject_id")["split"]
    seen: list[int] = []
    for file in sorted((out / "data").rglob("*.parquet")):
        rows = pd.read_parquet(file)
        subjects = rows["subject_id"].unique()
        assert len(subjects) <= 100
        assert set(split[subjects]) == {file.parent.name}
        expected = rows.sort_values(["subject_id", "time"], na_position="first", kind="stable", ignore_index=True)
        pd.testing.assert_frame_equal(rows, expected)
        seen += subjects.tolist()
    assert sorted(seen) == sorted(split.index)
    assert len(split) == 300
    known = encounters.index.drop_duplicates("subject_id").set_index("subject_id")["split"].map(SPLITS)
    pd.testing.assert_series_equal(split[known.index], known, check_dtype=False)


def test_labels_are_those_of_the_encounters_at_their_discharge(meds_folder):
    out, encounters = meds_folder
    index = encounters.index
    tasks = [column for column in index if column.startswith("label_")]
    assert sorted(folder.name for folder in (out / "labels").iterdir()) == [
        t for t in sorted(tasks) if index[t].notna().any()
    ]
    for task in tasks:
        files = sorted((out / "labels" / task).rglob("*.parquet"))
        if not files:
            continue
        got = pd.concat([pd.read_parquet(file) for file in files])
        assert list(got.columns) == ["subject_id", "prediction_time", "boolean_value"]
        want = index.loc[index[task].notna(), ["subject_id", "dischtime", task]]
        assert sorted(map(tuple, got.to_numpy().tolist())) == sorted(
            (s, t, v == 1) for s, t, v in want.itertuples(index=False)
        )
        for file in files:
            data = out / "data" / file.relative_to(out / "labels" / task)
            assert set(pd.read_parquet(file)["subject_id"]) <= set(pd.read_parquet(data)["subject_id"])


def test_no_billing_code_stands_before_its_discharge(meds_folder):
    out, _ = meds_folder
    early = duckdb.execute(
        """
        with event as (from read_parquet($files)),
        ending as (select hadm_id, time from event where code like 'HOSPITAL_DISCHARGE%')
        select count(*), count(*) filter (e.time < d.time)
        from event e join ending d using (hadm_id)
        where e.code like 'DIAGNOSIS%' or e.code like 'PROCEDURE%' or e.code like 'DRG%'
        """,
        {"files": str(out / "data/*/*.parquet")},
    ).fetchall()[0]
    assert early[0] > 1000
    assert early[1] == 0


def test_every_code_is_described_and_icd_codes_name_their_parent(meds_folder):
    out, _ = meds_folder
    codes = pd.read_parquet(out / "metadata/codes.parquet")
    data = pd.concat([pd.read_parquet(file, columns=["code"]) for file in (out / "data").rglob("*.parquet")])
    assert codes["code"].tolist() == sorted(data["code"].unique())
    with duckdb.connect() as connection:
        written = ["DIAGNOSIS//ICD//10//F329", "DIAGNOSIS//ICD//9//E9500", "DIAGNOSIS//ICD//9//311",
                   "PROCEDURE//ICD//9//3961", "PROCEDURE//ICD//10//0DB68ZX", "GENDER//F"]  # fmt: skip
        engine.create(connection, "meds_written", pd.DataFrame({"code": written}))
        engine.run(connection, "meds_parents")
        parents = dict(connection.execute("select code, parent_codes from meds_described").fetchall())
    assert [parents[code] for code in written] == [
        ["ICD10CM/F32.9"], ["ICD9CM/E950.0"], ["ICD9CM/311"], ["ICD9Proc/39.61"], ["ICD10PCS/0DB68ZX"], None,
    ]  # fmt: skip


def test_what_is_written_passes_the_official_schemas(meds_folder):
    out, _ = meds_folder
    for folder, schema in (("data", meds.DataSchema), ("labels", meds.LabelSchema)):
        files = list((out / folder).rglob("*.parquet"))
        assert files, folder
        for file in files:
            schema.validate(pq.ParquetFile(file).read())
    meds.SubjectSplitSchema.validate(pq.read_table(out / meds.subject_splits_filepath))
    meds.CodeMetadataSchema.validate(pq.read_table(out / meds.code_metadata_filepath))
    meds.DatasetMetadataSchema.validate(read_json(out / meds.dataset_metadata_filepath))


def test_the_same_record_gives_the_same_bytes(meds_folder, synthetic_root, tmp_path):
    out, _ = meds_folder
    exported(synthetic_root, tmp_path / "meds", params.Extraction(), size=100)
    files = sorted(file.relative_to(out) for file in out.rglob("*") if file.is_file())
    assert all((out / file).read_bytes() == (tmp_path / "meds" / file).read_bytes() for file in files)
    assert len(files) > 10


def test_only_a_synthetic_source_hands_its_mark_on(meds_folder, synthetic_root, tmp_path):
    out, _ = meds_folder
    assert (out / SYNTHETIC_MARK).read_text() == (synthetic_root / SYNTHETIC_MARK).read_text()
    exported(write(tmp_path / "mimic", random_tables(np.random.default_rng(0), 9)), tmp_path / "meds", LOOSE)
    assert not (tmp_path / "meds" / SYNTHETIC_MARK).exists()


def test_a_folder_that_holds_something_is_never_written_into(meds_folder, tmp_path):
    out, encounters = meds_folder
    with duckdb.connect() as connection, pytest.raises(StoreError, match="not an empty folder"):
        write_meds(tmp_path, connection, encounters, LOOSE, out)
    with pytest.raises(StoreError, match="not an empty folder"):
        from_meds(out, out)


def test_a_killed_export_leaves_nothing(synthetic_root, tmp_path, monkeypatch):
    monkeypatch.setattr(meds_out, "_write_metadata", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        exported(synthetic_root, tmp_path / "meds", params.Extraction())
    assert not list(tmp_path.glob("*meds*"))


def test_a_meds_directory_is_a_source_like_any_other(synthetic_root, meds_folder, tmp_path):
    """Read as `kind: meds`, the exported cohort gives the same encounters, tokens and labels as the tables did."""
    folder, _ = meds_folder
    extraction = params.Extraction(min_patients_per_token=3)
    direct, _ = read(tmp_path / "direct", synthetic_root, params.Source(), extraction)
    source = params.Source(kind="meds", root="given as an argument")
    through, _ = read(tmp_path / "through", folder, source, extraction)
    pd.testing.assert_frame_equal(through.index, direct.index)
    np.testing.assert_array_equal(through.tokens, direct.tokens)
    pd.testing.assert_frame_equal(through.vocabulary, direct.vocabulary)
    assert through.tier == "synthetic"


def test_a_source_without_year_groups_has_encounters_and_no_labels(tmp_path):
    events = [(after(0), "HOSPITAL_ADMISSION"), (after(2), "DIAGNOSIS//ICD//10//F329"),
              (after(2), "SNOMED//73211009"), (after(3), "HOSPITAL_DISCHARGE//HOME")]  # fmt: skip
    root = write_events(tmp_path / "meds", [FEMALE, BIRTH, *events])
    encounters, _ = read(tmp_path / "step", root, params.Source(kind="meds", root="."), LOOSE)
    assert len(encounters.index) == 1
    assert encounters.index["admission_type"].tolist() == ["UNKNOWN"]
    assert encounters.index["eligibility_30d"].tolist() == ["follow_up_uncertain"]
    assert encounters.index[list(LABELS)].isna().all(axis=None)
    assert "CODE//SNOMED//73211009" in set(encounters.vocabulary["token"])
    assert "set source.data_end_year" in encounters.data_end
