"""Blindness injected into real predictions: an estimator of blind spots that can't find these finds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jepascope.analysis.error.decomposition import decompose_with, fit_reader
from jepascope.analysis.inference.stats import Estimate, Inference, bootstrap_counts, interval, patient_sums
from jepascope.certify.oracle import leading_axes


class Recovery(NamedTuple):
    """Mean squared cosine between blind axes that were found and those that were put in, by draw of patients."""

    value: float
    values: np.ndarray  # [draws]


class Rows(NamedTuple):
    """M predictions: what was predicted, what came, and what the predictor read."""

    z: np.ndarray  # [M, D]
    z_hat: np.ndarray  # [M, D]
    inputs: np.ndarray  # [M, P]
    patients: np.ndarray  # [M]


class Found(NamedTuple):
    """How well the blind axes, and plain principal axes of e, recover one subspace."""

    blind: Recovery
    plain: float


def random_basis(D: int, axes: int, rng: np.random.Generator) -> np.ndarray:
    """A random subspace of R^D: orthonormal rows [axes, D], every direction as likely as any other."""
    return np.linalg.qr(rng.standard_normal((D, axes)))[0].T


def inject(z_hat: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Take from ẑ [M, D] all that it says within a subspace (orthonormal rows [b, D]): there it now says the mean."""
    return z_hat - (z_hat - z_hat.mean(axis=0)) @ basis.T @ basis


def overlap(axes: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Mean squared cosine of the principal angles between two subspaces: 1 where one holds the other, b/D by chance.

    ‖A Bᵀ‖²_F / b for orthonormal rows A [..., n, D] and B [b, D]. Returns [...].
    """
    return np.square(axes @ basis.T).sum(axis=(-1, -2)) / len(basis)


def find_blind(
    rows: Rows,
    train: np.ndarray,
    read: np.ndarray,
    bases: Sequence[np.ndarray],
    how: Inference,
    rng: np.random.Generator,
) -> list[Found]:
    """Decompose the error as on any other page, and hold as many blind axes as each subspace has against it.

    The reader is fitted to the rows `train`, the axes are taken from the rows `read` (bool [M], no shared patient),
    whose patients are then bootstrapped. Give predictions with a subspace injected and that subspace; or the untouched
    ones and any: what the search finds where nothing was put. bases [b, D] each. Raises NotComputable as `decompose`.
    """
    e = rows.z - rows.z_hat
    reader = fit_reader(e[train], rows.inputs[train], rows.patients[train], how.folds, rng)
    parts = decompose_with(reader, e[read], rows.inputs[read])
    most = max(len(basis) for basis in bases)
    blind = leading_axes(draw_covariances(parts.systematic, rows.patients[read], how, rng), most)
    plain = leading_axes(np.cov(e[read].T), most)
    found = []
    for basis in bases:
        n = len(basis)
        values = overlap(blind[:, :n], basis)
        found.append(Found(Recovery(float(values[0]), values[1:]), float(overlap(plain[:n], basis))))
    return found


def draw_covariances(x: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator) -> np.ndarray:
    """Covariances of x [n, D], on the rows and then in draws of their patients, [1 + draws, D, D].

    They follow from sums of products by patient, so a draw is one row of a matrix product.
    Raises NotComputable under `how.min_patients` patients.
    """
    D, above = x.shape[1], np.triu_indices(x.shape[1])
    x = x - x.mean(axis=0)
    columns = np.column_stack([np.ones(len(x)), x, x[:, above[0]] * x[:, above[1]]])
    sums = patient_sums(columns, patients, how.min_patients)
    counts = np.vstack([np.ones(len(sums)), bootstrap_counts(len(sums), how.bootstrap, rng)])
    drawn = counts @ sums  # [1 + draws, 1 + D + D (D + 1) / 2]
    n, mean = drawn[:, :1], drawn[:, 1 : D + 1] / drawn[:, :1]
    covariance = np.empty((len(drawn), D, D))
    covariance[:, above[0], above[1]] = drawn[:, D + 1 :] / n
    covariance[:, above[1], above[0]] = drawn[:, D + 1 :] / n
    return covariance - mean[:, :, None] * mean[:, None, :]


def mean_recovery(found: list[Recovery], patients: np.ndarray, level: float) -> Estimate:
    """Mean over injections with its patient interval; the injections share their draws of patients, so give one rng.

    Raises NotComputable if it is undefined in too many draws.
    """
    low, high = interval(np.mean([one.values for one in found], axis=0), level)
    return Estimate(float(np.mean([one.value for one in found])), low, high, len(patients), len(np.unique(patients)))
