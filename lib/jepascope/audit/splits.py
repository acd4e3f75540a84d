"""T4: no patient, and no encounter under whatever name, lies on both sides of a split."""

from __future__ import annotations

import hashlib

import numpy as np

from jepascope.audit.findings import Finding, judge
from jepascope.cohort.encounters import Encounters

CONTENT = ("admittime", "dischtime", "age", "gap_days", "los_days")


def splits_share_nothing(cohort: Encounters) -> list[Finding]:
    """Look for shared patients by id, and for shared encounters by what they hold.

    Rows that were copied before the split have new ids and old content: tokens, times, age. Two people with the same
    tokens admitted and discharged at the same second are not expected.
    """
    index = cohort.index
    parts = index.groupby("subject_id")["split"].nunique()
    shared = int((parts > 1).sum())
    about = f"{len(parts):,} patients in {index['split'].nunique()} parts, {shared:,} in more than one"
    hashes = content_hashes(cohort)
    _, rows = np.unique(hashes, return_inverse=True)
    split = np.unique(index["split"], return_inverse=True)[1]
    seen = np.zeros((rows.max() + 1, split.max() + 1), bool)
    seen[rows, split] = True
    twice = int((seen.sum(axis=1) > 1).sum())
    told = f"{len(seen):,} different contents of {len(index):,} encounters, {twice:,} in more than one part"
    return [
        judge("T4", "patients", shared, 0, about, len(index), len(parts)),
        judge("T4", "encounters, by content", twice, 0, told, len(index), len(parts)),
    ]


def content_hashes(cohort: Encounters) -> np.ndarray:
    """Hash each encounter's tokens, times and age, [N] str; ids are left out."""
    columns = [cohort.index[name].to_numpy() for name in CONTENT]
    numbers = [column.astype("datetime64[s]").astype(float) if column.dtype.kind == "M" else column.astype(float)
               for column in columns]  # fmt: skip
    table = np.column_stack(numbers)  # [N, 5]
    tokens, offsets = np.ascontiguousarray(cohort.tokens), cohort.offsets
    return np.array([
        hashlib.blake2b(tokens[start:end].tobytes() + row.tobytes(), digest_size=16).hexdigest()
        for start, end, row in zip(offsets[:-1], offsets[1:], table, strict=True)
    ])  # fmt: skip
