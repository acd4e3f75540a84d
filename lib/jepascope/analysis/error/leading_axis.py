"""Does the error prefer a direction? The share of its variance on one axis, against columns that share nothing.

A count of axes has no interval. The leading axis has: chosen on training patients, it is measured on others.
"""

from __future__ import annotations

import numpy as np

from jepascope.analysis.inference.stats import Estimate, Inference, Null, bootstrap_of_sums, null_of, patient_codes


def leading_axis(e: np.ndarray) -> np.ndarray:
    """The first principal axis of e [N, D], a unit vector [D]."""
    return np.linalg.eigh(np.cov(e, rowvar=False))[1][:, -1]


def share_along(
    axis: np.ndarray, e: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """Share of e's variance along an axis [D] that was found elsewhere; isotropic e has 1 / D along any.

    e [M, D], centred here; patients [M]. Raises NotComputable under `how.min_patients`.
    """
    centred = np.asarray(e, float) - np.mean(e, axis=0)
    columns = np.stack([(centred @ axis) ** 2, np.sum(centred**2, axis=1)], axis=1)
    return bootstrap_of_sums(
        lambda s: s[:, 0] / s[:, 1], columns, patients, how.bootstrap, how.level, rng, how.min_patients
    )


def flipped_share(
    axis: np.ndarray, e: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Null:
    """`share_along` when columns have nothing to do with each other: signs flipped by patient and column.

    It keeps every column's variance and what patients put into it, so an axis along one wide column is no finding. It
    is the null of one given axis as `parallel.parallel_axes` is of their number. Arguments as there; p is one-sided.
    """
    codes, n_patients = patient_codes(patients, how.min_patients)
    centred = np.asarray(e, float) - np.mean(e, axis=0)
    total, weighted = np.sum(centred**2), centred * axis  # [M, D]
    observed = np.sum(weighted.sum(axis=1) ** 2) / total
    drawn = np.empty(how.permutations)
    for draw in range(how.permutations):
        signs = rng.integers(0, 2, (n_patients, e.shape[1]), dtype=np.int8) * 2.0 - 1
        drawn[draw] = np.sum(np.einsum("md,md->m", weighted, signs[codes]) ** 2) / total
    return null_of(drawn, float(observed), how.level)
