"""Write the records as MIMIC-IV v2.2 does: same files, same columns in the same order, same spelling of times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from jepascope.cohort.synthetic import people as calendar
from jepascope.cohort.synthetic import stays as hospital
from jepascope.cohort.synthetic.background import LABS
from jepascope.cohort.synthetic.concepts import Code
from jepascope.cohort.synthetic.emission import DRUG_NAMES, Items, Measurements, code_columns
from jepascope.cohort.synthetic.people import People
from jepascope.cohort.synthetic.stays import Stays
from jepascope.cohort.synthetic.utilisation import DAY, Histories

COLUMNS = {
    "hosp/patients": "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod",
    "hosp/admissions": (
        "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,admit_provider_id,admission_location,"
        "discharge_location,insurance,language,marital_status,race,edregtime,edouttime,hospital_expire_flag"
    ),
    "hosp/diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version",
    "hosp/procedures_icd": "subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version",
    "hosp/prescriptions": (
        "subject_id,hadm_id,pharmacy_id,poe_id,poe_seq,order_provider_id,starttime,stoptime,drug_type,drug,"
        "formulary_drug_cd,gsn,ndc,prod_strength,form_rx,dose_val_rx,dose_unit_rx,form_val_disp,form_unit_disp,"
        "doses_per_24_hrs,route"
    ),
    "hosp/labevents": (
        "labevent_id,subject_id,hadm_id,specimen_id,itemid,order_provider_id,charttime,storetime,value,valuenum,"
        "valueuom,ref_range_lower,ref_range_upper,flag,priority,comments"
    ),
    "hosp/services": "subject_id,hadm_id,transfertime,prev_service,curr_service",
    "hosp/transfers": "subject_id,hadm_id,transfer_id,eventtype,careunit,intime,outtime",
    "hosp/d_labitems": "itemid,label,fluid,category",
    "hosp/d_icd_diagnoses": "icd_code,icd_version,long_title",
    "icu/icustays": "subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los",
}
ICD10_DAYS = 2830  # from the start of 2008 to 1 October 2015: discharges from then on are coded in ICD-10
NO_ADMISSION_SHARE = 0.26  # of lab rows


class Records:
    """The admissions that all tables refer to: identities and written times of N encounters."""

    def __init__(self, people: People, histories: Histories, rng: np.random.Generator) -> None:
        """Give every admission its number and its patient's shifted clock."""
        N = len(histories.k)
        self.people, self.histories = people, histories
        self.subject_id = people.subject_id[histories.patient]  # int64 [N]
        self.hadm_id = 20_000_000 + rng.choice(10_000_000, N, replace=False)  # int64 [N]
        self.shift = people.shift_days[histories.patient]  # days, int64 [N]
        self.version = np.where(histories.discharge // DAY >= ICD10_DAYS, 10, 9)  # int64 [N]

    def identity(self, row: np.ndarray) -> dict[str, np.ndarray]:
        """Columns subject_id and hadm_id of encounter rows [M]."""
        return {"subject_id": self.subject_id[row], "hadm_id": self.hadm_id[row]}

    def time(self, minutes: np.ndarray, row: np.ndarray | slice = slice(None), seconds: int = 0) -> pa.Array:
        """Write minutes of true time as the patient's shifted timestamps; negative minutes are empty."""
        shifted = (minutes + self.shift[row] * DAY) * 60 + seconds
        return pa.array((calendar.ORIGIN.astype("datetime64[s]") + shifted), mask=np.asarray(minutes) < 0)

    def date(self, days: np.ndarray, row: np.ndarray | slice = slice(None)) -> pa.Array:
        """Write days of true time as the patient's shifted dates; NaN is empty."""
        unknown = np.isnan(days)
        return pa.array(calendar.ORIGIN + (np.where(unknown, 0, days).astype(np.int64) + self.shift[row]), mask=unknown)


def write_csv(root: Path, table: str, columns: dict[str, object]) -> None:
    """Write one table in MIMIC's column order; columns that are not given are empty. Raises KeyError on a stray one."""
    names = COLUMNS[table].split(",")
    if stray := set(columns) - set(names):
        raise KeyError(f"{table} has no column {', '.join(sorted(stray))}")
    size = len(columns[names[0]])  # type: ignore[arg-type]
    arrays = [columns[name] if name in columns else pa.nulls(size, pa.string()) for name in names]
    file = root / f"{table}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    # Only the dictionaries hold commas; elsewhere a comma would be a mistake, and this refuses it.
    options = pa.csv.WriteOptions(include_header=False, quoting_style="needed" if "/d_" in table else "none")
    with file.open("wb") as handle:
        handle.write(f"{COLUMNS[table]}\n".encode())
        pa.csv.write_csv(pa.table([_plain(array) for array in arrays], names=names), handle, options)


def pick(names: Sequence[str] | np.ndarray, item: np.ndarray) -> pa.Array:
    """Spell out list entries: "" is empty. `item` int [M]."""
    spelled = pa.array([str(name) or None for name in names], pa.string())
    return spelled.take(pa.array(item))


def _plain(array: object) -> pa.Array:
    if isinstance(array, np.ndarray) and array.dtype.kind in "US":
        # Distinct spellings are few: decode them once.
        names, item = np.unique(array, return_inverse=True)
        return pick(names, item)
    return array if isinstance(array, pa.Array) else pa.array(array)


def write_patients(root: Path, records: Records) -> None:
    """hosp/patients: the anchor is the first admission; its true year is published as a range of three."""
    people, histories = records.people, records.histories
    first = np.flatnonzero(histories.k == 0)  # row of each kept patient's first admission
    patient = histories.patient[first]
    death = np.full(len(people.subject_id), np.nan)
    days = hospital.days_to_death(histories)
    dead = ~np.isnan(days)
    death[histories.patient[dead]] = days[dead]
    write_csv(
        root,
        "hosp/patients",
        {
            "subject_id": people.subject_id[patient],
            "gender": people.gender[patient],
            "anchor_age": people.age[patient],
            "anchor_year": calendar.year(histories.admit[first], records.shift[first]),
            "anchor_year_group": calendar.year_group(calendar.year(histories.admit[first])),
            "dod": records.date(death[patient], first),
        },
    )


def write_admissions(root: Path, records: Records, stays: Stays) -> None:
    """hosp/admissions."""
    people, histories = records.people, records.histories
    write_csv(
        root,
        "hosp/admissions",
        {
            **records.identity(np.arange(len(histories.k))),
            "admittime": records.time(histories.admit),
            "dischtime": records.time(histories.discharge),
            "deathtime": records.time(np.where(histories.died, histories.discharge, -1)),
            "admission_type": stays.admission_type,
            "admission_location": stays.from_where,
            "discharge_location": stays.to_where,
            "insurance": people.insurance[histories.patient],
            "language": np.full(len(histories.k), "ENGLISH"),
            "marital_status": people.marital[histories.patient],
            "race": people.race[histories.patient],
            "edregtime": records.time(stays.ed_in),
            "edouttime": records.time(stays.ed_out),
            "hospital_expire_flag": histories.died.astype(np.int64),
        },
    )


def write_hospital(root: Path, records: Records, stays: Stays) -> None:
    """hosp/services, hosp/transfers and icu/icustays."""
    histories = records.histories
    every, icu = np.arange(len(histories.k)), np.flatnonzero(stays.icu_in >= 0)
    services = {"transfertime": records.time(histories.admit, seconds=41), "curr_service": stays.service}
    write_csv(root, "hosp/services", {**records.identity(every), **services})
    moves = hospital.transfers(histories, stays)
    row = moves["row"]
    write_csv(
        root,
        "hosp/transfers",
        {
            **records.identity(row),
            "transfer_id": 30_000_000 + np.arange(len(row)),
            "eventtype": moves["eventtype"].astype(str),
            "careunit": moves["careunit"].astype(str),
            "intime": records.time(moves["start"], row),
            "outtime": records.time(moves["end"], row),
        },
    )
    write_csv(
        root,
        "icu/icustays",
        {
            **records.identity(icu),
            "stay_id": 30_000_000 + np.flatnonzero(moves["eventtype"] == "transfer")[::2],
            "first_careunit": stays.icu_unit[icu],
            "last_careunit": stays.icu_unit[icu],
            "intime": records.time(stays.icu_in[icu], icu),
            "outtime": records.time(stays.icu_out[icu], icu),
            "los": (stays.icu_out - stays.icu_in)[icu] / DAY,
        },
    )


def write_diagnoses(root: Path, records: Records, items: Items, codes: tuple[Code, ...]) -> None:
    """hosp/diagnoses_icd and its dictionary. The version is the admission's: by the true day of discharge."""
    icd10, icd9 = code_columns(codes)
    write_csv(root, "hosp/diagnoses_icd", {**_coded(records, items, icd10, icd9), "seq_num": items.rank})
    spelling = {(code, version) for names, version in ((icd10, 10), (icd9, 9)) for code in names.tolist()}
    titles = sorted(spelling)
    write_csv(
        root,
        "hosp/d_icd_diagnoses",
        {
            "icd_code": np.array([code for code, _ in titles]),
            "icd_version": np.array([version for _, version in titles]),
            "long_title": np.array([f"Planted condition, coded {code}" for code, _ in titles]),
        },
    )


def write_procedures(root: Path, records: Records, items: Items, codes: tuple[Code, ...]) -> None:
    """hosp/procedures_icd: on the day of admission or one of the next two."""
    icd10, icd9 = code_columns(codes)
    histories, row = records.histories, items.row
    day = np.minimum(histories.admit[row] // DAY + (items.rank - 1) % 3, histories.discharge[row] // DAY)
    coded = _coded(records, items, icd10, icd9)
    dated = {"seq_num": items.rank, "chartdate": records.date(day.astype(float), row)}
    write_csv(root, "hosp/procedures_icd", {**coded, **dated})


def _coded(records: Records, items: Items, icd10: np.ndarray, icd9: np.ndarray) -> dict[str, object]:
    version = records.version[items.row]
    spelled = pick(np.concatenate([icd10, icd9]), items.item + len(icd10) * (version == 9))
    return {**records.identity(items.row), "icd_code": spelled, "icd_version": version}


def write_prescriptions(root: Path, records: Records, items: Items, rng: np.random.Generator) -> None:
    """hosp/prescriptions: ordered at some hour of the stay, until its end."""
    row, M = items.row, len(items.row)
    begin, end = records.histories.admit[row], records.histories.discharge[row]
    order = begin + (rng.random(M) ** 2 * 0.9 * (end - begin)).astype(np.int64) // 60 * 60
    write_csv(
        root,
        "hosp/prescriptions",
        {
            **records.identity(row),
            "pharmacy_id": np.arange(1, M + 1),
            "starttime": records.time(order, row),
            "stoptime": records.time(end, row),
            "drug_type": pick(["MAIN"], np.zeros(M, np.int64)),
            "drug": pick(DRUG_NAMES, items.item),
        },
    )


def write_labs(root: Path, records: Records, labs: Measurements, rng: np.random.Generator) -> None:
    """hosp/labevents and its dictionary. A quarter of the rows name no admission: only their time places them."""
    row, item, M = labs.row, labs.item, len(labs.row)
    low, high = (np.array([getattr(lab, side) for lab in LABS], float)[item] for side in ("low", "high"))
    digits = np.array([0 if lab.sd > 5 else 1 if lab.sd >= 1 else 2 for lab in LABS])[item]
    value = np.round(labs.value * 10.0**digits) / 10.0**digits
    begin, end = records.histories.admit[row], records.histories.discharge[row]
    drawn = begin + (rng.random(M) * 0.95 * (end - begin)).astype(np.int64)
    nameless = rng.random(M) < NO_ADMISSION_SHARE
    write_csv(
        root,
        "hosp/labevents",
        {
            "labevent_id": np.arange(1, M + 1),
            "subject_id": records.subject_id[row],
            "hadm_id": pa.array(records.hadm_id[row], mask=nameless),
            "specimen_id": np.arange(1, M + 1),
            "itemid": np.array([lab.itemid for lab in LABS])[item],
            "charttime": records.time(drawn, row),
            "storetime": records.time(drawn + rng.integers(20, 240, M), row),
            "value": value,
            "valuenum": value,
            "valueuom": pick([lab.unit for lab in LABS], item),
            "ref_range_lower": low,
            "ref_range_upper": high,
            "flag": pick(["", "abnormal"], ((value < low) | (value > high)).astype(np.int64)),
            "priority": pick(["STAT", "ROUTINE"], rng.integers(0, 2, M)),
        },
    )
    dictionary = {name: np.array([getattr(lab, name) for lab in LABS]) for name in ("itemid", "label", "category")}
    write_csv(root, "hosp/d_labitems", {**dictionary, "fluid": np.full(len(LABS), "Blood")})
