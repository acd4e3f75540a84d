"""Ridge-logistic fits in few dimensions, and the choice of their penalty over folds of patients."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.special import expit

MAX_NEWTON = 30
# Steps with one Hessian: what they don't settle, they don't settle fast.
MAX_CHORD = 10
TOLERANCE = 1e-5


def logistic_ridge(X: np.ndarray, y: np.ndarray, penalty: float, start: np.ndarray | None = None) -> np.ndarray:
    """Newton with step halving: D is small, so a Hessian is cheap and warm-started fits take a step or two.

    Minimises Σ log(1 + exp(−±logit)) + penalty/2 ‖w‖² over β = (w, b) [D + 1]; the last column of X [N, D + 1] is
    one and its weight b is free. y [N] in {0, 1}; a warm start saves steps and doesn't move the optimum.
    """
    beta = np.zeros(X.shape[1]) if start is None else start
    ridge = _ridge(X, penalty)

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        logit = X @ beta.astype(X.dtype)
        return float(_log_loss(logit, y).sum(dtype=float) + ridge @ beta**2 / 2), logit

    value, logit = loss(beta)
    for _ in range(MAX_NEWTON):
        p = expit(logit)  # [N]
        gradient = X.T @ (p - y) + ridge * beta
        # rootᵀ root is one symmetric product: half the work of Xᵀ diag(p (1 − p)) X.
        root = X * np.sqrt(p * (1 - p))[:, None]  # [N, D + 1]
        step = np.linalg.solve((root.T @ root).astype(float) + np.diag(ridge), gradient)
        size, (new_value, logit) = 1.0, loss(beta - step)
        while new_value > value and size > 1e-3:
            size /= 2
            new_value, logit = loss(beta - size * step)
        beta, value = beta - size * step, new_value
        if gradient @ step < TOLERANCE * value:  # convergence is quadratic: the step just taken was the last of use
            break
    return beta


def _ridge(X: np.ndarray, penalty: float) -> np.ndarray:
    # A breath of ridge on the intercept keeps the Hessian regular when all rows agree.
    return np.append(np.full(X.shape[1] - 1, penalty), 1e-6)  # [D + 1]


def _log_loss(logit: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, logit) - y * logit


def held_out_fits(
    X: np.ndarray, y: np.ndarray, penalty: float, edges: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`logistic_ridge` without each fold, β [D + 1, folds], from one pass over the rows; and which folds have a fit.

    A fold moves the optimum of all rows, `start`, by little, so its steps may keep the Hessian of `start`: that of all
    rows less that of the fold. A fold that this doesn't settle in `MAX_CHORD` steps is fitted by itself.

    X [N, D + 1] and y [N] stand fold by fold; fold f is rows edges[f] to edges[f + 1].
    """
    ridge, folds = _ridge(X, penalty), [slice(a, b) for a, b in itertools.pairwise(edges)]
    logit = X @ start.astype(X.dtype)
    p = expit(logit)
    root = X * np.sqrt(p * (1 - p))[:, None]
    parts = np.stack([root[f].T @ root[f] for f in folds]).astype(float)  # [folds, D + 1, D + 1]
    hessian = parts.sum(axis=0) - parts + np.diag(ridge)
    enough = TOLERANCE * float(_log_loss(logit, y).sum(dtype=float))
    # Without both classes there is no fit to judge; the other folds decide.
    positives = np.array([y[f].sum() for f in folds])
    rows = len(y) - np.diff(edges)
    fitted = (positives.sum() > positives) & (positives.sum() - positives < rows)
    beta, open_ = np.tile(start[:, None], len(folds)), fitted.copy()
    for _ in range(MAX_CHORD):
        residual = expit(X @ beta.astype(X.dtype)) - y[:, None]  # [N, folds]
        for number, f in enumerate(folds):
            residual[f, number] = 0
        gradient = X.T @ residual + ridge[:, None] * beta
        step = np.linalg.solve(hessian, gradient.T[:, :, None])[:, :, 0].T  # [D + 1, folds]
        beta[:, open_] -= step[:, open_]
        open_ &= ~((gradient * step).sum(axis=0) < enough)  # also open where it is not a number
        if not open_.any():
            break
    for number in np.flatnonzero(open_).tolist():
        inside = np.ones(len(y), bool)
        inside[folds[number]] = False
        beta[:, number] = logistic_ridge(X[inside], y[inside], penalty, start)
    return beta, fitted


def choose_penalty(X: np.ndarray, y: np.ndarray, fold: np.ndarray, starts: dict[float, np.ndarray]) -> float:
    """The penalty with the smallest held-out log-loss over patient-grouped folds: row folds would favour memorising.

    X [N, D + 1] standardised, fold [N], starts: penalty -> β fitted to all rows (warm starts only).
    """
    order = np.argsort(fold, kind="stable")
    X, y, names = X[order], y[order], fold[order]
    edges = np.append(np.searchsorted(names, np.unique(names)), len(names))
    loss = {}
    for penalty, start in starts.items():
        beta, fitted = held_out_fits(X, y, penalty, edges, start)
        held_out = [
            _log_loss(X[a:b] @ beta[:, f].astype(X.dtype), y[a:b]).sum(dtype=float)
            for f, (a, b) in enumerate(itertools.pairwise(edges))
            if fitted[f]
        ]
        loss[penalty] = float(np.sum(held_out))
    return min(loss, key=lambda penalty: loss[penalty])
