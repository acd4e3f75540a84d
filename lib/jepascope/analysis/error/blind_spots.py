"""What the predictor doesn't foresee, concept by concept: the error along the direction in which z says the concept.

A probe on e asks whether a concept can be read off the error; nearly everything can. Here the question is how much of
z's variation along the concept's direction the predictor left, and how much of that was there to be known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.error.decomposition import Parts
from jepascope.analysis.error.relative_spectrum import RIDGE, Ratios, ratios
from jepascope.analysis.inference.stats import Inference

# Random directions are drawn from z's covariance to a power between these: from its thinnest axes to its thickest.
POWERS = (-1.5, 1.0)
# As many as it takes for one concept of dozens to have a q-value under 5 %.
MATCHED = 2000
# So many that the matched ones have the concept's variance within a few tenths.
CANDIDATES = 100_000


class BlindSpots(NamedTuple):
    """Shares of z's variation along Q directions; foreseen = 1 − unforeseen."""

    unforeseen: Ratios  # E (wᵀe)²
    systematic: Ratios  # of it, readable from the predictor's own input
    lost: Ratios  # of it, readable from the past but not from that input
    band: np.ndarray  # [Q, 2], central interval of `unforeseen` along random directions of the same variance
    p: np.ndarray  # [Q], two-sided, against those directions


def concept_directions(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The directions in which z tells labels apart, unit rows [Q, D]: w = (Cov(z) + ridge)⁻¹ (μ₁ − μ₀).

    The plain difference of means leans towards whatever comes along with the concept; the inverse covariance takes
    that out (Fisher 1936). z [N, D] and labels bool [N, Q] of training patients. A label that is constant gives NaN.
    """
    on = np.asarray(labels, float)
    apart = mean_differences(z, on)
    Sigma = np.cov(z, rowvar=False)
    w = np.linalg.solve(Sigma + RIDGE * np.trace(Sigma) / len(Sigma) * np.eye(len(Sigma)), apart.T).T
    return w / np.linalg.norm(w, axis=1, keepdims=True)


def mean_differences(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Differences of means μ₁ − μ₀, unit rows [Q, D], to see whether a finding hangs on the kind of direction.

    z [N, D], labels [N, Q] in {0, 1}; NaN for a label that is constant.
    """
    on, z = np.asarray(labels, float), np.asarray(z, float)
    with np.errstate(invalid="ignore"):
        apart = on.T @ z / on.sum(axis=0)[:, None] - (1 - on).T @ z / (1 - on).sum(axis=0)[:, None]
    return apart / np.linalg.norm(apart, axis=1, keepdims=True)


def blind_spots(
    directions: np.ndarray,
    random: np.ndarray,
    e: np.ndarray,
    z: np.ndarray,
    mean: np.ndarray,
    own: Parts,
    past: Parts,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> BlindSpots:
    """How much of z along each direction [Q, D] was not foreseen, in three parts, with a null of random directions.

    With w a direction and V = Σ (wᵀ(z − μ))² over rows: unforeseen = Σ (wᵀe)² / V; systematic = (Σ (wᵀ(e − ē))² −
    Σ (wᵀ(e − g))²) / V with g of `own`, which read what the predictor read; lost = the same gain from `own` to `past`,
    which also read what came before. All fits are to other patients, so the last two may be slightly negative.

    A direction's variance alone decides much of how well it is foreseen, so each concept is compared with the `MATCHED`
    directions of `random` [n, D] (`random_directions`) whose variance is nearest to its own, per unit length.

    Args: e, z [M, D] on test patients, mean [D] of training patients, own and past aligned with e, patients [M]; both
    kinds of directions from training patients. Raises NotComputable under `how.min_patients`.
    """
    before = np.square((z - mean) @ directions.T)
    left = [np.square(part @ directions.T) for part in (e, e - own.bias, own.innovation, past.innovation)]
    # One seed for all three: the same draws of patients.
    seed = int(rng.integers(2**63))
    unforeseen, systematic, lost = (
        ratios(over, before, patients, how, np.random.default_rng(seed))
        for over in (left[0], left[1] - left[2], left[2] - left[3])
    )
    # Along w the mean square of x is wᵀ (Σ x xᵀ / M) w: no need to project every row on every direction.
    left_over, spread = (np.sum((random @ (x.T @ x / len(x))) * random, axis=1) for x in (e, z - mean))
    by_chance = left_over / spread
    tail = (1 - how.level) / 2
    band, p = np.empty((len(directions), 2)), np.empty(len(directions))
    for q, variance in enumerate(before.mean(axis=0)):
        apart = np.abs(np.log(spread / variance))
        matched = by_chance[np.argpartition(apart, MATCHED)[:MATCHED]]
        band[q] = np.quantile(matched, [tail, 1 - tail])
        above = np.count_nonzero(matched >= unforeseen.value[q])
        p[q] = min(1.0, 2 * (1 + min(above, MATCHED - above)) / (1 + MATCHED))
    return BlindSpots(unforeseen, systematic, lost, band, p)


def random_directions(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random unit directions [CANDIDATES, D] of all variances that z [N, D] has, without a gap between thin and thick.

    Gaussian vectors multiplied by Cov(z)^power, the power itself drawn from `POWERS`. One power gives one variance, in
    many dimensions nearly exactly: isotropic vectors (0) have the mean variance, and labels dealt at random have
    directions of power −1/2, as Σ⁻¹ (μ₁ − μ₀) then is Σ⁻¹ times noise of covariance Σ.
    """
    values, vectors = np.linalg.eigh(np.cov(z, rowvar=False))
    values = np.clip(values, RIDGE * values.mean(), None)
    powers = rng.uniform(*POWERS, (CANDIDATES, 1))
    found = (rng.standard_normal((CANDIDATES, len(values))) * values**powers) @ vectors.T
    return found / np.linalg.norm(found, axis=1, keepdims=True)
