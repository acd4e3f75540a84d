"""The synthetic tree as a reader of MIMIC-IV meets it: columns, codes, dates, and what may not be overwritten."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jepascope.cohort.synthetic import SyntheticError, background, leaks, synthesize, truth
from jepascope.cohort.synthetic.concepts import CONCEPTS
from jepascope.params import Synthetic

# Columns of MIMIC-IV v2.2 as published; typed here again, so that the library's own list is held against it.
PUBLISHED = {
    "hosp/patients": "subject_id gender anchor_age anchor_year anchor_year_group dod",
    "hosp/admissions": "subject_id hadm_id admittime dischtime deathtime admission_type admit_provider_id "
    "admission_location discharge_location insurance language marital_status race edregtime edouttime "
    "hospital_expire_flag",
    "hosp/diagnoses_icd": "subject_id hadm_id seq_num icd_code icd_version",
    "hosp/procedures_icd": "subject_id hadm_id seq_num chartdate icd_code icd_version",
    "hosp/prescriptions": "subject_id hadm_id pharmacy_id poe_id poe_seq order_provider_id starttime stoptime "
    "drug_type drug formulary_drug_cd gsn ndc prod_strength form_rx dose_val_rx dose_unit_rx form_val_disp "
    "form_unit_disp doses_per_24_hrs route",
    "hosp/labevents": "labevent_id subject_id hadm_id specimen_id itemid order_provider_id charttime storetime value "
    "valuenum valueuom ref_range_lower ref_range_upper flag priority comments",
    "hosp/services": "subject_id hadm_id transfertime prev_service curr_service",
    "hosp/transfers": "subject_id hadm_id transfer_id eventtype careunit intime outtime",
    "hosp/d_labitems": "itemid label fluid category",
    "hosp/d_icd_diagnoses": "icd_code icd_version long_title",
    "icu/icustays": "subject_id hadm_id stay_id first_careunit last_careunit intime outtime los",
}
TIMES = {
    "hosp/admissions": ["admittime", "dischtime", "deathtime", "edregtime", "edouttime"],
    "hosp/labevents": ["charttime", "storetime"],
    "hosp/prescriptions": ["starttime", "stoptime"],
    "hosp/transfers": ["intime", "outtime"],
    "icu/icustays": ["intime", "outtime"],
    "hosp/patients": ["dod"],
}
Tables = dict[str, pd.DataFrame]


def write(folder: Path, **values: object) -> Path:
    synthesize(folder, Synthetic.model_validate({"patients": 300, **values}))
    return folder


def read(root: Path) -> Tables:
    text = {"icd_code": str}
    return {t: pd.read_csv(root / f"{t}.csv", dtype=text, parse_dates=TIMES.get(t, [])) for t in PUBLISHED}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("synthetic") / "records", patients=1500)


@pytest.fixture(scope="module")
def records(root: Path) -> Tables:
    return read(root)


@pytest.mark.parametrize("table", PUBLISHED)
def test_columns_are_the_published_ones_in_their_order(root, table):
    with (root / f"{table}.csv").open() as file:
        assert file.readline().rstrip("\n").split(",") == PUBLISHED[table].split()


@pytest.mark.demo
@pytest.mark.parametrize("table", PUBLISHED)
def test_columns_are_those_of_the_demo(root, demo, table):
    with gzip.open(demo / f"{table}.csv.gz", "rt") as real, (root / f"{table}.csv").open() as ours:
        assert ours.readline().strip() == real.readline().strip()


def test_times_are_spelled_as_in_mimic(root):
    first = pd.read_csv(root / "hosp/admissions.csv", dtype=str)[["admittime", "dischtime"]].to_numpy().ravel()
    assert pd.Series(first).str.fullmatch(r"2[12]\d\d-\d\d-\d\d \d\d:\d\d:\d\d").all()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    one, two, other = (write(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    files = [file.relative_to(one) for file in sorted(one.rglob("*.*"))]
    assert len(files) == len(PUBLISHED) + 3  # the truth's two, and the mark
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes()
    assert (one / "hosp/admissions.csv").read_bytes() != (other / "hosp/admissions.csv").read_bytes()


@pytest.mark.parametrize("patients", [1, 2, 50])
def test_a_handful_of_patients_is_a_cohort_too(tmp_path, patients):
    tables = read(write(tmp_path / "few", patients=patients))
    assert tables["hosp/patients"]["subject_id"].nunique() == patients
    assert set(tables["hosp/admissions"]["subject_id"]) == set(tables["hosp/patients"]["subject_id"])


def test_a_folder_that_is_no_synthetic_cohort_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(SyntheticError, match=r"mine exists and is no synthetic cohort"):
        write(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_an_earlier_synthetic_cohort_and_an_empty_folder_are_replaced(tmp_path):
    (tmp_path / "records").mkdir()
    write(tmp_path / "records", patients=20)
    write(tmp_path / "records", patients=30)
    assert len(read(tmp_path / "records")["hosp/patients"]) == 30
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_a_run_that_dies_leaves_no_cohort(tmp_path, monkeypatch):
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(truth, "write_truth", die)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "records")
    assert list(tmp_path.iterdir()) == []


def test_a_filter_that_leaves_nobody_is_an_error(tmp_path):
    with pytest.raises(SyntheticError, match="leaves none of 1 patients"):
        write(tmp_path / "records", patients=1, leak="outcome_filtered")
    assert list(tmp_path.iterdir()) == []


def test_identifiers_join_without_orphans(records):
    admissions = records["hosp/admissions"].set_index("hadm_id")["subject_id"]
    assert admissions.index.is_unique
    for table in PUBLISHED:
        if "hadm_id" in PUBLISHED[table]:
            rows = records[table].dropna(subset="hadm_id")
            assert (rows["hadm_id"].map(admissions) == rows["subject_id"]).all(), table


def test_stays_of_a_patient_follow_each_other(records):
    stays = records["hosp/admissions"].sort_values(["subject_id", "admittime"])
    assert (stays["admittime"] < stays["dischtime"]).all()
    previous = stays.groupby("subject_id")["dischtime"].shift()
    assert (stays["admittime"] >= previous)[previous.notna()].all()
    assert (stays["deathtime"].dropna() == stays["dischtime"][stays["deathtime"].notna()]).all()


def test_nobody_returns_after_death_and_dod_is_the_day_of_a_death_in_hospital(records):
    stays = records["hosp/admissions"].merge(records["hosp/patients"], on="subject_id")
    assert not (stays["admittime"].dt.normalize() > stays["dod"]).any()
    died = stays[stays["hospital_expire_flag"] == 1]
    assert len(died) > 20
    assert (died["deathtime"].dt.normalize() == died["dod"]).all()
    assert (died["discharge_location"] == "DIED").all()
    later = stays["dod"].notna() & ~stays["subject_id"].isin(died["subject_id"])
    assert stays["subject_id"][later].nunique() > 50


def test_the_anchor_is_the_first_admission_and_its_group_holds_the_true_year(records):
    patients = records["hosp/patients"].set_index("subject_id")
    first = records["hosp/admissions"].groupby("subject_id")["admittime"].min().dt.year
    assert (first == patients["anchor_year"].reindex(first.index)).all()
    assert set(patients["anchor_year_group"]) <= {"2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019"}
    assert patients["anchor_age"].between(18, 91).all()
    # By group, written years tell nothing: each patient has a shift of their own.
    assert patients.groupby("anchor_year_group")["anchor_year"].std().min() > 10


def test_one_admission_has_one_icd_version_and_a_life_can_have_both_in_order(records):
    codes = records["hosp/diagnoses_icd"]
    assert (codes.groupby("hadm_id")["icd_version"].nunique() == 1).all()
    version = codes.groupby("hadm_id")["icd_version"].first().rename("version")
    stays = records["hosp/admissions"].merge(version, on="hadm_id").sort_values(["subject_id", "admittime"])
    lives = stays.groupby("subject_id")["version"]
    assert lives.apply(lambda life: life.is_monotonic_increasing).all()
    assert (lives.nunique() == 2).mean() > 0.05
    group = stays.merge(records["hosp/patients"], on="subject_id").groupby("anchor_year_group")["version"].mean()
    assert group["2008 - 2010"] < 9.5 < group["2017 - 2019"]
    assert group["2017 - 2019"] == 10


def test_codes_are_ranked_from_one_without_repeats_and_between_2_and_39(records):
    codes = records["hosp/diagnoses_icd"]
    counts = codes.groupby("hadm_id").size()
    assert counts.between(2, 39).all()
    assert len(counts) == len(records["hosp/admissions"])
    assert not codes.duplicated(["hadm_id", "icd_code"]).any()
    assert (codes.groupby("hadm_id")["seq_num"].max() == counts).all()
    assert not codes.duplicated(["hadm_id", "seq_num"]).any()
    titles = records["hosp/d_icd_diagnoses"]
    pairs = codes.merge(titles, on=["icd_code", "icd_version"], how="left")
    assert pairs["long_title"].notna().all()
    assert codes["icd_code"].str.startswith("0").any()  # leading zeros survive


def test_a_laboratory_result_is_stored_after_it_is_drawn_within_the_stay(records):
    labs = records["hosp/labevents"]
    assert (labs["storetime"] >= labs["charttime"]).all()
    assert labs["hadm_id"].isna().mean() == pytest.approx(0.26, abs=0.02)
    placed = labs.merge(records["hosp/admissions"], on="hadm_id")
    assert placed["charttime"].between(placed["admittime"], placed["dischtime"]).all()
    assert set(labs["itemid"]) <= set(records["hosp/d_labitems"]["itemid"])


def test_transfers_tile_the_stay_and_hold_the_icu(records):
    moves = records["hosp/transfers"].sort_values(["hadm_id", "intime"], kind="stable")
    inside = moves[moves["eventtype"] != "discharge"]
    following = moves.groupby("hadm_id")["intime"].shift(-1)
    assert (inside["outtime"] == following[inside.index]).all()
    assert (inside["outtime"] > inside["intime"]).all()
    leaving = moves[moves["eventtype"] == "discharge"].merge(records["hosp/admissions"], on="hadm_id")
    assert (leaving["intime"] == leaving["dischtime"]).all()
    icu = records["icu/icustays"]
    units = icu.merge(moves, left_on="stay_id", right_on="transfer_id")
    assert len(units) == len(icu) > 100
    assert (units["first_careunit"] == units["careunit"]).all()


def test_truth_has_a_row_per_admission_in_the_order_of_time(root, records):
    table, meta = truth.read_truth(root)
    stays = records["hosp/admissions"].sort_values(["subject_id", "admittime"])
    assert np.array_equal(table["hadm_id"], stays["hadm_id"])
    assert np.array_equal(table["k"], stays.groupby("subject_id").cumcount())
    assert [f"concept_{entry['name']}" for entry in meta["concepts"]] == [c for c in table if c.startswith("concept_")]
    assert str(table.dtypes["subject_id"]) == str(table.dtypes["hadm_id"]) == "int64"
    assert [entry["name"] for entry in meta["concepts"] if not entry["labelled"]] == ["unlabelled"]


def test_the_concept_without_a_label_has_no_code_of_its_own():
    hidden = next(concept for concept in CONCEPTS if not concept.labelled)
    everyday = {code.icd10 for code in (*background.LASTING, *background.PASSING)}
    names = {name for name, _ in background.DRUGS}
    assert not hidden.codes
    assert {code for code, _ in background.UNLABELLED_PATTERN} <= everyday
    assert {name for name, _ in background.UNLABELLED_DRUGS} <= names


def test_no_two_concepts_share_a_category_but_where_icd_9_does():
    """Tokens are categories: a shared one would make two planted concepts one."""
    for version, allowed in ((10, set()), (9, {"305", "296"})):
        owners: dict[str, set[str]] = {}
        for name, codes in [(concept.name, concept.codes) for concept in CONCEPTS] + [
            ("background", (*background.LASTING, *background.PASSING)),
            ("leak", leaks.LEAK_CODES),
        ]:
            for code in codes:
                spelled = code.icd10 if version == 10 else code.icd9
                width = 4 if version == 9 and spelled[0] in "EV" else 3
                owners.setdefault(spelled[:width], set()).add(name)
        assert {category for category, names in owners.items() if len(names) > 1} == allowed


def test_total_length_tells_the_last_number_at_the_first_encounter(tmp_path):
    root = write(tmp_path / "leak", leak="total_length")
    codes, stays = (read(root)[table] for table in ("hosp/diagnoses_icd", "hosp/admissions"))
    length = stays["subject_id"].map(stays.groupby("subject_id").size())
    told = codes[codes["icd_code"].str.fullmatch(r"V[012]\d9XXA|E9[012]\dZ")].set_index("hadm_id")["icd_code"]
    number = told.str.extract(r"^(?:V|E9)(\d\d)")[0].astype(int)
    assert np.array_equal(number.reindex(stays["hadm_id"]), length)


def test_next_encounter_tells_the_first_concept_to_come(tmp_path):
    root = write(tmp_path / "leak", leak="next_encounter")
    codes, table = read(root)["hosp/diagnoses_icd"], truth.read_truth(root).table
    states = table.filter(like="concept_").to_numpy()
    following = (table["subject_id"].shift(-1) == table["subject_id"]) & np.roll(states.any(axis=1), -1)
    told = codes[codes["icd_code"].str.fullmatch(r"V[3-7]\d9XXA|E8[4-8]\dZ")].set_index("hadm_id")["icd_code"]
    number = told.str.extract(r"^(?:V|E8)(\d\d)")[0].astype(int) - np.where(told.str.startswith("V"), 30, 40)
    assert set(told.index) == set(table["hadm_id"][following])
    first = pd.Series(np.roll(states.argmax(axis=1), -1), index=table["hadm_id"])
    assert (number == first.reindex(number.index)).all()


def test_without_a_leak_no_leaking_code_is_written(records):
    spelled = {code for leak in leaks.LEAK_CODES for code in (leak.icd10, leak.icd9)}
    assert not spelled & set(records["hosp/diagnoses_icd"]["icd_code"])
