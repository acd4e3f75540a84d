"""The picture of z, and clusters that are not found in the picture: UMAP invents shapes, so it is only for looking.

Clusters: HDBSCAN (Campello et al. 2013) in the leading principal components, or in five dimensions of UMAP, kept only
if they are made of many patients: by rows alone, structureless data give hundreds of "clusters" of one or two patients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hdbscan import HDBSCAN
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from jepascope.analysis.inference.stats import NotComputable, patient_codes

COMPONENTS = 20
# The largest share of a cluster's rows that one patient may have.
MAX_PATIENT_SHARE = 0.2
# A cell of a density map with fewer patients is left blank: it could be somebody.
MIN_CELL = 11
CELLS = 24
EPOCHS = 100
# UMAP's curve at its default of touching points a tenth apart: 1 / (1 + a d^2b).
CURVE = {"a": 1.577, "b": 0.895}


class Clusters(NamedTuple):
    """Cluster number per row, -1 outside; and how many clusters were refused for being a few persons."""

    labels: np.ndarray  # int [N]
    kept: int
    refused: int


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

    HDBSCAN can't find one cluster without another. One that is left alone, the others being a few persons, is what
    those persons were split from: the cloud. It is refused with them.

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
    if kept == 1:
        labels, kept = np.full(len(found), -1), 0
    return Clusters(labels, kept, int(found.max()) + 1 - kept)


def neighbourhoods(x: np.ndarray, neighbours: int) -> csr_matrix:
    """UMAP's graph of x [N, C] (McInnes et al. 2018), [N, N]: made once, laid out in as many dimensions as wanted.

    Neighbours are the exact ones. A few thousand rows don't need the approximate search, whose compilation alone takes
    longer than everything else here. Raises NotComputable under four rows.
    """
    # Importing umap compiles for seconds; only who draws a map should wait.
    from umap.umap_ import fuzzy_simplicial_set

    if len(x) < 4:
        raise NotComputable(f"{len(x)} rows, 4 needed")
    nearest = min(neighbours, len(x) - 1)
    distances, rows = NearestNeighbors(n_neighbors=nearest, algorithm="brute").fit(x).kneighbors(x)
    graph, *_ = fuzzy_simplicial_set(
        x, nearest, np.random.RandomState(0), "euclidean",
        knn_indices=rows.astype(np.int32), knn_dists=distances.astype(np.float32),
    )  # fmt: skip
    return graph


def lay_out(x: np.ndarray, graph: csr_matrix, dimensions: int, seed: int) -> np.ndarray:
    """Place the rows of a graph of `neighbourhoods` in few dimensions, float32 [N, dimensions]; a seed fixes it.

    It starts from the leading columns of x [N, C], principal axes, so that what is far stays far (Kobak & Linderman
    2021), on one thread.
    """
    from umap.umap_ import simplicial_set_embedding

    start = np.zeros((len(x), dimensions), np.float32)
    start[:, : x.shape[1]] = 1e-4 * x[:, :dimensions] / max(float(x[:, 0].std()), 1e-12)
    placed, _ = simplicial_set_embedding(
        x, graph, dimensions, 1.0, CURVE["a"], CURVE["b"], 1.0, 5, EPOCHS, start, np.random.RandomState(seed),
        "euclidean", {}, False, {}, False,
    )  # fmt: skip
    return placed.astype(np.float32)


def patient_density(xy: np.ndarray, patients: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """How many patients each cell of the picture holds, [CELLS, CELLS], NaN under `MIN_CELL`: points can be persons.

    xy [N, 2], patients [N]; `inside` bool [N] counts these rows alone, over the same cells. First axis is x.
    """
    low, high = xy.min(axis=0), xy.max(axis=0)
    cell = np.minimum(CELLS * (xy - low) / np.maximum(high - low, 1e-12), CELLS - 1).astype(int)  # [N, 2]
    rows = np.ones(len(xy), bool) if inside is None else inside
    each = np.unique(
        np.column_stack([cell[rows], patient_codes(patients, 1)[0][rows]]), axis=0
    )  # a patient a cell once
    counts = np.zeros((CELLS, CELLS))
    np.add.at(counts, (each[:, 0], each[:, 1]), 1)
    return np.where(counts >= MIN_CELL, counts, np.nan)
