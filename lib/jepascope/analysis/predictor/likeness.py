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


def paired_cka(
    X: np.ndarray, others: Mapping[str, np.ndarray], patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> dict[str, Drawn]:
    """CKA of X [N, D] with each of `others` (name -> [N, E]), from pairs of rows of different patients; [N] patients.

    CKA = H(X, Y) / √(H(X, X) H(Y, Y)), H of `similarity.patient_hsic`. Raises NotComputable under 4 or
    `how.min_patients` patients, or where X or another has no variance between patients.
    """
    codes, B = patient_codes(patients, max(4, how.min_patients))
    cells = max(X.shape[1], *(Y.shape[1] for Y in others.values())) ** 2
    chunk = max(1, BLOCK_CELLS // cells)
    counts = [np.ones((1, B)), *bootstrap_chunks(B, how.bootstrap, chunk, rng)]

    def product(A: np.ndarray, C: np.ndarray) -> np.ndarray:
        return np.concatenate([patient_hsic(A, C, codes, drawn) for drawn in counts])  # [1 + draws]

    own = product(X, X)
    found = {}
    for name, Y in others.items():
        across, of_Y = product(X, Y), product(Y, Y)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where((own > 0) & (of_Y > 0), across / np.sqrt(own * of_Y), np.nan)
        if not np.isfinite(values[0]):
            raise NotComputable(f"no variance between these {B} patients to compare {name} by")
        found[name] = Drawn(float(values[0]), values[1:], len(codes), B)
    return found


def estimate(drawn: Drawn, level: float) -> Estimate:
    """A drawn statistic with its percentile interval. Raises NotComputable if it is often undefined."""
    return drawn.estimate(*interval(drawn.values, level))


def difference(ours: Drawn, theirs: Drawn) -> Drawn:
    """Difference of two statistics that share their draws, in order."""
    return ours._replace(value=ours.value - theirs.value, values=ours.values - theirs.values)


def without_axes(x: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Rows x [N, D] without their part along orthonormal axes [D, j]: a few strong axes can carry a whole CKA."""
    return x - (x @ axes) @ axes.T
