"""The columns we read, with their types: projected and typed by name, because a guessed type loses a leading zero."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

# Diagnosis and procedure codes are text ("0389" is not 389). Dates without a time stay dates.
TABLES: dict[str, dict[str, str]] = {
    "hosp/patients": {
        "subject_id": "BIGINT",
        "gender": "VARCHAR",
        "anchor_age": "INTEGER",
        "anchor_year": "INTEGER",
        "anchor_year_group": "VARCHAR",
        "dod": "DATE",
    },
    "hosp/admissions": {
        "subject_id": "BIGINT",
        "hadm_id": "BIGINT",
        "admittime": "TIMESTAMP",
        "dischtime": "TIMESTAMP",
        "deathtime": "TIMESTAMP",
        "admission_type": "VARCHAR",
        "admission_location": "VARCHAR",
        "discharge_location": "VARCHAR",
        "insurance": "VARCHAR",
        "race": "VARCHAR",
        "edregtime": "TIMESTAMP",
        "hospital_expire_flag": "INTEGER",
    },
    "hosp/diagnoses_icd": {
        "subject_id": "BIGINT",
        "hadm_id": "BIGINT",
        "seq_num": "INTEGER",
        "icd_code": "VARCHAR",
        "icd_version": "INTEGER",
    },
    "hosp/procedures_icd": {
        "subject_id": "BIGINT",
        "hadm_id": "BIGINT",
        "chartdate": "DATE",
        "icd_code": "VARCHAR",
        "icd_version": "INTEGER",
    },
    "hosp/prescriptions": {
        "subject_id": "BIGINT",
        "hadm_id": "BIGINT",
        "starttime": "TIMESTAMP",
        "drug_type": "VARCHAR",
        "drug": "VARCHAR",
    },
    "hosp/labevents": {
        "labevent_id": "BIGINT",
        "subject_id": "BIGINT",
        "hadm_id": "BIGINT",
        "itemid": "VARCHAR",
        "charttime": "TIMESTAMP",
        "storetime": "TIMESTAMP",
        "valuenum": "DOUBLE",
        "flag": "VARCHAR",
    },
    "hosp/services": {
        "subject_id": "BIGINT",
        "hadm_id": "BIGINT",
        "transfertime": "TIMESTAMP",
        "curr_service": "VARCHAR",
    },
    "hosp/transfers": {
        "subject_id": "BIGINT",
        "hadm_id": "BIGINT",
        "careunit": "VARCHAR",
        "intime": "TIMESTAMP",
    },
    "hosp/drgcodes": {
        "subject_id": "BIGINT",
        "hadm_id": "BIGINT",
        "drg_type": "VARCHAR",
        "drg_code": "VARCHAR",
    },
    "hosp/omr": {
        "subject_id": "BIGINT",
        "chartdate": "DATE",
        "seq_num": "INTEGER",
        "result_name": "VARCHAR",
        "result_value": "VARCHAR",
    },
    "icu/icustays": {
        "subject_id": "BIGINT",
        "hadm_id": "BIGINT",
        "stay_id": "BIGINT",
        "intime": "TIMESTAMP",
    },
    # Not MIMIC-IV's: coded events of a MEDS directory that no other table has a place for.
    "hosp/other_events": {
        "subject_id": "BIGINT",
        "hadm_id": "BIGINT",
        "time": "TIMESTAMP",
        "code": "VARCHAR",
    },
}

# An extraction can do without the others: a table that is not there adds no tokens, and the page says so.
INDISPENSABLE = ("hosp/patients", "hosp/admissions", "hosp/diagnoses_icd")

# Cells that must not be empty: identity, and what the order and the labels stand on.
REQUIRED: dict[str, tuple[str, ...]] = {
    "hosp/patients": ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group"),
    "hosp/admissions": ("subject_id", "hadm_id", "admittime", "dischtime", "admission_type"),
    "hosp/diagnoses_icd": ("subject_id", "hadm_id", "seq_num", "icd_code", "icd_version"),
}

# sha256 of the open demo's sorted subject ids joined by commas.
DEMO_PATIENTS = "81f5d9a5c4a014a047ff7ef033818431bc7d0786cc59f9cba8fe151d209890a8"

# The synthetic cohort's mark, beside hosp/: the digest of its patients.
SYNTHETIC_MARK = "synthetic.sha256"

# The mark of a tree that was made from a MEDS directory: its rows are those that were understood, not a release's.
MEDS_MARK = "from_meds.txt"


def patients_digest(subject_ids: Iterable[int]) -> str:
    """Hash a set of patients, in whatever order they come."""
    return hashlib.sha256(",".join(map(str, sorted(subject_ids))).encode()).hexdigest()
