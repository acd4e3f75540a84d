"""Patients through the years: who comes back, when, for how long, and the exact risk of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from jepascope.cohort.synthetic import dynamics
from jepascope.cohort.synthetic.concepts import CONCEPTS

DAY = 1440  # minutes; times are minutes since the start of true 2008
WINDOW_DAYS = 4383  # true 2008 to 2019, twelve years: no admission is recorded after them
ENTRY_DAYS = 3653  # patients enter during the first ten of them
MAX_ENCOUNTERS = 24

# The hazard of the next event after a discharge is exp(eta) times a common clock whose total is F, a lognormal in days.
CLOCK_MEDIAN, CLOCK_SPREAD = 1650.0, 2.5  # days, log-scale sd
BASE_HAZARD = -0.13  # log; of a patient with no concept on
FRAILTY_SD = 0.8  # log-hazard, between patients
PLANNED, DEATH = 0.12, 0.08  # shares of the events; the rest are unplanned returns
TRANSFER = 0.013  # probability that the next stay follows within a day, whatever the state

# Movement of the concept state, in changed concepts per encounter: fixed numbers, so that no patient's risk
# depends on who else is in the cohort.
MOVEMENT_MEAN, MOVEMENT_SD, MOVEMENT_PRIOR = 1.55, 0.64, 2.0

SEVERITY_MEAN, SEVERITY_SD = 0.76, 0.64
LOS_MEDIAN, LOS_SEVERITY, LOS_NOISE = 4.9, 0.25, 0.84  # days, log-scale
DEATH_BASE, DEATH_SEVERITY = -3.2, 0.7  # log-odds of dying in hospital

RISK = np.array([concept.risk for concept in CONCEPTS])
SEVERITY = np.array([concept.severity for concept in CONCEPTS])


class Histories(NamedTuple):
    """N admissions of B patients, sorted by patient and time. Times in minutes since the start of true 2008."""

    patient: np.ndarray  # int64 [N]
    k: np.ndarray  # int64 [N]
    admit: np.ndarray  # int64 [N]
    discharge: np.ndarray  # int64 [N]
    planned: np.ndarray  # bool [N], this admission was planned
    died: np.ndarray  # bool [N], in hospital
    death_days: np.ndarray  # float [N], days from this discharge to a death outside; NaN if none before a return
    on: np.ndarray  # bool [N, C]
    latent: np.ndarray  # float32 [N, M]
    traits: np.ndarray  # float32 [N, 6]
    frailty: np.ndarray  # float [N], log-hazard
    severity: np.ndarray  # float [N], standardised
    turbulence: np.ndarray  # float [N], standardised
    risk_30d: np.ndarray  # float [N]
    observed_days: np.ndarray  # float [N], days from discharge to the end of the data

    def keep(self, rows: np.ndarray) -> Histories:
        """Keep some admissions (mask or index [N])."""
        return Histories(*(column[rows] for column in self))


class Return(NamedTuple):
    """What comes after each of B discharges."""

    days: np.ndarray  # int64 [B], calendar days to the next event; 0 for a transfer, -1 for no event
    planned: np.ndarray  # bool [B]
    death: np.ndarray  # bool [B], the event is a death outside hospital


def live(age: np.ndarray, shape_effect: float, rng: np.random.Generator) -> Histories:
    """Let B patients (`age` in years at entry, [B]) live until death, silence, 24 admissions or the end of the data.

    `shape_effect` is the log-hazard of a return per SD of turbulence. Nobody is selected by what happens to them.
    """
    B = len(age)
    present = Present(
        patient=np.arange(B),
        state=dynamics.start(age, rng),
        admit=rng.integers(DAY, ENTRY_DAYS * DAY, B),
        planned=rng.random(B) < PLANNED / (1 - DEATH),
        frailty=FRAILTY_SD * rng.standard_normal(B),
        moved=np.zeros(B),
    )
    visits = []
    for k in range(MAX_ENCOUNTERS):
        visit = _visit(present, k, shape_effect, rng)
        visits.append(visit)
        if k + 1 == MAX_ENCOUNTERS:
            break
        present = _come_back(present, visit, shape_effect, rng)
        if not len(present.patient):
            break
    merged = Histories(*(np.concatenate(columns) for columns in zip(*visits, strict=True)))
    return merged.keep(np.lexsort((merged.k, merged.patient)))


class Present(NamedTuple):
    """The B patients in hospital for their encounter k."""

    patient: np.ndarray  # int64 [B]
    state: dynamics.State
    admit: np.ndarray  # int64 [B]
    planned: np.ndarray  # bool [B]
    frailty: np.ndarray  # float [B]
    moved: np.ndarray  # float [B], concept changes so far


def _visit(present: Present, k: int, shape_effect: float, rng: np.random.Generator) -> Histories:
    """One encounter of each patient present: its length, its end, and the risk that it leaves behind."""
    state, B = present.state, len(present.patient)
    severity = (state.on @ SEVERITY - SEVERITY_MEAN) / SEVERITY_SD
    los = LOS_MEDIAN * np.exp(LOS_SEVERITY * severity + LOS_NOISE * rng.standard_normal(B))
    discharge = present.admit + (np.clip(los, 0.1, 120) * DAY).astype(np.int64)
    died = rng.random(B) < 1 / (1 + np.exp(-(DEATH_BASE + DEATH_SEVERITY * severity)))
    turbulence = turbulence_of(present.moved, k)
    risk = risk_30d(eta(state.on, present.frailty, turbulence, shape_effect))
    return Histories(
        patient=present.patient,
        k=np.full(B, k),
        admit=present.admit,
        discharge=discharge,
        planned=present.planned,
        died=died,
        death_days=np.full(B, np.nan),
        on=state.on,
        latent=state.latent,
        traits=state.traits,
        frailty=present.frailty,
        severity=severity,
        turbulence=turbulence,
        risk_30d=np.where(died | (k + 1 == MAX_ENCOUNTERS), 0.0, risk),
        observed_days=WINDOW_DAYS - discharge / DAY,
    )


def _come_back(present: Present, visit: Histories, shape_effect: float, rng: np.random.Generator) -> Present:
    """Draw who returns and when, note who dies outside in `visit.death_days`, and move the state of the returned."""
    alive = np.flatnonzero(~visit.died)
    after = returns(eta(visit.on, visit.frailty, visit.turbulence, shape_effect)[alive], rng)
    visit.death_days[alive[after.death]] = after.days[after.death]
    admit = _next_admission(visit.discharge[alive], after, rng)
    back = (after.days >= 0) & ~after.death & (admit < WINDOW_DAYS * DAY)
    rows = alive[back]
    before = present.state.take(rows)
    state = dynamics.step(before, rng)
    return Present(
        patient=present.patient[rows],
        state=state,
        admit=admit[back],
        planned=after.planned[back],
        frailty=present.frailty[rows],
        moved=present.moved[rows] + (before.on ^ state.on)[:, dynamics.MOVING].sum(axis=1),
    )


def turbulence_of(moved: np.ndarray, k: int) -> np.ndarray:
    """Standardise movement: mean changes per encounter up to k, shrunk to the usual, so that k = 0 is exactly 0.

    `moved` [B] counts concept changes (shocks and echoes aside) over encounters 1..k.
    """
    mean = (moved + MOVEMENT_PRIOR * MOVEMENT_MEAN) / (k + MOVEMENT_PRIOR)
    return (mean - MOVEMENT_MEAN) / MOVEMENT_SD


def eta(on: np.ndarray, frailty: np.ndarray, turbulence: np.ndarray, shape_effect: float) -> np.ndarray:
    """Log-hazard of the next event: concepts that matter, the patient's frailty, and the shape if it matters. [B]."""
    return BASE_HAZARD + on @ RISK + frailty + shape_effect * turbulence


def risk_30d(eta: np.ndarray) -> np.ndarray:
    """Exact P(the next event is an unplanned return, 2 to 30 calendar days after discharge), unless a transfer. [B].

    Competing events on one clock H(d) = exp(eta) F(d): P = share of unplanned x (1 - exp(-H(30))).
    """
    return (1 - PLANNED - DEATH) * -np.expm1(-np.exp(eta) * _clock(30))


def returns(eta: np.ndarray, rng: np.random.Generator) -> Return:
    """Draw what follows each discharge, from the same clock as `risk_30d`. `eta` [B]."""
    B = len(eta)
    quantile = rng.exponential(size=B) / np.exp(eta)
    # From F(d) >= quantile; day 1 is the clock's zero, so the first event is on day 2.
    days = 1 + np.ceil(CLOCK_MEDIAN * np.exp(CLOCK_SPREAD * ndtri(np.clip(quantile, 1e-12, 1 - 1e-12))))
    days = np.where(quantile >= 1, -1, np.clip(days, 2, 20 * WINDOW_DAYS)).astype(np.int64)
    cause = rng.random(B)
    transfer = rng.random(B) < TRANSFER
    return Return(
        days=np.where(transfer, 0, days),
        planned=~transfer & (cause < PLANNED),
        death=~transfer & (days >= 0) & (cause >= 1 - DEATH),
    )


def _clock(days: float) -> float:
    """F(d): the share of all hazard that lies before the end of day d."""
    return float(ndtr(np.log((days - 1) / CLOCK_MEDIAN) / CLOCK_SPREAD))


def _next_admission(discharge: np.ndarray, after: Return, rng: np.random.Generator) -> np.ndarray:
    """Minute of the next admission: any time of its calendar day, or within a day of discharge for a transfer."""
    by_day = (discharge // DAY + after.days) * DAY + rng.integers(0, DAY, len(discharge))
    return np.where(after.days == 0, discharge + rng.integers(20, DAY, len(discharge)), by_day)


def returned_30d(histories: Histories) -> np.ndarray:
    """Did an unplanned return follow within 2 to 30 calendar days: 1, 0, or NaN where nobody can say. Returns [N].

    NaN after a death in hospital, before a transfer, and where the 30 days reach beyond the end of the data.
    """
    same = np.append(histories.patient[1:] == histories.patient[:-1], False)
    days = np.append(histories.admit[1:] // DAY, 0) - histories.discharge // DAY
    returned = same & (days >= 2) & (days <= 30) & ~np.append(histories.planned[1:], False)
    unknown = histories.died | (same & (days < 2)) | (histories.observed_days <= 31)
    return np.where(unknown, np.nan, returned)
