"""The error in three parts: a constant, what could have been known beforehand, and what could not.

    e = ē + (g(x) − ē) + (e − g(x))          bias, systematic, innovation

x is what was known before the encounter, g(x) = ē + W x the best linear reading of e from it. A predictor that took
all it could from its own input leaves nothing for g. Only a fit to other patients shows that: fitted to the same
rows, g finds a systematic part in noise. g is linear, so the systematic part is what a *linear* reader finds at least.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from jepascope.analysis.inference.bca import bca_of_sums
from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    Null,
    grouped_folds,
    null_of,
    permuted_rows,
)

# Ridge on standardised inputs, in units of the number of rows. The last says nothing but the mean, and exactly that: a
# reader that found nothing would otherwise leave a share of a millionth, with an interval that misses nought.
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, np.inf)
PARTS = ("bias", "systematic", "innovation")


class Parts(NamedTuple):
    """The error of M rows, taken apart; the three parts add up to e."""

    bias: np.ndarray  # [M, D], ē of the patients that the row's fit has seen: one row per fold, repeated
    systematic: np.ndarray  # [M, D], g(x) − ē
    innovation: np.ndarray  # [M, D], e − g(x)


class Reader(NamedTuple):
    """A fitted g(x) = ē + W (x − x̄); with an infinite penalty W is nought, and g has read nothing."""

    W: np.ndarray  # [P, D]
    x_mean: np.ndarray  # [P]
    bias: np.ndarray  # [D], ē of the rows it was fitted to
    penalty: float


class _Moments(NamedTuple):
    """Sums over the rows of one fold: all that a ridge fit, and its squared error, need of them."""

    n: float
    x: np.ndarray  # [P]
    e: np.ndarray  # [D]
    xx: np.ndarray  # [P, P]
    xe: np.ndarray  # [P, D]
    ee: float

    def __add__(self, other: _Moments) -> _Moments:  # type: ignore[override]
        pairs: Iterable[tuple[Any, Any]] = zip(self, other, strict=True)
        return _Moments(*(mine + theirs for mine, theirs in pairs))

    def __sub__(self, other: _Moments) -> _Moments:
        pairs: Iterable[tuple[Any, Any]] = zip(self, other, strict=True)
        return _Moments(*(mine - theirs for mine, theirs in pairs))


class _Solver(NamedTuple):
    """Cholesky factors for each penalty, and 1 / s of the inputs."""

    inverse: np.ndarray  # [P]
    factors: list[tuple[np.ndarray, bool] | None]  # None where the penalty is infinite


def decompose(e: np.ndarray, inputs: np.ndarray, patients: np.ndarray, folds: int, rng: np.random.Generator) -> Parts:
    """Take e apart by cross-fitting: each row's g is fitted to other patients, or noise would look systematic.

    Ridge regression, its penalty chosen inside those other patients by their own folds. Everything follows from sums
    over folds, so no row is read twice.

    Args: e [M, D]; inputs [M, P], what was known before (for the predictor's own failure: c_{k−1} and the gap);
    patients [M]. Raises NotComputable under max(folds, 3) patients, ValueError on values that are not finite.
    """
    fold, moments = _by_fold(e, inputs, patients, folds, rng)
    bias, systematic = np.empty(e.shape), np.empty(e.shape)
    for f in range(folds):
        outside = fold == f
        reader = _fit([m for g, m in enumerate(moments) if g != f])
        bias[outside] = reader.bias
        systematic[outside] = (inputs[outside] - reader.x_mean) @ reader.W
    return Parts(bias, systematic, e - bias - systematic)


def fit_reader(e: np.ndarray, inputs: np.ndarray, patients: np.ndarray, folds: int, rng: np.random.Generator) -> Reader:
    """Fit g to all rows given, for use on other patients: arguments and errors of `decompose`."""
    return _fit(_by_fold(e, inputs, patients, folds, rng)[1])


def decompose_with(reader: Reader, e: np.ndarray, inputs: np.ndarray) -> Parts:
    """Take e [M, D] apart with a reader fitted to other patients; inputs [M, P]."""
    systematic = (np.asarray(inputs, float) - reader.x_mean) @ reader.W
    return Parts(np.broadcast_to(reader.bias, e.shape), systematic, e - reader.bias - systematic)


def squared_errors(parts: Parts, e: np.ndarray) -> np.ndarray:
    """‖e‖², ‖e − ē‖² and ‖e − g‖² of each row, float [M, 3]: what is left by nothing, by the constant, and by g."""
    left = (e, np.asarray(e, float) - parts.bias, parts.innovation)
    return np.stack([np.square(part, dtype=float).sum(axis=1) for part in left], axis=1)


def shares(
    parts: Parts, e: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Shares of E‖e‖² by part, and R² of g, with BCa intervals by patient: sizes of fitted parts would flatter.

    What a part takes away from patients it was not fitted to is its share: bias (‖e‖² − ‖e − ē‖²) / ‖e‖², systematic
    (‖e − ē‖² − ‖e − g‖²) / ‖e‖², innovation ‖e − g‖² / ‖e‖², each a ratio of sums. They add up to one; the first two
    are negative where the fit does harm. "r2" is the systematic part's share of what the bias leaves.

    Intervals are those of new patients under the fit at hand. e [M, D], patients [M]. Raises NotComputable under
    `how.min_patients`, or if e is zero throughout.
    """
    columns = squared_errors(parts, e)
    statistics = {
        "bias": lambda s: (s[:, 0] - s[:, 1]) / s[:, 0],
        "systematic": lambda s: (s[:, 1] - s[:, 2]) / s[:, 0],
        "innovation": lambda s: s[:, 2] / s[:, 0],
        "r2": lambda s: 1 - s[:, 2] / s[:, 1],
    }
    return {
        name: bca_of_sums(statistic, columns, patients, how.bootstrap, how.level, rng, how.min_patients)
        for name, statistic in statistics.items()
    }


def share_gained(
    more: Parts, less: Parts, e: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """How much more of E‖e‖² a richer reader takes away, (‖e − g‖² − ‖e − g'‖²) / ‖e‖², paired by draw.

    e [M, D], patients [M]. Raises NotComputable as `shares` does.
    """
    columns = np.column_stack([squared_errors(less, e)[:, [0, 2]], squared_errors(more, e)[:, 2]])
    return bca_of_sums(
        lambda s: (s[:, 1] - s[:, 2]) / s[:, 0], columns, patients, how.bootstrap, how.level, rng, how.min_patients
    )


def systematic_null(
    e: np.ndarray,
    inputs: np.ndarray,
    patients: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    refits: int,
    how: Inference,
    rng: np.random.Generator,
) -> Null:
    """The systematic share of E‖e‖² when everybody's error is another patient's: g is fitted and read anew each time.

    Errors move between training and, apart, between test patients of similar record length; inputs stay. So what
    comes with position and length of the record remains in the null, and only whose error it is is broken.

    Args: e [M, D], inputs [M, P], patients [M], train and test bool [M] without a shared patient. p is that of the
    true pairing. Raises NotComputable as `decompose` does.
    """
    return _null_of_moved(np.zeros_like(e), e, [inputs], patients, (train, test), refits, how, rng)


def gained_null(
    e: np.ndarray,
    less: Parts,
    inputs: tuple[np.ndarray, np.ndarray],
    patients: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    refits: int,
    how: Inference,
    rng: np.random.Generator,
) -> Null:
    """`share_gained` when what the poorer reader leaves is another patient's: both readers are fitted and read anew.

    Moving e whole would take from the poorer reader, too, what it finds, and the gain would be that of another
    question. So its reading stays and its innovation moves (Freedman & Lane 1983).

    Args: e [M, D]; less, its parts by the poorer reader, in training by cross-fitting; inputs, those of the poorer and
    of the richer reader; the rest as for `systematic_null`.
    """
    reading = less.bias + less.systematic
    return _null_of_moved(reading, e - reading, list(inputs), patients, (train, test), refits, how, rng)


class _Refit(NamedTuple):
    """One reader's inputs, ready to be fitted to any errors of the same rows."""

    x_in: list[np.ndarray]  # of the training rows of each fold
    x_out: np.ndarray
    moments: list[_Moments]
    solvers: list[_Solver]  # moving errors leaves them as they are

    def left(self, e_in: list[np.ndarray], e_out: np.ndarray) -> np.ndarray:
        """Sums of `squared_errors` over the test rows [3], fitted to the training errors of each fold."""
        folds = zip(self.moments, e_in, self.x_in, strict=True)
        reader = _fit([_with_errors(m, e, x) for m, e, x in folds], self.solvers)
        return squared_errors(decompose_with(reader, e_out, self.x_out), e_out).sum(axis=0)


def _null_of_moved(
    stays: np.ndarray,
    moves: np.ndarray,
    readers: list[np.ndarray],
    patients: np.ndarray,
    split: tuple[np.ndarray, np.ndarray],
    refits: int,
    how: Inference,
    rng: np.random.Generator,
) -> Null:
    """What the last reader gains over the one before it (or over the constant) where a part of e moves."""
    inside, outside = (np.flatnonzero(part) for part in split)
    # In single precision a reader of nothing would differ from the constant by rounding, and p would count that.
    stays, moves = np.asarray(stays, float), np.asarray(moves, float)
    fold = grouped_folds(patients[inside], how.folds, rng)
    members = [fold == f for f in range(how.folds)]
    e = (stays + moves)[inside]
    ready = []
    for inputs in readers:
        moments = _moments(e, inputs[inside], fold, how.folds)
        x = [np.asarray(inputs[inside[rows]], float) for rows in members]
        ready.append(_Refit(x, np.asarray(inputs[outside], float), moments, _solvers(moments)))

    def share(a: np.ndarray, b: np.ndarray) -> float:
        e_in, e_out = stays[inside] + moves[inside[a]], stays[outside] + moves[outside[b]]
        left = [reader.left([e_in[rows] for rows in members], e_out) for reader in ready]  # each [3]
        without = left[0][1] if len(left) == 1 else left[0][2]
        return float((without - left[-1][2]) / left[-1][0])

    observed = share(np.arange(len(inside)), np.arange(len(outside)))
    moved = [permuted_rows(patients[at], refits, rng) for at in (inside, outside)]
    drawn = np.array([share(*rows) for rows in zip(*moved, strict=True)])
    return null_of(drawn, observed, how.level)


def blind_axes(parts: Parts, n: int) -> np.ndarray:
    """The n directions in which the systematic part moves most, unit rows [n, D]: where the predictor is blind.

    Principal axes of g(x), largest first. PCA of e itself would mix them with what nobody could have known.
    Raises ValueError if n is not between 1 and D.
    """
    D = parts.systematic.shape[1]
    if not 1 <= n <= D:
        raise ValueError(f"{n} axes of {D} dimensions: ask for 1 to {D}")
    centred = parts.systematic - parts.systematic.mean(axis=0)
    return np.linalg.eigh(centred.T @ centred)[1][:, ::-1].T[:n]


def _by_fold(
    e: np.ndarray, inputs: np.ndarray, patients: np.ndarray, folds: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[_Moments]]:
    """The fold of each row [M], and the moments of each fold."""
    if not (np.isfinite(e).all() and np.isfinite(inputs).all()):
        raise ValueError("e or inputs hold values that are not finite: leave those rows out first")
    if folds < 3:
        raise ValueError(f"{folds} folds, 3 needed: one is predicted, and the penalty is chosen between the others")
    fold = grouped_folds(patients, folds, rng)
    return fold, _moments(e, inputs, fold, folds)


def _moments(e: np.ndarray, inputs: np.ndarray, fold: np.ndarray, folds: int) -> list[_Moments]:
    e, inputs = np.asarray(e, float), np.asarray(inputs, float)
    found = []
    for f in range(folds):
        x, y = inputs[fold == f], e[fold == f]
        if not len(x):
            raise NotComputable(f"{len(inputs)} rows leave one of {folds} folds empty")
        found.append(_Moments(len(x), x.sum(axis=0), y.sum(axis=0), x.T @ x, x.T @ y, float(np.sum(y**2))))
    return found


def _with_errors(m: _Moments, e: np.ndarray, inputs: np.ndarray) -> _Moments:
    """The moments of the same inputs [n, P] with other errors [n, D]."""
    return m._replace(e=e.sum(axis=0), xe=inputs.T @ e, ee=float(np.sum(np.square(e))))


def _fit(groups: list[_Moments], solvers: list[_Solver] | None = None) -> Reader:
    """Ridge of e on x over all groups of patients, with the penalty that does best on each group left out in turn."""
    *without, whole = solvers or _solvers(groups)
    total = sum(groups[1:], groups[0])
    errors = np.zeros(len(PENALTIES))
    for group, solver in zip(groups, without, strict=True):
        errors += [_squared_error(reader, group) for reader in _readers(solver, total - group)]
    return _readers(whole, total)[int(np.argmin(errors))]


def _solvers(groups: list[_Moments]) -> list[_Solver]:
    """Factors for the rows without each group in turn, then for all: they don't depend on e."""
    total = sum(groups[1:], groups[0])
    return [_solver(total - group) for group in groups] + [_solver(total)]


def _solver(m: _Moments) -> _Solver:
    """(R + λ I) for each penalty λ, R = s⁻¹ Cov(x) s⁻¹ being the correlations of x."""
    covariance = m.xx / m.n - np.outer(m.x, m.x) / m.n**2
    scale = np.sqrt(np.clip(np.diag(covariance), 0, None))
    # A constant input says nothing; its scale must not blow up what rounding left of it.
    inverse = np.where(scale > 1e-6, 1 / np.maximum(scale, 1e-6), 0.0)
    R, identity = covariance * np.outer(inverse, inverse), np.eye(len(scale))
    factors = [cho_factor(R + penalty * identity) if np.isfinite(penalty) else None for penalty in PENALTIES]
    return _Solver(inverse, factors)


def _readers(solver: _Solver, m: _Moments) -> list[Reader]:
    """A fit for each penalty: W = s⁻¹ (R + λ I)⁻¹ s⁻¹ Cov(x, e)."""
    x_mean, e_mean = m.x / m.n, m.e / m.n
    toward = solver.inverse[:, None] * (m.xe / m.n - np.outer(x_mean, e_mean))  # [P, D]
    weights = [
        np.zeros_like(toward) if factor is None else solver.inverse[:, None] * cho_solve(factor, toward)
        for factor in solver.factors
    ]
    return [Reader(W, x_mean, e_mean, penalty) for W, penalty in zip(weights, PENALTIES, strict=True)]


def _squared_error(reader: Reader, m: _Moments) -> float:
    """Σ ‖e − g(x)‖² over the rows behind the moments, g(x) = b + Wᵀ x with b = ē − Wᵀ x̄."""
    W, b = reader.W, reader.bias - reader.x_mean @ reader.W
    fitted = np.sum(W * (m.xx @ W)) + 2 * b @ (m.x @ W) + m.n * b @ b  # Σ ‖g‖²
    return float(m.ee - 2 * (np.sum(W * m.xe) + b @ m.e) + fitted)
