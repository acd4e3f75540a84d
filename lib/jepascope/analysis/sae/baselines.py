"""Other sets of directions, for SAEs to beat: every one gets the same encoder at the same number of active entries.

What differs between rows of a comparison is then where the directions come from, and nothing else. Components of PCA
and ICA have two signs and features have one, so each gives two atoms.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import FastICA

from jepascope.analysis.sae.dictionary import Dictionary, Settings
from jepascope.analysis.sae.matching import unit_rows
from jepascope.analysis.sae.votes import on_atoms, on_each

# How near to its random start a soft-frozen decoder row stays (Korznikov et al. 2026).
SOFT = 0.8
NMF_ROUNDS = 60
ICA_ROUNDS = 300


def principal_atoms(x: np.ndarray, features: int) -> np.ndarray:
    """Principal axes of x [N, D] with both signs, the widest first: at most `features`, and 2 D, rows [F', D]."""
    centred = x - x.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return _both_signs(vectors.T[::-1], features)


def independent_atoms(x: np.ndarray, features: int, seed: int) -> np.ndarray:
    """Directions in which independent sources add up to x [N, D] (FastICA, Hyvärinen 1999), both signs [F', D]."""
    components = min(features // 2, x.shape[1])
    found = FastICA(components, whiten="unit-variance", max_iter=ICA_ROUNDS, tol=1e-3, random_state=seed).fit(x)
    return _both_signs(unit_rows(found.mixing_.T), features)


def mean_atoms(x: np.ndarray, features: int, seed: int) -> np.ndarray:
    """Centres of k-means on x [N, D], seen from the mean of all: dictionary of one active entry [F', D]."""
    centred = x - x.mean(axis=0)
    centres = MiniBatchKMeans(features, n_init=1, batch_size=1024, random_state=seed).fit(centred).cluster_centers_
    return unit_rows(centres[np.linalg.norm(centres, axis=1) > 1e-8])


def semi_nmf_atoms(x: np.ndarray, features: int, seed: int) -> np.ndarray:
    """G of x − mean ≈ H G with H ≥ 0 and G free (Ding, Li & Jordan 2010): positive codes as in an SAE, not sparse.

    x [N, D] -> [F', D]. Alternates least squares for G with multiplicative steps for H.
    """
    centred = x - x.mean(axis=0)
    H = np.random.default_rng(seed).random((len(x), features)) + 0.2
    G = np.zeros((features, x.shape[1]))
    for _ in range(NMF_ROUNDS):
        gram = H.T @ H
        ridge = 1e-6 * np.trace(gram) / features
        G = np.linalg.solve(gram + ridge * np.eye(features), H.T @ centred)
        to_x, to_self = centred @ G.T, G @ G.T
        up = np.clip(to_x, 0, None) + H @ np.clip(-to_self, 0, None)
        down = np.clip(-to_x, 0, None) + H @ np.clip(to_self, 0, None)
        H *= np.sqrt(up / np.maximum(down, 1e-12))
    return unit_rows(G[np.linalg.norm(G, axis=1) > 1e-8])


def random_atoms(D: int, features: int, seed: int) -> np.ndarray:
    """Directions of nobody's choosing, unit rows [F, D]."""
    return unit_rows(np.random.default_rng(seed).standard_normal((features, D)))


def _both_signs(rows: np.ndarray, features: int) -> np.ndarray:
    rows = rows[: max(1, features // 2)]
    return np.concatenate([rows, -rows])


# The baselines by the names under which they are stored, and as pages write them.
NAMES = {
    "pca": "PCA",
    "ica": "ICA",
    "semi_nmf": "semi-NMF",
    "kmeans": "k-means",
    "random": "frozen random",
    "soft_random": "soft-frozen random",
}


def atoms_of(name: str, x: np.ndarray, features: int, seed: int) -> np.ndarray:
    """Atoms of one of `NAMES` on x [N, D]: [F', D], F' at most `features`."""
    ways = {
        "pca": lambda: principal_atoms(x, features),
        "ica": lambda: independent_atoms(x, features, seed),
        "semi_nmf": lambda: semi_nmf_atoms(x, features, seed),
        "kmeans": lambda: mean_atoms(x, features, seed),
        "random": lambda: random_atoms(x.shape[1], features, seed),
        "soft_random": lambda: random_atoms(x.shape[1], features, seed),
    }
    return ways[name]()


def baselines(
    x: np.ndarray, settings: Settings, seed: int, names: Iterable[str] = tuple(NAMES)
) -> dict[str, Dictionary]:
    """Dictionaries on x [N, D] at the settings' number of features and active entries, by where the atoms are from.

    "random" never trains its decoder, "soft_random" may turn it by little (Korznikov et al. 2026): what they reach, an
    SAE's features need not be learnt for. Raises like `fit`.
    """
    atoms = {name: atoms_of(name, x, settings.features, seed) for name in names}
    frozen = [name for name in atoms if name != "soft_random"]
    fits = {name: on_atoms(x, atoms[name], settings, seed, SOFT) for name in atoms if name not in frozen}
    for size in {len(atoms[name]) for name in frozen}:
        group = [name for name in frozen if len(atoms[name]) == size]
        stacked = np.stack([atoms[name] for name in group])
        fits |= dict(zip(group, on_each(x, stacked, settings, [seed] * len(group)), strict=True))
    return {name: fits[name] for name in atoms}
