"""Which features of a dictionary go with a label, how much of what the dictionary explains they carry, and how well.

A feature goes with some label in any search over hundreds, so the search is adjusted for. To go with a label is not
to be told by it: a correlation of a tenth is beyond chance and leaves all but a hundredth. Both are measured.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.families import Family, max_t, moved_correlations
from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    bootstrap_of_sums,
    patient_codes,
    patient_sums,
    permuted_rows,
)

# Patients in whom a feature is strongest, among whom its label is counted.
TOP = 100


def search(f: np.ndarray, labels: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator) -> Family:
    """|r| of every feature f [n, F] with every label [n, L], max-T over all pairs; arrays of the family are [F, L].

    Whole patients' labels move, all together. Raises NotComputable under `how.min_patients`, or if nothing is defined.
    """
    patient_codes(patients, how.min_patients)
    signed = moved_correlations(f.astype(np.float32), labels.astype(np.float32))
    found = max_t(lambda rows: np.abs(signed(rows)), permuted_rows(patients, how.permutations, rng), how.level)
    shape = (labels.shape[1], f.shape[1])
    return Family(found.observed.reshape(shape).T, found.adjusted.reshape(shape).T, found.threshold)


def tied(adjusted: np.ndarray, level: float) -> np.ndarray:
    """Features with a label over the null, bool [F]; adjusted p [F, L], NaN where a pair was not tested."""
    return (np.nan_to_num(adjusted, nan=1.0) < 1 - level).any(axis=1)


def carried_share(
    x: np.ndarray,
    full: np.ndarray,
    part: np.ndarray,
    mean: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    """Of the variance that a dictionary explains, the share that some of its features explain alone.

    (Σ‖x − μ‖² − Σ‖x − x̂_S‖²) / (Σ‖x − μ‖² − Σ‖x − x̂‖²): x [n, D], x̂ by all features and x̂_S by those alone [n, D],
    μ [D] of training patients. Features overlap, so it may exceed one. Raises NotComputable under `how.min_patients`.
    """
    columns = np.column_stack([np.square(x - y, dtype=float).sum(axis=1) for y in (mean, part, full)])
    return bootstrap_of_sums(
        lambda s: (s[:, 0] - s[:, 1]) / (s[:, 0] - s[:, 2]),
        columns, patients, how.bootstrap, how.level, rng, how.min_patients,
    )  # fmt: skip


def best_labels(f: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The label of largest |r| for every feature, int [F]; f [n, F], labels [n, L] of training patients.

    Chosen on those on whom it is read, the best of hundreds would be flattered. 0 for a feature that is constant.
    """
    r = moved_correlations(f, labels)(np.arange(len(f))[None])[0].reshape(labels.shape[1], f.shape[1])
    return np.asarray(np.nan_to_num(np.abs(r)).argmax(axis=0))


class Precision(NamedTuple):
    """How often the patients in whom a feature is strongest have each label."""

    share: np.ndarray  # [F, L]; NaN for a feature that is on in nobody
    among: np.ndarray  # int [F], so many patients
    base: np.ndarray  # [L], at a random encounter of a random patient


def precision_at(f: np.ndarray, labels: np.ndarray, patients: np.ndarray, top: int = TOP) -> Precision:
    """Among the `top` patients in whom a feature is strongest, the share who have the label.

    A patient counts with her encounter of the largest code, f [n, F] ≥ 0, and with the label it has there, labels
    [n, L]: with rows, ten encounters of one patient would be ten hits. Never more than half of the patients, nor those
    in whom the feature is off.
    """
    codes, n_patients = patient_codes(patients)
    found, among = np.full((f.shape[1], labels.shape[1]), np.nan), np.zeros(f.shape[1], int)
    for j, code in enumerate(f.T):
        order = np.lexsort((-code, codes))
        strongest = order[np.r_[True, np.diff(codes[order]) > 0]]  # [B], one row a patient
        among[j] = min(top, max(1, n_patients // 2), np.count_nonzero(code[strongest] > 0))
        if among[j]:
            first = strongest[np.argsort(-code[strongest], kind="stable")[: among[j]]]
            found[j] = labels[first].mean(axis=0)
    base = patient_sums(labels, patients) / np.bincount(codes)[:, None]  # [B, L]
    return Precision(found, among, base.mean(axis=0))
