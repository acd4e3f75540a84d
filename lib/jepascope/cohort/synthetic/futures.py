"""Other next encounters of the same patients: the cohort lived again from its parameters, and branched at a moment.

A branch shares with what came everything that is fixed of the patient, and the time at which it came. It draws anew the
step of the state and all that the encounter leaves in the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from jepascope import params
from jepascope.cohort.synthetic import dynamics, emission, people, stays, tables, utilisation
from jepascope.cohort.synthetic.concepts import COLUMN
from jepascope.cohort.synthetic.emission import Items, Measurements
from jepascope.cohort.synthetic.people import People
from jepascope.cohort.synthetic.utilisation import DAY, DEATH, PLANNED, Histories, Present


class World(NamedTuple):
    """A planted cohort of B patients and N encounters, with what is each patient's own and in no table."""

    crowd: People
    histories: Histories
    subject_id: np.ndarray  # int64 [N]
    hadm_id: np.ndarray  # int64 [N]
    own_codes: np.ndarray  # float32 [lasting codes, B], the numbers that decide which lasting codes come back
    own_labs: np.ndarray  # float64 [labs, B], how far the patient's normal values lie from the usual


class Fixed:
    """Stands in for a generator where encounters are drawn: what is drawn once a patient is kept, or given back.

    Draws of as many numbers as there are patients are the patients' own; all others go to the generator. With `own`
    [draws, B] those are returned in turn, otherwise they are drawn and collected in `kept`.
    """

    def __init__(self, rng: np.random.Generator, patients: int, own: np.ndarray | None = None) -> None:
        self.gamma = rng.gamma
        self.kept: list[np.ndarray] = []
        self._rng, self._patients, self._own = rng, patients, own

    def random(self, size: int, dtype: type = np.float64) -> np.ndarray:
        """Uniform numbers, as Generator.random gives them."""
        return self._fixed(size) if self._plays(size) else self._keep(self._rng.random(size, dtype=dtype))

    def standard_normal(self, size: int) -> np.ndarray:
        """Normal numbers, as Generator.standard_normal gives them."""
        return self._fixed(size) if self._plays(size) else self._keep(self._rng.standard_normal(size))

    def _plays(self, size: int) -> bool:
        return self._own is not None and size == self._patients

    def _fixed(self, size: int) -> np.ndarray:
        assert self._own is not None
        self.kept.append(self._own[len(self.kept)])
        return self.kept[-1]

    def _keep(self, drawn: np.ndarray) -> np.ndarray:
        if len(drawn) == self._patients:
            self.kept.append(drawn)
        return drawn


class Shared:
    """Stands in for a generator where a list of things is written: a thing is drawn alike in every arm that has it.

    One draw for each of n encounters and each possible item; what stands at `row` (arm after arm) and `item` is given.
    """

    def __init__(self, rng: np.random.Generator, n: int, row: np.ndarray, item: np.ndarray) -> None:
        self._rng, self._at, self._shape = rng, (row % n, item), (n, int(item.max(initial=0)) + 1)

    def random(self, size: int) -> np.ndarray:
        """Uniform numbers of all things; `size` is how many they are."""
        return self._rng.random(self._shape)[self._at]

    def integers(self, low: int, high: int, size: int) -> np.ndarray:
        """Whole numbers from low to high − 1 of all things."""
        return self._rng.integers(low, high, self._shape)[self._at]


def relive(synthetic: params.Synthetic) -> World:
    """Live the cohort of these parameters again, because its tables don't say what is fixed of a patient.

    Same streams as `synthesize`, so the same world to the bit. Raises ValueError on a cohort with a leak, whose records
    don't follow from the state, and on one in which every patient has a single encounter.
    """
    if synthetic.leak != "none":
        raise ValueError(f"synthetic.leak is {synthetic.leak!r}: only records that follow from the state have futures")
    streams = [np.random.default_rng(seed) for seed in np.random.SeedSequence(synthetic.seed).spawn(7)]
    crowd = people.draw(synthetic.patients, streams[0])
    histories = utilisation.live(crowd.age, synthetic.shape_effect, streams[1])
    B, N = len(crowd.age), len(histories.k)
    if B == N:
        raise ValueError("no patient came back, so there is no next encounter: use more synthetic.patients")
    records = tables.Records(crowd, histories, streams[2])
    psych = stays.furnish(histories, streams[3]).service == "PSYCH"
    codes, labs = Fixed(streams[4], B), Fixed(streams[6], B)
    emission.diagnoses(histories.on, histories.patient, psych, cast(np.random.Generator, codes))
    emission.labs(histories.on, histories.patient, cast(np.random.Generator, labs))
    return World(crowd, histories, records.subject_id, records.hadm_id, np.stack(codes.kept), np.stack(labs.kept))


def branch(world: World, state: dynamics.State, rows: np.ndarray, rng: np.random.Generator) -> Histories:
    """Draw one more next encounter for each of n moments; repeat a row for more of its futures.

    `rows` int64 [n] are encounters that were followed by another of the same patient, `state` the planted state there.
    Given as it was: patient, time of the next admission. Whether that one was planned is drawn, unless it was a
    transfer, which the gap tells. Returns Histories of n single encounters, `patient` being 0..n-1.
    """
    past, n = world.histories, len(rows)
    last = np.append(past.patient[1:] != past.patient[:-1], True)
    if last[rows].any():
        raise ValueError("rows hold a patient's last encounter, which has no next one to draw again")
    transfer = past.admit[rows + 1] - past.discharge[rows] < DAY
    present = Present(
        patient=np.arange(n),
        state=dynamics.step(state, rng),
        admit=past.admit[rows + 1],
        planned=~transfer & (rng.random(n) < PLANNED / (1 - DEATH)),
        frailty=np.zeros(n),
        moved=np.zeros(n),
    )
    return utilisation._visit(present, 0, 0.0, rng)


def write_branches(
    root: Path, world: World, rows: np.ndarray, branches: Histories, rng: np.random.Generator
) -> np.ndarray:
    """Write branches of `branch` as MIMIC-IV's tables, each a patient of its own with one admission.

    `rows` int64 [n] as there. Returns subject_id int64 [n], ascending.
    """
    crowd, past = _crowd(world, rows, branches), world.histories
    source, patient = np.unique(past.patient[rows], return_inverse=True)  # patients of the world; [n] into them
    codes = cast(np.random.Generator, Fixed(rng, len(source), world.own_codes[:, source]))
    labs = cast(np.random.Generator, Fixed(rng, len(source), world.own_labs[:, source]))
    records, surroundings = tables.Records(crowd, branches, rng), stays.furnish(branches, rng)
    on, psych = branches.on, surroundings.service == "PSYCH"
    tables.write_patients(root, records)
    tables.write_admissions(root, records, surroundings)
    tables.write_hospital(root, records, surroundings)
    tables.write_diagnoses(root, records, emission.diagnoses(on, patient, psych, codes), emission.CODES)
    tables.write_procedures(root, records, emission.procedures(on, rng), emission.PROCEDURE_CODES)
    tables.write_prescriptions(root, records, emission.drugs(on, rng), rng)
    tables.write_labs(root, records, emission.labs(on, patient, labs), rng)
    return crowd.subject_id


def switched(state: dynamics.State, concept: str) -> dynamics.State:
    """The same patients, [B] each, with one concept turned: on where it was off, and off where it was on.

    All else of the state stays, also the hidden numbers behind the concept: turning it is doing, not seeing.
    """
    on = state.on.copy()
    on[:, COLUMN[concept]] ^= True
    return state._replace(on=on)


def revisit(world: World, state: dynamics.State, rows: np.ndarray, rng: np.random.Generator) -> Histories:
    """Let n encounters that came (`rows` int64 [n] of the world) happen again, in a `state` that is given.

    As it was: patient, time of the admission, whether it was planned. Drawn: how long it lasts and how it ends. Returns
    Histories of n single encounters, `patient` being 0..n-1.
    """
    past, n = world.histories, len(rows)
    present = Present(np.arange(n), state, past.admit[rows], past.planned[rows], np.zeros(n), np.zeros(n))
    return utilisation._visit(present, 0, 0.0, rng)


def write_arms(root: Path, world: World, rows: np.ndarray, arms: Sequence[Histories], seed: int) -> None:
    """Write A arms of the same n moments as one tree, arm after arm, each encounter a patient of its own.

    Every part of every arm begins with the same stream, so arms share what they draw, row by row: one stream for all
    would run apart as soon as one arm has a code more. `rows` int64 [n], `arms` of `branch` or `revisit`.
    """
    n = len(rows)
    source, patient = np.unique(world.histories.patient[rows], return_inverse=True)  # of the world; [n] into them
    stays_of, coded, treated, given, measured = [], [], [], [], []
    for arm in arms:
        r = [np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(5)]
        codes = cast(np.random.Generator, Fixed(r[1], len(source), world.own_codes[:, source]))
        labs = cast(np.random.Generator, Fixed(r[4], len(source), world.own_labs[:, source]))
        stays_of.append(stays.furnish(arm, r[0]))
        coded.append(emission.diagnoses(arm.on, patient, stays_of[-1].service == "PSYCH", codes))
        treated.append(emission.procedures(arm.on, r[2]))
        given.append(emission.drugs(arm.on, r[3]))
        measured.append(emission.labs(arm.on, patient, labs))
    whole = Histories(*(np.concatenate(columns) for columns in zip(*arms, strict=True)))
    whole, rng = whole._replace(patient=np.arange(len(whole.k))), np.random.default_rng(seed)
    records = tables.Records(_crowd(world, np.tile(rows, len(arms)), whole), whole, rng)
    surroundings = stays.Stays(*(np.concatenate(columns) for columns in zip(*stays_of, strict=True)))
    tables.write_patients(root, records)
    tables.write_admissions(root, records, surroundings)
    tables.write_hospital(root, records, surroundings)
    tables.write_diagnoses(root, records, Items(*_one_list(coded, n)), emission.CODES)
    tables.write_procedures(root, records, Items(*_one_list(treated, n)), emission.PROCEDURE_CODES)
    ordered, values = Items(*_one_list(given, n)), Measurements(*_one_list(measured, n))
    minutes = cast(np.random.Generator, Shared(rng, n, ordered.row, ordered.item))
    tables.write_prescriptions(root, records, ordered, minutes)
    minutes = cast(np.random.Generator, Shared(rng, n, values.row, values.item))
    tables.write_labs(root, records, values, minutes)


def _one_list(parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], n: int) -> list[np.ndarray]:
    """Columns of the lists of arms of n encounters each, one after another; the first is the row."""
    row = np.concatenate([rows + n * arm for arm, (rows, *_) in enumerate(parts)])
    return [row, *(np.concatenate(columns) for columns in list(zip(*parts, strict=True))[1:])]


def _crowd(world: World, rows: np.ndarray, branches: Histories) -> People:
    """The patients of the branches: who they were, at the age that they have by then, on the same shifted calendar."""
    patient = world.histories.patient[rows]
    first = np.searchsorted(world.histories.patient, patient)  # row of each one's first admission
    who = People(*(column[patient] for column in world.crowd))
    entered, now = (people.year(minutes, who.shift_days) for minutes in (world.histories.admit[first], branches.admit))
    return who._replace(subject_id=10_000_000 + np.arange(len(rows)), age=who.age + now - entered)
