"""Which of z's features does a prediction have words for? AUROCs of many features, in one bootstrap of patients.

A feature of z is on or off at an encounter. A prediction has a word for it when its own reading of that feature, made
before the encounter, ranks the encounters at which it comes on above the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from jepascope.analysis.inference.families import Family, max_t
from jepascope.analysis.inference.stats import (
    Drawn,
    Inference,
    Null,
    RowsStatistic,
    bootstrap_counts,
    patient_codes,
    permutation_null,
)


class Ranked(NamedTuple):
    """AUROCs of F features by P predictions, as they are and in shared draws of patients."""

    names: tuple[str, ...]  # P predictions
    value: np.ndarray  # [P, F]
    values: np.ndarray  # float32 [P, draws, F]
    n_rows: int
    n_patients: int

    def of(self, name: str) -> Drawn:
        """Mean AUROC of one prediction over the features."""
        at = self.names.index(name)
        return Drawn(float(self.value[at].mean()), self.values[at].mean(axis=1), self.n_rows, self.n_patients)


def ranked(
    scores: Mapping[str, np.ndarray], on: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Ranked:
    """AUROC of each feature by each prediction; bootstrapping hundreds by sorted sums would take a minute.

    To first order AUROC is a mean over the rows that are on of V₁ (the share of off rows that score less, ties half)
    and over the off rows of V₀ (the share of on rows that score more). A draw of patients moves it by the changes of
    these two means, A + Σ m (V₁ − A) / Σ m + Σ m (V₀ − A) / Σ m, each over its own rows: sums per patient (placements
    of DeLong et al. 1988, clustered as in Obuchowski 1997). What is left out is of order one over patients.

    Args: scores: name -> [N, F]; on bool [N, F], no column constant; patients [N]. Raises NotComputable under
    `how.min_patients`; ValueError if a column of `on` is constant.
    """
    on = np.asarray(on, bool)
    if (on.all(axis=0) | ~on.any(axis=0)).any():
        raise ValueError("a feature is always or never on: leave it out, its AUROC is not defined")
    codes, B = patient_codes(patients, how.min_patients)
    counts = bootstrap_counts(B, how.bootstrap, rng).astype(np.float32)
    members = [counts @ _by_patient(part, codes, B) for part in (on, ~on)]  # [draws, F] each
    value, values = np.empty((len(scores), on.shape[1])), []
    for at, score in enumerate(scores.values()):
        above, below = _placements(score, on)
        value[at] = (above * on).sum(axis=0) / on.sum(axis=0)
        moved = np.full((how.bootstrap, on.shape[1]), value[at], np.float32)
        for placement, part, weight in ((above, on, members[0]), (below, ~on, members[1])):
            moved += (counts @ _by_patient((placement - value[at]) * part, codes, B)) / np.maximum(weight, 1)
        values.append(moved)
    return Ranked(tuple(scores), value, np.stack(values), len(codes), B)


def _by_patient(columns: np.ndarray, codes: np.ndarray, B: int) -> np.ndarray:
    """Sums per patient, float32 [B, F]."""
    return np.stack([np.bincount(codes, column, B) for column in columns.T], axis=1).astype(np.float32)


def _placements(scores: np.ndarray, on: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """V₁ and V₀ of every row and feature [N, F], from ranks among all rows and among its own kind."""
    overall = rankdata(scores, axis=0)
    own = np.empty_like(overall)
    for f in range(on.shape[1]):
        for kind in (on[:, f], ~on[:, f]):
            own[kind, f] = rankdata(scores[kind, f])
    others = np.where(on, (~on).sum(axis=0), on.sum(axis=0))  # rows of the other kind
    less = (overall - own) / others  # share of the other kind that scores less, ties half
    return less, 1 - less


def moved_ranks(scores: Mapping[str, np.ndarray], on: np.ndarray) -> RowsStatistic:
    """AUROCs against features handed to other patients, in standard errors of independent rows: one scale for max-T.

    z = (A − 1/2) / √((N + 1) / (12 n₁ n₀)). All predictions meet the same moves, so labels are gathered once for all.
    Args as in `ranked`. Returns a function of rows [draws, N] giving [draws, P · F], prediction by prediction.
    """
    on = np.asarray(on, np.float32)
    N = len(on)
    # Centred ranks: their sum over the rows that are on is n₁ n₀ (A − 1/2), without a large number to subtract.
    ranks = [(rankdata(score, axis=0) - (N + 1) / 2).astype(np.float32) for score in scores.values()]  # P of [N, F]

    def statistic(rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), len(ranks), on.shape[1]))
        for draw, move in enumerate(rows):
            moved = on[move]  # [N, F]
            n = moved.sum(axis=0)
            with np.errstate(divide="ignore", invalid="ignore"):
                found[draw] = [np.einsum("nf,nf->f", moved, r) for r in ranks] / np.sqrt(n * (N - n) * (N + 1) / 12)
        return found.reshape(len(rows), -1)

    return statistic


def heard(scores: Mapping[str, np.ndarray], on: np.ndarray, rows: np.ndarray, level: float) -> Family:
    """Which features a prediction has a word for: max-T over all features and all predictions together.

    Patients hand their features to others of like record length (`stats.permuted_rows`, rows [draws, N]). Results are
    [P · F], prediction by prediction. Raises NotComputable as `families.max_t` does.
    """
    return max_t(moved_ranks(scores, on), rows, level)


def threshold_aurocs(on: np.ndarray, threshold: float) -> np.ndarray:
    """A threshold of `heard`, as an AUROC for each feature [F]: rare features need a higher one. on bool [N, F]."""
    n, N = on.sum(axis=0), len(on)
    return 0.5 + threshold * np.sqrt((N + 1) / (12 * n * (N - n)))


def mean_null(scores: np.ndarray, on: np.ndarray, rows: np.ndarray, level: float) -> Null:
    """Mean AUROC of scores [N, F] over features, were the features on [N, F] another patient's; rows [draws, N]."""
    statistic, scale = moved_ranks({"": scores}, on), threshold_aurocs(on, 1.0) - 0.5
    return permutation_null(lambda moves: 0.5 + (statistic(moves) * scale).mean(axis=1), rows, level)


def auroc_gains(ours: np.ndarray, theirs: np.ndarray, on: np.ndarray) -> np.ndarray:
    """By row and feature [N, F]: what it adds to the AUROC of ours less that of theirs; sums over rows are differences.

    To first order, as in `ranked`: with δ the difference, a row that is on adds (V₁ − V₁′ − δ / 2) / n₁, one that is
    off (V₀ − V₀′ − δ / 2) / n₀. Placements are shares, so either prediction's could stand for the other's. For
    `exchange.exchanged`; args [N, F] each, no column of `on` constant.
    """
    on = np.asarray(on, bool)
    (above, below), (above_theirs, below_theirs) = (_placements(score, on) for score in (ours, theirs))
    moved, n = np.where(on, above - above_theirs, below - below_theirs), np.where(on, on.sum(axis=0), (~on).sum(axis=0))
    difference = (moved / n).sum(axis=0) / 2  # both kinds of rows have δ for their mean
    return (moved - difference / 2) / n
