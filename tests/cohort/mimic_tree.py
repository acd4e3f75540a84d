"""Small hand-written MIMIC trees: tables are lists of dicts, so that a test can cut or perturb them before reading."""

from __future__ import annotations

import copy
import csv
import gzip
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from jepascope import params
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.extract import read
from jepascope.cohort.tokens import Fitted

Tables = dict[str, list[dict]]
HEADERS = {
    "hosp/patients": "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod",
    "hosp/admissions": "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,admit_provider_id,"
    "admission_location,discharge_location,insurance,language,marital_status,race,edregtime,edouttime,"
    "hospital_expire_flag",
    "hosp/diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version",
    "hosp/procedures_icd": "subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version",
    "hosp/prescriptions": "subject_id,hadm_id,pharmacy_id,poe_id,poe_seq,order_provider_id,starttime,stoptime,"
    "drug_type,drug,formulary_drug_cd,gsn,ndc,prod_strength,form_rx,dose_val_rx,dose_unit_rx,form_val_disp,"
    "form_unit_disp,doses_per_24_hrs,route",
    "hosp/labevents": "labevent_id,subject_id,hadm_id,specimen_id,itemid,order_provider_id,charttime,storetime,"
    "value,valuenum,valueuom,ref_range_lower,ref_range_upper,flag,priority,comments",
    "hosp/services": "subject_id,hadm_id,transfertime,prev_service,curr_service",
    "icu/icustays": "subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los",
}
# A tree has these only where a test adds rows.
OPTIONAL = {
    "hosp/transfers": "subject_id,hadm_id,transfer_id,eventtype,careunit,intime,outtime",
    "hosp/drgcodes": "subject_id,hadm_id,drg_type,drg_code,description,drg_severity,drg_mortality",
    "hosp/omr": "subject_id,chartdate,seq_num,result_name,result_value",
}
LOOSE = params.Extraction(min_patients_per_token=1, validation_share=0, test_share=0)
MIMIC = params.Source(kind="mimic", root="given as an argument", data_end_year=2019)


def empty() -> Tables:
    """Every table, no rows."""
    return {table: [] for table in HEADERS}


def at(day: float) -> datetime:
    """Return the moment `day` days after 2150-01-01 00:00."""
    return datetime(2150, 1, 1) + timedelta(days=day)


def add_patient(tables: Tables, subject_id: int, **cells: object) -> None:
    """Add a 50-year-old woman, anchored in 2150, whose follow-up is long and certain."""
    row = {"gender": "F", "anchor_age": 50, "anchor_year": 2150, "anchor_year_group": "2008 - 2010"}
    tables["hosp/patients"].append({"subject_id": subject_id, **row, **cells})


def add_stay(tables: Tables, subject_id: int, hadm_id: int, admit: float, discharge: float, **cells: object) -> None:
    """Add an emergency admission over days [admit, discharge] with one diagnosis; `codes` and `icu` say others."""
    codes = cells.pop("codes", [("I10", 10)])
    icu = cells.pop("icu", None)
    key = {"subject_id": subject_id, "hadm_id": hadm_id}
    row = {
        "admittime": at(admit),
        "dischtime": at(discharge),
        "admission_type": "EW EMER.",
        "admission_location": "EMERGENCY ROOM",
        "discharge_location": "HOME",
        "insurance": "Other",
        "race": "WHITE",
        "hospital_expire_flag": 0,
    }
    tables["hosp/admissions"].append({**key, **row, **cells})
    for position, (code, version) in enumerate(codes):
        tables["hosp/diagnoses_icd"].append({**key, "seq_num": position + 1, "icd_code": code, "icd_version": version})
    if icu is not None:
        tables["icu/icustays"].append({**key, "stay_id": hadm_id, "intime": at(icu), "outtime": at(discharge)})


def add_lab(
    tables: Tables, subject_id: int, hadm_id: int | None, itemid: int, drawn: float, value: float, **cells: object
) -> None:
    """Add a lab result drawn on a day and stored an hour later."""
    row = {"labevent_id": len(tables["hosp/labevents"]) + 1, "subject_id": subject_id, "hadm_id": hadm_id}
    row |= {"itemid": itemid, "charttime": at(drawn), "storetime": at(drawn + 1 / 24), "valuenum": value}
    tables["hosp/labevents"].append(row | cells)


def write(root: Path, tables: Tables, suffix: str = ".csv") -> Path:
    """Write the tree under `root`, in MIMIC-IV's columns and order."""
    for table, rows in tables.items():
        file = root / f"{table}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(file, "wt", newline="") if suffix.endswith(".gz") else file.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, (HEADERS | OPTIONAL)[table].split(","), restval="")
            writer.writeheader()
            writer.writerows(rows)
    return root


def read_tables(root: Path, suffix: str = ".csv") -> Tables:
    """Read a tree as the tests' own reader sees it, independent of the library's; labs are left out."""
    return {table: _read(root / f"{table}{suffix}") for table in HEADERS if "lab" not in table}


def _read(file: Path) -> list[dict]:
    whole = {"subject_id", "hadm_id", "seq_num", "icd_version", "anchor_age", "anchor_year", "hospital_expire_flag"}
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        for column, cell in row.items():
            if column in whole and cell:
                row[column] = int(cell)
            elif column.endswith("time") and cell:
                row[column] = datetime.fromisoformat(cell)
            elif column == "dod" and cell:
                row[column] = datetime.fromisoformat(cell).date()
    return rows


def extracted(
    tables: Tables,
    extraction: params.Extraction = LOOSE,
    source: params.Source = MIMIC,
    fitted: Fitted | None = None,
) -> tuple[Encounters, Fitted]:
    """Write the tables to a temporary tree and read it."""
    with tempfile.TemporaryDirectory() as folder:
        root = write(Path(folder) / "mimic", tables)
        return read(Path(folder), root, source, extraction, fitted)


def token_names(encounters: Encounters, hadm_id: int) -> list[str]:
    """Return the tokens of an admission as text, in order."""
    row = int(np.flatnonzero(encounters.index["hadm_id"] == hadm_id)[0])
    ids = encounters.tokens[encounters.offsets[row] : encounters.offsets[row + 1]]
    return encounters.vocabulary["token"].iloc[ids].tolist()


def random_tables(rng: np.random.Generator, patients: int = 60) -> Tables:
    """Draw a tree that exercises every rule: transfers, deaths, ICU, overlaps, bad rows, both ICD versions."""
    tables = empty()
    types = ["EW EMER.", "DIRECT EMER.", "URGENT", "ELECTIVE", "SURGICAL SAME DAY ADMISSION", "EU OBSERVATION",
             "OBSERVATION ADMIT", "DIRECT OBSERVATION", "AMBULATORY OBSERVATION"]  # fmt: skip
    places = ["HOME", "HOME", "HOME", "", "DIED", "HOSPICE", "AGAINST ADVICE", "ACUTE HOSPITAL", "PSYCH FACILITY"]
    codes = [(code, 10) for code in ("I10", "F329", "F200", "R45851", "T1491XA", "T391X2A", "X780XXA", "F0390")]
    codes += [(code, 9) for code in ("29620", "0389", "V6284", "E9500", "4019", "30500")]
    groups = ["2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019"]
    hadm_id = 100
    for subject_id in range(1, patients + 1):
        day, last = float(rng.uniform(0, 900)), 0.0
        for _ in range(rng.geometric(0.25)):
            length = float(rng.choice([0.2, 1, 5, 20])) * float(rng.uniform(0.5, 1.5))
            length *= -1 if rng.random() < 0.03 else 1
            place = str(rng.choice(places, p=[0.3, 0.2, 0.2, 0.1, 0.03, 0.03, 0.05, 0.05, 0.04]))
            chosen = [codes[i] for i in rng.choice(len(codes), rng.integers(0, 4), replace=False)]
            cells: dict = {"admission_type": str(rng.choice(types)), "discharge_location": place, "codes": chosen}
            cells["hospital_expire_flag"] = int(place == "DIED")
            cells["deathtime"] = at(day + length) if place == "DIED" else ""
            cells["icu"] = day + abs(length) * float(rng.uniform(-0.2, 1.2)) if rng.random() < 0.2 else None
            add_stay(tables, subject_id, hadm_id, day, day + length, **cells)
            if rng.random() < 0.2:
                row = {"subject_id": subject_id, "hadm_id": hadm_id, "transfertime": at(day)}
                tables["hosp/services"].append({**row, "curr_service": str(rng.choice(["PSYCH", "MED"]))})
            _add_record(tables, rng, subject_id, hadm_id, day, abs(length))
            last = max(last, day + abs(length))
            gaps = [-2, 0.3, 1.5, 2.5, 15, 29.5, 31, 60, 89.5, 91, 150, 179.5, 181, 400]
            day = max(0.0, day + length + float(rng.choice(gaps)) + float(rng.uniform(-0.5, 0.5)))
            hadm_id += 1
        dod = at(last + float(rng.choice([-5, 3, 20, 60, 120, 300]))).date() if rng.random() < 0.3 else ""
        add_patient(
            tables, subject_id, gender=str(rng.choice(["F", "M"])), anchor_age=int(rng.integers(16, 95)),
            anchor_year=int(2150 + rng.integers(0, 3)), anchor_year_group=str(rng.choice(groups)), dod=dod,
        )  # fmt: skip
    return tables


def _add_record(
    tables: Tables, rng: np.random.Generator, subject_id: int, hadm_id: int, day: float, length: float
) -> None:
    """Add labs (some without hadm_id, some stored late), drugs and procedures around one stay."""
    key = {"subject_id": subject_id, "hadm_id": hadm_id}
    for _ in range(rng.integers(0, 6)):
        drawn = day + length * float(rng.uniform(-0.1, 1.1))
        named = hadm_id if rng.random() < 0.7 else None
        stored = drawn + float(rng.choice([0.05, 0.5, 3]))
        value = float(rng.normal())
        add_lab(tables, subject_id, named, int(rng.choice([50912, 51222])), drawn, value, storetime=at(stored))
    for _ in range(rng.integers(0, 4)):
        drug = str(rng.choice(["Lithium Carbonate", "0.9% Sodium Chloride", "HYDROmorphone (Dilaudid)"]))
        start = at(day + length * float(rng.uniform(0, 1.2)))
        tables["hosp/prescriptions"].append({**key, "starttime": start, "drug_type": "MAIN", "drug": drug})
    if rng.random() < 0.3:
        code = str(rng.choice(["0DB68ZX", "3961"]))
        row = {"seq_num": 1, "chartdate": at(day).date(), "icd_code": code, "icd_version": 9 + (len(code) > 4)}
        tables["hosp/procedures_icd"].append({**key, **row})


def cut_at(tables: Tables, moments: dict[int, tuple[int, datetime]]) -> Tables:
    """Forget, per subject, all that comes after its (hadm_id, discharge): later stays, results, and the death."""
    order = {s: _order(tables, s) for s in moments}
    known = {s: set(order[s][: order[s].index(hadm_id) + 1]) for s, (hadm_id, _) in moments.items()}
    kept = copy.deepcopy(tables)
    for table, rows in kept.items():
        kept[table] = [
            row for row in rows if (row.get("hadm_id") or None) is None or row["hadm_id"] in known[row["subject_id"]]
        ]
    clocks = ("charttime", "storetime", "starttime", "transfertime", "intime")
    for table in ("hosp/labevents", "hosp/prescriptions", "hosp/services", "icu/icustays"):
        kept[table] = [
            row for row in kept[table] if all(row[c] <= moments[row["subject_id"]][1] for c in clocks if c in row)
        ]
    for row in kept["hosp/patients"]:
        if row["dod"] and row["dod"] > moments[row["subject_id"]][1].date():
            row["dod"] = ""
    return kept


def _order(tables: Tables, subject_id: int) -> list[int]:
    stays = [row for row in tables["hosp/admissions"] if row["subject_id"] == subject_id]
    return [row["hadm_id"] for row in sorted(stays, key=lambda r: (r["admittime"], r["dischtime"], r["hadm_id"]))]
