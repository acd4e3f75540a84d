"""How features go with labels that others gave: correlation and AUROC of every pair, adjusted for having looked at all.

MedSAE reads features by their best label. The best of a search is good in nothing, too, so the search is what is
adjusted; and a feature that goes with no label is reported as such.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from jepascope.analysis.inference.families import max_t, moved_correlations
from jepascope.analysis.inference.stats import (
    CHUNK_CELLS,
    Inference,
    bootstrap_chunks,
    patient_codes,
    patient_sums,
    permuted_rows,
)


class Ties(NamedTuple):
    """Every feature with every label, [F, L]."""

    r: np.ndarray  # Pearson correlation of the code with the label; NaN where either is constant
    r_low: np.ndarray
    r_high: np.ndarray
    auroc: np.ndarray  # of the code as a score for the label
    adjusted: np.ndarray  # two-sided p of r, max-T over all pairs


def ties(f: np.ndarray, labels: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator) -> Ties:
    """Correlate codes f [N, F] with labels [N, L] of 0 and 1; patients [N], rows of each in order of k.

    Intervals by draws of patients, p by moving whole patients' labels, all labels together (Westfall & Young 1993).
    Raises NotComputable under `how.min_patients`, or if no pair can be computed.
    """
    patient_codes(patients, how.min_patients)
    F, L = f.shape[1], labels.shape[1]
    f, y = f.astype(np.float32), np.asarray(labels, np.float32)
    r, low, high = _intervals(f, y, patients, how, rng)
    rows = permuted_rows(patients, how.permutations, rng)
    signed = moved_correlations(f, y)
    adjusted = max_t(lambda moved: np.abs(signed(moved)), rows, how.level).adjusted.reshape(L, F).T
    return Ties(r, low, high, _aurocs(f, y), adjusted)


def _intervals(
    f: np.ndarray, y: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """r [F, L] and its patient-bootstrap interval, label by label so that memory stays small."""
    x = np.asarray(f, float) - f.mean(axis=0)  # centred: sums stay small
    ones = np.ones((len(x), 1))
    shared = patient_sums(np.concatenate([ones, x, x * x], axis=1), patients)  # [B, 1 + 2 F]
    counts = np.concatenate(
        list(bootstrap_chunks(len(shared), how.bootstrap, max(1, CHUNK_CELLS // len(shared)), rng))
    ).astype(np.float32)  # [draws, B]
    drawn = counts @ shared.astype(np.float32)
    found = []
    for label in np.asarray(y, float).T:
        own = patient_sums(np.concatenate([label[:, None], x * label[:, None]], axis=1), patients)
        value = _r(shared.sum(axis=0)[None], own.sum(axis=0)[None])[0]
        values = _r(drawn, counts @ own.astype(np.float32))  # [draws, F]
        tails = [(1 - how.level) / 2, (1 + how.level) / 2]
        found.append(np.stack([value, *np.nanquantile(np.where(np.isnan(value), 0, values), tails, axis=0)]))
    r, low, high = np.moveaxis(np.stack(found), 0, 2)  # each [F, L]
    return r, low, high


def _r(shared: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Pearson r [draws, F] of sums: rows, x, x² beside Σy, Σxy; y is 0 or 1, so Σy² = Σy."""
    F = own.shape[1] - 1
    n, sx, sxx = shared[:, :1], shared[:, 1 : F + 1], shared[:, F + 1 :]
    sy, sxy = own[:, :1], own[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return (n * sxy - sx * sy) / np.sqrt((n * sxx - sx**2) * (n * sy - sy**2))


def _aurocs(f: np.ndarray, y: np.ndarray) -> np.ndarray:
    """AUROC [F, L] of every pair by rank sums: one sort a feature serves all labels. NaN for a constant label."""
    ranks = rankdata(f, axis=0)  # [N, F]
    positives = y.sum(axis=0).astype(float)  # [L]
    wins = ranks.T @ y.astype(float) - positives * (positives + 1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return wins / (positives * (len(f) - positives))
