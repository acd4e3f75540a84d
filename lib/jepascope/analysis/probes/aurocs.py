"""AUROCs of many targets in several spaces on one set of draws: every mean and difference of them is then a sum.

A family of concepts wants a mean, a comparison of spaces wants a difference, each with an interval and a null. Drawing
patients and moving labels for each of these anew costs more than all the probes that are compared.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from jepascope.analysis.inference.stats import (
    CHUNK_CELLS,
    MAX_UNDEFINED,
    Estimate,
    Inference,
    NotComputable,
    Null,
    bootstrap_chunks,
    interval,
    null_of,
    patient_codes,
    require_carriers,
    weighted_auroc,
)


def enough_carriers(labels: np.ndarray, patients: np.ndarray, need: int) -> bool:
    """Say whether a label [N] can be a target: `require_carriers` for a family, whose others go on without it."""
    try:
        require_carriers(labels, patients, need)
    except NotComputable:
        return False
    return True


class Aurocs(NamedTuple):
    """S spaces × Q targets on the same rows."""

    value: np.ndarray  # [S, Q]; NaN without scores, and where too many draws hold one class alone
    drawn: np.ndarray  # [draws, S, Q], the same draws of patients for all
    moved: (
        np.ndarray
    )  # [1 + moves, S, Q], the same moves of labels between patients for all; none is moved in the first
    level: float
    n_rows: int
    n_patients: int

    def only(self, space: int, targets: np.ndarray | list[int]) -> np.ndarray:
        """Weights [S, Q] of the mean over some targets (numbers, or bool [Q]) in one space."""
        weights = np.zeros(self.value.shape)
        weights[space, targets] = 1
        return weights / max(1, weights.sum())

    def combined(self, weights: np.ndarray) -> tuple[Estimate, Null]:
        """Σ weights · AUROC with its interval and its null: a mean, a difference of means, or one alone.

        weights [S, Q]; where they are 0 nothing is looked at. The null hands whole patients' labels, those of all
        targets together, to other patients; p is one-sided, for large sums (Phipson & Smyth 2010). Raises NotComputable
        if nothing has a weight, or if a part is undefined on these rows or in over 5 % of the draws.
        """
        parts = weights != 0
        if not parts.any():
            raise NotComputable("0 targets, 1 needed")
        w = weights[parts]
        value, moved = float(self.value[parts] @ w), self.moved[:, parts] @ w
        if not np.isfinite(value):
            raise NotComputable(f"undefined on, or in too many draws of, these {self.n_patients} patients")
        estimate = Estimate(value, *interval(self.drawn[:, parts] @ w, self.level), self.n_rows, self.n_patients)
        return estimate, null_of(moved[1:], moved[0], self.level)


def joint_aurocs(
    scores: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    moves: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Aurocs:
    """All AUROCs in every draw of patients and every move of labels, each draw and move made once.

    Args: scores [S, N, Q], NaN where a target could not be scored in a space; labels [N, Q] bool; patients [N]; moves
    int [moves, N] of `stats.permuted_rows`. Raises NotComputable for one patient, or if a scored target's label is
    constant.
    """
    codes, n_patients = patient_codes(patients)
    S, N, Q = scores.shape
    there = [(s, q) for q in range(Q) for s in range(S) if np.isfinite(scores[s, :, q]).all()]
    statistics = [weighted_auroc(scores[s, :, q], labels[:, q]) for s, q in there]
    value, drawn = np.full((S, Q), np.nan), np.full((how.bootstrap, S, Q), np.nan)
    chunk, start = max(1, CHUNK_CELLS // N), 0
    for counts in bootstrap_chunks(n_patients, how.bootstrap, chunk, rng):
        weights = counts[:, codes]  # [≤ chunk, N]
        for (s, q), statistic in zip(there, statistics, strict=True):
            drawn[start : start + len(weights), s, q] = statistic(weights)
        start += len(weights)
    for (s, q), statistic in zip(there, statistics, strict=True):
        if np.isnan(drawn[:, s, q]).mean() <= MAX_UNDEFINED:
            value[s, q] = statistic(np.ones((1, N)))[0]
    return Aurocs(value, drawn, _moved(scores, labels, moves), how.level, N, n_patients)


def _moved(scores: np.ndarray, labels: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """AUROCs [1 + moves, S, Q] against moved labels: a target's labels are gathered once, for all spaces."""
    ranks = rankdata(scores, axis=1, nan_policy="propagate")  # [S, N, Q]
    N = len(labels)
    rows = np.vstack([np.arange(N, dtype=moves.dtype), moves])
    moved = np.empty((len(rows), scores.shape[0], scores.shape[2]))
    chunk = max(1, CHUNK_CELLS // N)
    for start in range(0, len(rows), chunk):
        here = rows[start : start + chunk]
        for q in range(scores.shape[2]):
            on = labels[:, q].astype(float)[here]  # [≤ chunk, N]
            positives = on.sum(axis=1)[:, None]
            wins = on @ ranks[:, :, q].T - positives * (positives + 1) / 2  # [≤ chunk, S]; Mann & Whitney's U
            with np.errstate(divide="ignore", invalid="ignore"):
                moved[start : start + chunk, :, q] = wins / (positives * (N - positives))
    return moved
