"""Patients to train, validation and test by a keyed hash, so that a growing cohort never moves a patient."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


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
