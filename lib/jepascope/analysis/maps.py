"""The picture of z, and clusters that are not found in the picture: UMAP invents shapes, so it is only for looking.

Layout: PCA, then UMAP in two dimensions. Clusters: HDBSCAN in the leading principal components (Campello et al. 2013),
kept only if they are made of many patients: by rows alone, structureless data give hundreds of "clusters" of one or
two patients each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hdbscan import HDBSCAN
from sklearn.decomposition import PCA

from jepascope.analysis.stats import NotComputable, patient_codes

COMPONENTS = 20
# The largest share of a cluster's rows that one patient may have.
MAX_PATIENT_SHARE = 0.2


class Clusters(NamedTuple):
    """Cluster number per row, -1 outside; and how many clusters were refused for being a few persons."""

    labels: np.ndarray  # int [N]
    kept: int
    refused: int


class PatientMap(NamedTuple):
    """The picture of at most `max_rows` rows."""

    rows: np.ndarray  # int [M], sorted row numbers of the input
    xy: np.ndarray  # [M, 2], for looking
    clusters: Clusters  # labels [M], found in PCA space and not in xy


def sample_patients(patients: np.ndarray, max_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers, sorted, of whole random patients until `max_rows`: sampling rows would thin every trajectory.

    patients [N]. The patient who would exceed the cap is left out, and so are all after her; never returns no one.
    """
    codes, n_patients = patient_codes(patients, 1)
    order = rng.permutation(n_patients)
    taken = np.searchsorted(np.cumsum(np.bincount(codes)[order]), max_rows, side="right")
    return np.flatnonzero(np.isin(codes, order[: max(1, taken)]))


def principal_axes(x: np.ndarray, components: int = COMPONENTS) -> np.ndarray:
    """Rows of x [N, D] on their leading principal axes [N, min(components, D, N)]: distances in D lose contrast."""
    return PCA(min(components, *x.shape), svd_solver="full").fit_transform(x)


def cluster(x: np.ndarray, patients: np.ndarray, min_patients: int) -> Clusters:
    """HDBSCAN of x [N, C]; a cluster stays if >= `min_patients` patients and no one has 20 % of its rows.

    Raises NotComputable when there are fewer patients than one cluster needs.
    """
    codes, _ = patient_codes(patients, min_patients)
    found = HDBSCAN(min_cluster_size=max(2, min_patients), core_dist_n_jobs=1).fit_predict(x)
    labels, kept = np.full(len(found), -1), 0
    for number in range(found.max() + 1):
        rows = np.bincount(codes[found == number])  # rows per patient in this cluster
        if np.count_nonzero(rows) >= min_patients and rows.max() < MAX_PATIENT_SHARE * rows.sum():
            labels[found == number] = kept
            kept += 1
    return Clusters(labels, kept, int(found.max()) + 1 - kept)


def layout(x: np.ndarray, neighbours: int, seed: int) -> np.ndarray:
    """UMAP of x [N, C] in two dimensions (McInnes et al. 2018), on one thread so that a seed fixes it."""
    # Importing umap compiles for about 15 seconds; only who draws a map should wait.
    from umap import UMAP

    model = UMAP(n_neighbors=min(neighbours, len(x) - 1), n_components=2, random_state=seed, n_jobs=1)
    return model.fit_transform(x).astype(np.float32)


def patient_map(
    z: np.ndarray, patients: np.ndarray, max_rows: int, neighbours: int, min_cluster_patients: int, seed: int
) -> PatientMap:
    """Sample whole patients, draw them, and cluster them: z [N, D], patients [N]; the arguments of `params.Map`.

    Raises NotComputable under four rows or `min_cluster_patients` patients.
    """
    rows = sample_patients(patients, max_rows, np.random.default_rng(seed))
    if len(rows) < 4:
        raise NotComputable(f"{len(rows)} rows, 4 needed")
    axes = principal_axes(z[rows])
    return PatientMap(rows, layout(axes, neighbours, seed), cluster(axes, patients[rows], min_cluster_patients))
