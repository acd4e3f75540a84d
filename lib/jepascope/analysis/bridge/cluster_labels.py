"""Whether parts of a space bear labels: which clusters a label is enriched in, and who is in a part that has none.

Clusters that a search finds are one thing; a partition cuts any cloud, also one without clusters, and says only where
labels lie. Both are made without labels, named on training patients, and read on others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

from jepascope.analysis.features.enrichment import Enrichment, enrichment
from jepascope.analysis.inference.stats import Estimate, Inference, bootstrap_mean, patient_codes

# Parts of the partition: about as many as there are components, in which distances are taken.
PARTS = 20
STARTS = 2


class Unlabelled(NamedTuple):
    """Who is outside every part that has a label."""

    rows: Estimate  # share of encounters
    patients: Estimate  # share of patients without one encounter inside


def partition(train: np.ndarray, x: np.ndarray, seed: int, parts: int = PARTS) -> np.ndarray:
    """k-means: the part of every row of x [n, C], int [n], of centres fitted to rows train [m, C].

    It has parts whatever the data: they are a grid to look at labels on, and no finding.
    """
    fitted = KMeans(min(parts, len(train)), n_init=STARTS, random_state=seed).fit(train)
    return fitted.predict(x)


def nearest_labels(known: np.ndarray, clusters: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The cluster (−1: none) of the known row [m, C] that lies nearest to each row of x [n, C], int [n]."""
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(known)
    return clusters[nearest.kneighbors(x, return_distance=False)[:, 0]]


def members(clusters: np.ndarray, count: int) -> np.ndarray:
    """Clusters int [n] as columns, bool [n, count]; −1 is in none."""
    return clusters[:, None] == np.arange(count)


def label_clusters(on: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> Enrichment:
    """Which labels [n, L] are enriched in which clusters, bool [n, C]: patients are the witnesses, q over all pairs.

    Rows of training patients. Raises NotComputable for one patient.
    """
    return enrichment(on, sparse.csr_matrix(labels.astype(np.float32)), patients)


def without_label(
    on: np.ndarray, labelled: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Unlabelled:
    """Encounters and patients outside all labelled clusters: in noise, or in a cluster without a label.

    on bool [n, C] and patients [n] of those on whom no label was sought; labelled bool [C]. Raises NotComputable under
    `how.min_patients`.
    """
    outside = ~on[:, labelled].any(axis=1)
    codes, n_patients = patient_codes(patients, how.min_patients)
    never = np.bincount(codes, ~outside, n_patients) == 0
    seed = int(rng.integers(2**63))
    shares = (
        bootstrap_mean(x.astype(float), who, how.bootstrap, how.level, np.random.default_rng(seed), how.min_patients)
        for x, who in ((outside, codes), (never, np.arange(n_patients)))
    )
    return Unlabelled(*shares)
