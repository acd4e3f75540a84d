"""Who belongs to the psychiatric subset, and by when: membership at k knows nothing of what comes after."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from label_reference import is_f_code
from mimic_tree import LOOSE, Tables, add_patient, add_stay, at, cut_at, empty, extracted, random_tables

from jepascope.cohort.concepts import MEMBERSHIPS, psychiatric_subsets

ANY, PRINCIPAL, PSYCH, CORE, QUALIFIED = MEMBERSHIPS
REMISSION = [
    ("F1011", 10), ("F1021", 10), ("F1111", 10), ("F1921", 10), ("F1491", 10), ("F303", 10), ("F3170", 10),
    ("F3176", 10), ("F324", 10), ("F325", 10), ("F3340", 10), ("F3342", 10), ("30303", 9), ("30393", 9), ("30403", 9),
    ("30593", 9), ("29605", 9), ("29626", 9), ("29636", 9), ("29665", 9),
]  # fmt: skip
PERIPHERAL = [
    ("F17210", 10), ("3051", 9), ("F0390", 10), ("F05", 10),
    ("2900", 9), ("2930", 9), ("29410", 9), ("3109", 9),
]  # fmt: skip
CORE_CODES = [
    ("F1020", 10), ("F10121", 10), ("F10221", 10), ("F1910", 10), ("F319", 10), ("F323", 10),
    ("F329", 10), ("F339", 10), ("F209", 10), ("F302", 10), ("30300", 9), ("30390", 9),
    ("30401", 9), ("30500", 9), ("29620", 9), ("29633", 9), ("29500", 9), ("29595", 9),
    ("311", 9), ("2967", 9), ("29680", 9), ("29699", 9), ("30113", 9), ("30981", 9),
]  # fmt: skip


def in_order(stays: list[dict], tables: Tables | None = None) -> pd.DataFrame:
    """Extract one patient, a stay every ten days."""
    tables = tables or empty()
    add_patient(tables, 1)
    for number, cells in enumerate(stays):
        add_stay(tables, 1, 100 + number, 10 * number, 10 * number + 3, **cells)
    return extracted(tables)[0].index


def with_departments(rng: np.random.Generator, patients: int = 80) -> Tables:
    """Random records in which some come through the emergency department, and remission and tobacco are coded."""
    tables = random_tables(rng, patients)
    for stay in tables["hosp/admissions"]:
        place = str(rng.choice(["EMERGENCY ROOM", "PHYSICIAN REFERRAL"], p=[0.2, 0.8]))
        arrived = stay["admittime"] if rng.random() < 0.2 else ""
        stay.update(admission_location=place, edregtime=arrived)
    for diagnosis in tables["hosp/diagnoses_icd"]:
        if rng.random() < 0.3:
            code, version = REMISSION[rng.integers(len(REMISSION))] if rng.random() < 0.5 else ("F17210", 10)
            diagnosis.update(icd_code=code, icd_version=version)
    return tables


def test_the_sets_are_nested():
    index = extracted(with_departments(np.random.default_rng(0), 200))[0].index
    any_code, principal, psych, core = psychiatric_subsets(index).values()
    assert (psych <= principal).all()
    assert (principal <= any_code).all()
    assert (core <= any_code).all()
    # Each step leaves somebody out and somebody in, and core is not between the others.
    sizes = [members.sum() for members in (psych, principal, any_code, np.ones(len(index)))]
    assert 0 < sizes[0] < sizes[1] < sizes[2] < sizes[3]
    assert (core & ~principal).any()
    assert (principal & ~core).any()


def test_membership_lasts():
    index = extracted(with_departments(np.random.default_rng(1), 120))[0].index
    for name in MEMBERSHIPS:
        assert index[name].dtype == bool
        assert (index.groupby("subject_id")[name].cummax() == index[name]).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_membership_at_k_is_that_of_the_record_cut_at_k(seed):
    tables = with_departments(np.random.default_rng(seed))
    whole, fitted = extracted(tables)
    chosen = whole.index.groupby("subject_id").sample(1, random_state=seed)
    ends = {s["hadm_id"]: s["dischtime"] for s in tables["hosp/admissions"]}
    begins = {s["hadm_id"]: s["admittime"] for s in tables["hosp/admissions"]}
    of_patient = pd.DataFrame(tables["hosp/admissions"]).groupby("subject_id")["hadm_id"].agg(list)
    moments = {
        row.subject_id: (
            row.hadm_id,
            # The end of the stay, or of a longer one that it began in.
            max(ends[h] for h in of_patient[row.subject_id] if begins[h] <= begins[row.hadm_id]),
        )
        for row in chosen.itertuples()
    }
    known = {name: [r for r in rows if r["subject_id"] in moments] for name, rows in tables.items()}
    cut = extracted(cut_at(known, moments), fitted=fitted)[0].index.set_index("hadm_id")
    pd.testing.assert_frame_equal(
        cut.loc[chosen["hadm_id"], list(MEMBERSHIPS)], chosen.set_index("hadm_id")[list(MEMBERSHIPS)]
    )
    assert len(cut) < len(whole.index)


def test_membership_by_hand():
    somatic, secondary = {"codes": [("I10", 10)]}, {"codes": [("I10", 10), ("F322", 10)]}
    principal = {"codes": [("F322", 10), ("I10", 10)]}
    tables = empty()
    # On the service: first for a somatic reason, then for depression.
    for hadm_id, day in ((101, 10), (103, 30)):
        row = {"subject_id": 1, "hadm_id": hadm_id, "transfertime": at(day + 1), "curr_service": "PSYCH"}
        tables["hosp/services"].append(row)
    index = in_order([somatic, secondary, principal, principal], tables)
    assert index[ANY].tolist() == [False, True, True, True]
    assert index[CORE].tolist() == [False, True, True, True]
    assert index[PRINCIPAL].tolist() == [False, False, True, True]
    assert index[PSYCH].tolist() == [False, False, False, True]


def test_a_service_that_began_after_discharge_is_not_of_the_stay():
    tables = empty()
    row = {"subject_id": 1, "hadm_id": 100, "transfertime": at(5), "curr_service": "PSYCH"}
    tables["hosp/services"].append(row)
    assert in_order([{"codes": [("F322", 10)]}], tables)[PSYCH].tolist() == [False]


def test_the_core_is_without_tobacco_remission_and_neurocognitive_codes():
    codes = [*REMISSION, *PERIPHERAL, *CORE_CODES]
    tables = empty()
    for subject_id, code in enumerate(codes):
        add_patient(tables, subject_id)
        add_stay(tables, subject_id, subject_id, 0, 3, codes=[("I10", 10), code])
    index = extracted(tables)[0].index
    assert index[ANY].all()
    wrong = [code for code, core in zip(codes, index[CORE], strict=True) if core != (code in CORE_CODES)]
    assert wrong == []


def test_self_harm_alone_is_beside_the_subset():
    index = in_order([{"codes": [("R45851", 10), ("T391X2A", 10)]}])
    assert index["group_self_harm"].tolist() == [True]
    assert not index[[ANY, PRINCIPAL, PSYCH, CORE]].to_numpy().any()


def test_a_stay_outside_the_cohort_gives_no_membership():
    tables = empty()
    add_patient(tables, 1, anchor_age=17)
    add_stay(tables, 1, 100, 0, 3, codes=[("F322", 10)])
    add_stay(tables, 1, 101, 400, 403)
    assert extracted(tables)[0].index[ANY].tolist() == [False]
    children = extracted(tables, LOOSE.model_copy(update={"min_age": 0.0}))[0].index
    assert children[ANY].tolist() == [True, True]


def test_a_patient_qualifies_from_the_first_emergency_department_or_icu_on():
    referred = {"admission_location": "PHYSICIAN REFERRAL", "admission_type": "ELECTIVE"}
    ways = {
        "location": {"admission_location": "EMERGENCY ROOM"},
        "registered there": referred | {"edregtime": at(9.9)},
        "icu": referred | {"icu": 11},
    }
    for cells in ways.values():
        assert in_order([referred, cells, referred])[QUALIFIED].tolist() == [False, True, True]
    # The name of an admission type is not enough: operating rooms send emergencies, too.
    by_name = referred | {"admission_type": "EW EMER."}
    assert in_order([by_name])[QUALIFIED].tolist() == [False]
    # An ICU that came after discharge belongs to no stay.
    assert in_order([referred | {"icu": 5}])[QUALIFIED].tolist() == [False]


@pytest.mark.demo
def test_subsets_of_the_demo(demo_encounters, demo_tables):
    index = demo_encounters.index
    patients = index.groupby("subject_id")[list(MEMBERSHIPS)].any().sum()
    assert patients[[ANY, CORE, PRINCIPAL, PSYCH]].tolist() == [59, 48, 6, 1]
    principal = {d["subject_id"] for d in demo_tables["hosp/diagnoses_icd"] if d["seq_num"] == 1 and is_f_code(d)}
    assert patients[PRINCIPAL] == len(principal)
    # Every patient of MIMIC-IV qualifies sometime; not every one at the first encounter.
    assert patients[QUALIFIED] == 100
    assert index.loc[index["k"] == 0, QUALIFIED].sum() < 100
