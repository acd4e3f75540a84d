"""Whether features are atoms: can they be taken apart, and does a larger dictionary hold what a smaller one lacks?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import Estimate, Inference, bootstrap_of_sums
from jepascope.analysis.sae.dictionary import Dictionary, Settings, decode, densify
from jepascope.analysis.sae.encoding import encode
from jepascope.analysis.sae.matching import SAME, gaussian_like, unit_rows
from jepascope.analysis.sae.training import fit


class Meta(NamedTuple):
    """A dictionary of decoder rows, and how well the same does on directions without structure."""

    dictionary: Dictionary
    fvu: float  # in sample: there are only F rows
    fvu_of_noise: float  # on directions of noise with the covariance of the decoder rows


class Stitching(NamedTuple):
    """What each feature of a larger dictionary does when it is added to a smaller one."""

    nearest: np.ndarray  # [F'], largest cosine with a feature of the smaller one
    novel: np.ndarray  # bool [F'], nearest ≤ SAME
    change: np.ndarray  # [F'], of the unexplained share when the feature is added alone; below zero helps
    fvu: float  # of the smaller one, over all dimensions together
    fvu_with_novel: float
    fvu_with_known: float


def meta_dictionary(W_dec: np.ndarray, settings: Settings, seed: int) -> Meta:
    """An SAE on the decoder rows W_dec [F, D] themselves: what it explains of them is not atomic (Leask et al. 2025).

    A few directions in few dimensions can always be explained in part; so the same is fitted to directions of noise
    with the rows' covariance, and only what is explained beyond that speaks. They have norm one as the rows have: of
    noise with long rows and short ones, the few long ones are most of the variance. Raises like `fit`.
    """
    rows = unit_rows(W_dec).astype(np.float32)
    noise = unit_rows(gaussian_like(rows, np.random.default_rng(seed))).astype(np.float32)
    dictionary, of_noise = fit(rows, settings, seed), fit(noise, settings, seed)
    return Meta(dictionary, _fvu(dictionary, rows), _fvu(of_noise, noise))


def stitched(
    small: Dictionary,
    large: Dictionary,
    x: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> tuple[Estimate, Estimate]:
    """Change of FVU when novel, and when known, features of the larger one join: as `stitch`, over all dimensions.

    x [N, D] of held-out patients [N]; paired, below zero helps. Raises as `stitch` does, and NotComputable.
    """
    residual = (x - decode(small, densify(encode(small, x)))) / small.scale  # [N, D]
    f, novel = densify(encode(large, x)), stitch(small, large, x).novel
    total = np.square((x - x.mean(axis=0)) / small.scale).sum(axis=1)
    changes = []
    for group in (novel, ~novel):
        joined = np.square(residual - f[:, group] @ large.W_dec[group]).sum(axis=1)
        changes.append(joined - np.square(residual).sum(axis=1))
    common = (patients, how.bootstrap, how.level, rng, how.min_patients)
    with_novel, with_known = (
        bootstrap_of_sums(lambda s: s[:, 0] / s[:, 1], np.stack([change, total], axis=1), *common) for change in changes
    )
    return with_novel, with_known


def _fvu(dictionary: Dictionary, x: np.ndarray) -> float:
    residual = x - decode(dictionary, densify(encode(dictionary, x)))
    return float(np.square(residual).sum() / np.square(x - x.mean(axis=0)).sum())


def stitch(small: Dictionary, large: Dictionary, x: np.ndarray) -> Stitching:
    """Add features of a larger dictionary to a smaller one, each alone and in two groups (Leask et al. 2025).

    Both were fitted to the same rows; x [N, D] are held-out ones. Were features atoms, a feature that the smaller one
    lacks would help and one that it knows would count twice and harm. A larger dictionary whose features are all known,
    and harm, has only split what was there. Raises ValueError if the two are standardised differently.
    """
    if small.scale != large.scale or not np.array_equal(small.mean, large.mean):
        raise ValueError("stitching needs two dictionaries of the same rows: their means and scales differ")
    residual = (x - decode(small, densify(encode(small, x)))) / small.scale  # [N, D]
    total = np.square((x - x.mean(axis=0)) / small.scale).sum()
    f = densify(encode(large, x))  # [N, F']
    # ‖r − f_j W_j‖² − ‖r‖², for every feature j by itself; rows of W have norm one.
    change = (np.square(f).sum(axis=0) - 2 * (f * (residual @ large.W_dec.T)).sum(axis=0)) / total
    nearest = (unit_rows(large.W_dec) @ unit_rows(small.W_dec).T).max(axis=1)
    novel = nearest <= SAME
    with_group = [np.square(residual - f[:, group] @ large.W_dec[group]).sum() / total for group in (novel, ~novel)]
    fvu = float(np.square(residual).sum() / total)
    return Stitching(nearest, novel, change, fvu, float(with_group[0]), float(with_group[1]))
