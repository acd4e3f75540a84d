"""Who the patients are, and the calendar each of them is shifted to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.cohort.synthetic.stays import choose
from jepascope.cohort.synthetic.utilisation import DAY

# Days of four Julian years: a shift by a multiple keeps season and day of the year, as MIMIC's keeps the season.
CYCLE_DAYS = 1461
FIRST_CYCLE, LAST_CYCLE = 26, 46  # about 104 to 184 years into the future
ORIGIN = np.datetime64("2008-01-01")
RACES = (
    ("WHITE", 0.66), ("BLACK/AFRICAN AMERICAN", 0.14), ("HISPANIC/LATINO - PUERTO RICAN", 0.05), ("ASIAN", 0.04),
    ("OTHER", 0.05), ("UNKNOWN", 0.06),
)  # fmt: skip
MARITAL = (("MARRIED", 0.42), ("SINGLE", 0.37), ("WIDOWED", 0.12), ("DIVORCED", 0.09))


class People(NamedTuple):
    """B patients. Arrays [B]."""

    subject_id: np.ndarray  # int64, ascending
    age: np.ndarray  # int64, years at entry
    gender: np.ndarray  # str
    race: np.ndarray  # str
    marital: np.ndarray  # str
    insurance: np.ndarray  # str
    shift_days: np.ndarray  # int64, from true to written dates


def draw(patients: int, rng: np.random.Generator) -> People:
    """Draw B patients; nothing here but age (through geriatric liability) has an effect on what happens to them."""
    age = np.clip(rng.normal(60, 18, patients), 18, 91).astype(np.int64)
    insurance = choose((("Other", 0.72), ("Medicaid", 0.18), ("Medicare", 0.10)), patients, rng)
    return People(
        subject_id=np.sort(10_000_000 + rng.choice(10_000_000, patients, replace=False)),
        age=age,
        gender=choose((("F", 0.52), ("M", 0.48)), patients, rng),
        race=choose(RACES, patients, rng),
        marital=choose(MARITAL, patients, rng),
        insurance=np.where((age >= 65) & (rng.random(patients) < 0.75), "Medicare", insurance),
        shift_days=CYCLE_DAYS * rng.integers(FIRST_CYCLE, LAST_CYCLE + 1, patients),
    )


def year(minutes: np.ndarray, shift_days: np.ndarray | int = 0) -> np.ndarray:
    """Calendar year of minutes since true 2008, after a shift. Returns int64 of the same shape."""
    days = ORIGIN + (minutes // DAY + shift_days).astype("timedelta64[D]")
    return days.astype("datetime64[Y]").astype(np.int64) + 1970


def year_group(true_year: np.ndarray) -> np.ndarray:
    """The three-year range that MIMIC publishes in place of the true year, like "2011 - 2013". Returns str."""
    first = 2008 + (true_year - 2008) // 3 * 3
    return np.array([f"{begin} - {begin + 2}" for begin in first.tolist()], dtype=str)
