"""The Local Interaction Basis: axes of what a layer reads, ordered by what a step along them does to what it writes.

    x̃ = (x − μ) V Λ^(−1/2)                       whitened: a step of one is one standard deviation
    G = mean_n J̃_nᵀ J̃_n = U S Uᵀ,  J̃_n = J_n V Λ^(1/2),  J_n = ∂y/∂x at row n
    a = x̃ U                                       axis j moves y by S_j, in mean squared units of y

After Bushnaq et al. 2024, who go on through the layers of a network, scale axes by √S_j, and drop those of no
effect; here is one layer, and scale is of no matter. PCA orders axes by how far data spread along them, which is not
what a layer makes of them: a wide axis may be ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# Axes of x with less than this share of the largest variance are roundings, and would be blown up by whitening.
EMPTY = 1e-6


class Basis(NamedTuple):
    """Axes of x, the strongest first."""

    mean: np.ndarray  # [I]
    reads: np.ndarray  # [I, r], a = (x − μ) reads: uncorrelated, variance one
    writes: np.ndarray  # [r, I], back from axes to x
    strength: np.ndarray  # [r], S_j

    def axes(self, x: np.ndarray) -> np.ndarray:
        """a [N, r] of rows x [N, I]."""
        return (np.asarray(x, float) - self.mean) @ self.reads

    def kept(self, x: np.ndarray, r: int) -> np.ndarray:
        """x [N, I] with all but the r leading axes set to their mean."""
        return self.axes(x)[:, :r] @ self.writes[:r] + self.mean


def gradient_gram(
    x: np.ndarray, jacobians: Callable[[np.ndarray], np.ndarray], chunk: int = 512
) -> tuple[np.ndarray, np.ndarray]:
    """mean_n J_nᵀ J_n [I, I] and mean_n J_n² by entry [D, I], a chunk of rows at a time.

    jacobians maps rows [n, I] to J [n, D, I].
    """
    gram, squares = 0.0, 0.0
    for start in range(0, len(x), chunk):
        J = np.asarray(jacobians(x[start : start + chunk]), float)
        gram = gram + np.einsum("ndi,ndj->ij", J, J, optimize=True) / len(x)
        squares = squares + np.square(J).sum(axis=0) / len(x)
    return np.asarray(gram), np.asarray(squares)


def whitening(x: np.ndarray) -> Basis:
    """Principal axes of x [N, I] at variance one, the widest first; strength is their variance (not their effect)."""
    mean = np.asarray(x, float).mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    order = np.argsort(-values)
    order = order[values[order] > EMPTY * values.max()]
    spread = np.sqrt(values[order])
    return Basis(mean, vectors[:, order] / spread, (vectors[:, order] * spread).T, values[order])


def interaction_basis(x: np.ndarray, jacobians: Callable[[np.ndarray], np.ndarray]) -> Basis:
    """The Local Interaction Basis of rows x [N, I] for the layer with these Jacobians (`gradient_gram`)."""
    white = whitening(x)
    gram, _ = gradient_gram(x, jacobians)
    effects, turn = np.linalg.eigh(white.writes @ gram @ white.writes.T)
    return turned(white, turn[:, ::-1], np.clip(effects[::-1], 0, None))


def turned(white: Basis, turn: np.ndarray, strength: np.ndarray) -> Basis:
    """A whitened basis under a rotation `turn` [r, r]: still uncorrelated, variance one."""
    return white._replace(reads=white.reads @ turn, writes=turn.T @ white.writes, strength=strength)


def random_basis(x: np.ndarray, rng: np.random.Generator) -> Basis:
    """The whitened axes of x [N, I] under a random rotation: a basis of nobody's choosing; strengths are unknown."""
    white = whitening(x)
    turn, _ = np.linalg.qr(rng.standard_normal((len(white.strength),) * 2))
    return turned(white, turn, np.full(len(white.strength), np.nan))


def effects(basis: Basis, x: np.ndarray, jacobians: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """What one standard deviation along each axis does to y [r], mean squared over rows x [N, I], held-out ones too."""
    gram, _ = gradient_gram(x, jacobians)
    return np.einsum("ri,ij,rj->r", basis.writes, gram, basis.writes)


def number_of(shares: np.ndarray) -> float:
    """How many of them there effectively are: (Σ s)² / Σ s², the participation ratio; 1 if one has it all."""
    return float(shares.sum() ** 2 / np.square(shares).sum())


def edges(
    basis: Basis, outputs: np.ndarray, x: np.ndarray, jacobians: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Squared interaction of each output direction with each axis, [E, r], mean over rows of x [N, I].

    outputs [E, D], directions of y. Local gradients stand for the integrated ones of Bushnaq et al. 2024.
    """
    _, squares = gradient_gram(x, lambda rows: outputs @ jacobians(rows) @ basis.writes.T)
    return squares
