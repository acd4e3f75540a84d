"""Displacement as a detector: are steps longer when something begins, and in patients in whom more changes?

A published ratio of mean lengths says that one group of steps is longer. Whether a step's length *tells* anything
is an AUROC, and whose steps they are is settled by moving what began from patient to patient.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    Null,
    auroc_difference,
    bootstrap_correlation,
    patient_bootstrap,
    permutation_null,
    permuted_auroc,
    permuted_rows,
    require_carriers,
    weighted_auroc,
)


class Told(NamedTuple):
    """One statistic and its null."""

    estimate: Estimate
    null: Null


def onsets(states: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Concepts that are on at a row and were off at the patient's row before it, bool [M, C].

    states bool [N, C]; rows int [M], each with its patient's row before it just above.
    """
    return states[rows] & ~states[rows - 1]


def changes(states: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """How many concepts came or went with each step into `rows`, int [M]."""
    return (states[rows] != states[rows - 1]).sum(axis=1)


def onset_auroc(
    length: np.ndarray, begun: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Told:
    """AUROC of a step's length [M] for whether something began with it, bool [M], and with onsets of another patient.

    Raises NotComputable under `how.min_carriers` patients with, or without, an onset.
    """
    require_carriers(begun, patients, how.min_carriers)
    common = (patients, how.bootstrap, how.level, rng, how.min_patients)
    estimate = patient_bootstrap(weighted_auroc(length, begun), *common)
    moves = permuted_rows(patients, how.permutations, rng)
    return Told(estimate, permutation_null(permuted_auroc(length, begun), moves, how.level))


def onset_gain(
    length: np.ndarray,
    other: np.ndarray,
    begun: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Told:
    """How much better one length [M] tells onsets than another does (AUROC), paired. Raises as `onset_auroc`."""
    require_carriers(begun, patients, how.min_carriers)
    common = (patients, how.bootstrap, how.level, rng, how.min_patients)
    estimate = patient_bootstrap(auroc_difference(length, other, begun), *common)
    ours, theirs = permuted_auroc(length, begun), permuted_auroc(other, begun)
    moves = permuted_rows(patients, how.permutations, rng)
    return Told(estimate, permutation_null(lambda rows: ours(rows) - theirs(rows), moves, how.level))


def of_patients(x: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Each patient's mean of x [M], in order of their identifiers [B]."""
    _, codes = np.unique(patients, return_inverse=True)
    return np.bincount(codes, x) / np.bincount(codes)


def turbulence_correlation(
    length: np.ndarray, changed: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Told:
    """Over patients, r of the mean step with the mean number of changes a step: one point a patient.

    length, changed [M], patients [M]. The null gives each patient another's changes. Raises NotComputable.
    """
    x, y = of_patients(length, patients), of_patients(changed, patients)
    names = np.unique(patients)
    estimate = bootstrap_correlation(x, y, names, how.bootstrap, how.level, rng, how.min_patients)
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    moves = permuted_rows(names, how.permutations, rng)
    return Told(estimate, permutation_null(lambda rows: (y[rows] @ x) / len(x), moves, how.level))
