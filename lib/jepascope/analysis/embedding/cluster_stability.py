"""Whether clusters are more than a way of cutting a cloud: do they come back, and would nothing have them, too?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hdbscan.validity import validity_index
from sklearn.metrics import adjusted_rand_score

from jepascope.analysis.embedding.maps import Clusters, cluster
from jepascope.analysis.inference.stats import NotComputable, patient_codes

# A cluster is recovered where its mean Jaccard index over resamples reaches this (Hennig 2007 calls 0.6 a pattern).
RECOVERED = 0.6


class Stability(NamedTuple):
    """How well C clusters come back when patients are drawn again."""

    jaccard: np.ndarray  # [C], mean over resamples of the best Jaccard index
    rand: np.ndarray  # [resamples], adjusted Rand index with the clusters of all patients; noise is a class

    @property
    def recovered(self) -> np.ndarray:
        """Which clusters come back, bool [C]."""
        return self.jaccard >= RECOVERED


def stability(
    x: np.ndarray,
    patients: np.ndarray,
    found: Clusters,
    min_patients: int,
    resamples: int,
    rng: np.random.Generator,
) -> Stability:
    """Cluster bootstrap samples of patients, and look each cluster up in them: sampling rows would keep every person.

    For a cluster C, restricted to the rows of a sample, max over its clusters C* of |C ∩ C*| / |C ∪ C*| (Hennig 2007).
    A patient drawn twice counts once: her rows on top of themselves would be infinitely dense, and a cluster. The size
    that a cluster needs shrinks with the share of patients left, about 0.63.

    Args: x [N, C], patients [N], found by `cluster` on the same rows. Raises NotComputable as `cluster` does.
    """
    codes, n_patients = patient_codes(patients, min_patients)
    jaccard, rand = np.zeros((resamples, found.kept)), np.zeros(resamples)
    for r in range(resamples):
        drawn = np.unique(rng.integers(0, n_patients, n_patients))
        rows = np.flatnonzero(np.isin(codes, drawn))
        again = cluster(x[rows], codes[rows], max(2, round(min_patients * len(drawn) / n_patients)))
        jaccard[r] = best_jaccard(found.labels[rows], again.labels, found.kept)
        rand[r] = adjusted_rand_score(found.labels[rows], again.labels)
    return Stability(jaccard.mean(axis=0), rand)


def best_jaccard(labels: np.ndarray, others: np.ndarray, clusters: int) -> np.ndarray:
    """Largest Jaccard index of each cluster 0 … `clusters` − 1 in labels [N] with any in others [N]; −1 is none.

    Nought for a cluster without rows, or where there are no others.
    """
    both = np.zeros((clusters, others.max(initial=-1) + 1))
    inside = (labels >= 0) & (others >= 0)
    np.add.at(both, (labels[inside], others[inside]), 1)
    mine = np.bincount(labels[labels >= 0], minlength=clusters)[:, None]
    theirs = np.bincount(others[others >= 0], minlength=both.shape[1])
    return (both / np.maximum(mine + theirs - both, 1)).max(axis=1, initial=0.0)


def density_validity(x: np.ndarray, labels: np.ndarray) -> float:
    """DBCV, from −1 to 1: is it sparser between clusters than within (Moulavi et al. 2014)? Noise counts against it.

    x [N, C], labels [N] with −1 outside. Raises NotComputable under two clusters.
    """
    if labels.max(initial=-1) < 1:
        raise NotComputable(f"{labels.max(initial=-1) + 1} clusters, 2 needed to be apart")
    return float(validity_index(np.asarray(x, np.float64), labels))


def patient_effect_only(z: np.ndarray, patients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A cloud of the same patients with z's covariances and nothing else, [N, D]: clusters in it are the method's.

    z̃ = μ + u_patient + ε, both normal, with z's covariance between and within patients (moments of one-way analysis of
    variance; what sampling makes negative is set to nought). z [N, D], patients [N], of whom one has two rows at least.
    """
    codes, n_patients = patient_codes(patients)
    lengths = np.bincount(codes).astype(float)
    if len(z) == n_patients:
        raise NotComputable(f"{n_patients} patients with one row each: between and within can't be told apart")
    sums = np.zeros((n_patients, z.shape[1]))
    np.add.at(sums, codes, z)
    means = sums / lengths[:, None]
    inner = z - means[codes]
    within = inner.T @ inner / (len(z) - n_patients)
    outer = np.sqrt(lengths)[:, None] * (means - z.mean(axis=0))
    size = (len(z) - (lengths**2).sum() / len(z)) / (n_patients - 1)  # mean record length, corrected for spread
    between = (outer.T @ outer / (n_patients - 1) - within) / size
    own, new = (rng.standard_normal((n, z.shape[1])) @ _root(s) for n, s in ((n_patients, between), (len(z), within)))
    return (z.mean(axis=0) + own[codes] + new).astype(z.dtype)


def _root(covariance: np.ndarray) -> np.ndarray:
    """R [D, D] with RᵀR = the covariance, without its negative part."""
    values, vectors = np.linalg.eigh(covariance)
    return np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T
