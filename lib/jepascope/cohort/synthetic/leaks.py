"""Cohorts that are wrong on purpose, so that the leak audit can be shown to fire. None is used for a result."""

from __future__ import annotations

from typing import Literal

import numpy as np

from jepascope.cohort.synthetic.concepts import CONCEPTS, Code
from jepascope.cohort.synthetic.utilisation import DAY, MAX_ENCOUNTERS, Histories

# Codes that no concept and no background uses; each is a category of its own in either ICD version. The ICD-9 ones are
# invented: a code that is in the equivalence maps could share its ICD-10 category with another.
LENGTH_CODES = tuple(Code(f"V{n:02d}9XXA", f"E9{n:02d}Z", 1.0) for n in range(1, MAX_ENCOUNTERS + 1))
NEXT_CODES = tuple(Code(f"V{30 + c}9XXA", f"E{840 + c}Z", 1.0) for c in range(len(CONCEPTS)))
LEAK_CODES = (*LENGTH_CODES, *NEXT_CODES)


def filter_by_outcome(histories: Histories) -> Histories:
    """Keep patients with a return whose returns were all within 30 days or all later.

    It looks like careful phenotyping ("frequent returners against stable patients") and reads the whole future:
    after it, the last gap tells the next one, and a 30-day AUROC rises far above the oracle's.
    """
    same = histories.patient[1:] == histories.patient[:-1]
    early = (histories.admit[1:] // DAY - histories.discharge[:-1] // DAY) <= 30
    patients = int(histories.patient.max()) + 1
    early_returns = np.bincount(histories.patient[1:][same & early], minlength=patients)
    late_returns = np.bincount(histories.patient[1:][same & ~early], minlength=patients)
    return histories.keep(((early_returns > 0) ^ (late_returns > 0))[histories.patient])


def leaked_codes(
    histories: Histories, leak: Literal["none", "outcome_filtered", "total_length", "next_encounter"]
) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows [M], index into LEAK_CODES [M]) of the codes that tell the future.

    `total_length` writes the patient's final number of encounters into each of them; `next_encounter` writes the
    first concept of encounter k + 1 into encounter k.
    """
    N = len(histories.k)
    if leak == "total_length":
        length = np.bincount(histories.patient)[histories.patient]
        return np.arange(N), length - 1
    if leak == "next_encounter":
        first_concept = np.where(histories.on.any(axis=1), histories.on.argmax(axis=1), -1)
        following = np.append(np.where(histories.patient[1:] == histories.patient[:-1], first_concept[1:], -1), -1)[:N]
        rows = np.flatnonzero(following >= 0)
        return rows, len(LENGTH_CODES) + following[rows]
    return np.empty(0, np.int64), np.empty(0, np.int64)
