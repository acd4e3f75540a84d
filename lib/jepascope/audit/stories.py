"""The two stories that this audit comes from, told again: an outcome filter, and a label that reads the whole record.

No clinical record is read: how many encounters so far, the gaps between them, the length of the stay.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope.analysis.inference.stats import (
    Drawn,
    Estimate,
    Inference,
    Null,
    draw_patients,
    interval,
    null_of,
    permuted_auroc,
    permuted_rows,
    require_carriers,
    weighted_auroc,
)
from jepascope.analysis.outcomes.baselines import boosted_trees

TREES, DEPTH = 100, 3
HONEST = "honest: a label per encounter"
PATIENT = "a label per patient, read at the last encounter"
FILTERED = "patients chosen by their outcome"
LENGTH = "chosen by outcome, final length visible"
PERMUTED = "honest, labels permuted"


class Setting(NamedTuple):
    """One way of putting the question, on the rows of one index."""

    name: str
    features: np.ndarray  # [N, F]
    labels: np.ndarray  # [N] in {0, 1} or NaN: not asked


class Told(NamedTuple):
    """The AUROC of one way of putting the question, and its null."""

    name: str
    estimate: Estimate
    null: Null


def plain_features(index: pd.DataFrame) -> np.ndarray:
    """k, this gap, the mean, shortest and longest gap so far, and the length of stay: [N, 6]; NaN: no gap yet."""
    gap, patient = index["gap_days"], index["subject_id"]
    so_far = gap.groupby(patient)
    columns = [index["k"], gap, so_far.cumsum() / index["k"].where(index["k"] > 0), so_far.cummin(), so_far.cummax()]
    return np.column_stack([*columns, index["los_days"]]).astype(float)


def settings(index: pd.DataFrame, label: str, rng: np.random.Generator) -> list[Setting]:
    """The same records, asked five ways. Takes an Encounters index and the name of a label per encounter.

    The outcome filter keeps patients with a return whose returns were all within 30 days or all later, which looks like
    phenotyping ("frequent returners against stable patients"), and asks after each gap whether an early return follows.
    """
    patient, honest = index["subject_id"], index[label].to_numpy(float)
    features, length = plain_features(index), patient.map(patient.value_counts()).to_numpy()
    last = index["k"].to_numpy() == length - 1
    ever = pd.Series(honest).groupby(patient.to_numpy()).transform("max").to_numpy()
    gap = index["gap_days"]
    early = (gap <= 30).where(gap.notna()).astype(float)  # of the return that opens each encounter
    alike = early.groupby(patient).transform("min") == early.groupby(patient).transform("max")
    follows = early.groupby(patient).shift(-1).fillna(0).to_numpy()
    chosen = np.where(alike & (index["k"] >= 1), follows, np.nan)
    known = np.flatnonzero(np.isfinite(honest))
    moved = honest.copy()
    moved[known] = honest[rng.permutation(known)]
    return [
        Setting(HONEST, features, honest),
        Setting(PATIENT, features, np.where(last, ever, np.nan)),
        Setting(FILTERED, features, chosen),
        Setting(LENGTH, np.column_stack([features, length]), chosen),
        Setting(PERMUTED, features, moved),
    ]


def tell(index: pd.DataFrame, label: str, how: Inference, seed: int) -> list[Told]:
    """Fit boosted trees on training patients and read test patients, for each way of asking.

    The null hands the answers of a way of asking to other test patients who were asked about as often; where each is
    asked once, at the last encounter, that keeps nothing of a record's length.
    Raises NotComputable where a way of asking leaves too few patients with, or without, the answer.
    """
    made = settings(index, label, np.random.default_rng([seed, 0]))
    return [Told(one.name, *_estimate(_scored(index, one, how), how, seed)) for one in made]


def inflation(index: pd.DataFrame, label: str, wrong: str, how: Inference, seed: int) -> tuple[Estimate, Null]:
    """AUROC of a wrong way of asking less that of the honest one, on the same draws of test patients.

    The null is the same difference when both ways' answers are handed to other patients. Raises as `tell`.
    """
    made = {one.name: one for one in settings(index, label, np.random.default_rng([seed, 0]))}
    theirs, honest = (_scored(index, made[name], how) for name in (wrong, HONEST))
    rows = np.union1d(theirs.rows, honest.rows)
    at = [np.searchsorted(rows, one.rows) for one in (theirs, honest)]
    bad, good = (weighted_auroc(one.scores, one.labels) for one in (theirs, honest))
    patients = index["subject_id"].to_numpy()[rows]
    drawn = draw_patients(
        lambda weights: bad(weights[:, at[0]]) - good(weights[:, at[1]]),
        patients,
        how.bootstrap,
        np.random.default_rng([seed, 1]),
        how.min_patients,
    )
    moved = [_moved_aurocs(one, how, np.random.default_rng([seed, 2])) for one in (theirs, honest)]
    null = null_of(moved[0] - moved[1], drawn.value, how.level)
    return drawn.estimate(*interval(drawn.values, how.level)), null


class _Scored(NamedTuple):
    """Test rows of one way of asking."""

    rows: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    patients: np.ndarray


def _scored(index: pd.DataFrame, setting: Setting, how: Inference) -> _Scored:
    split, known = index["split"].to_numpy(), np.isfinite(setting.labels)
    patients = index["subject_id"].to_numpy()
    for part in ("train", "test"):
        rows = known & (split == part)
        require_carriers(setting.labels[rows] == 1, patients[rows], how.min_carriers)
    # A sparse row's zeros are missing to the trees; these columns are dense, and NaN is what is missing.
    scores = boosted_trees(setting.features, setting.labels, split == "train", DEPTH, TREES)
    rows = np.flatnonzero(known & (split == "test"))
    return _Scored(rows, scores[rows], setting.labels[rows] == 1, patients[rows])


def _estimate(scored: _Scored, how: Inference, seed: int) -> tuple[Estimate, Null]:
    statistic = weighted_auroc(scored.scores, scored.labels)
    rng = np.random.default_rng([seed, 1])
    drawn: Drawn = draw_patients(statistic, scored.patients, how.bootstrap, rng, how.min_patients)
    moved = _moved_aurocs(scored, how, np.random.default_rng([seed, 2]))
    return drawn.estimate(*interval(drawn.values, how.level)), null_of(moved, drawn.value, how.level)


def _moved_aurocs(scored: _Scored, how: Inference, rng: np.random.Generator) -> np.ndarray:
    rows = permuted_rows(scored.patients, how.permutations, rng)
    return permuted_auroc(scored.scores, scored.labels)(rows)
