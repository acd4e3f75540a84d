"""How like z are several predictions of it, by CKA over different patients and paired by draw?

`similarity.patient_cka_bootstrap` compares two spaces. Here one z is held against many, so its own part is made once,
all share their draws of patients, and a difference of two has an interval of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jepascope.analysis.inference.stats import (
    Drawn,
    Estimate,
    Inference,
    NotComputable,
    bootstrap_chunks,
    interval,
    patient_codes,
)
from jepascope.analysis.predictor.similarity import BLOCK_CELLS, patient_hsic


class Draws:
    """Draws of the patients of [N] rows, in which spaces of these rows are held against each other, [1 + draws] each.

    The first is the patients as they are. Products that several comparisons need are made once by whoever keeps them.
    """

    def __init__(self, patients: np.ndarray, width: int, how: Inference, rng: np.random.Generator) -> None:
        """width: D of the widest space. Raises NotComputable under 4 or `how.min_patients` patients."""
        self.codes, self.n_patients = patient_codes(patients, max(4, how.min_patients))
        chunk = max(1, BLOCK_CELLS // width**2)
        drawn = bootstrap_chunks(self.n_patients, how.bootstrap, chunk, rng)
        self.counts = [np.ones((1, self.n_patients)), *drawn]

    def product(self, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
        """H(X, Y) of X [N, D] and Y [N, E], of `similarity.patient_hsic`."""
        return np.concatenate([patient_hsic(X, Y, self.codes, counts) for counts in self.counts])

    def cka(self, across: np.ndarray, of_X: np.ndarray, of_Y: np.ndarray, name: str = "spaces") -> Drawn:
        """H(X, Y) / √(H(X, X) H(Y, Y)). Raises NotComputable, naming Y, where either does not vary."""
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where((of_X > 0) & (of_Y > 0), across / np.sqrt(of_X * of_Y), np.nan)
        if not np.isfinite(values[0]):
            raise NotComputable(f"no variance between these {self.n_patients} patients to compare {name} by")
        return Drawn(float(values[0]), values[1:], len(self.codes), self.n_patients)


def paired_cka(
    X: np.ndarray, others: Mapping[str, np.ndarray], patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> dict[str, Drawn]:
    """CKA of X [N, D] with each of `others` (name -> [N, E]), from pairs of rows of different patients; [N] patients.

    Raises NotComputable under 4 or `how.min_patients` patients, or where X or another has no variance between patients.
    """
    draws = Draws(patients, max(X.shape[1], *(Y.shape[1] for Y in others.values())), how, rng)
    own = draws.product(X, X)
    return {name: draws.cka(draws.product(X, Y), own, draws.product(Y, Y), name) for name, Y in others.items()}


def estimate(drawn: Drawn, level: float) -> Estimate:
    """A drawn statistic with its percentile interval. Raises NotComputable if it is often undefined."""
    return drawn.estimate(*interval(drawn.values, level))


def difference(ours: Drawn, theirs: Drawn) -> Drawn:
    """Difference of two statistics that share their draws, in order."""
    return ours._replace(value=ours.value - theirs.value, values=ours.values - theirs.values)


def without_axes(x: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Rows x [N, D] without their part along orthonormal axes [D, j]: a few strong axes can carry a whole CKA."""
    return x - (x @ axes) @ axes.T
