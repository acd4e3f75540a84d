"""Does the shape of a path say more about what comes than the point it has reached?

Shape grows with length, and longer records return sooner: without length in the base model, shape "adds" where nothing
is to be found. So the base model knows the last context vector, the number of encounters, the time they span and the
last gap; and the gain is held against that of the same points walked in another order between the same two ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    Null,
    WeightedStatistic,
    auroc,
    auroc_difference,
    null_of,
    patient_bootstrap,
    permuted_rows,
    require_carriers,
    weighted_auroc,
)
from jepascope.analysis.probes.linear import PENALTIES, fit_probe, probe_scores
from jepascope.analysis.trajectories.order import straightness, turning
from jepascope.analysis.trajectories.paths import Paths, Walks, shuffled, steps, walks

SHAPE = ("mean step", "last step", "last over mean step", "length per day", "straightness", "net displacement", "turn")
LENGTH = ("k", "log k", "log span", "log last gap")
# The first k with a turn. Its one middle point can't be permuted: order may be lost from k = 3 on.
FIRST_K = 2
SHORT = 1e-6  # of the mean step: a floor under logarithms


class Trajectory(NamedTuple):
    """R paths, each up to one row: what the shape test reads of them."""

    found: Paths
    walked: Walks  # up to the R rows
    span: np.ndarray  # float [R], days from the first encounter to this one


class ShapeTest(NamedTuple):
    """AUROC on test patients of the base model M0, of M1 with the shape as well, and what of the gain is order."""

    base: Estimate
    full: Estimate
    gain: Estimate  # M1 − M0
    gain_null: Null  # the gain with the shape of another patient, the model refitted
    order: Estimate  # M1 − its mean with permuted middles
    order_null: Null  # single permuted middles − their mean


def trajectory(found: Paths, rows: np.ndarray, days: np.ndarray) -> Trajectory:
    """The paths up to rows [R], at k ≥ FIRST_K. days [N]: time of each encounter, in days from any origin.

    Raises ValueError for a row with a shorter path.
    """
    if (found.k[rows] < FIRST_K).any():
        raise ValueError(f"a row has k < {FIRST_K}: its path has no middle; leave such rows out first")
    return Trajectory(found, walks(found, rows), days[rows] - days[rows - found.k[rows]])


def length_features(k: np.ndarray, span: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Columns `LENGTH` [R, 4] of the base model: encounters before this one [R], days spanned [R], last gap [R]."""
    return np.stack([k, np.log1p(k), np.log1p(np.maximum(span, 0)), np.log1p(np.maximum(gap, 0))], axis=1)


def shape_features(path: Trajectory, walked: Walks | None = None) -> np.ndarray:
    """Columns `SHAPE` [R, 7] of each path up to its row, as it was walked, or in the order of `walked`.

    With steps v_1 … v_k: mean ‖v‖; ‖v_k‖; log ‖v_k‖ / mean ‖v‖ (late against all); log of Σ‖v‖ per day of the span;
    ‖x_k − x_0‖ / Σ‖v‖; ‖x_k − x_0‖; mean cosine between neighbouring steps. Only distances among encounters ≤ k enter.
    """
    walked = path.walked if walked is None else walked
    squared, owner = steps(path.found, walked)
    k = path.found.k[walked.rows].astype(float)  # steps of each walk
    mean = np.bincount(owner, np.sqrt(squared), len(k)) / k
    last = np.sqrt(squared[np.cumsum(k).astype(int) - 1])
    floor = SHORT * max(float(mean.mean()), SHORT)
    straight, _ = straightness(path.found, walked)
    cosines, n_turns = turning(path.found, walked)
    columns = (
        mean,
        last,
        np.log(np.maximum(last, floor) / np.maximum(mean, floor)),
        np.log(np.maximum(mean * k, floor)) - np.log1p(np.maximum(path.span, 0)),
        straight,
        straight * mean * k,
        cosines / np.maximum(n_turns, 1),
    )
    return np.stack(columns, axis=1)


def shape_test(
    base: np.ndarray,
    path: Trajectory,
    y: np.ndarray,
    patients: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    refits: int,
    how: Inference,
    rng: np.random.Generator,
) -> ShapeTest:
    """ΔAUROC = AUROC(M1) − AUROC(M0) on test patients, M0 on `base`, M1 on base and shape: a gain beyond the point.

    Both are ridge-logistic, fitted on training patients, each with a penalty from patient-grouped folds inside them.
    Shape enters M1 less what the base columns say of it linearly.
    M1 is refitted `refits` times, with the penalty it had, for each of two nulls. First, every patient gets the shape
    of another with a record of similar length: then the gain is what seven idle columns give. Second, the points
    between the first and the last encounter of each path are permuted and its shape computed anew. How far apart the
    points lie stays, and may well predict; what M1 has beyond that is due to the order of events. The vectors are
    permuted, not what the model read: a context vector still remembers the true order of its own past.

    Args: base [R, P], path of R rows, y [R] in {0, 1}, patients [R], train and test bool [R], refits ≥ 2.
    Raises NotComputable if too few patients carry or lack the label, in training or in test.
    """
    require_carriers(y[test], patients[test], how.min_carriers)
    seed = int(rng.integers(2**63))  # all models meet the same folds and draws of patients
    at, shape = y[test], shape_features(path)
    beyond = _beyond(base, train)

    def read(extra: list[np.ndarray], penalties: tuple[float, ...]) -> tuple[np.ndarray, float]:
        X = np.hstack([base, *(beyond(columns) for columns in extra)])
        probe = fit_probe(X, y, patients, train, how, np.random.default_rng(seed), penalties)
        return probe_scores(probe, X[test]), probe.penalty

    def estimate(statistic: WeightedStatistic) -> Estimate:
        draws = np.random.default_rng(seed)
        return patient_bootstrap(statistic, patients[test], how.bootstrap, how.level, draws, how.min_patients)

    short, _ = read([], PENALTIES)
    long, penalty = read([shape], PENALTIES)
    gain = estimate(auroc_difference(long, short, at))
    others = [read([shape[rows]], (penalty,))[0] for rows in _of_others(patients, train, refits, rng)]
    idle = np.array([auroc(scores, at) for scores in others]) - auroc(short, at)
    orders = (shuffled(path.walked, rng, middle=True) for _ in range(refits))
    middles = [read([shape_features(path, walked)], (penalty,))[0] for walked in orders]
    apart = np.array([auroc(scores, at) for scores in middles])
    order = estimate(_above_mean(long, middles, at))
    return ShapeTest(
        estimate(weighted_auroc(short, at)),
        estimate(weighted_auroc(long, at)),
        gain,
        null_of(idle, gain.value, how.level),
        order,
        null_of(apart - apart.mean(), order.value, how.level),
    )


def _beyond(base: np.ndarray, train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function that takes out of columns [R, S] what base [R, P] says of them, by least squares on training rows.

    A ridge holds back the base model's columns. A shape column that goes along with one of them would let it out, and
    the gain would be that of a smaller penalty.
    """
    columns = np.hstack([np.ones((len(base), 1)), base])
    solve = np.linalg.pinv(columns[train])  # [P + 1, R_train]
    return lambda shape: shape - columns @ (solve @ shape[train])


def _of_others(patients: np.ndarray, train: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Rows [draws, R] that hand each patient another's, within training and within the rest."""
    moved = np.empty((draws, len(patients)), int)
    for part in (np.flatnonzero(train), np.flatnonzero(~train)):
        moved[:, part] = part[permuted_rows(patients[part], draws, rng)]
    return moved


def _above_mean(scores: np.ndarray, others: list[np.ndarray], labels: np.ndarray) -> WeightedStatistic:
    """AUROC of scores less the mean AUROC of the others, on the same draws."""
    mine, theirs = weighted_auroc(scores, labels), [weighted_auroc(other, labels) for other in others]
    return lambda weights: mine(weights) - np.mean([each(weights) for each in theirs], axis=0)


def holds(estimate: Estimate, null: Null) -> bool:
    """Whether a gain would be claimed: its interval lies above zero and above what the null gives."""
    return estimate.low > max(0.0, null.value)
