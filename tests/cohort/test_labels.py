from __future__ import annotations

import copy
from datetime import date, timedelta

import numpy as np
import pytest
from label_reference import ACUITY, expected_labels, is_f_code
from mimic_tree import LOOSE, MIMIC, Tables, add_patient, add_stay, at, empty, extracted, random_tables, read_tables

from jepascope import params
from jepascope.cohort.extract import read
from jepascope.cohort.labels import LABELS

READMIT, ESCALATE, CRISIS = LABELS


def agree(encounters, expected):
    index = encounters.index
    for row in index.itertuples():
        got = [None if np.isnan(v) else int(v) for v in (getattr(row, name) for name in LABELS)]
        assert (*got, row.eligibility_30d) == expected[row.hadm_id], (row.hadm_id, got, expected[row.hadm_id])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sql_agrees_with_plain_python_on_random_trees(seed):
    tables = random_tables(np.random.default_rng(seed), 150)
    encounters, _ = extracted(tables)
    agree(encounters, expected_labels(tables))
    # The random trees reach every answer, or agreement would mean little.
    for name in LABELS:
        assert {0.0, 1.0} <= set(encounters.index[name].dropna())
    reasons = {"eligible", "transfer", "died", "against_advice", "acute_hospital", "hospice", "censored"}
    assert reasons <= set(encounters.index["eligibility_30d"])


# --- By hand. ---


def life(*stays: tuple, extraction=LOOSE, **patient):
    """Extract one patient; a stay is (admit day, discharge day, cells)."""
    tables = empty()
    add_patient(tables, 1, **patient)
    for number, (admit, discharge, cells) in enumerate(stays):
        add_stay(tables, 1, 100 + number, admit, discharge, **cells)
    return extracted(tables, extraction)[0].index


@pytest.mark.parametrize(("gap_days", "label"), [(2, 1), (30, 1), (31, 0)])
def test_readmission_is_2_to_30_calendar_days_after_discharge(gap_days, label):
    # Discharged late and back early: 29.1 elapsed days are 30 calendar days.
    index = life((0, 3.95, {}), (3 + gap_days + 0.05, 40 + gap_days, {}))
    assert index[READMIT][0] == label


@pytest.mark.parametrize("gap_days", [0, 1])
def test_gaps_under_two_calendar_days_chain_into_one_episode(gap_days):
    index = life((0, 3.2, {}), (3.4 + gap_days, 6, {}), (20, 22, {}))
    assert index["eligibility_30d"].tolist()[:2] == ["transfer", "eligible"]
    assert np.isnan(index[READMIT][0])
    assert index[READMIT][1] == 1


def test_a_planned_return_is_no_readmission():
    assert life((0, 3, {}), (10, 12, {"admission_type": "ELECTIVE"}))[READMIT][0] == 0


def test_an_unplanned_stay_after_a_planned_return_belongs_to_that_return():
    index = life((0, 3, {}), (10, 12, {"admission_type": "ELECTIVE"}), (20, 22, {}))
    assert index[READMIT].tolist()[:2] == [0, 1]


@pytest.mark.parametrize(
    ("place", "reason"),
    [("AGAINST ADVICE", "against_advice"), ("ACUTE HOSPITAL", "acute_hospital"), ("HOSPICE", "hospice")],
)
def test_ineligible_discharges_have_no_label_and_say_why(place, reason):
    index = life((0, 3, {"discharge_location": place}), (10, 12, {}))
    assert index[list(LABELS)].iloc[0].isna().all()
    assert index["eligibility_30d"][0] == reason


def test_a_death_in_hospital_is_ineligible():
    index = life((0, 3, {"hospital_expire_flag": 1, "deathtime": at(3)}))
    assert index["eligibility_30d"].tolist() == ["died"]
    assert np.isnan(index[READMIT][0])


def test_minors_are_ineligible_even_where_the_cohort_keeps_them():
    loose = LOOSE.model_copy(update={"min_age": 0.0})
    assert life((0, 3, {}), anchor_age=17, extraction=loose)["eligibility_30d"].tolist() == ["under_18"]


def test_death_at_home_within_the_horizon_is_no_readmission():
    # The year group ends with the data: without the death this would be censored.
    index = life((0, 3, {}), anchor_year_group="2017 - 2019", dod=at(20).date())
    assert index[READMIT][0] == 0


def test_the_last_encounter_is_negative_only_where_follow_up_is_certain():
    group = "2014 - 2016"  # ends 2016-12-31, three years (1,095 days) before the data do
    certain, uncertain = 1095 - 30, 1095 - 29
    for day, label, reason in ((certain, 0, "eligible"), (uncertain, None, "censored")):
        index = life((day - 1, day, {}), anchor_year_group=group)
        assert index["eligibility_30d"].tolist() == [reason]
        assert index[READMIT].isna()[0] == (label is None)
        assert index["follow_up_days"][0] == 1095 - day


def test_the_end_of_the_data_is_a_parameter():
    tables = empty()
    add_patient(tables, 1, anchor_year_group="2017 - 2019")
    add_stay(tables, 1, 100, 0, 3)
    later = MIMIC.model_copy(update={"data_end_year": 2022})
    assert np.isnan(extracted(tables)[0].index[READMIT][0])
    assert extracted(tables, source=later)[0].index[READMIT][0] == 0


def test_escalation_compares_whole_episodes_within_90_days():
    elective, observed = {"admission_type": "ELECTIVE"}, {"admission_type": "EU OBSERVATION"}
    assert life((0, 3, elective), (50, 52, {}))[ESCALATE][0] == 1
    assert life((0, 3, elective), (50, 52, observed))[ESCALATE][0] == 0
    assert life((0, 3, elective), (94, 96, {}))[ESCALATE][0] == 0
    # The next episode reaches the ICU after a transfer.
    assert life((0, 3, {}), (50, 52, observed), (52.5, 60, {"icu": 55}))[ESCALATE][0] == 1
    # From the ICU there is no higher step but death: ineligible.
    assert np.isnan(life((0, 3, {"icu": 1}), (50, 52, {}))[ESCALATE][0])


def test_an_icu_stay_after_the_horizon_is_no_escalation():
    assert life((0, 3, {}), (92, 99, {"icu": 92.5}))[ESCALATE][0] == 1
    assert life((0, 3, {}), (92, 99, {"icu": 94}))[ESCALATE][0] == 0


def test_crisis_is_asked_only_after_an_f_code_and_never_before_it():
    somatic, psychiatric = {"codes": [("I10", 10)]}, {"codes": [("I10", 10), ("F322", 10)]}
    attempt = {"codes": [("I10", 10), ("T391X2A", 10)]}
    index = life((0, 3, somatic), (200, 203, psychiatric), (300, 303, attempt))
    assert np.isnan(index[CRISIS][0])
    assert index[CRISIS][1] == 1
    assert index["f_code_so_far"].tolist() == [False, True, True]


def test_a_secondary_depression_code_is_no_crisis_and_a_psych_service_is():
    psychiatric, secondary = {"codes": [("F322", 10)]}, {"codes": [("I10", 10), ("F322", 10)]}
    assert life((0, 3, psychiatric), (100, 103, secondary))[CRISIS][0] == 0
    assert life((0, 3, psychiatric), (100, 103, psychiatric))[CRISIS][0] == 1
    assert life((0, 3, psychiatric), (100, 103, psychiatric | {"admission_type": "ELECTIVE"}))[CRISIS][0] == 0
    tables = empty()
    add_patient(tables, 1)
    add_stay(tables, 1, 100, 0, 3, codes=[("F322", 10)])
    add_stay(tables, 1, 101, 100, 103, admission_type="ELECTIVE")
    row = {"subject_id": 1, "hadm_id": 101, "transfertime": at(100), "curr_service": "PSYCH"}
    tables["hosp/services"].append(row)
    assert extracted(tables)[0].index[CRISIS][0] == 1


def test_a_readmission_without_a_coded_diagnosis_still_counts():
    index = life((0, 3, {}), (10, 12, {"codes": []}))
    assert index["hadm_id"].tolist() == [100]
    assert index[READMIT][0] == 1


# --- Leaks. ---


def test_patient_level_labels_are_the_maximum_and_reach_back():
    stays = ((0, 3, {}), (200, 203, {}), (210, 213, {}))
    honest = life(*stays)
    leaked = life(*stays, extraction=LOOSE.model_copy(update={"label_level": "patient"}))
    assert honest[READMIT].tolist() == [0, 1, 0]
    assert leaked[READMIT].tolist() == [1, 1, 1]


@pytest.mark.parametrize(("label", "horizon"), [(READMIT, 30), (ESCALATE, 90), (CRISIS, 180)])
def test_labels_do_not_move_when_the_record_beyond_their_horizon_is_rewritten(label, horizon):
    """Beyond t + H everything changes (dates, types, codes, ICU, death) except that the patient is seen again."""
    rng = np.random.default_rng(7)
    tables = random_tables(rng, 150)
    for patient in tables["hosp/patients"]:
        patient["dod"] = ""
    before, anchors, edge = pick_anchors(tables, horizon)
    changed = rewrite_after(tables, edge, rng)
    after = extracted(changed)[0].index.set_index("hadm_id")
    moved = after.loc[anchors.index, label].to_numpy()
    np.testing.assert_array_equal(moved, anchors[label].to_numpy())
    # The rewriting is not idle: later rows of the same patients did change.
    both = before.index.intersection(after.index)
    assert (before.loc[both, "eligibility_30d"] != after.loc[both, "eligibility_30d"]).sum() > 5


def pick_anchors(tables: Tables, horizon: int):
    """Return all rows, one eligible row a patient, and its last day of the horizon from the episode's end."""
    before = extracted(tables)[0].index.set_index("hadm_id")
    anchors = before[before["eligibility_30d"] == "eligible"].groupby("subject_id").sample(1, random_state=0)
    edge = {}
    for row in anchors.itertuples():
        # A stay that the cohort drops can still overlap and end later.
        so_far = [
            s["dischtime"]
            for s in tables["hosp/admissions"]
            if s["subject_id"] == row.subject_id and s["admittime"] <= row.admittime + timedelta(seconds=1)
        ]
        edge[row.subject_id] = max(so_far).date() + timedelta(days=horizon)
    return before, anchors, edge


def rewrite_after(tables: Tables, edge: dict[int, date], rng: np.random.Generator) -> Tables:
    changed = copy.deepcopy(tables)
    beyond = set()
    for stay in changed["hosp/admissions"]:
        day = edge.get(stay["subject_id"])
        if day is None:
            continue
        if stay["admittime"].date() > day:
            delay = timedelta(days=float(rng.uniform(0, 50)))
            length = timedelta(days=float(rng.uniform(0.1, 10)))
            stay.update(admittime=stay["admittime"] + delay, dischtime=stay["admittime"] + delay + length)
            stay.update(admission_type=str(rng.choice(list(ACUITY))), deathtime="", hospital_expire_flag=0)
            stay["discharge_location"] = str(rng.choice(["HOME", "AGAINST ADVICE"]))
            beyond.add(stay["hadm_id"])
    for code in changed["hosp/diagnoses_icd"]:
        if code["hadm_id"] in beyond:
            code.update(icd_code="F329", icd_version=10)
    for stay in changed["icu/icustays"]:
        if edge.get(stay["subject_id"], date.max) < stay["intime"].date():
            stay["intime"] += timedelta(days=30)
    return changed


def test_deleting_the_record_beyond_the_horizon_can_only_make_a_negative_unknown():
    rng = np.random.default_rng(8)
    tables = random_tables(rng, 150)
    _, anchors, edge = pick_anchors(tables, 30)
    cut = copy.deepcopy(tables)
    cut["hosp/admissions"] = [
        s for s in cut["hosp/admissions"] if s["admittime"].date() <= edge.get(s["subject_id"], date.max)
    ]
    after = extracted(cut)[0].index.set_index("hadm_id").loc[anchors.index]
    same = after[READMIT].to_numpy() == anchors[READMIT].to_numpy()
    assert (same | (after["eligibility_30d"].eq("censored") & anchors[READMIT].eq(0)).to_numpy()).all()
    # Where follow-up is certain nothing moves at all.
    assert same[(anchors["follow_up_days"] >= 30).to_numpy()].all()


# --- Concept groups and the demo. ---


@pytest.mark.parametrize(
    ("code", "version", "group"),
    [
        ("F250", 10, "psychotic"), ("29530", 9, "psychotic"), ("F329", 10, "depressive"), ("29620", 9, "depressive"),
        ("311", 9, "depressive"), ("F319", 10, "bipolar"), ("29680", 9, "bipolar"), ("F411", 10, "anxiety"),
        ("30000", 9, "anxiety"), ("F42", 10, "ocd"), ("3003", 9, "ocd"), ("F4310", 10, "trauma"),
        ("30981", 9, "trauma"), ("F603", 10, "personality"), ("30183", 9, "personality"), ("F1020", 10, "alcohol"),
        ("30390", 9, "alcohol"), ("30500", 9, "alcohol"), ("F1120", 10, "opioid"), ("30550", 9, "opioid"),
        ("F1420", 10, "stimulant"), ("30560", 9, "stimulant"), ("F1290", 10, "other_substance"),
        ("30520", 9, "other_substance"), ("F17210", 10, "tobacco"), ("3051", 9, "tobacco"),
        ("F0390", 10, "neurocognitive"), ("2900", 9, "neurocognitive"), ("F5000", 10, "eating"), ("3071", 9, "eating"),
        ("F840", 10, "neurodevelopmental"), ("31401", 9, "neurodevelopmental"), ("R45851", 10, "self_harm"),
        ("T1491XA", 10, "self_harm"), ("T391X2A", 10, "self_harm"), ("E9500", 9, "self_harm"),
    ],
)  # fmt: skip
def test_a_code_marks_its_own_group_and_no_other(code, version, group):
    index = life((0, 3, {"codes": [(code, version)]}))
    marked = [c for c in index.columns if c.startswith("group_") and index[c][0]]
    assert marked == [f"group_{group}"]


@pytest.mark.parametrize(("code", "version"), [("T391X1A", 10), ("I10", 10), ("320", 9), ("V290", 9), ("E9300", 9)])
def test_accidents_and_somatic_codes_mark_nothing(code, version):
    index = life((0, 3, {"codes": [(code, version)]}))
    assert not index.filter(regex="group_|f_code").to_numpy().any()


@pytest.mark.demo
def test_published_numbers_of_the_demo(demo_encounters, demo_tables):
    index = demo_encounters.index
    assert index.groupby("subject_id")["f_code_so_far"].any().sum() == 59
    ten = {d["subject_id"] for d in demo_tables["hosp/diagnoses_icd"] if d["icd_version"] == 10 and is_f_code(d)}
    nine = {d["subject_id"] for d in demo_tables["hosp/diagnoses_icd"] if d["icd_version"] == 9 and is_f_code(d)}
    assert (len(ten), len(nine), len(ten | nine)) == (25, 48, 59)
    # The naive rule counts any return within 30 elapsed days of a live discharge: what we don't do.
    alive = ~index["eligibility_30d"].eq("died")
    gap_to_next = index.groupby("subject_id")["gap_days"].shift(-1)
    assert (int((gap_to_next[alive] <= 30).sum()), int(alive.sum())) == (53, 260)


def test_sql_agrees_with_plain_python_on_the_synthetic_cohort(synthetic_root, tmp_path):
    encounters, _ = read(tmp_path, synthetic_root, params.Source(), params.Extraction())
    assert encounters.tier == "synthetic"
    agree(encounters, expected_labels(read_tables(synthetic_root)))


@pytest.mark.demo
def test_sql_agrees_with_plain_python_on_the_demo(demo_encounters, demo_tables):
    agree(demo_encounters, expected_labels(demo_tables))
