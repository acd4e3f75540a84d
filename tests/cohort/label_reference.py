"""Labels a second time, one patient after another in plain Python, from the definitions and not from the SQL."""

from __future__ import annotations

from datetime import date

from mimic_tree import Tables

ACUITY = {
    "EU OBSERVATION": 0, "OBSERVATION ADMIT": 0, "DIRECT OBSERVATION": 0, "AMBULATORY OBSERVATION": 0, "ELECTIVE": 1,
    "SURGICAL SAME DAY ADMISSION": 1, "URGENT": 2, "DIRECT EMER.": 2, "EW EMER.": 2,
}  # fmt: skip
CRISIS_9 = {"291", "292", "295", "296", "297", "298", "303", "304", "305", "311"}
PLANNED = {"ELECTIVE", "SURGICAL SAME DAY ADMISSION", "AMBULATORY OBSERVATION"}


def expected_labels(tables: Tables, data_end_year: int = 2019) -> dict[int, tuple]:
    """Return hadm_id → (readmission, escalation, crisis, reason), of every valid stay."""
    out = {}
    for patient in tables["hosp/patients"]:
        out.update(_patient(tables, patient, data_end_year))
    return out


def _patient(tables: Tables, patient: dict, data_end_year: int) -> dict[int, tuple]:
    mine = {t: [r for r in rows if r["subject_id"] == patient["subject_id"]] for t, rows in tables.items()}
    stays = sorted(mine["hosp/admissions"], key=lambda s: (s["admittime"], s["dischtime"], s["hadm_id"]))
    valid, deaths = [], []
    for s in stays:
        deaths += [s["deathtime"]] if s.get("deathtime") else []
        after_death = any(s["admittime"] > d for d in deaths)
        after_death |= bool(patient.get("dod")) and s["admittime"].date() > patient["dod"]
        if s["dischtime"] > s["admittime"] and not after_death:
            valid.append(s)
    episodes: list[list[dict]] = []
    ends: list = []
    for s in valid:
        if episodes and (s["admittime"].date() - ends[-1].date()).days <= 1:
            episodes[-1].append(s)
            ends[-1] = max(ends[-1], s["dischtime"])
        else:
            episodes.append([s])
            ends.append(s["dischtime"])
    out = {}
    f_seen = False
    for i, episode in enumerate(episodes):
        for s in episode:
            codes = [d for d in mine["hosp/diagnoses_icd"] if d["hadm_id"] == s["hadm_id"]]
            f_seen |= any(is_f_code(d) for d in codes) and _kept(s, patient, codes)
            if s is not episode[-1]:
                out[s["hadm_id"]] = (None, None, None, "transfer")
                continue
            out[s["hadm_id"]] = _answer(mine, patient, episodes, i, ends[i], f_seen, data_end_year)
    return out


def _age(s: dict, patient: dict) -> int:
    return patient["anchor_age"] + s["admittime"].year - patient["anchor_year"]


def _kept(s: dict, patient: dict, codes: list[dict]) -> bool:
    return _age(s, patient) >= 18 and bool(codes)


def is_f_code(d: dict) -> bool:
    if d["icd_version"] == 10:
        return d["icd_code"].startswith("F")
    return d["icd_code"][:3].isdigit() and 290 <= int(d["icd_code"][:3]) <= 319


def _answer(mine, patient, episodes, i, t, f_seen, data_end_year):
    s = episodes[i][-1]
    reasons = {"DIED": "died", "AGAINST ADVICE": "against_advice", "ACUTE HOSPITAL": "acute_hospital",
               "HOSPICE": "hospice"}  # fmt: skip
    reason = reasons.get(s["discharge_location"])
    reason = "died" if s["hospital_expire_flag"] else reason
    reason = reason or ("under_18" if _age(s, patient) < 18 else None)
    if reason:
        return None, None, None, reason
    day = t.date()
    last_real = date(int(patient["anchor_year_group"][-4:]), 12, 31) + (day - date(patient["anchor_year"], 1, 1))
    certain = (date(data_end_year, 12, 31) - last_real).days
    dead = (patient["dod"] - day).days if patient.get("dod") else 10**6
    later = episodes[i + 1] if i + 1 < len(episodes) else None
    d = (later[0]["admittime"].date() - day).days if later else None

    def unknown_or_no(horizon):
        return 0 if dead <= horizon or certain >= horizon else None

    returned = later is not None and d <= 30 and later[0]["admission_type"] not in PLANNED
    readmit = int(returned) if later else unknown_or_no(30)
    now = max(a for s_ in episodes[i] for a, _ in _acuities(mine, s_))
    if now >= 3:
        escalate = None
    elif later is None:
        escalate = unknown_or_no(90)
    else:
        events = [a for s_ in later for a, when in _acuities(mine, s_) if (when - day).days <= 90]
        escalate = int(d <= 90 and max(events) > now)
    crisis = None
    if f_seen:
        ahead = [(s_, (s_["admittime"].date() - day).days) for e in episodes[i + 1 :] for s_ in e]
        if any(2 <= gap <= 180 and _is_crisis(mine, s_) for s_, gap in ahead):
            crisis = 1
        else:
            crisis = 0 if any(gap > 180 for _, gap in ahead) else unknown_or_no(180)
    return readmit, escalate, crisis, "eligible" if readmit is not None else "censored"


def _acuities(mine, s):
    yield ACUITY[s["admission_type"]], s["admittime"].date()
    entered = [r["intime"] for r in mine["icu/icustays"] if r["hadm_id"] == s["hadm_id"]]
    if entered and min(entered) <= s["dischtime"]:
        yield 3, max(min(entered), s["admittime"]).date()
    if s["hospital_expire_flag"]:
        yield 4, (s.get("deathtime") or s["dischtime"]).date()


def _is_crisis(mine, s):
    if any(r["hadm_id"] == s["hadm_id"] and r["curr_service"] == "PSYCH" for r in mine["hosp/services"]):
        return True
    if s["admission_type"] not in ("EW EMER.", "DIRECT EMER.", "URGENT"):
        return False
    for d in mine["hosp/diagnoses_icd"]:
        if d["hadm_id"] != s["hadm_id"]:
            continue
        code, version = d["icd_code"], d["icd_version"]
        if version == 10:
            principal = d["seq_num"] == 1 and "F10" <= code[:3] <= "F39"
            poisoned = ("T36" <= code[:3] <= "T65" or code[:3] == "T71") and code[5:6] == "2"
            harmed = code in ("R45851",) or code.startswith("T1491") or "X71" <= code[:3] <= "X83" or poisoned
        else:
            principal = d["seq_num"] == 1 and code[:3] in CRISIS_9
            harmed = code == "V6284" or "E950" <= code[:4] <= "E959"
        if principal or harmed:
            return True
    return False
