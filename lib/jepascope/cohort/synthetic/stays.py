"""The hospital around an encounter: kind of admission, emergency room, wards, intensive care, where one goes after."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.cohort.synthetic.concepts import COLUMN
from jepascope.cohort.synthetic.utilisation import DAY, Histories

PLANNED_TYPES = (("SURGICAL SAME DAY ADMISSION", 0.50), ("ELECTIVE", 0.36), ("AMBULATORY OBSERVATION", 0.14))
OBSERVATION_TYPES = (("OBSERVATION ADMIT", 0.55), ("EU OBSERVATION", 0.36), ("DIRECT OBSERVATION", 0.09))
URGENT_TYPES = (("EW EMER.", 0.66), ("URGENT", 0.24), ("DIRECT EMER.", 0.10))
OBSERVATION_LOG_ODDS = -0.55  # of an unplanned stay being an observation, at usual severity
DISCHARGES = (
    ("HOME", 0.42), ("HOME HEALTH CARE", 0.28), ("SKILLED NURSING FACILITY", 0.15), ("REHAB", 0.06),
    ("CHRONIC/LONG TERM ACUTE CARE", 0.035), ("HOSPICE", 0.015), ("AGAINST ADVICE", 0.015),
    ("PSYCH FACILITY", 0.01), ("ACUTE HOSPITAL", 0.005), ("", 0.01),
)  # fmt: skip
WARD = {
    "MED": "Medicine", "CMED": "Medicine/Cardiology", "SURG": "Med/Surg", "OMED": "Hematology/Oncology",
    "NMED": "Neurology", "ORTHO": "Med/Surg/Trauma", "PSYCH": "Psychiatry",
}  # fmt: skip
ICU_UNITS = (
    "Medical Intensive Care Unit (MICU)",
    "Surgical Intensive Care Unit (SICU)",
    "Cardiac Vascular Intensive Care Unit (CVICU)",
)
ICU_LOG_ODDS = -1.7  # at usual severity
CRISIS = ("psychotic", "bipolar", "self_harm", "depressive", "alcohol")
CRISIS_CHANCE = 0.09  # of an unplanned stay with one of them being on the psychiatric service


class Stays(NamedTuple):
    """The hospital's side of N admissions; times in minutes since the start of true 2008, -1 where none."""

    admission_type: np.ndarray  # str [N]
    from_where: np.ndarray  # str [N]
    to_where: np.ndarray  # str [N], "" where unknown
    service: np.ndarray  # str [N]
    ed_in: np.ndarray  # int64 [N]
    ed_out: np.ndarray  # int64 [N]
    icu_unit: np.ndarray  # str [N], "" without intensive care
    icu_in: np.ndarray  # int64 [N]
    icu_out: np.ndarray  # int64 [N]


def furnish(histories: Histories, rng: np.random.Generator) -> Stays:
    """Draw what surrounds each admission from its own severity and concepts; nothing here has an effect later.

    Shocks have no part in any of it: they must be readable from their own records alone.
    """
    N = len(histories.k)
    psych = ~histories.planned & histories.on[:, [COLUMN[c] for c in CRISIS]].any(axis=1)
    psych &= rng.random(N) < CRISIS_CHANCE
    admission_type = _admission_type(histories, psych, rng)
    length = histories.discharge - histories.admit
    in_ed = np.isin(admission_type, ("EW EMER.", "EU OBSERVATION")) | (
        (admission_type == "OBSERVATION ADMIT") & (rng.random(N) < 0.7)
    )
    waited = rng.integers(60, 600, N)
    in_icu = rng.random(N) < 1 / (1 + np.exp(-(ICU_LOG_ODDS + 0.9 * histories.severity)))
    in_icu &= ~np.isin(admission_type, ("EU OBSERVATION", "AMBULATORY OBSERVATION")) & ~psych
    icu_in = histories.admit + (rng.uniform(0.02, 0.3, N) * length).astype(np.int64)
    icu_out = icu_in + (rng.uniform(0.2, 0.6, N) * length).astype(np.int64)
    to_where = np.where(histories.died, "DIED", choose(DISCHARGES, N, rng))
    return Stays(
        admission_type=admission_type,
        from_where=_origin(in_ed, histories.planned, rng),
        to_where=to_where,
        service=_service(histories, psych, rng),
        ed_in=np.where(in_ed, histories.admit - waited, -1),
        # Out of the emergency room a little after being admitted on paper, as in the records.
        ed_out=np.where(in_ed, histories.admit + np.minimum(waited // 4, length // 50), -1),
        icu_unit=np.where(in_icu, rng.choice(ICU_UNITS, N, p=[0.5, 0.3, 0.2]), ""),
        icu_in=np.where(in_icu, icu_in, -1),
        icu_out=np.where(in_icu, icu_out, -1),
    )


def choose(options: tuple[tuple[str, float], ...], size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw names by their weights. Returns str [size]."""
    names, weights = zip(*options, strict=True)
    return rng.choice(np.array(names), size, p=np.array(weights) / sum(weights))


def _admission_type(histories: Histories, psych: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    N = len(histories.k)
    observed = rng.random(N) < 1 / (1 + np.exp(-(OBSERVATION_LOG_ODDS - 0.4 * histories.severity)))
    urgent = np.where(observed & ~psych, choose(OBSERVATION_TYPES, N, rng), choose(URGENT_TYPES, N, rng))
    return np.where(histories.planned, choose(PLANNED_TYPES, N, rng), urgent)


def _origin(in_ed: np.ndarray, planned: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    elsewhere = choose(
        (("TRANSFER FROM HOSPITAL", 0.5), ("WALK-IN/SELF REFERRAL", 0.2), ("CLINIC REFERRAL", 0.2), ("PACU", 0.1)),
        len(in_ed), rng,
    )  # fmt: skip
    return np.where(in_ed, "EMERGENCY ROOM", np.where(planned, "PHYSICIAN REFERRAL", elsewhere))


def _service(histories: Histories, psych: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pick the service by what is being treated, loosely. Returns str [N]."""
    N = len(histories.k)
    service = choose((("MED", 0.66), ("SURG", 0.16), ("ORTHO", 0.08), ("NMED", 0.10)), N, rng)
    for name, concept, share in (("CMED", "heart_failure", 0.5), ("OMED", "malignancy", 0.5)):
        service = np.where(histories.on[:, COLUMN[concept]] & (rng.random(N) < share), name, service)
    return np.where(psych, "PSYCH", service)


def transfers(histories: Histories, stays: Stays) -> dict[str, np.ndarray]:
    """Lay out each stay as consecutive rows: emergency room, ward, intensive care, ward, discharge.

    Returns columns row [M] (of the encounter), eventtype, careunit, start, end (minutes; end -1 at discharge),
    sorted by row and start.
    """
    N = len(histories.k)
    ward = np.array([WARD[name] for name in stays.service.tolist()], dtype=object) if N else np.empty(0, object)
    ed, icu = stays.ed_in >= 0, stays.icu_in >= 0
    arrive = np.where(ed, stays.ed_out, histories.admit)
    parts = (
        (ed, "ED", np.full(N, "Emergency Department", object), stays.ed_in, arrive),
        (np.ones(N, bool), "admit", ward, arrive, np.where(icu, stays.icu_in, histories.discharge)),
        (icu, "transfer", stays.icu_unit.astype(object), stays.icu_in, stays.icu_out),
        (icu, "transfer", ward, stays.icu_out, histories.discharge),
        (np.ones(N, bool), "discharge", np.full(N, "", object), histories.discharge, np.full(N, -1)),
    )
    row = np.concatenate([np.flatnonzero(mask) for mask, *_ in parts])
    order = np.argsort(row, kind="stable")
    return {
        "row": row[order],
        "eventtype": np.concatenate([np.full(mask.sum(), event, object) for mask, event, *_ in parts])[order],
        "careunit": np.concatenate([unit[mask] for mask, _, unit, *_ in parts])[order],
        "start": np.concatenate([begin[mask] for mask, _, _, begin, _ in parts])[order],
        "end": np.concatenate([finish[mask] for mask, *_, finish in parts])[order],
    }


def days_to_death(histories: Histories) -> np.ndarray:
    """Day of death of each admission's patient counted from true 2008, as the registry has it; NaN if unknown. [N]."""
    outside = np.where(histories.death_days <= 365, histories.discharge // DAY + histories.death_days, np.nan)
    return np.where(histories.died, histories.discharge // DAY, outside)
