"""Does the error speak z's language? Features of e that are a feature of z (missed) or its opposite (hallucinated).

e = z − ẑ contains z, so features of e resemble features of z for *any* ẑ, a constant one most of all. What a match says
about the predictor is only what goes beyond predictors that know nothing; and the sign matters: z's own direction in e
means that the predictor left it out, the opposite direction that it put it in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import Estimate, Inference, bootstrap_of_sums
from jepascope.analysis.sae import Dictionary, densify, encode
from jepascope.analysis.sae.matching import SAME, matched_cosines, unit_rows

KINDS = ("missed", "hallucinated")


class SignedMatch(NamedTuple):
    """Features of a dictionary of e, held against atoms of z."""

    missed: np.ndarray  # bool [F], a direction of z
    hallucinated: np.ndarray  # bool [F], the opposite of one
    atoms_missed: int  # atoms of z that have a feature of e of their own, one to one
    atoms_hallucinated: int  # atoms whose opposite has one
    atoms: int


def signed_match(W_dec: np.ndarray, atoms: np.ndarray, alive: np.ndarray, same: float = SAME) -> SignedMatch:
    """Match features of e [F, D] with atoms of z [A, D] by signed decoder cosine.

    |cos| would call "left out" and "put in" the same. A feature that is near one atom and near another's opposite
    counts as the nearer. Codes are one-sided (f ≥ 0), so a direction and its opposite are two features. Features that
    are never on (alive, bool [F]) match nothing, wherever they point.
    """
    cosine = unit_rows(W_dec) @ unit_rows(atoms).T  # [F, A]
    nearest, opposite = cosine.max(axis=1), -cosine.min(axis=1)
    return SignedMatch(
        alive & (nearest > same) & (nearest >= opposite),
        alive & (opposite > same) & (opposite > nearest),
        int((matched_cosines(atoms, W_dec[alive]) > same).sum()),
        int((matched_cosines(-atoms, W_dec[alive]) > same).sum()),
        len(atoms),
    )


def spoken(dictionary: Dictionary, match: SignedMatch, e: np.ndarray) -> np.ndarray:
    """Energy Σ f² of each row's code in missed, in hallucinated and in all features, float [M, 3].

    Counting features would let ones that never fire vote. e [M, D] in the space that the dictionary was fitted to.
    """
    energy = np.square(densify(encode(dictionary, e)), dtype=float)  # [M, F]
    return np.stack([energy[:, match.missed].sum(1), energy[:, match.hallucinated].sum(1), energy.sum(1)], axis=1)


def spoken_share(
    energy: np.ndarray, kind: str, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """Share of e's code that is carried by features of one kind ("missed", "hallucinated"), with its interval.

    energy [M, 3] of `spoken`, patients [M]. The dictionaries stay as fitted: the interval is that of new patients.
    Raises NotComputable under `how.min_patients`, or if no feature ever fires.
    """
    columns = energy[:, [KINDS.index(kind), 2]]
    return bootstrap_of_sums(
        lambda s: s[:, 0] / s[:, 1], columns, patients, how.bootstrap, how.level, rng, how.min_patients
    )


def excess_over(
    energy: np.ndarray,
    others: list[np.ndarray],
    kind: str,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    """The share beyond the *largest* share among predictors that know nothing, paired by draw of patients.

    energy and each of others [M, 3] of `spoken`, of the same rows. Raises NotComputable as `spoken_share` does.
    """
    at = KINDS.index(kind)
    columns = np.hstack([each[:, [at, 2]] for each in (energy, *others)])  # [M, 2 (1 + others)]

    def beyond(s: np.ndarray) -> np.ndarray:
        found = s[:, ::2] / s[:, 1::2]
        return found[:, 0] - found[:, 1:].max(axis=1)

    return bootstrap_of_sums(beyond, columns, patients, how.bootstrap, how.level, rng, how.min_patients)
