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


def test_tokens_of_one_encounter_by_hand(tables):
    tables["hosp/diagnoses_icd"].clear()
    for position, (code, version) in enumerate([("0389", 9), ("E9500", 9), ("V1582", 9), ("29620", 9), ("29621", 9)]):
        row = {"subject_id": 1, "hadm_id": 100, "seq_num": position + 1}
        tables["hosp/diagnoses_icd"].append(row | {"icd_code": code, "icd_version": version})
    key = {"subject_id": 1, "hadm_id": 100}
    tables["hosp/procedures_icd"].append({**key, "chartdate": "2150-01-02", "icd_code": "0044", "icd_version": 9})
    tables["hosp/services"].append({**key, "transfertime": at(0), "curr_service": "MED"})
    tables["hosp/services"].append({**key, "transfertime": at(3.1), "curr_service": "SURG"})
    tables["icu/icustays"].append({**key, "stay_id": 1, "intime": at(1)})
    for drug, kind in [("0.9% Sodium Chloride", "BASE"), ("Sodium Bicarbonate 5%", "MAIN"), ("*NF* LORazepam", "MAIN")]:
        tables["hosp/prescriptions"].append({**key, "starttime": at(1), "drug": drug, "drug_type": kind})
    assert token_names(extracted(tables)[0], 100) == [
        "AGE//50-59", "SEX//F", "FROM//EMERGENCY ROOM", "TYPE//EW EMER.", "SERVICE//MED", "ICU", "ICD9//038",
        "ICD9//296", "ICD9//E950", "ICD9//V158", "PROC9//004", "DRUG//lorazepam", "DRUG//sodium", "LOS//2-4",
        "TO//HOME",
    ]  # fmt: skip


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
