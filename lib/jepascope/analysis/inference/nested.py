"""Nested cross-validation over patients: a setting chosen on the rows that are scored has seen their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import NotComputable, grouped_folds

# Features [n, F] -> predictions [n].
Predictor = Callable[[np.ndarray], np.ndarray]
# (X [n, F], y [n], setting) -> predictor; it is never given a row that it is scored on.
Fit = Callable[[np.ndarray, np.ndarray, Any], Predictor]
# (y [n], predicted [n]) -> larger is better.
Score = Callable[[np.ndarray, np.ndarray], float]


class Nested(NamedTuple):
    """Predictions of patients that neither the fit nor the choice of its setting has seen."""

    predicted: np.ndarray  # [N], out of fold
    chosen: tuple[Any, ...]  # [folds], the setting that each outer fold chose inside
    fold: np.ndarray  # int [N], the outer fold a row was held out in


def choose_setting(
    X: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    settings: Sequence[Any],
    fit: Fit,
    score: Score,
    folds: int,
    rng: np.random.Generator,
) -> Any:
    """The setting with the best mean score over held-out patients; ties go to the earlier one.

    X [N, F], y [N], patients [N]. A fold whose score is undefined (NaN) for a setting doesn't count for it. Raises
    NotComputable under `folds` patients, or if every score of every setting is undefined.
    """
    fold = grouped_folds(patients, folds, rng)
    scores = np.full((len(settings), folds), np.nan)
    for f in range(folds):
        inside, outside = fold != f, fold == f
        for s, setting in enumerate(settings):
            scores[s, f] = score(y[outside], fit(X[inside], y[inside], setting)(X[outside]))
    defined = np.isfinite(scores)
    if not defined.any():
        raise NotComputable(f"no score is defined for {len(settings)} settings in {folds} folds of patients")
    means = np.where(defined, scores, 0).sum(axis=1) / np.maximum(defined.sum(axis=1), 1)
    return settings[int(np.argmax(np.where(defined.any(axis=1), means, -np.inf)))]


def nested_cv(
    X: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    settings: Sequence[Any],
    fit: Fit,
    score: Score,
    folds: int,
    rng: np.random.Generator,
) -> Nested:
    """Predict every row from other patients, with a setting chosen among those others alone.

    Row folds let a model recognise the patient: on structureless data with a patient effect they report an R² of a
    third. Choosing the setting by the outer folds' own scores flatters again (Varma & Simon 2006, BMC Bioinformatics
    7:91). So each outer fold of patients is predicted by a fit to the rest, whose setting was chosen by folds of
    patients inside the rest. Costs folds · (settings · folds + 1) fits; with one setting there is nothing to choose.

    Args: X [N, F], y [N], patients [N]; settings in order of preference; fit(X, y, setting) -> predictor;
    score(y, predicted), larger better. Raises NotComputable with too few patients for the folds, or as `choose_setting`
    does; ValueError if there is no setting, or if X or y holds a value that is not finite.
    """
    X, y = np.asarray(X, float), np.asarray(y, float)
    if not len(settings):
        raise ValueError("0 settings: pass at least one to fit with")
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise ValueError("X or y holds values that are not finite: leave those rows out first")
    fold = grouped_folds(patients, folds, rng)
    predicted, chosen = np.empty(len(y)), []
    for f in range(folds):
        inside, outside = fold != f, fold == f
        best = settings[0]
        if len(settings) > 1:
            best = choose_setting(X[inside], y[inside], patients[inside], settings, fit, score, folds, rng)
        predicted[outside] = fit(X[inside], y[inside], best)(X[outside])
        chosen.append(best)
    return Nested(predicted, tuple(chosen), fold)


def r_squared(y: np.ndarray, predicted: np.ndarray) -> float:
    """1 − Σ (y − predicted)² / Σ (y − ȳ)² of rows [n]; negative where the mean does better, NaN if y is constant."""
    total = np.sum((y - np.mean(y)) ** 2)
    return float(1 - np.sum((y - predicted) ** 2) / total) if total > 0 else float("nan")
