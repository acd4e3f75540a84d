"""How far labels reach into a space: each principal axis as a sparse sum of labels, read on patients who chose nothing.

A label that goes with one axis of many is found in anything, and by row folds a lasso recognises the patient: a third
of the variance of nothing. So penalties are chosen by folds of patients, and the share explained is that of others.
What labels leave is the residual, 1 − R²: what the space holds that nobody has written down, or not linearly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    bootstrap_of_sums,
    grouped_folds,
    patient_codes,
    permuted_rows,
)

# Axes are taken until they hold this share of the training patients' variance: the rest is thin and mostly noise.
VARIANCE = 0.9
# Penalties tried, as shares of the smallest one that leaves no label, in order; 1, nothing but the mean, is the first.
SHARES = (0.3, 0.1, 0.03, 0.01)
# FISTA stops where no coefficient moves by more than this share of the largest, or after so many rounds.
TOLERANCE, ROUNDS = 1e-3, 100
# Stability selection: half-samples in complementary pairs, penalties on the way to q labels, and what counts as stable.
PAIRS, PATH, STABLE = 10, tuple(np.geomspace(0.8, 0.08, 8)), 0.9


class Axes(NamedTuple):
    """Principal axes of training patients' rows, the largest first."""

    mean: np.ndarray  # [D]
    vectors: np.ndarray  # [D, Q], orthonormal
    variance: np.ndarray  # [Q], share of all variance

    def first(self, n: int) -> Axes:
        """The n largest."""
        return Axes(self.mean, self.vectors[:, :n], self.variance[:n])

    def place(self, x: np.ndarray) -> np.ndarray:
        """Coordinates [n, Q] of rows x [n, D]; 0 is the training patients' mean."""
        return (np.asarray(x, float) - self.mean) @ self.vectors


class LabelFit(NamedTuple):
    """Sparse sums of labels, one an axis."""

    coefficients: np.ndarray  # [L, Q], per unit of the label
    label_mean: np.ndarray  # [L]
    mean: np.ndarray  # [Q]
    share: np.ndarray  # [Q], the penalty chosen, of the smallest that leaves no label

    def predict(self, labels: np.ndarray) -> np.ndarray:
        """E[y | labels], [n, Q], of labels [n, L]."""
        return (np.asarray(labels, float) - self.label_mean) @ self.coefficients + self.mean


def leading_axes(x: np.ndarray, variance: float = VARIANCE) -> Axes:
    """As many principal axes of x [N, D] as hold `variance` of it; at least one."""
    mean = np.mean(x, axis=0, dtype=float)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(x, rowvar=False)))
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    share = values / max(values.sum(), 1e-300)
    n = min(len(share), int(np.searchsorted(np.cumsum(share), variance - 1e-12)) + 1)
    return Axes(mean, vectors[:, :n], share[:n])


def fit_labels(
    labels: np.ndarray, y: np.ndarray, patients: np.ndarray, folds: int, rng: np.random.Generator
) -> LabelFit:
    """Lasso of every column of y [n, Q] on labels [n, L], each with a penalty of its own, chosen by folds of patients.

    min_b ‖y − ȳ − X̃ b‖² / 2n + λ ‖b‖₁ (Tibshirani 1996), labels standardised. Penalties fall until the error on
    held-out patients rises; where none helps, the mean alone is left. Give training rows only, patients [n]. Raises
    NotComputable under `folds` patients.
    """
    parts = list(_moments(labels, y, grouped_folds(patients, folds, rng), folds))
    whole = np.sum(parts, axis=0)
    share = _choose(parts, whole, labels.shape[1])
    problem = _problem(whole, labels.shape[1])
    b = np.zeros((labels.shape[1], y.shape[1]))
    some = share < 1
    b[:, some] = problem.solve(share[some], some)
    return LabelFit(b / problem.scale[:, None], problem.label_mean, problem.mean, share)


def cross_fitted(
    labels: np.ndarray, y: np.ndarray, patients: np.ndarray, folds: int, rng: np.random.Generator
) -> np.ndarray:
    """Predictions [n, Q] of every row by a fit to other patients, its penalties chosen among those others alone."""
    fold, predicted = grouped_folds(patients, folds, rng), np.empty(y.shape)
    for f in range(folds):
        inside = fold != f
        predicted[~inside] = fit_labels(labels[inside], y[inside], patients[inside], folds, rng).predict(
            labels[~inside]
        )
    return predicted


def squares(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """What is left and what there was, float [n, 2]: ‖y − ŷ‖² and ‖y‖² of rows y [n, Q], 0 being the mean."""
    return np.column_stack([np.square(y - predicted).sum(axis=1), np.square(y).sum(axis=1)])


def explained(left: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator) -> Estimate:
    """R² = 1 − Σ ‖y − ŷ‖² / Σ ‖y‖² over all axes, each weighing what it varies; `left` [n, 2] of `squares`.

    Of patients who had no part in the fit, patients [n]. Raises NotComputable under `how.min_patients`.
    """
    return bootstrap_of_sums(_r2, left, patients, how.bootstrap, how.level, rng, how.min_patients)


def explained_more(
    one: np.ndarray, other: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """R² of one space less that of another, rows and draws shared: each of `squares` [n, 2]."""
    both = np.hstack([one, other])
    return bootstrap_of_sums(
        lambda s: _r2(s[:, :2]) - _r2(s[:, 2:]), both, patients, how.bootstrap, how.level, rng, how.min_patients
    )


def _r2(sums: np.ndarray) -> np.ndarray:
    return 1 - sums[:, 0] / sums[:, 1]


class Moved(NamedTuple):
    """Which row each row is given, [draws, n] of training and of test rows."""

    train: np.ndarray
    test: np.ndarray


def moved_rows(
    patients: np.ndarray, train: np.ndarray, test: np.ndarray, draws: int, rng: np.random.Generator
) -> Moved:
    """Rows of another patient of the same part of the cohort; patients, train, test [N], rows in order of k.

    Place in the record stays, and so does what place tells: the null of a space that knows it is a little above nought.
    """
    return Moved(*(permuted_rows(patients[part], draws, rng) for part in (train, test)))


def stable_labels(
    labels: np.ndarray, y: np.ndarray, patients: np.ndarray, rng: np.random.Generator, pairs: int = PAIRS
) -> tuple[np.ndarray, float]:
    """How often each label is among the first q that a lasso takes up, over half-samples of patients: [L, Q], and q.

    One fit's choice among correlated labels is luck; what half of the patients choose again and again is not
    (Meinshausen & Bühlmann 2010; in complementary pairs, Shah & Samworth 2013). With q = √((2π − 1) L) at most one
    label an axis is expected to pass π = STABLE by chance. labels [n, L], y [n, Q], patients [n]: training rows.
    """
    codes, n_patients = patient_codes(patients)
    L, Q = labels.shape[1], y.shape[1]
    q = np.sqrt((2 * STABLE - 1) * L)
    taken = np.zeros((L, Q))
    for _ in range(pairs):
        half = (rng.permutation(n_patients) % 2)[codes]
        for matrix in _moments(labels, y, half, 2):
            problem, best = _problem(matrix, L), np.zeros((L, Q), bool)
            b, every = np.zeros((L, Q)), np.ones(Q, bool)
            for share in PATH:
                b = problem.solve(np.full(Q, share), every, b)
                few = np.count_nonzero(b, axis=0) <= q
                best[:, few] = b[:, few] != 0
            taken += best
    return taken / (2 * pairs), float(q)


def lasso(
    gram: np.ndarray,
    with_y: np.ndarray,
    penalty: np.ndarray,
    start: np.ndarray | None = None,
    step: float | None = None,
) -> np.ndarray:
    """Coefficients [L, T] that minimise bᵀ G b / 2 − bᵀ c + λ ‖b‖₁ for T problems at once, by FISTA.

    One matrix product a round serves every axis (Beck & Teboulle 2009); coordinate descent would go through labels one
    by one. gram [L, L], with_y [L, T], penalty [T]; `start` [L, T] is where to begin, `step` at most one over the
    largest eigenvalue of gram, if it is known.
    """
    G, c, least = gram.astype(np.float32), with_y.astype(np.float32), penalty.astype(np.float32)
    rate = np.float32(step or safe_step(G))
    b = np.zeros_like(c) if start is None else start.astype(np.float32)
    ahead, t = b, 1.0
    for _ in range(ROUNDS):
        u = ahead - rate * (G @ ahead - c)
        new = np.sign(u) * np.maximum(np.abs(u) - rate * least, 0)
        moved = np.abs(new - b).max(initial=0)
        later = (1 + np.sqrt(1 + 4 * t * t)) / 2
        ahead = new + np.float32((t - 1) / later) * (new - b)
        b, t = new, later
        if moved <= TOLERANCE * np.abs(b).max(initial=0):
            break
    return b.astype(float)


def safe_step(gram: np.ndarray) -> float:
    """One over the largest eigenvalue of gram [L, L], by which a step of `lasso` never overshoots."""
    return 1 / max(float(np.linalg.eigvalsh(gram.astype(np.float32))[-1]), 1e-6)


class _Problem(NamedTuple):
    """A lasso over standardised labels."""

    gram: np.ndarray  # [L, L]
    with_y: np.ndarray  # [L, Q]
    most: np.ndarray  # [Q], the smallest penalty that leaves no label
    label_mean: np.ndarray  # [L]
    scale: np.ndarray  # [L]
    mean: np.ndarray  # [Q]
    step: float

    def solve(self, penalty: np.ndarray, which: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
        """Coefficients [L, T] of the axes `which`, bool [Q]; penalty [T], a share of the smallest that leaves none."""
        return lasso(self.gram, self.with_y[:, which], penalty * self.most[which], start, self.step)


def _moments(labels: np.ndarray, y: np.ndarray, fold: np.ndarray, folds: int) -> Iterator[np.ndarray]:
    """Products of (1, labels, y) summed over the rows of each fold: all that fits and their errors need of the rows."""
    columns = np.column_stack([np.ones(len(y)), labels, y])
    for f in range(folds):
        mine = columns[fold == f]
        yield mine.T @ mine


def _problem(moments: np.ndarray, L: int) -> _Problem:
    means = moments[0] / moments[0, 0]
    covariance = moments / moments[0, 0] - np.outer(means, means)
    scale = np.sqrt(np.diag(covariance)[1 : L + 1].clip(0))
    scale = np.where(scale > 1e-9, scale, np.inf)  # a label that is constant here explains nothing
    with_y = covariance[1 : L + 1, L + 1 :] / scale[:, None]
    gram = covariance[1 : L + 1, 1 : L + 1] / np.outer(scale, scale)
    most = np.abs(with_y).max(axis=0)
    return _Problem(gram, with_y, most, means[1 : L + 1], scale, means[L + 1 :], safe_step(gram))


def _choose(parts: list[np.ndarray], whole: np.ndarray, L: int) -> np.ndarray:
    """The penalty of each axis [Q] with the least error on held-out folds; 1 where the mean alone does best."""
    problems = [_problem(whole - part, L) for part in parts]
    Q = len(problems[0].mean)
    b = [np.zeros((L, Q)) for _ in problems]
    chosen, least = np.ones(Q), np.sum([_left(p, m, z) for p, m, z in zip(problems, parts, b, strict=True)], axis=0)
    falling = np.ones(Q, bool)
    for share in SHARES:
        for p, found in zip(problems, b, strict=True):
            found[:, falling] = p.solve(np.full(falling.sum(), share), falling, found[:, falling])
        error = np.sum([_left(p, m, z) for p, m, z in zip(problems, parts, b, strict=True)], axis=0)
        falling &= error < least
        chosen[falling], least[falling] = share, error[falling]
        if not falling.any():
            break
    return chosen


def _left(problem: _Problem, held_out: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared error [Q] of a fold by a fit to the others, from the fold's moments: (−a, −b, 1)ᵀ M (−a, −b, 1)."""
    slopes = b / problem.scale[:, None]
    a = problem.mean - problem.label_mean @ slopes
    weights = np.vstack([-a, -slopes, np.eye(b.shape[1])])  # [1 + L + Q, Q]
    return np.sum(weights * (held_out @ weights), axis=0)
