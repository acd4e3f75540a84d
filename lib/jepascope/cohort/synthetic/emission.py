"""What an encounter leaves in the records: concepts, background and chance become codes, drugs, labs and procedures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.cohort.synthetic.background import (
    DRUGS,
    LABS,
    LASTING,
    PASSING,
    PROCEDURES,
    UNLABELLED_DRUGS,
    UNLABELLED_PATTERN,
)
from jepascope.cohort.synthetic.concepts import COLUMN, CONCEPTS, Chronic, Code

MIN_CODES, MAX_CODES = 2, 39
FALSE_POSITIVE = 0.01  # a concept's code or drug where the concept is off
STICKY = 0.85  # share of admissions in which a lasting code is the patient's and not the admission's
BACKGROUND = 0.8  # factor on the chances of background codes, for about 16 codes in all
MENTAL_LATER = 0.5  # power on the random order of mental codes outside the psychiatric service; 1 would be fair
PATIENT_SHARE_OF_LAB = 0.4  # of the variance of a normal value

_CONCEPT_CODES = tuple(code for concept in CONCEPTS for code in concept.codes)
CODES = (*_CONCEPT_CODES, *LASTING, *PASSING)
_CONCEPT_PROCEDURES = tuple(code for concept in CONCEPTS for code in concept.procedures)
PROCEDURE_CODES = (*_CONCEPT_PROCEDURES, *PROCEDURES)
MENTAL = np.array([code.icd10[0] == "F" for code in CODES])
DRUG_NAMES = tuple(dict.fromkeys([name for concept in CONCEPTS for name, _ in concept.drugs] + [n for n, _ in DRUGS]))


class Items(NamedTuple):
    """Things recorded in encounters, sorted by encounter and rank: M pairs of (row of the encounter, list entry)."""

    row: np.ndarray  # int64 [M]
    item: np.ndarray  # int64 [M], index into CODES, PROCEDURE_CODES, DRUG_NAMES or LABS
    rank: np.ndarray  # int64 [M], from 1 within each encounter


class Measurements(NamedTuple):
    """Laboratory values, M of them."""

    row: np.ndarray  # int64 [M]
    item: np.ndarray  # int64 [M], index into LABS
    value: np.ndarray  # float64 [M]


def diagnoses(on: np.ndarray, patient: np.ndarray, psych: np.ndarray, rng: np.random.Generator) -> Items:
    """Draw each encounter's codes, 2–39 of them, ranked at random but for the principal one.

    `on` bool [N, C] is the concept state, `patient` int [N] the patient of each row, `psych` bool [N] a stay on the
    psychiatric service: a mental code is principal there, if any is coded. Chronic and lasting codes mostly come
    back: a code that changes at every admission would make a chronic disease look episodic.
    """
    hidden, pattern = on[:, COLUMN["unlabelled"]], dict(UNLABELLED_PATTERN)
    # Some admissions are coded thoroughly, others not.
    burden = rng.gamma(3.0, 1 / 3.0, len(on)).astype(np.float32)
    row = []
    for c, concept in enumerate(CONCEPTS):
        for code in concept.codes:
            u = _uniform(patient, rng, lasting=isinstance(concept.dynamics, Chronic))
            row.append(np.flatnonzero(u < np.where(on[:, c], code.loading, FALSE_POSITIVE)))
    for code in LASTING:
        row.append(np.flatnonzero(_uniform(patient, rng, lasting=True) < code.loading * BACKGROUND * burden))
    for code in PASSING:
        chance = code.loading * BACKGROUND * burden + hidden * pattern.get(code.icd10, 0.0)
        row.append(np.flatnonzero(_uniform(patient, rng, lasting=False) < chance))
    item = np.repeat(np.arange(len(row)), [len(rows) for rows in row])
    return _rank(*_fill_bare(np.concatenate(row), item, len(on)), rng, psych)


def procedures(on: np.ndarray, rng: np.random.Generator) -> Items:
    """Draw each encounter's procedures; shapes as in `diagnoses`."""
    chances = [(c, code) for c, concept in enumerate(CONCEPTS) for code in concept.procedures]
    row = [np.flatnonzero(rng.random(len(on)) < np.where(on[:, c], code.loading, 0.002)) for c, code in chances]
    row += [np.flatnonzero(rng.random(len(on)) < code.loading) for code in PROCEDURES]
    item = [np.full(len(rows), j) for j, rows in enumerate(row)]
    return _rank(np.concatenate(row), np.concatenate(item), rng)


def drugs(on: np.ndarray, rng: np.random.Generator) -> Items:
    """Draw each encounter's drugs; shapes as in `diagnoses`."""
    keep = np.ones((len(on), len(DRUG_NAMES)), np.float32)  # probability of none, [N, drugs]
    base = dict(DRUGS)
    keep *= np.array([1 - base.get(name, FALSE_POSITIVE) for name in DRUG_NAMES], np.float32)
    column = {name: j for j, name in enumerate(DRUG_NAMES)}
    for c, concept in enumerate(CONCEPTS):
        for name, loading in concept.drugs if concept.labelled else UNLABELLED_DRUGS:
            keep[on[:, c], column[name]] *= 1 - loading
    row, item = np.nonzero(rng.random(keep.shape, dtype=np.float32) > keep)
    return _rank(row, item, rng)


def labs(on: np.ndarray, patient: np.ndarray, rng: np.random.Generator) -> Measurements:
    """Measure each encounter's labs: normal value of the patient, plus the shifts of the concepts that are on."""
    patients = int(patient.max()) + 1 if len(patient) else 0
    row, item, value = [], [], []
    for j, lab in enumerate(LABS):
        own = rng.standard_normal(patients)[patient] * np.sqrt(PATIENT_SHARE_OF_LAB)
        z = own + rng.standard_normal(len(on)) * np.sqrt(1 - PATIENT_SHARE_OF_LAB)
        measured = np.full(len(on), lab.measured)
        for c, concept in enumerate(CONCEPTS):
            for label, shift in concept.labs:
                if label == lab.label:
                    z = z + shift * on[:, c]
                    # Who has the disease is measured for it.
                    measured = np.where(on[:, c], np.maximum(measured, 0.8), measured)
        row.append(np.flatnonzero(rng.random(len(on)) < measured))
        item.append(np.full(len(row[-1]), j))
        value.append(np.maximum(lab.mean + lab.sd * z, lab.mean / 20)[row[-1]])
    return Measurements(np.concatenate(row), np.concatenate(item), np.concatenate(value))


def _uniform(patient: np.ndarray, rng: np.random.Generator, lasting: bool) -> np.ndarray:
    """Uniform numbers per encounter; a lasting code mostly uses the patient's own number. Returns float32 [N]."""
    fresh = rng.random(len(patient), dtype=np.float32)
    if not lasting or not len(patient):
        return fresh
    own = rng.random(int(patient.max()) + 1, dtype=np.float32)[patient]
    return np.where(rng.random(len(patient), dtype=np.float32) < STICKY, own, fresh)


def _rank(row: np.ndarray, item: np.ndarray, rng: np.random.Generator, psych: np.ndarray | None = None) -> Items:
    """Order the items of each encounter at random: position must not tell which concept made a code.

    With `psych` bool [N] they are diagnoses: mental ones come first on the psychiatric service and rarely elsewhere,
    and only 39 are kept, as in billing.
    """
    key = rng.random(len(row))
    if psych is not None:
        mental = MENTAL[item]
        key = np.where(mental & psych[row], key - 1, np.where(mental, key**MENTAL_LATER, key))
    order = np.lexsort((key, row))
    row, item = row[order], item[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row) + 1
    kept = rank <= MAX_CODES
    return Items(row[kept], item[kept], rank[kept])


def _fill_bare(row: np.ndarray, item: np.ndarray, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Give encounters with fewer than two codes the two commonest background codes."""
    bare = np.flatnonzero(np.bincount(row, minlength=N) < MIN_CODES)
    filler = (len(_CONCEPT_CODES), len(_CONCEPT_CODES) + len(LASTING))  # first lasting, first passing
    kept = ~np.isin(row, bare)
    return (
        np.concatenate([row[kept], np.repeat(bare, len(filler))]),
        np.concatenate([item[kept], np.tile(filler, len(bare))]).astype(np.int64),
    )


def add(items: Items, row: np.ndarray, item: np.ndarray) -> Items:
    """Append one more item to some encounters (the leaks do); `row`, `item` int64 [L], a row at most once."""
    after = np.bincount(items.row, minlength=int(row.max(initial=0)) + 1)[row] + 1
    joined = Items(*(np.concatenate(pair) for pair in zip(items, (row, item, after), strict=True)))
    order = np.lexsort((joined.rank, joined.row))
    return Items(*(column[order] for column in joined))


def code_columns(codes: tuple[Code, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the ICD-10 and ICD-9 spellings of a code list as arrays of str."""
    return np.array([code.icd10 for code in codes]), np.array([code.icd9 for code in codes])
