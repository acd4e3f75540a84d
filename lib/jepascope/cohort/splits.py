"""Patients to train, validation and test by a keyed hash, so that a growing cohort never moves a patient."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd


def uniform(subject_id: Sequence[int] | np.ndarray, key: str) -> np.ndarray:
    """Map each patient to a number in [0, 1) that depends on nothing but `key` and the id.

    A seeded shuffle would reassign everybody when one patient is added. blake2b(key, id) / 2^64 (RFC 7693).

    Args: subject_id: [B] int. Returns: [B] float64.
    """
    secret = hashlib.sha256(key.encode()).digest()
    digests = (hashlib.blake2b(str(int(s)).encode(), key=secret, digest_size=8).digest() for s in subject_id)
    # 53 bits are what a float64 holds exactly; all 64 would round up to 1.0 now and then.
    return np.array([(int.from_bytes(digest, "big") >> 11) / 2**53 for digest in digests], dtype=np.float64)


def assign(subject_id: Sequence[int] | np.ndarray, key: str, validation_share: float, test_share: float) -> np.ndarray:
    """Assign each patient to 'train', 'validation' or 'test'; shares hold in expectation, not exactly.

    Args: subject_id: [B] int; shares in [0, 1], together below 1.
    Returns: [B] str. Raises ValueError when the shares leave no one to train on.
    """
    if validation_share + test_share >= 1:
        raise ValueError(
            f"extraction.validation_share ({validation_share}) and test_share ({test_share}) leave no training "
            f"patients; together they must stay below 1"
        )
    u = uniform(subject_id, key)
    names = np.array(["test", "validation", "train"])
    return names[np.searchsorted([test_share, test_share + validation_share], u, side="right")]


def assign_era(
    anchor_year_group: Sequence[str | None] | np.ndarray, within: np.ndarray, first_test_year: int = 2017
) -> np.ndarray:
    """Assign each patient to the split by era, as a part of the hash split: a hash alone never tests on a new era.

    'train' and 'validation' are the hash split's, of groups that end before `first_test_year`; 'test' is the hash
    split's, of groups that start in it or later. Everybody else is 'unused': other parts of either side, groups that
    straddle the year, and patients without a group (None, NaN).

    So each part lies inside the same part of the hash split: nobody tests in one split and trains in the other, and
    what was fitted on the hash split's training patients (vocabulary, deciles) has seen no test patient of this one.
    A model trained on the hash split has met the new era, though, and must be trained again on 'train' here. Both
    models then face the same test patients, and their difference is the era's.

    Args: anchor_year_group: [B] '2008 - 2010'; within: [B] from `assign`. Returns: [B] str.
    Raises ValueError on a group of another form.
    """
    groups = pd.Series(np.asarray(anchor_year_group, dtype=object), dtype="string")
    years = groups.str.extract(r"^(\d{4}) ?- ?(\d{4})$").astype("Float64").to_numpy(float, na_value=np.nan)  # [B, 2]
    if (malformed := int((groups.notna() & np.isnan(years[:, 0])).sum())) > 0:
        raise ValueError(f"anchor_year_group is not like '2008 - 2010' for {malformed:,} patients; mend the column")
    before, after = years[:, 1] < first_test_year, years[:, 0] >= first_test_year  # NaN is neither
    within = np.asarray(within)
    return np.where((before & (within != "test")) | (after & (within == "test")), within, "unused")
