"""Labels a second time, one patient after another in plain Python, from the definitions and not from the SQL."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from mimic_tree import Tables

ACUITY = {
    "EU OBSERVATION": 0, "OBSERVATION ADMIT": 0, "DIRECT OBSERVATION": 0, "AMBULATORY OBSERVATION": 0, "ELECTIVE": 1,
    "SURGICAL SAME DAY ADMISSION": 1, "URGENT": 2, "DIRECT EMER.": 2, "EW EMER.": 2,
}  # fmt: skip
CRISIS_9 = {"291", "292", "295", "296", "297", "298", "303", "304", "305", "311"}
CRISIS_9_CODES = {"30110", "30112", "30113", "30122"}  # of the same disorders as F21 and F34
PLANNED = {"ELECTIVE", "SURGICAL SAME DAY ADMISSION", "AMBULATORY OBSERVATION"}
PLACES = {"AGAINST ADVICE": "against_advice", "ACUTE HOSPITAL": "acute_hospital", "HOSPICE": "hospice"}
NEVER = 10**6


class Life(NamedTuple):
    """One patient's rows, and the stays that can be true, episode after episode."""

    patient: dict
    rows: dict[str, list[dict]]
    episodes: list[list[dict]]

    def end(self, i: int) -> date:
        return max(s["dischtime"] for episode in self.episodes[: i + 1] for s in episode).date()

    def day_of_death(self, s: dict) -> date | None:
        """The day this stay ended in death, by the hospital or by the registry."""
        dod = self.patient.get("dod") or None
        flagged = s["hospital_expire_flag"] == 1 or s["discharge_location"] == "DIED"
        if not flagged and not (dod and dod < s["dischtime"].date()):
            return None
        in_hospital = (s.get("deathtime") or s["dischtime"]).date()
        return min(in_hospital, dod) if dod else in_hospital

    def acuities(self, s: dict) -> list[tuple[int, date]]:
        """Each step of the ladder that this stay reaches, with its day."""
        steps = [(ACUITY[s["admission_type"]], s["admittime"].date())]
        entered = [r["intime"] for r in self.rows["icu/icustays"] if r["hadm_id"] == s["hadm_id"]]
        if entered and min(entered) <= s["dischtime"]:
            steps.append((3, max(min(entered), s["admittime"]).date()))
        death = self.day_of_death(s)
        return steps + ([(4, death)] if death else [])


def expected_labels(tables: Tables, data_end_year: int = 2019, hospice: bool = False) -> dict[int, dict]:
    """Return hadm_id → column → value (None: no label) of every possible stay; `hospice` makes hospices eligible."""
    out = {}
    for patient in tables["hosp/patients"]:
        mine = {t: [r for r in rows if r["subject_id"] == patient["subject_id"]] for t, rows in tables.items()}
        life = Life(patient, mine, _episodes(_possible(mine["hosp/admissions"], patient.get("dod") or None)))
        out.update(_answers(life, data_end_year, hospice))
    return out


def _possible(stays: list[dict], dod: date | None) -> list[dict]:
    valid, deaths = [], []
    for s in sorted(stays, key=lambda s: (s["admittime"], s["dischtime"], s["hadm_id"])):
        deaths += [s["deathtime"]] if s.get("deathtime") else []
        after_death = any(s["admittime"] > d for d in deaths) or (dod is not None and s["admittime"].date() > dod)
        if s["dischtime"] > s["admittime"] and not after_death:
            valid.append(s)
    return valid


def _episodes(stays: list[dict]) -> list[list[dict]]:
    episodes: list[list[dict]] = []
    end = None
    for s in stays:
        if end is not None and (s["admittime"].date() - end).days <= 1:
            episodes[-1].append(s)
            end = max(end, s["dischtime"].date())
        else:
            episodes.append([s])
            end = s["dischtime"].date()
    return episodes


def _answers(life: Life, data_end_year: int, hospice: bool) -> dict[int, dict]:
    out = {}
    f_seen = False
    for i, episode in enumerate(life.episodes):
        for j, s in enumerate(episode):
            codes = [d for d in life.rows["hosp/diagnoses_icd"] if d["hadm_id"] == s["hadm_id"]]
            f_seen |= any(is_f_code(d) for d in codes) and _age(s, life.patient) >= 18 and bool(codes)
            out[s["hadm_id"]] = _answer(life, i, j, f_seen, data_end_year, hospice)
    return out


def _answer(life: Life, i: int, j: int, f_seen: bool, data_end_year: int, hospice: bool) -> dict:
    """All columns of stay j of episode i: facts, then who is asked what, then the answers."""
    episode = life.episodes[i]
    earlier = [x["dischtime"] for e in life.episodes[:i] for x in e] + [x["dischtime"] for x in episode[: j + 1]]
    today = max(earlier).date()
    later = life.episodes[i + 1] if i + 1 < len(life.episodes) else None
    back = (later[0]["admittime"].date() - today).days if later else NEVER
    deaths = [life.day_of_death(x) for e in life.episodes for x in e] + [life.patient.get("dod") or None]
    death = min(((d - today).days for d in deaths if d and d >= today), default=NEVER)
    certain = _follow_up(life.patient, today, data_end_year)
    acuity = max(a for x in episode[: j + 1] for a, _ in life.acuities(x))
    reason = _reason(life, i, j, hospice)
    unplanned = later is not None and later[0]["admission_type"] not in PLANNED

    def ask(answer: bool, horizon: int, put: bool = reason == "eligible") -> int | None:
        return int(answer) if put and certain is not None and certain >= horizon else None

    def escalates(horizon: int) -> int | None:
        reached = [a for x in later or [] for a, day in life.acuities(x) if (day - today).days <= horizon]
        return ask(max(reached, default=0) > acuity, horizon, reason == "eligible" and acuity < 3)

    def crisis(horizon: int) -> int | None:
        ahead = [x for e in life.episodes[i + 1 :] for x in e if 2 <= (x["admittime"].date() - today).days <= horizon]
        return ask(any(_is_crisis(life.rows, x) for x in ahead), horizon, reason == "eligible" and f_seen)

    alive = reason not in ("died", "transfer")
    stays_long = later is not None and (life.end(i + 1) - later[0]["admittime"].date()).days > 7
    readmitted = back <= 30 and unplanned
    first = "readmit" if readmitted else "death" if death <= 30 else "none"
    eligible = reason == "eligible"
    uncertain = eligible and ask(True, 30) is None
    return {
        "label_30d_per_enc": ask(readmitted, 30),
        "label_30d_or_death_per_enc": ask(first != "none", 30),
        "label_escalation_per_enc": escalates(90),
        "label_escalation_30d_per_enc": escalates(30),
        "label_escalation_180d_per_enc": escalates(180),
        "label_psych_crisis_per_enc": crisis(180),
        "label_psych_crisis_28d_per_enc": crisis(28),
        "label_death_30d_per_enc": ask(death <= 30, 30, alive),
        "label_death_365d_per_enc": ask(death <= 365, 365, alive),
        # Over a week is settled on the eighth day of an episode that may start on day 365.
        "label_long_stay_per_enc": ask(stays_long, 373, eligible and back <= 365),
        "eligibility_30d": "follow_up_uncertain" if uncertain else reason,
        "outcome_30d": "censored" if uncertain else first if eligible else "ineligible",
        "days_to_next": back if later else None,
        "days_to_death": death if death < NEVER else None,
        "returned_30d": readmitted,
        "acuity": acuity,
        "follow_up_days": certain,
    }


def _reason(life: Life, i: int, j: int, hospice: bool) -> str:
    episode, s = life.episodes[i], life.episodes[i][j]
    if any(life.day_of_death(x) for x in episode[: j + 1]):
        return "died"
    if s is not episode[-1]:
        return "transfer"
    place = PLACES.get(s["discharge_location"])
    if place and not (hospice and place == "hospice"):
        return place
    return "under_18" if _age(s, life.patient) < 18 else "eligible"


def _follow_up(patient: dict, today: date, data_end_year: int) -> int | None:
    """Days left of the data if the patient came as late as their year group allows."""
    if not patient["anchor_year_group"]:
        return None
    latest = date(int(patient["anchor_year_group"][-4:]), 12, 31) + (today - date(patient["anchor_year"], 1, 1))
    return (date(data_end_year, 12, 31) - latest).days


def _age(s: dict, patient: dict) -> int:
    return patient["anchor_age"] + s["admittime"].year - patient["anchor_year"]


def is_f_code(d: dict) -> bool:
    if d["icd_version"] == 10:
        return d["icd_code"].startswith("F")
    return d["icd_code"][:3].isdigit() and 290 <= int(d["icd_code"][:3]) <= 319


def _is_crisis(rows: dict[str, list[dict]], s: dict) -> bool:
    psych = [r for r in rows["hosp/services"] if r["hadm_id"] == s["hadm_id"] and r["curr_service"] == "PSYCH"]
    if any(r["transfertime"] <= s["dischtime"] for r in psych):
        return True
    if s["admission_type"] not in ("EW EMER.", "DIRECT EMER.", "URGENT"):
        return False
    for d in rows["hosp/diagnoses_icd"]:
        if d["hadm_id"] != s["hadm_id"]:
            continue
        code, version = d["icd_code"], d["icd_version"]
        if version == 10:
            principal = d["seq_num"] == 1 and "F10" <= code[:3] <= "F39"
            poisoned = ("T36" <= code[:3] <= "T65" or code[:3] == "T71") and code[5:6] == "2"
            harmed = code in ("R45851",) or code.startswith("T1491") or "X71" <= code[:3] <= "X83" or poisoned
        else:
            disorder = code[:3] in CRISIS_9 or code in CRISIS_9_CODES or code.startswith("3004")
            principal = d["seq_num"] == 1 and disorder
            harmed = code == "V6284" or "E950" <= code[:4] <= "E959"
        if principal or harmed:
            return True
    return False
