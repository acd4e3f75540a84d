"""Patient-exact inference: encounters of one patient are not independent, so patients are what gets resampled.

Two operations carry everything above: a bootstrap that draws patients (as weights on rows, or as counts on per-patient
sums) and a permutation that moves whole patients' label sequences. Each takes a statistic as a function, vectorised
over draws, so that two statistics inside one function share their draws: paired differences and family means are free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, rankdata

# Cells of one chunk of the [draws, N] weights: 8 MB stay in cache; larger chunks measured 3x slower.
CHUNK_CELLS = 1_000_000
STRATUM = 20  # patients of similar record length, among whom labels are exchanged
# A statistic that is undefined in more draws than this has no honest interval.
MAX_UNDEFINED = 0.05
NULL_COLUMNS = ("null", "null_low", "null_high", "p")  # of a table that keeps a Null

WeightedStatistic = Callable[[np.ndarray], np.ndarray]
RowsStatistic = Callable[[np.ndarray], np.ndarray]


class NotComputable(ValueError):  # noqa: N818  (a finding that a chapter renders, not a failure)
    """The rows at hand can't carry this statistic; the message says what there is and what it takes."""


class Estimate(NamedTuple):
    """A statistic with its patient-bootstrap interval."""

    value: float
    low: float
    high: float
    n_rows: int
    n_patients: int


class Null(NamedTuple):
    """What the statistic is when there is nothing to find: mean, central interval, and one-sided p of the observed."""

    value: float
    low: float
    high: float
    p: float

    def columns(self) -> dict[str, float]:
        """Spell it out for a table's row, beside an estimate's columns."""
        return dict(zip(NULL_COLUMNS, self, strict=True))

    @classmethod
    def of_columns(cls, row: pd.Series) -> Null:
        """The null that a table's row spells out."""
        return cls(*(row[name] for name in NULL_COLUMNS))


class Inference(NamedTuple):
    """How statistics are computed; the fields of `params.Statistics`, under the same names."""

    bootstrap: int = 1000
    permutations: int = 1000
    level: float = 0.95
    folds: int = 5
    min_patients: int = 20
    min_carriers: int = 5


def patient_codes(patients: np.ndarray, min_patients: int = 2) -> tuple[np.ndarray, int]:
    """Number the patients 0..B-1 per row [N]. Raises NotComputable under `min_patients` of them."""
    names, codes = np.unique(np.asarray(patients), return_inverse=True)
    if len(names) < min_patients:
        raise NotComputable(f"{len(names)} patients, {min_patients} needed")
    return codes, len(names)


def require_carriers(labels: np.ndarray, patients: np.ndarray, need: int) -> None:
    """Refuse a label [N] that too few patients carry, or too few lack: its interval would describe those few."""
    for state, name in ((True, "with"), (False, "without")):
        found = len(np.unique(np.asarray(patients)[np.asarray(labels, bool) == state]))
        if found < need:
            raise NotComputable(f"patients {name} the label: {found}, {need} needed")


def bootstrap_counts(n_patients: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each patient is drawn [draws, B]: multinomial, by counting uniform picks, faster than numpy's."""
    picks = rng.integers(0, n_patients, (draws, n_patients)) + np.arange(draws)[:, None] * n_patients
    return np.bincount(picks.ravel(), minlength=draws * n_patients).reshape(draws, n_patients).astype(float)


def bootstrap_chunks(n_patients: int, draws: int, chunk: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """`bootstrap_counts` in pieces [≤ chunk, B]: all draws of 200,000 patients at once would be gigabytes."""
    for start in range(0, draws, chunk):
        yield bootstrap_counts(n_patients, min(chunk, draws - start), rng)


def interval(values: np.ndarray, level: float) -> tuple[float, float]:
    """Percentile interval of bootstrap values [draws] (Efron 1979). Raises NotComputable if > 5 % are undefined."""
    defined = values[np.isfinite(values)]
    if len(defined) < (1 - MAX_UNDEFINED) * len(values):
        raise NotComputable(f"undefined in {len(values) - len(defined)} of {len(values)} draws of patients")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def null_of(values: np.ndarray, observed: float, level: float) -> Null:
    """Sum up draws [draws] of a statistic when there is nothing to find, beside the one observed; large is a finding.

    p = (1 + draws at least as large) / (1 + draws): never 0 (Phipson & Smyth 2010). Raises NotComputable as `interval`.
    """
    as_large = 1 + np.count_nonzero(values >= observed)
    return Null(float(np.nanmean(values)), *interval(values, level), float(as_large / (1 + len(values))))


class Drawn(NamedTuple):
    """A statistic on the rows as they are, and in draws of their patients."""

    value: float
    values: np.ndarray  # [draws]
    n_rows: int
    n_patients: int

    def estimate(self, low: float, high: float) -> Estimate:
        """The statistic with an interval that was made of the draws."""
        return Estimate(self.value, low, high, self.n_rows, self.n_patients)


def draw_patients(
    statistic: WeightedStatistic, patients: np.ndarray, draws: int, rng: np.random.Generator, min_patients: int
) -> Drawn:
    """The draws of `patient_bootstrap`, for whatever interval is made of them. Raises NotComputable as it does."""
    codes, n_patients = patient_codes(patients, min_patients)
    value = float(statistic(np.ones((1, len(codes))))[0])
    if not np.isfinite(value):
        raise NotComputable(f"undefined on these {len(codes)} rows of {n_patients} patients")
    chunk = max(1, CHUNK_CELLS // len(codes))
    values = [statistic(counts[:, codes]) for counts in bootstrap_chunks(n_patients, draws, chunk, rng)]
    return Drawn(value, np.concatenate(values), len(codes), n_patients)


def patient_sums(columns: np.ndarray, patients: np.ndarray, min_patients: int = 2) -> np.ndarray:
    """Add up columns [N, Q] by patient: [B, Q]. Raises NotComputable under `min_patients`."""
    codes, n_patients = patient_codes(patients, min_patients)
    return np.stack([np.bincount(codes, column, n_patients) for column in np.asarray(columns, float).T], axis=1)


def draw_sums(
    statistic: Callable[[np.ndarray], np.ndarray],
    columns: np.ndarray,
    patients: np.ndarray,
    draws: int,
    rng: np.random.Generator,
    min_patients: int,
) -> Drawn:
    """The draws of `bootstrap_of_sums`, for whatever interval is made of them. Raises NotComputable as it does."""
    sums = patient_sums(columns, patients, min_patients)  # [B, Q]
    chunk = max(1, CHUNK_CELLS // len(sums))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(sums.sum(axis=0, keepdims=True))[0])
        drawn = [counts @ sums for counts in bootstrap_chunks(len(sums), draws, chunk, rng)]  # each [chunk, Q]
        values = statistic(np.concatenate(drawn))
    if not np.isfinite(value):
        raise NotComputable(f"undefined on these {len(patients)} rows of {len(sums)} patients")
    return Drawn(value, values, len(patients), len(sums))


def patient_bootstrap(
    statistic: WeightedStatistic,
    patients: np.ndarray,
    draws: int,
    level: float,
    rng: np.random.Generator,
    min_patients: int = 2,
) -> Estimate:
    """Bootstrap patients, not rows: a row bootstrap takes repeats of one patient for evidence and is too narrow.

    `statistic` maps weights [draws, N] to values [draws]; weight = how often the row's patient was drawn.
    The value is the statistic at weight one. Raises NotComputable under `min_patients`, or if undefined on the rows.
    """
    drawn = draw_patients(statistic, patients, draws, rng, min_patients)
    return drawn.estimate(*interval(drawn.values, level))


def bootstrap_of_sums(
    statistic: Callable[[np.ndarray], np.ndarray],
    columns: np.ndarray,
    patients: np.ndarray,
    draws: int,
    level: float,
    rng: np.random.Generator,
    min_patients: int = 2,
) -> Estimate:
    """Exact and instant bootstrap of anything that is a function of sums over rows: means, ratios, 1 − SSE/SST, r.

    columns [N, Q] are added up per patient once; a draw is then a row of counts [draws, B] times these sums [B, Q].
    `statistic` maps sums [draws, Q] to values [draws]. Raises NotComputable like `patient_bootstrap`.
    """
    drawn = draw_sums(statistic, columns, patients, draws, rng, min_patients)
    return drawn.estimate(*interval(drawn.values, level))


def bootstrap_mean(
    x: np.ndarray, patients: np.ndarray, draws: int, level: float, rng: np.random.Generator, min_patients: int = 2
) -> Estimate:
    """The mean of x [N] over rows, with the interval of a ratio: patients with more rows weigh more, as they do."""
    columns = np.stack([x, np.ones(len(x))], axis=1)
    return bootstrap_of_sums(lambda s: s[:, 0] / s[:, 1], columns, patients, draws, level, rng, min_patients)


def bootstrap_correlation(
    x: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    draws: int,
    level: float,
    rng: np.random.Generator,
    min_patients: int = 2,
) -> Estimate:
    """Pearson r of x, y [N] from five sums a patient. Raises NotComputable if either is constant."""
    x, y = np.asarray(x, float) - np.mean(x), np.asarray(y, float) - np.mean(y)  # centred: sums stay small
    columns = np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)

    def r(s: np.ndarray) -> np.ndarray:
        n, sx, sy, sxx, syy, sxy = s.T
        return (n * sxy - sx * sy) / np.sqrt((n * sxx - sx**2) * (n * syy - sy**2))

    return bootstrap_of_sums(r, columns, patients, draws, level, rng, min_patients)


def weighted_auroc(scores: np.ndarray, labels: np.ndarray) -> WeightedStatistic:
    """Sort once, then evaluate AUROC under many weightings: the bootstrap's sort is its whole cost elsewhere.

    scores [N], labels [N] in {0, 1} -> a function of weights [draws, N] giving P(pos > neg) + P(tie)/2 [draws].
    NaN where a draw holds one class only. Raises NotComputable if the label is constant.
    """
    labels = np.asarray(labels, bool)
    positive, negative = np.flatnonzero(labels), np.flatnonzero(~labels)
    if not len(positive) or not len(negative):
        raise NotComputable(f"{len(positive)} positive and {len(negative)} negative rows, 1 of each needed")
    negative = negative[np.argsort(scores[negative], kind="stable")]
    # For each positive, how many negatives score less, and how many at most the same: their mean splits ties.
    below = np.searchsorted(scores[negative], scores[positive], "left")
    up_to = np.searchsorted(scores[negative], scores[positive], "right")

    def statistic(weights: np.ndarray) -> np.ndarray:
        beaten = np.zeros((len(weights), len(negative) + 1))  # weight of the lowest 0, 1, … negatives
        np.cumsum(weights[:, negative], axis=1, out=beaten[:, 1:])
        mine = weights[:, positive]  # [draws, positives]
        wins = (mine * (beaten[:, below] + beaten[:, up_to])).sum(axis=1) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            return wins / (mine.sum(axis=1) * beaten[:, -1])

    return statistic


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """AUROC of scores [N] for labels [N]."""
    return float(weighted_auroc(np.asarray(scores), labels)(np.ones((1, len(labels))))[0])


def auroc_difference(scores: np.ndarray, others: np.ndarray, labels: np.ndarray) -> WeightedStatistic:
    """AUROC(scores) − AUROC(others) on the same draws: two separate intervals would forget the shared rows."""
    ours, theirs = weighted_auroc(scores, labels), weighted_auroc(others, labels)
    return lambda weights: ours(weights) - theirs(weights)


def permuted_rows(patients: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Row indices [draws, N] that hand each patient another patient's sequence; permuting rows would shred sequences.

    Patients are sorted by record length (ties at random), and in each stratum of `STRATUM` neighbours they pass their
    sequence on around a random ring, so nobody keeps her own (one in twenty who did would lift the null). Row j of a
    patient gets row j of the donor, cyclically if the donor's record is shorter. So the null keeps order and
    stickiness within a patient, what depends on length and on position, and (up to the cyclic fill) prevalence;
    it breaks only who has it. Rows of a patient must stand in order of k.
    """
    codes, n_patients = patient_codes(patients)
    order = np.argsort(codes, kind="stable")
    lengths = np.bincount(codes)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    position = np.empty(len(codes), int)  # [N], 0, 1, … within each patient
    position[order] = np.arange(len(codes)) - starts[codes[order]]
    # A last stratum of fewer than STRATUM patients joins the one before it.
    stratum = np.minimum(np.arange(n_patients) // STRATUM, max(0, n_patients // STRATUM - 1))
    first, size = np.searchsorted(stratum, stratum), np.bincount(stratum)[stratum]
    successor = first + (np.arange(n_patients) - first + 1) % size
    rows = np.empty((draws, len(codes)), np.int32)
    for draw in range(draws):
        by_length = np.argsort(lengths + rng.random(n_patients))  # [B]; a fraction breaks ties
        ring = by_length[np.argsort(stratum + rng.random(n_patients))]  # strata stay in place, shuffled inside
        donor = np.empty(n_patients, int)
        donor[ring] = ring[successor]
        of_row = donor[codes]  # [N]
        rows[draw] = order[starts[of_row] + position % lengths[of_row]]
    return rows


def permutation_null(statistic: RowsStatistic, rows: np.ndarray, level: float = 0.95) -> Null:
    """The null of a label-against-score statistic over given moves of labels between patients (`permuted_rows`).

    `statistic` maps row indices [draws, N] (use labels[rows]) to values [draws]; larger means more of a finding.
    Raises NotComputable if undefined.
    """
    observed = float(statistic(np.arange(rows.shape[1])[None])[0])
    if not np.isfinite(observed):
        raise NotComputable(f"undefined on these {rows.shape[1]} rows")
    chunk = max(1, CHUNK_CELLS // rows.shape[1])
    values = np.concatenate([statistic(rows[a : a + chunk]) for a in range(0, len(rows), chunk)])
    return null_of(values, observed, level)


def patient_permutation(
    statistic: RowsStatistic, patients: np.ndarray, draws: int, rng: np.random.Generator, level: float = 0.95
) -> Null:
    """`permutation_null` over fresh moves: row permutations find a shared patient effect in unrelated things."""
    return permutation_null(statistic, permuted_rows(patients, draws, rng), level)


def permuted_auroc(scores: np.ndarray, labels: np.ndarray) -> RowsStatistic:
    """AUROC of fixed scores [N] against moved labels, by the rank-sum identity: one matrix product a chunk."""
    ranks = rankdata(scores)

    def statistic(rows: np.ndarray) -> np.ndarray:
        moved = np.asarray(labels, float)[rows]  # [draws, N]
        positives = moved.sum(axis=1)
        wins = moved @ ranks - positives * (positives + 1) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            return wins / (positives * (len(ranks) - positives))

    return statistic


def grouped_folds(patients: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold number [N], 0..folds-1, whole patients at a time: a patient in two folds lets a model recognise her.

    Patients are dealt in random order, so that folds differ by at most one patient. Raises NotComputable if B < folds.
    """
    codes, n_patients = patient_codes(patients, folds)
    return (rng.permutation(n_patients) % folds)[codes]


def q_values(p: np.ndarray) -> np.ndarray:
    """Benjamini–Hochberg q-values of a family of p [any shape]; NaN (not tested) stays NaN and is not counted."""
    p = np.asarray(p, float)
    q = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested], method="bh")
    return q
