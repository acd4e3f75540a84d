"""The same encounters and tokens in plain pandas: whole tables, merge, groupby. What most would write first.

It reads only the columns it needs, with types, and is vectorised throughout; it gives no labels. Codes fall back to
their first character where the library uses chapters, and the training patients are others, so tokens differ a little.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = {
    "hosp/patients": ["subject_id", "gender", "anchor_age", "anchor_year", "dod"],
    "hosp/admissions": ["subject_id", "hadm_id", "admittime", "dischtime", "deathtime", "admission_type",
                        "admission_location", "discharge_location"],
    "hosp/diagnoses_icd": ["subject_id", "hadm_id", "seq_num", "icd_code", "icd_version"],
    "hosp/procedures_icd": ["subject_id", "hadm_id", "chartdate", "icd_code", "icd_version"],
    "hosp/prescriptions": ["subject_id", "hadm_id", "starttime", "drug_type", "drug"],
    "hosp/labevents": ["labevent_id", "subject_id", "hadm_id", "itemid", "charttime", "storetime", "valuenum", "flag"],
    "hosp/services": ["subject_id", "hadm_id", "transfertime", "curr_service"],
    "icu/icustays": ["hadm_id", "intime"],
}  # fmt: skip
TIMES = {"admittime", "dischtime", "deathtime", "dod", "chartdate", "starttime", "charttime", "storetime",
         "transfertime", "intime"}  # fmt: skip
MIN_PATIENTS, MAX_DIAGNOSES, MAX_DRUGS = 11, 40, 10
DECILES = np.arange(1, 10) / 10


def extract(root: Path) -> pd.DataFrame:
    """Return one row an encounter, sorted by patient and time: subject_id, hadm_id, k, tokens (list of str)."""
    tables = {name: read_table(root, name) for name in COLUMNS}
    encounters = keep(tables["hosp/patients"], tables["hosp/admissions"], tables["hosp/diagnoses_icd"])
    candidates = pd.concat(
        [
            stay_tokens(encounters, tables["hosp/services"], tables["icu/icustays"]),
            diagnosis_tokens(encounters, tables["hosp/diagnoses_icd"]),
            procedure_tokens(encounters, tables["hosp/procedures_icd"]),
            drug_tokens(encounters, tables["hosp/prescriptions"]),
            lab_tokens(encounters, tables["hosp/labevents"]),
        ],
        ignore_index=True,
    )
    encoded = encode(encounters, candidates)
    lists = encoded.groupby("row")["token"].agg(list).rename("tokens")
    result = encounters[["row", "subject_id", "hadm_id", "k"]].merge(lists, left_on="row", right_index=True, how="left")
    return result.drop(columns="row")


def read_table(root: Path, name: str) -> pd.DataFrame:
    """Read a whole table, csv or csv.gz, in the columns it is needed in."""
    file = next(root / f"{name}{suffix}" for suffix in (".csv.gz", ".csv") if (root / f"{name}{suffix}").exists())
    columns = COLUMNS[name]
    types = {"icd_code": "str", "drug": "category", "drug_type": "category", "flag": "category", "hadm_id": "float64"}
    times = [column for column in columns if column in TIMES]
    return pd.read_csv(file, usecols=columns, dtype={c: t for c, t in types.items() if c in columns}, parse_dates=times)


def keep(patients: pd.DataFrame, admissions: pd.DataFrame, diagnoses: pd.DataFrame) -> pd.DataFrame:
    """Keep stays that last, begin alive, of adults, with a diagnosis; number them within the patient."""
    order = ["subject_id", "admittime", "dischtime", "hadm_id"]
    stays = admissions.drop_duplicates().merge(patients.drop_duplicates(), on="subject_id").sort_values(order)
    stays["age"] = stays["anchor_age"] + stays["admittime"].dt.year - stays["anchor_year"]
    first_death = stays.groupby("subject_id")["deathtime"].cummin().groupby(stays["subject_id"]).ffill()
    died_before = (stays["admittime"].dt.normalize() > stays["dod"]) | (stays["admittime"] > first_death)
    lasts = stays["dischtime"] > stays["admittime"]
    coded = stays["hadm_id"].isin(diagnoses["hadm_id"])
    kept = stays[lasts & ~died_before & (stays["age"] >= 18) & coded].reset_index(drop=True)
    kept["row"] = np.arange(len(kept))
    kept["k"] = kept.groupby("subject_id").cumcount()
    kept["train"] = kept["subject_id"] % 20 < 14
    return kept


def stay_tokens(encounters: pd.DataFrame, services: pd.DataFrame, icustays: pd.DataFrame) -> pd.DataFrame:
    """Age, sex, admission, service, ICU, length of stay and discharge."""
    age = pd.cut(encounters["age"], [0, 18, 30, *range(40, 100, 10), 200], right=False)
    days = (encounters["dischtime"] - encounters["admittime"]).dt.total_seconds() / 86400
    length = pd.cut(days, [0, 1, 2, 4, 7, 14, 30, 1e9], right=False)
    columns = {"AGE": age, "SEX": encounters["gender"], "TYPE": encounters["admission_type"],
               "FROM": encounters["admission_location"], "TO": encounters["discharge_location"],
               "LOS": length}  # fmt: skip
    parts = [
        candidates(encounters["row"], name + "//" + values.astype(str), values) for name, values in columns.items()
    ]
    served = services.merge(encounters[["hadm_id", "row", "dischtime"]], on="hadm_id")
    served = served[served["transfertime"] <= served["dischtime"]]
    parts.append(candidates(served["row"], "SERVICE//" + served["curr_service"], served["curr_service"]))
    entered = icustays.merge(encounters[["hadm_id", "row", "dischtime"]], on="hadm_id")
    entered = entered[entered["intime"] <= entered["dischtime"]]
    parts.append(candidates(entered["row"], pd.Series("ICU", index=entered.index), entered["row"]))
    return pd.concat(parts, ignore_index=True)


def candidates(row: pd.Series, token: pd.Series, present: pd.Series, parent: pd.Series | None = None) -> pd.DataFrame:
    """Put tokens in one form, each once an encounter, dropping those made of an empty cell."""
    made = pd.DataFrame({"row": row, "token": token.astype("str"), "parent": parent})
    return made[present.notna()].drop_duplicates(["row", "token"])


def diagnosis_tokens(encounters: pd.DataFrame, diagnoses: pd.DataFrame) -> pd.DataFrame:
    """The first 40 categories by billing priority."""
    coded = diagnoses.merge(encounters[["hadm_id", "row"]], on="hadm_id")
    version, code = "ICD" + coded["icd_version"].astype("str") + "//", coded["icd_code"]
    longer = (coded["icd_version"] == 9) & code.str[0].isin(["E", "V"])
    coded["category"] = version + code.str[:4].where(longer, code.str[:3])
    coded["parent"] = version + code.str[0]
    coded = coded.sort_values(["row", "seq_num"]).drop_duplicates(["row", "category"])
    coded = coded[coded.groupby("row").cumcount() < MAX_DIAGNOSES]
    return candidates(coded["row"], coded["category"], coded["category"], coded["parent"])


def procedure_tokens(encounters: pd.DataFrame, procedures: pd.DataFrame) -> pd.DataFrame:
    """Three characters of each procedure done by the day of discharge."""
    done = procedures.merge(encounters[["hadm_id", "row", "dischtime"]], on="hadm_id")
    done = done[done["chartdate"] <= done["dischtime"].dt.normalize()]
    token = "PROC" + done["icd_version"].astype("str") + "//" + done["icd_code"].str[:3]
    return candidates(done["row"], token, done["icd_code"])


def drug_tokens(encounters: pd.DataFrame, prescriptions: pd.DataFrame) -> pd.DataFrame:
    """The first word of letters of the first ten drugs started; a BASE only carries another drug."""
    given = prescriptions[prescriptions["drug_type"] != "BASE"].merge(
        encounters[["hadm_id", "row", "dischtime"]], on="hadm_id"
    )
    given = given[given["starttime"] <= given["dischtime"]]
    names = given["drug"].cat.categories.to_series()
    spelt = names.str.lower().str.extract(r"([a-z][a-z-]{2,})", expand=False)
    given["name"] = given["drug"].astype("str").map(spelt)
    given = given.dropna(subset="name").sort_values(["row", "starttime", "name"]).drop_duplicates(["row", "name"])
    given = given[given.groupby("row").cumcount() < MAX_DRUGS]
    return candidates(given["row"], "DRUG//" + given["name"], given["name"])


def lab_tokens(encounters: pd.DataFrame, labs: pd.DataFrame) -> pd.DataFrame:
    """The last value of each item known by discharge, as its outer deciles among training patients."""
    stays = encounters[["row", "subject_id", "hadm_id", "admittime", "dischtime", "train"]]
    named = labs.merge(stays, on=["subject_id", "hadm_id"])
    unnamed = pd.merge_asof(
        labs[labs["hadm_id"].isna()].drop(columns="hadm_id").sort_values("charttime"),
        stays.sort_values("admittime"), by="subject_id", left_on="charttime", right_on="admittime",
    )  # fmt: skip
    known = pd.concat([named, unnamed[unnamed["charttime"] <= unnamed["dischtime"]]], ignore_index=True)
    known = known[known["storetime"] <= known["dischtime"]].sort_values(["charttime", "labevent_id"])
    known["abnormal"] = known["flag"] == "abnormal"
    last = known.groupby(["row", "itemid"], as_index=False).agg(
        subject_id=("subject_id", "first"), train=("train", "first"), value=("valuenum", "last"),
        abnormal=("abnormal", "any"),
    )  # fmt: skip
    last = last.join(fit_deciles(last), on="itemid")
    cuts, value = last[DECILES].to_numpy(), last["value"].to_numpy()[:, None]  # [N, 9], [N, 1]
    q = 1 + ((cuts < value).sum(axis=1) + (cuts <= value).sum(axis=1)) // 2  # the middle rank of ties
    has_decile = last["value"].notna().to_numpy() & ~np.isnan(cuts[:, 0])
    told = np.where(has_decile, (q == 1) | (q == 10), last["abnormal"])
    level = pd.Series(np.where(has_decile, "Q" + pd.Series(q).astype("str"), "abnormal"), index=last.index)
    parent = "LAB//" + last["itemid"].astype("str")
    token = parent + "//" + level
    return candidates(last.loc[told, "row"], token[told], token[told], parent[told])


def fit_deciles(last: pd.DataFrame) -> pd.DataFrame:
    """Nine cuts per lab item that enough training patients have: [items, 9]."""
    train = last[last["train"] & last["value"].notna()]
    patients = train.groupby("itemid")["subject_id"].nunique()
    train = train[train["itemid"].isin(patients.index[patients >= MIN_PATIENTS])]
    if train.empty:
        return pd.DataFrame(columns=DECILES, dtype=float)
    return train.groupby("itemid")["value"].quantile(DECILES).unstack()


def encode(encounters: pd.DataFrame, candidates: pd.DataFrame) -> pd.DataFrame:
    """Keep tokens of enough training patients; a rarer one becomes its parent, if that is carried by enough."""
    known = candidates.merge(encounters[["row", "subject_id", "train"]], on="row")
    train = known[known["train"]]
    leaves = train.groupby("token")["subject_id"].nunique()
    kept = known["token"].isin(leaves.index[leaves >= MIN_PATIENTS]) | known["token"].str.startswith("SEX//")
    rare = train[~train["token"].isin(leaves.index[leaves >= MIN_PATIENTS])]
    parents = rare.groupby("parent")["subject_id"].nunique()
    known["token"] = known["token"].where(kept, known["parent"])
    kept |= known["token"].isin(parents.index[parents >= MIN_PATIENTS])
    return known.loc[kept, ["row", "token"]].drop_duplicates().sort_values(["row", "token"])


def main() -> None:
    """Extract a tree into one parquet file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    extract(asked.root).to_parquet(asked.out)


if __name__ == "__main__":
    main()
