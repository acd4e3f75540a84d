from __future__ import annotations

import numpy as np
import pytest
from mimic_tree import (
    LOOSE,
    Tables,
    add_lab,
    add_patient,
    add_stay,
    at,
    empty,
    extracted,
    random_tables,
    token_names,
)

from jepascope import params

EVERY_DECILE = LOOSE.model_copy(update={"lab_tail_deciles": 5})


@pytest.fixture
def tables() -> Tables:
    tables = empty()
    add_patient(tables, 1)
    add_stay(tables, 1, 100, 0, 3)
    return tables


KEY = {"subject_id": 1, "hadm_id": 100}


def with_codes(tables: Tables, *codes: tuple[str, int]) -> Tables:
    """Give the encounter these diagnoses and no others, in order of billing."""
    rows = [
        {**KEY, "seq_num": n + 1, "icd_code": code, "icd_version": version} for n, (code, version) in enumerate(codes)
    ]
    return tables | {"hosp/diagnoses_icd": rows}


def starting(tables: Tables, prefix: str, extraction: params.Extraction = LOOSE) -> list[str]:
    """Return the encounter's tokens that start so."""
    return [token for token in token_names(extracted(tables, extraction)[0], 100) if token.startswith(prefix)]


@pytest.fixture
def eventful(tables) -> Tables:
    tables = with_codes(tables, ("0389", 9), ("E9500", 9), ("V1582", 9), ("29620", 9), ("29621", 9))
    tables["hosp/procedures_icd"].append({**KEY, "chartdate": "2150-01-02", "icd_code": "0044", "icd_version": 9})
    tables["hosp/services"].append({**KEY, "transfertime": at(0), "curr_service": "MED"})
    tables["hosp/services"].append({**KEY, "transfertime": at(3.1), "curr_service": "SURG"})
    tables["hosp/transfers"] = [
        {**KEY, "careunit": unit, "intime": at(day)}
        for unit, day in [("Emergency Department", -0.2), ("Medicine", 0), ("Medicine", 2), ("", 3), ("Vascular", 3.1)]
    ]
    tables["hosp/drgcodes"] = [{**KEY, "drg_type": "APR", "drg_code": "7203"}]
    tables["icu/icustays"].append({**KEY, "stay_id": 1, "intime": at(1)})
    for drug, kind in [("0.9% Sodium Chloride", "BASE"), ("Sodium Bicarbonate 5%", "MAIN"), ("*NF* LORazepam", "MAIN")]:
        tables["hosp/prescriptions"].append({**KEY, "starttime": at(1), "drug": drug, "drug_type": kind})
    return tables


def test_tokens_of_one_encounter_by_hand(eventful):
    assert token_names(extracted(eventful)[0], 100) == [
        "AGE//50-59", "SEX//F", "FROM//EMERGENCY ROOM", "TYPE//EW EMER.", "SERVICE//MED",
        "UNIT//Emergency Department", "UNIT//Medicine", "ICU", "ICD10//A41", "ICD10//F32", "ICD10//Z87", "ICD9//E950",
        "PROC9//004", "DRUG//lorazepam", "DRUG//sodium bicarbonate", "LOS//2-4", "TO//HOME",
    ]  # fmt: skip


def test_without_mapping_the_icd9_codes_keep_their_categories(eventful):
    unmapped = LOOSE.model_copy(update={"map_icd9": False})
    assert starting(eventful, "ICD", unmapped) == ["ICD9//038", "ICD9//296", "ICD9//E950", "ICD9//V158"]


def test_a_group_is_a_token_only_where_asked_for(eventful):
    assert starting(eventful, "DRG//") == []
    assert starting(eventful, "DRG//", LOOSE.model_copy(update={"drg_codes": True})) == ["DRG//APR//7203"]


def test_a_combination_of_categories_gives_a_token_each_and_an_ambiguous_code_its_own(tables):
    assert starting(with_codes(tables, ("29012", 9)), "ICD") == ["ICD10//F03", "ICD10//F05"]
    assert starting(with_codes(tables, ("29285", 9)), "ICD") == ["ICD9//292"]
    # One illness coded in either version is one token.
    assert starting(with_codes(tables, ("4019", 9), ("I10", 10)), "ICD") == ["ICD10//I10"]


def test_a_rare_code_that_stayed_in_icd9_becomes_its_icd9_chapter(tables):
    for subject_id, code in [(2, "78791"), (3, "7840"), (4, "E9331"), (5, "E9500")]:
        add_patient(tables, subject_id)
        add_stay(tables, subject_id, 100 + subject_id, 0, 3, codes=[(code, 9)])
    encounters, _ = extracted(tables, LOOSE.model_copy(update={"min_patients_per_token": 2}))
    codes = [[t for t in token_names(encounters, hadm_id) if t.startswith("ICD")] for hadm_id in range(102, 106)]
    assert codes == [["ICD9//780-799"], ["ICD9//780-799"], ["ICD9//E00-E99"], ["ICD9//E00-E99"]]


def test_the_closing_block_can_be_left_out(tables):
    left = token_names(extracted(tables, LOOSE.model_copy(update={"closing_block": False}))[0], 100)
    assert not [token for token in left if token.startswith(("LOS//", "TO//"))]


def test_cls_is_row_zero_and_never_among_the_tokens():
    encounters, _ = extracted(random_tables(np.random.default_rng(0), 50))
    first = encounters.vocabulary.iloc[0]
    assert (first["token"], first["kind"]) == ("[CLS]", "special")
    assert first["train_patients"] == encounters.index["subject_id"].nunique()
    assert encounters.tokens.min() >= 1
    assert encounters.tokens.max() < len(encounters.vocabulary)


def test_tokens_ascend_within_an_encounter_and_offsets_agree_with_the_index():
    encounters, _ = extracted(random_tables(np.random.default_rng(1), 50))
    assert (np.diff(encounters.offsets) == encounters.index["n_tokens"]).all()
    inside = np.ones(len(encounters.tokens) - 1, dtype=bool)
    inside[encounters.offsets[1:-1] - 1] = False
    assert (np.diff(encounters.tokens)[inside] > 0).all()
    kinds = list(dict.fromkeys(encounters.vocabulary["kind"]))
    assert kinds == ["special", "age", "sex", "admission", "service", "icu", "diagnosis", "procedure", "drug", "lab",
                     "closing"]  # fmt: skip


def test_every_token_has_enough_training_patients_and_the_count_is_right():
    strict = params.Extraction(min_patients_per_token=11)
    encounters, _ = extracted(random_tables(np.random.default_rng(2), 150), strict)
    assert encounters.vocabulary["train_patients"].min() >= 11
    subject = np.repeat(encounters.index["subject_id"], encounters.index["n_tokens"]).to_numpy()
    train = np.repeat(encounters.index["split"] == "train", encounters.index["n_tokens"]).to_numpy()
    for token_id, row in encounters.vocabulary.iloc[1:].iterrows():
        carried = len(set(subject[train & (encounters.tokens == token_id)]))
        assert carried == row["train_patients"], row["token"]


def test_a_rare_token_becomes_its_parent_and_without_one_is_dropped(tables):
    for subject_id, code in [(2, "F320"), (3, "F320"), (4, "F840"), (5, "F900")]:
        add_patient(tables, subject_id)
        add_stay(tables, subject_id, 100 + subject_id, 0, 3, codes=[(code, 10)])
    add_stay(tables, 5, 205, 10, 13, codes=[("F900", 10), ("F600", 10)])
    row = {"subject_id": 2, "hadm_id": 102, "starttime": at(1), "drug": "Lithium", "drug_type": "MAIN"}
    tables["hosp/prescriptions"].append(row)
    encounters, _ = extracted(tables, LOOSE.model_copy(update={"min_patients_per_token": 2}))
    assert "ICD10//F32" in token_names(encounters, 102)
    assert "DRUG//lithium" not in token_names(encounters, 102)
    # Two rare categories of one chapter make the chapter a token; one of another chapter (I10) does not.
    assert "ICD10//F01-F99" in token_names(encounters, 104)
    assert "ICD10//F01-F99" in token_names(encounters, 105)
    assert token_names(encounters, 205).count("ICD10//F01-F99") == 1
    assert not [token for token in token_names(encounters, 100) if token.startswith("ICD")]
    assert encounters.vocabulary.set_index("token")["train_patients"]["ICD10//F01-F99"] == 2


def test_a_rare_drug_becomes_its_class_and_a_rare_procedure_its_section(tables):
    drugs, codes = ["Metoprolol", "Atenolol", "Lithium"], [("0DB68ZX", 10), ("02HV33Z", 10), ("3961", 9), ("39.95", 9)]
    for subject_id, code in enumerate(codes, start=2):
        add_patient(tables, subject_id)
        add_stay(tables, subject_id, 100 + subject_id, 0, 3)
        key = {"subject_id": subject_id, "hadm_id": 100 + subject_id}
        row = {"chartdate": "2150-01-02", "icd_code": code[0], "icd_version": code[1]}
        tables["hosp/procedures_icd"].append({**key, **row})
        row = {"starttime": at(1), "drug": drugs[subject_id % 3], "drug_type": "MAIN"}
        tables["hosp/prescriptions"].append({**key, **row})
    two = extracted(tables, LOOSE.model_copy(update={"min_patients_per_token": 2}))[0]
    three = extracted(tables, LOOSE.model_copy(update={"min_patients_per_token": 3}))[0]
    assert [t for t in token_names(two, 102) if t.startswith(("PROC", "DRUG"))] == ["PROC10//0", "DRUG//lithium"]
    assert [t for t in token_names(two, 104) if t.startswith(("PROC", "DRUG"))] == ["PROC9//39", "DRUGCLASS//-olol"]
    assert [t for t in token_names(two, 103) if t.startswith(("PROC", "DRUG"))] == ["PROC10//0", "DRUGCLASS//-olol"]
    assert not [t for t in three.vocabulary["token"] if t.startswith(("PROC", "DRUG"))]


def test_an_encounter_always_has_a_token(tables):
    encounters, _ = extracted(tables, LOOSE.model_copy(update={"min_patients_per_token": 1000}))
    assert token_names(encounters, 100) == ["SEX//F"]


def test_only_the_first_diagnoses_by_billing_priority_are_kept(tables):
    tables["hosp/diagnoses_icd"] = [
        {"subject_id": 1, "hadm_id": 100, "seq_num": 60 - n, "icd_code": f"A{n:02d}0", "icd_version": 10}
        for n in range(60)
    ]
    kept = [t for t in token_names(extracted(tables)[0], 100) if t.startswith("ICD10")]
    assert kept == [f"ICD10//A{n:02d}" for n in range(20, 60)]


def test_only_the_first_drugs_started_are_kept_and_none_after_discharge(tables):
    tables["hosp/prescriptions"] = [
        {"subject_id": 1, "hadm_id": 100, "starttime": at(day), "drug": drug, "drug_type": "MAIN"}
        for drug, day in [("Zinc", 0.1), ("Aspirin", 0.2), ("Heparin", 0.3), ("Codeine", 3.5), ("Zinc", 0.9)]
    ]
    two = LOOSE.model_copy(update={"max_drugs": 2})
    assert [t for t in token_names(extracted(tables, two)[0], 100) if "DRUG" in t] == ["DRUG//aspirin", "DRUG//zinc"]
    assert "DRUG//codeine" not in token_names(extracted(tables)[0], 100)


# --- Labs. ---


def lab_tokens(tables: Tables, hadm_id: int = 100, extraction=EVERY_DECILE) -> list[str]:
    return [token for token in token_names(extracted(tables, extraction)[0], hadm_id) if token.startswith("LAB")]


def test_a_lab_without_admission_belongs_to_the_stay_in_whose_interval_it_was_drawn(tables):
    add_stay(tables, 1, 101, 10, 13)
    for drawn in (-1, 5, 11, 20):  # before, between, inside the second, after
        add_lab(tables, 1, None, 50912, drawn, 1.0)
    add_lab(tables, 1, None, 51222, 5, 1.0, storetime=at(2))  # between, with a clock that ran backwards
    assert lab_tokens(tables, 100) == []
    assert len(lab_tokens(tables, 101)) == 1


@pytest.mark.parametrize(("drawn", "owner"), [(2, 100), (5.5, 101), (10, 100), (20, 100), (6, 101), (20.01, None)])
def test_a_lab_without_admission_finds_the_stay_that_began_last_of_those_around_it(drawn, owner):
    tables = empty()
    add_patient(tables, 1)
    add_stay(tables, 1, 100, 0, 20)
    add_stay(tables, 1, 101, 5, 6)
    add_lab(tables, 1, None, 50912, drawn, 1.0, storetime=at(drawn))
    encounters, _ = extracted(tables, LOOSE.model_copy(update={"lab_tail_deciles": 5}))
    found = [h for h in (100, 101) if any(token.startswith("LAB//50912") for token in token_names(encounters, h))]
    assert found == ([owner] if owner else [])


def test_a_lab_counts_only_if_stored_by_discharge(tables):
    add_lab(tables, 1, 100, 50912, 2.9, 1.0, storetime=at(3.1))
    add_lab(tables, 1, 100, 51222, 2.9, 1.0, storetime="")
    add_lab(tables, 1, 100, 50971, 2.9, 1.0, storetime=at(3))
    assert lab_tokens(tables) == ["LAB//50971//Q5"]


def test_the_last_value_of_an_item_is_the_one_kept():
    tables = empty()
    for subject_id in range(1, 21):
        add_patient(tables, subject_id)
        add_stay(tables, subject_id, 100 + subject_id, 0, 3)
        add_lab(tables, subject_id, 100 + subject_id, 50912, 2, float(subject_id))
        add_lab(tables, subject_id, 100 + subject_id, 50912, 1, float(-subject_id))
    assert lab_tokens(tables, 101) == ["LAB//50912//Q1"]
    assert lab_tokens(tables, 120) == ["LAB//50912//Q10"]


def test_only_tail_deciles_become_tokens_unless_asked_otherwise():
    tables = empty()
    for subject_id in range(1, 101):
        add_patient(tables, subject_id)
        add_stay(tables, subject_id, 100 + subject_id, 0, 3)
        add_lab(tables, subject_id, 100 + subject_id, 50912, 1, float(subject_id))
    for tail, kept in ((1, 20), (2, 40), (5, 100)):
        encounters, _ = extracted(tables, LOOSE.model_copy(update={"lab_tail_deciles": tail}))
        assert np.isin(encounters.tokens, np.flatnonzero(encounters.vocabulary["kind"] == "lab")).sum() == kept


def test_an_item_that_never_varies_lies_in_the_middle():
    tables = empty()
    for subject_id in range(1, 21):
        add_patient(tables, subject_id)
        add_stay(tables, subject_id, 100 + subject_id, 0, 3)
        add_lab(tables, subject_id, 100 + subject_id, 50912, 1, 0.0)
    assert lab_tokens(tables, 101) == ["LAB//50912//Q5"]
    assert lab_tokens(tables, 101, LOOSE) == []


def test_a_lab_without_a_number_counts_when_flagged_abnormal(tables):
    add_lab(tables, 1, 100, 51487, 1, 0.0, valuenum="", flag="abnormal")
    add_lab(tables, 1, 100, 51488, 1, 0.0, valuenum="", flag="")
    assert lab_tokens(tables) == ["LAB//51487//abnormal"]


def test_a_nan_lab_value_is_no_value(tables):
    add_lab(tables, 1, 100, 50912, 1, 2.0)
    add_lab(tables, 1, 100, 50912, 2, float("nan"))
    assert extracted(tables, EVERY_DECILE)[1].deciles["cuts"][0].tolist() == [2.0] * 9


def test_deciles_are_those_of_training_patients():
    tables = empty()
    for subject_id in range(1, 201):
        add_patient(tables, subject_id)
        add_stay(tables, subject_id, 1000 + subject_id, 0, 3)
        add_lab(tables, subject_id, 1000 + subject_id, 50912, 1, float(subject_id))
    encounters, fitted = extracted(tables, params.Extraction(min_patients_per_token=5))
    train = encounters.index.loc[encounters.index["split"] == "train", "subject_id"].to_numpy()
    np.testing.assert_allclose(fitted.deciles["cuts"][0], np.quantile(train, np.arange(1, 10) / 10))


# --- Measurements outside the hospital. ---


def measured(tables: Tables, *rows: tuple[float, str, str], subject_id: int = 1) -> Tables:
    """Add measurements: day, name, value."""
    tables.setdefault("hosp/omr", []).extend(
        {
            "subject_id": subject_id,
            "chartdate": at(day).date(),
            "seq_num": n,
            "result_name": name,
            "result_value": value,
        }
        for n, (day, name, value) in enumerate(rows, start=1)
    )
    return tables


def values(tables: Tables, hadm_id: int = 100) -> dict[str, list[float]]:
    """Return, per item, the first cut of its deciles: with one patient, the value itself."""
    deciles = extracted(tables, EVERY_DECILE)[1].deciles
    return {item: cuts[0] for item, cuts in zip(deciles["itemid"], deciles["cuts"], strict=True)}


def test_a_measurement_is_a_lab_item_and_blood_pressure_is_two(tables):
    measured(tables, (-9, "Blood Pressure", "120/80"), (-9, "BMI (kg/m2)", "25.5"), (-9, "eGFR", ">60"))
    assert values(tables) == {"OMR BMI": 25.5, "OMR Blood Pressure systolic": 120, "OMR Blood Pressure diastolic": 80}
    assert lab_tokens(tables) == [
        "LAB//OMR BMI//Q5", "LAB//OMR Blood Pressure diastolic//Q5", "LAB//OMR Blood Pressure systolic//Q5",
    ]  # fmt: skip
    kinds = extracted(tables, EVERY_DECILE)[0].vocabulary.set_index("token")["kind"]
    assert kinds["LAB//OMR BMI//Q5"] == "lab"


def test_the_latest_number_is_the_measurement_kept(tables):
    weights = [(-20, "150"), (-9, "160"), (-9, "161"), (-30, "140"), (-5, "See comment")]
    measured(tables, *((day, "Weight (Lbs)", weight) for day, weight in weights))
    assert values(tables) == {"OMR Weight": 161}


def test_a_measurement_counts_from_the_end_of_its_day_for_a_year(tables):
    # Discharge is on day 3 at 00:00: of that day, nothing is known.
    assert values(measured(tables, (3, "BMI (kg/m2)", "30"), (4, "BMI (kg/m2)", "31"))) == {}
    assert values(measured(tables, (2, "BMI (kg/m2)", "29"))) == {"OMR BMI": 29}
    tables["hosp/omr"].clear()
    assert values(measured(tables, (3 - 366, "BMI (kg/m2)", "28"))) == {}
    assert values(measured(tables, (3 - 365, "BMI (kg/m2)", "27"))) == {"OMR BMI": 27}


def test_a_measurement_reaches_every_stay_of_the_year_after_it(tables):
    add_stay(tables, 1, 101, 10, 13)
    add_stay(tables, 1, 102, 400, 403)
    measured(tables, (-5, "BMI (kg/m2)", "27"))
    assert [len(lab_tokens(tables, hadm_id)) for hadm_id in (100, 101, 102)] == [1, 1, 0]


# --- Leaks. ---


def test_what_comes_after_discharge_changes_no_token(eventful):
    add_lab(eventful, 1, 100, 50912, 1, 1.0)
    measured(eventful, (-5, "BMI (kg/m2)", "27"))
    drg = EVERY_DECILE.model_copy(update={"drg_codes": True})
    before, fitted = extracted(eventful, drg)
    add_stay(eventful, 1, 101, 10, 13, codes=[("F200", 10)])
    later = {"subject_id": 1, "hadm_id": 101}
    eventful["hosp/transfers"] += [{**later, "careunit": "Psychiatry", "intime": at(10)}]
    eventful["hosp/transfers"] += [{**KEY, "careunit": "Neurology", "intime": at(3.01)}]
    eventful["hosp/drgcodes"].append({**later, "drg_type": "APR", "drg_code": "1"})
    eventful["hosp/prescriptions"].append({**later, "starttime": at(10), "drug": "Lithium", "drug_type": "MAIN"})
    eventful["hosp/procedures_icd"].append({**later, "chartdate": "2150-01-12", "icd_code": "9", "icd_version": 9})
    add_lab(eventful, 1, 101, 50912, 11, 9.0)
    add_lab(eventful, 1, None, 50912, 11, 9.0)
    add_lab(eventful, 1, 100, 50912, 2.9, 9.0, storetime=at(3.1))
    measured(eventful, (3, "BMI (kg/m2)", "40"), (12, "BMI (kg/m2)", "41"))
    after, _ = extracted(eventful, drg, fitted=fitted)
    assert token_names(after, 100) == token_names(before, 100)
    # The fixture would show a change: all that was added makes tokens where it belongs.
    free = token_names(extracted(eventful, drg)[0], 101)
    assert {"UNIT//Psychiatry", "DRG//APR//1", "DRUG//lithium", "PROC9//9", "ICD10//F20"} < set(free)
