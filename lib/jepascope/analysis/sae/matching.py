"""When two fits hold the same feature, and how often they do where there are no features at all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

# Two features are the same direction above this cosine.
SAME = 0.7


class Agreement(NamedTuple):
    """How many features of one dictionary another holds as well."""

    matched: int
    features: int
    cosines: np.ndarray  # [min(F, F')] of the matched pairs

    @property
    def share(self) -> float:
        """Matched features over features, by the smaller dictionary."""
        return self.matched / self.features if self.features else 0.0


def unit_rows(W: np.ndarray) -> np.ndarray:
    """W [F, D] with rows of norm one."""
    return W / np.linalg.norm(W, axis=1, keepdims=True)


def matched_cosines(W_dec: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Each feature's cosine with its partner in the other dictionary, one to one (Hungarian) [F]; −1 without one.

    W_dec [F, D], other [F', D]. Nearest neighbours would count one feature twice.
    """
    cosine = unit_rows(W_dec) @ unit_rows(other).T  # [F, F']; signed, since features are one-sided
    rows, columns = linear_sum_assignment(-cosine)
    found = np.full(len(W_dec), -1.0)
    found[rows] = cosine[rows, columns]
    return found


def agreement(W_dec: np.ndarray, other: np.ndarray, same: float = SAME) -> Agreement:
    """Match features one to one by decoder cosine; pass living features only: W_dec [F, D], other [F', D].

    Says nothing without its floor, the agreement on `gaussian_like` data and on the untrained twin.
    """
    smaller, larger = sorted((W_dec, other), key=len)
    cosines = matched_cosines(smaller, larger)
    return Agreement(int((cosines > same).sum()), len(cosines), cosines)


def gaussian_like(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise [N, D] with the mean and covariance of x: what a dictionary agrees on there is covariance, not features."""
    mean = np.asarray(x, float).mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    root = vectors * np.sqrt(np.clip(values, 0, None))
    return (mean + rng.standard_normal(x.shape) @ root.T).astype(x.dtype)
