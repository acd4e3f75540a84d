from __future__ import annotations

import copy
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mimic_tree import (
    LOOSE,
    MIMIC,
    add_patient,
    add_stay,
    at,
    cut_at,
    empty,
    extracted,
    random_tables,
    token_names,
    write,
)

from jepascope import params
from jepascope.cohort import extract as extract_module
from jepascope.cohort import labels, tokens
from jepascope.cohort.concepts import MEMBERSHIPS
from jepascope.cohort.encounters import load, save
from jepascope.cohort.extract import CohortError, extract, read
from jepascope.cohort.questions import LABELS

CONTRACT = [
    "subject_id", "hadm_id", "k", "admittime", "dischtime", "age", "sex", "admission_type", "insurance", "race",
    "anchor_year_group", "gap_days", "los_days", "icd_version", "icu", "n_tokens", "split", "split_era",
    *labels.COLUMNS, *MEMBERSHIPS,
]  # fmt: skip
SHARDED = params.Extraction(min_patients_per_token=4)


def counts(encounters) -> list[tuple[int, int]]:
    return list(zip(encounters.attrition["patients"], encounters.attrition["encounters"], strict=True))


def test_the_step_saves_encounters_and_leaves_no_scratch(tmp_path):
    root = write(tmp_path / "mimic", random_tables(np.random.default_rng(0), 30))
    extract(tmp_path / "step", root, MIMIC, LOOSE)
    encounters = load(tmp_path / "step")
    assert set(CONTRACT) <= set(encounters.index.columns)
    assert not list((tmp_path / "step").glob(".*"))


def test_rows_are_sorted_and_k_counts_from_zero_without_holes():
    index = extracted(random_tables(np.random.default_rng(1), 80))[0].index
    assert index.equals(index.sort_values(["subject_id", "admittime", "dischtime", "hadm_id"], kind="stable"))
    assert (index.groupby("subject_id").cumcount() == index["k"]).all()
    assert (index["k"].eq(0) == index["gap_days"].isna()).all()
    assert (index["gap_days"].dropna() >= 0).all()


def test_times_are_computed_by_hand():
    tables = empty()
    add_patient(tables, 1, anchor_age=50, anchor_year=2149, gender="M")
    add_stay(tables, 1, 100, 0, 3, icu=1)
    add_stay(tables, 1, 101, 10.5, 12)
    index = extracted(tables)[0].index
    assert index["los_days"].tolist() == [3, 1.5]
    assert index["gap_days"][1] == 7.5
    assert index["age"].tolist() == [51, 51]
    assert index["sex"].tolist() == ["M", "M"]
    assert index["icu"].tolist() == [True, False]


def test_single_encounter_patients_stay():
    tables = empty()
    add_patient(tables, 1)
    add_stay(tables, 1, 100, 0, 3)
    assert len(extracted(tables)[0].index) == 1


@pytest.fixture(scope="module")
def in_one_shard():
    tables = random_tables(np.random.default_rng(5))
    return tables, *extracted(tables, SHARDED)


@pytest.mark.parametrize("patients_per_shard", [7, 25, 60])
def test_shards_change_nothing(in_one_shard, patients_per_shard):
    tables, whole, fitted = in_one_shard
    parts, refitted = extracted(tables, SHARDED.model_copy(update={"patients_per_shard": patients_per_shard}))
    for name, one in whole._asdict().items():
        two = getattr(parts, name)
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(two, one)
        else:
            np.testing.assert_array_equal(two, one)
    pd.testing.assert_frame_equal(refitted.deciles, fitted.deciles)


def test_deciles_fitted_in_batches_of_items_are_those_fitted_at_once(monkeypatch):
    tables = random_tables(np.random.default_rng(6))
    _, whole = extracted(tables)
    monkeypatch.setattr(tokens, "BATCH_VALUES", 5)
    _, batched = extracted(tables)
    assert len(whole.deciles) > 1
    pd.testing.assert_frame_equal(batched.deciles, whole.deciles)


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unkilled")
    root = write(folder / "mimic", random_tables(np.random.default_rng(7)))
    settings = LOOSE.model_copy(update={"patients_per_shard": 20})
    return root, settings, read(folder / "whole", root, MIMIC, settings)[0]


@pytest.mark.parametrize("dies", ["describe", "spell", "encode"])
def test_a_killed_extraction_goes_on_with_the_shard_it_died_in(unkilled, tmp_path, monkeypatch, dies):
    root, settings, whole = unkilled
    real, calls = getattr(extract_module, dies), []

    def die(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(extract_module, dies, die)
    with pytest.raises(KeyboardInterrupt):
        extract(tmp_path / "step", root, MIMIC, settings)
    before = finished(tmp_path / "step" / "work")
    after = {}
    monkeypatch.setattr(
        extract_module, "save", lambda *a: (after.update(finished(tmp_path / "step" / "work")), save(*a))
    )
    extract(tmp_path / "step", root, MIMIC, settings)
    assert before.items() < after.items() or (dies == "encode" and before == after)
    assert not (tmp_path / "step" / "work").exists()
    pd.testing.assert_frame_equal(load(tmp_path / "step").index, whole.index)
    np.testing.assert_array_equal(load(tmp_path / "step").tokens, whole.tokens)


def finished(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*.parquet")}


def test_a_row_that_names_another_patients_admission_belongs_to_nobody():
    tables = empty()
    for subject_id in (1, 2, 3):
        add_patient(tables, subject_id)
        add_stay(tables, subject_id, 100 * subject_id, 0, 3)
    clean, _ = extracted(tables)
    stranger = {"subject_id": 2, "hadm_id": 100}
    tables["hosp/diagnoses_icd"].append({**stranger, "seq_num": 1, "icd_code": "F329", "icd_version": 10})
    tables["icu/icustays"].append({**stranger, "stay_id": 7, "intime": at(1), "outtime": at(2)})
    tables["hosp/services"].append({**stranger, "transfertime": at(1), "curr_service": "PSYCH"})
    for patients_per_shard in (1, 3):
        dirty, _ = extracted(tables, LOOSE.model_copy(update={"patients_per_shard": patients_per_shard}))
        pd.testing.assert_frame_equal(dirty.index, clean.index)
        assert token_names(dirty, 100) == token_names(clean, 100)


def test_a_gap_is_counted_from_the_latest_discharge_so_far():
    tables = empty()
    add_patient(tables, 1)
    for hadm_id, admit, discharge in ((100, 0, 20), (101, 5, 6), (102, 40, 42)):
        add_stay(tables, 1, hadm_id, admit, discharge)
    assert extracted(tables)[0].index["gap_days"].tolist()[1:] == [0, 20]


def test_a_shift_of_one_patients_dates_changes_nothing():
    """Dates are shifted by a secret amount per patient, so nothing may follow from a comparison between patients."""
    tables = random_tables(np.random.default_rng(8), 40)
    expected, fitted = extracted(tables)
    shift = timedelta(days=28 * 365 + 7)  # 28 years: the same weekdays and leap years
    for rows in tables.values():
        for row in rows:
            if row["subject_id"] % 2:
                moved = {name: cell + shift for name, cell in row.items() if isinstance(cell, date)}
                row.update(moved, **({"anchor_year": row["anchor_year"] + 28} if "anchor_year" in row else {}))
    shifted, _ = extracted(tables, fitted=fitted)
    odd = shifted.index["subject_id"] % 2 == 1
    assert 0 < odd.sum() < len(odd)
    assert (shifted.index["admittime"] - expected.index["admittime"])[odd].eq(shift).all()
    clocks = ["admittime", "dischtime"]
    pd.testing.assert_frame_equal(shifted.index.drop(columns=clocks), expected.index.drop(columns=clocks))
    np.testing.assert_array_equal(shifted.tokens, expected.tokens)


def test_impossible_stays_are_dropped_and_counted():
    tables = empty()
    add_patient(tables, 1, dod=at(50).date())
    add_stay(tables, 1, 100, 0, 3)
    add_stay(tables, 1, 101, 10, 10)  # no length
    add_stay(tables, 1, 102, 20, 19)  # negative length
    add_stay(tables, 1, 103, 50.9, 52)  # on the day of death: possible
    add_stay(tables, 1, 104, 53, 54)  # the organ donor
    encounters = extracted(tables)[0]
    assert encounters.index["hadm_id"].tolist() == [100, 103]
    assert counts(encounters)[:3] == [(1, 5), (1, 3), (1, 2)]


def test_an_admission_after_an_earlier_death_in_hospital_is_dropped():
    tables = empty()
    add_patient(tables, 1)
    add_stay(tables, 1, 100, 0, 3, deathtime=at(3), hospital_expire_flag=1)
    add_stay(tables, 1, 101, 3.1, 4)
    assert extracted(tables)[0].index["hadm_id"].tolist() == [100]


def test_adults_and_coded_diagnoses_are_parameters_with_their_rule_in_words():
    tables = empty()
    add_patient(tables, 1, anchor_age=17, anchor_year=2150)
    add_stay(tables, 1, 100, 0, 3)
    add_stay(tables, 1, 101, 400, 402)  # a year older
    add_stay(tables, 1, 102, 500, 502, codes=[])
    strict = extracted(tables)[0]
    assert strict.index["hadm_id"].tolist() == [101]
    assert counts(strict)[2:] == [(1, 3), (1, 2), (1, 1), (1, 1)]
    assert strict.attrition["rule"][3] == "at least 18 years old at admission"
    loose = LOOSE.model_copy(update={"min_age": 0.0, "require_diagnosis": False})
    everything = extracted(tables, loose)[0]
    assert everything.index["hadm_id"].tolist() == [100, 101, 102]
    assert everything.index["icd_version"].tolist() == [10, 10, 0]


def test_the_cap_keeps_whole_patients_and_is_nested():
    tables = random_tables(np.random.default_rng(2), 60)
    everyone = extracted(tables)[0].index
    kept = [
        set(extracted(tables, LOOSE.model_copy(update={"max_patients": n}))[0].index["subject_id"]) for n in (20, 40)
    ]
    assert kept[0] < kept[1] < set(everyone["subject_id"])
    assert len(kept[1]) <= 40
    assert max(kept[0]) > 20  # by hash, and not the smallest ids
    capped = extracted(tables, LOOSE.model_copy(update={"max_patients": 20}))[0].index
    expected = everyone[everyone["subject_id"].isin(kept[0])]
    assert capped["hadm_id"].tolist() == expected["hadm_id"].tolist()


def test_the_cap_does_not_prefer_a_split():
    tables = random_tables(np.random.default_rng(2), 200)
    split = params.Extraction(min_patients_per_token=1, validation_share=0.3, test_share=0.3, max_patients=100)
    shares = extracted(tables, split)[0].index.groupby("split")["subject_id"].nunique()
    assert shares.min() > 15


def test_duplicate_rows_are_harmless():
    tables = random_tables(np.random.default_rng(3), 40)
    doubled = {name: [row for row in rows for _ in range(2)] for name, rows in tables.items()}
    once, twice = extracted(tables)[0], extracted(doubled)[0]
    pd.testing.assert_frame_equal(once.index, twice.index)
    pd.testing.assert_frame_equal(once.vocabulary, twice.vocabulary)
    assert (once.tokens == twice.tokens).all()


def test_the_same_records_in_another_order_give_the_same_encounters():
    rng = np.random.default_rng(4)
    tables = random_tables(rng, 40)
    shuffled = {name: [rows[i] for i in rng.permutation(len(rows))] for name, rows in tables.items()}
    threaded = LOOSE.model_copy(update={"threads": 2})
    first, second = extracted(tables)[0], extracted(shuffled, threaded)[0]
    pd.testing.assert_frame_equal(first.index, second.index)
    assert (first.tokens == second.tokens).all()


def test_the_icd_version_of_a_life_can_change():
    tables = empty()
    add_patient(tables, 1)
    add_stay(tables, 1, 100, 0, 3, codes=[("29620", 9), ("0389", 9)])
    add_stay(tables, 1, 101, 10, 12, codes=[("F329", 10)])
    encounters = extracted(tables)[0]
    assert encounters.index["icd_version"].tolist() == [9, 10]
    assert encounters.index["group_depressive"].tolist() == [True, True]
    assert {"ICD10//F32", "ICD10//A41"} <= set(token_names(encounters, 100))
    assert "ICD10//F32" in token_names(encounters, 101)


@pytest.mark.parametrize(
    ("change", "rule"),
    [({"dischtime": at(-1)}, "discharged after"), ({"codes": []}, "coded diagnosis")],
)
def test_an_empty_cohort_names_the_filter_that_emptied_it(change, rule):
    tables = empty()
    add_patient(tables, 1)
    add_stay(tables, 1, 100, 0, 3, **change)
    with pytest.raises(CohortError, match=rule):
        extracted(tables)


def test_a_source_without_admissions_is_an_empty_cohort():
    with pytest.raises(CohortError, match="all admissions"):
        extracted(empty())


def test_a_cohort_without_a_training_patient_is_refused():
    tables = empty()
    add_patient(tables, 1)
    add_stay(tables, 1, 100, 0, 3)
    with pytest.raises(CohortError, match="no training patient"):
        extracted(tables, LOOSE.model_copy(update={"test_share": 0.9999}))


# --- Leaks. ---


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_nothing_at_k_changes_when_the_record_is_cut_at_k(seed):
    """Cut each patient's record at a random k: membership, k and tokens up to there stay as they were."""
    rng = np.random.default_rng(seed)
    tables = random_tables(rng, 80)
    whole, fitted = extracted(tables)
    chosen = whole.index.groupby("subject_id").sample(1, random_state=seed)
    moments = {row.subject_id: (row.hadm_id, _moment(tables, row.hadm_id)) for row in chosen.itertuples()}
    known = copy.deepcopy(tables)
    for name, rows in known.items():
        known[name] = [row for row in rows if row["subject_id"] in moments]
    cut, _ = extracted(cut_at(known, moments), fitted=fitted)
    last = whole.index["subject_id"].map(chosen.set_index("subject_id")["k"])
    kept = whole.index[whole.index["k"] <= last].reset_index(drop=True)
    of_the_future = {*LABELS, *labels.SEEN, "eligibility_30d", "outcome_30d"}
    of_the_past = [column for column in CONTRACT if column not in of_the_future]
    pd.testing.assert_frame_equal(cut.index[of_the_past], kept[of_the_past])
    for hadm_id in kept["hadm_id"]:
        assert token_names(cut, hadm_id) == token_names(whole, hadm_id)
    # The cut is not idle.
    assert len(kept) < len(whole.index)


def _moment(tables, hadm_id):
    """The end of the stay, or of a longer one that it began in: what both are known at."""
    stay = next(s for s in tables["hosp/admissions"] if s["hadm_id"] == hadm_id)
    before = [
        s["dischtime"]
        for s in tables["hosp/admissions"]
        if s["subject_id"] == stay["subject_id"] and s["admittime"] <= stay["admittime"]
    ]
    return max([stay["dischtime"], *before])


def test_what_is_fitted_does_not_move_when_held_out_patients_are_scrambled():
    tables = random_tables(np.random.default_rng(5), 120)
    halves = params.Extraction(min_patients_per_token=3, validation_share=0.2, test_share=0.2)
    encounters, fitted = extracted(tables, halves)
    held_out = set(encounters.index.loc[encounters.index["split"] != "train", "subject_id"])
    scrambled = copy.deepcopy(tables)
    for row in scrambled["hosp/diagnoses_icd"]:
        if row["subject_id"] in held_out:
            row.update(icd_code="A000", icd_version=10)
    for row in scrambled["hosp/labevents"]:
        if row["subject_id"] in held_out:
            row["valuenum"] *= 100
    again, refitted = extracted(scrambled, halves)
    pd.testing.assert_frame_equal(refitted.vocabulary, fitted.vocabulary)
    assert refitted.deciles.equals(fitted.deciles)
    # The scrambling is not idle.
    assert not np.array_equal(again.tokens, encounters.tokens)


@pytest.mark.demo
def test_the_demo_gives_all_its_encounters(demo_encounters):
    assert counts(demo_encounters)[0] == (100, 275)
    assert len(demo_encounters.index) == 275
    assert demo_encounters.index["n_tokens"].between(1, 90).all()
    assert demo_encounters.index["n_tokens"].mean() < 40
