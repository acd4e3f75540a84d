"""Small cohorts without a model: no structure but patients, or one shared factor of known strength besides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Columns of X and of Y that carry the shared factor.
CARRYING = 8


class ToyCohort(NamedTuple):
    """N encounters of B patients; where nothing is shared, all columns of it are independent of each other."""

    patients: np.ndarray  # int [N]
    X: np.ndarray  # [N, D], a representation
    Y: np.ndarray  # [N, D], another one
    features: np.ndarray  # [N, F]
    labels: np.ndarray  # bool [N, L]
    clusters: np.ndarray  # bool [N, C], one per row


def toy_cohort(
    rng: np.random.Generator,
    shared: float = 0.0,
    patients: int = 150,
    encounters: float = 7,
    effect: float = 0.8,
    D: int = 64,
    F: int = 1024,
    L: int = 20,
    C: int = 15,
    lengths: np.ndarray | None = None,
) -> ToyCohort:
    """Draw x = √effect · u_patient + √(1 − effect) · ε, all normal, for every column apart.

    Records have 1 + Poisson(encounters − 1) rows, or int `lengths` [B], as those of a real cohort; `effect` in [0, 1)
    is the correlation between rows of one patient. Labels are columns above their 80 % quantile, clusters the largest
    of C columns, so both persist within patients. One more such column h is the shared factor: the first `CARRYING`
    columns of X and Y and the first feature, label and cluster become shared · h + √(1 − shared²) · x. With shared = 0
    there is nothing to find; at any value, every column has variance one.
    """
    rows = 1 + rng.poisson(encounters - 1, patients) if lengths is None else lengths
    codes = np.repeat(np.arange(len(rows)), rows)

    def columns(width: int) -> np.ndarray:
        own, new = rng.normal(size=(len(rows), width))[codes], rng.normal(size=(len(codes), width))
        return np.sqrt(effect) * own + np.sqrt(1 - effect) * new

    labels, scores = columns(L), columns(C)
    X, Y, features = columns(D), columns(D), columns(F)
    h = columns(1)  # drawn last: cohorts without it are what they were
    for x, some in ((labels, 1), (scores, 1), (X, CARRYING), (Y, CARRYING), (features, 1)):
        x[:, :some] = shared * h + np.sqrt(1 - shared**2) * x[:, :some]
    clusters = np.argmax(scores, axis=1)[:, None] == np.arange(C)
    return ToyCohort(codes, X, Y, features, labels > np.quantile(labels, 0.8, axis=0), clusters)
