"""What a baseline may know at discharge of encounter k: tokens so far as a sparse table, and the bare structure."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from scipy import sparse

from jepascope.cohort.encounters import Encounters

FeatureSet = Literal["clinical", "coded"]

# Billing codes: written after discharge, so a prediction made at discharge of k doesn't have those of k itself.
BILLED = ("diagnosis", "procedure", "drg")

# All other admission types are unplanned (`admission_kind` in reference.sql).
PLANNED = ("ELECTIVE", "SURGICAL SAME DAY ADMISSION", "AMBULATORY OBSERVATION")


def bag_of_codes(encounters: Encounters) -> sparse.csr_matrix:
    """Which tokens each encounter has: float32 [N, V], 1 where present."""
    shape = (len(encounters.index), len(encounters.vocabulary))
    ones = np.ones(len(encounters.tokens), dtype=np.float32)
    # A copy: where a token stands twice, `sum_duplicates` sorts and shortens the arrays it is given, in place.
    bag = sparse.csr_matrix((ones, encounters.tokens, encounters.offsets), shape=shape, copy=True)
    bag.sum_duplicates()
    bag.data[:] = 1
    return bag


def history_counts(encounters: Encounters, feature_set: FeatureSet) -> sparse.csr_matrix:
    """Lay the record up to k out as one sparse row, because counting it patient by patient takes hours.

    With `clinical`, billing codes of encounter k are left out: those of earlier encounters are known by then. With
    `coded` they are in, as if coding were done at discharge.

    Returns float32 [N, 2V]: column v counts the encounters before k with token v, column V + v says whether k has it.
    """
    now = bag_of_codes(encounters)  # [N, V]
    known = np.ones(now.shape[1], dtype=np.float32)
    if feature_set == "clinical":
        known[encounters.vocabulary["kind"].isin(BILLED)] = 0
    told = now @ sparse.diags_array(known, format="csr")
    told.eliminate_zeros()
    # One product for both blocks: the history is large, and putting two tables side by side would copy it.
    earlier = _earlier(encounters.index["k"].to_numpy())
    rows = sparse.hstack([earlier, sparse.eye_array(now.shape[0], dtype=np.float32)], format="csr")  # [N, 2N]
    return sparse.csr_matrix(rows @ sparse.block_diag([now, told], format="csr"))


def structure(index: pd.DataFrame) -> np.ndarray:
    """Say when and how long, and nothing clinical: what a claim about a patient's state has to beat.

    Takes an Encounters index of N rows. Returns float [N, 5], each known at discharge of k: k; log(1 + gap_days) and
    log(1 + los_days); log(1 + the mean of gap_days so far); whether the admission was unplanned. A gap is 0 at k = 0.
    """
    gap = index["gap_days"].fillna(0)
    so_far = gap.groupby(index["subject_id"]).cumsum() / index["k"].clip(lower=1)
    unplanned = ~index["admission_type"].isin(PLANNED)
    columns = [index["k"], np.log1p(gap), np.log1p(index["los_days"]), np.log1p(so_far), unplanned]
    return np.column_stack([np.asarray(column, dtype=float) for column in columns])


def _earlier(k: np.ndarray) -> sparse.csr_matrix:
    """Return float32 [N, N]: 1 where the column is an earlier encounter of the row's patient.

    Rows are sorted by (subject_id, k), so those of row i are the k rows before it.
    """
    k = k.astype(np.int64)
    ends = np.cumsum(k)  # [N]
    # The j-th entry of row i is column i − k + j.
    columns = np.arange(ends[-1] if len(k) else 0) + np.repeat(np.arange(len(k)) - ends, k)
    ones = np.ones(len(columns), dtype=np.float32)
    return sparse.csr_matrix((ones, columns, np.concatenate([[0], ends])), shape=(len(k), len(k)))
