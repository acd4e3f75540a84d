"""Names of features held against the planted truth: does a feature go with what the name it was given stands for?

A feature is named as on real records, by the code that it goes with (`analysis.features.naming`); only here it is
known which planted concept a code belongs to, and which concept the feature goes with.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    Null,
    bootstrap_counts,
    interval,
    null_of,
    patient_codes,
)
from jepascope.certify.features import correlations

# A code that goes with no concept by this correlation belongs to none: wards, ages and the background have codes, too.
OWNED = 0.1
NOBODY = -1


class NamesHeld(NamedTuple):
    """What F' named features' names are worth on test patients."""

    right: Estimate  # share of named features whose name's concept is the one they go with
    dealt: Null  # the same, names dealt anew among them
    sure_and_wrong: Estimate  # share of confirmed names that are not right
    named: int


class Naming(NamedTuple):
    """The names of F features."""

    code: np.ndarray  # int [F], NOBODY without a name
    confirmed: np.ndarray  # bool [F], by the records alone, on test patients


def owners(carried: np.ndarray, states: np.ndarray) -> np.ndarray:
    """The concept that each code goes with best, int [V]; NOBODY under r = OWNED.

    carried bool [N, V], states [N, C], of training patients.
    """
    r = correlations(carried, states)  # [V, C]
    return np.where(r.max(axis=1) > OWNED, r.argmax(axis=1), NOBODY)


def nearest_concepts(
    f: np.ndarray, states: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> np.ndarray:
    """The concept of largest r for each feature, int [1 + draws, F]: on the rows, then in draws of patients.

    f [N, F], states [N, C]. r is signed, as a feature is one-sided. Its own spread divides all r of a feature alike.
    """
    f, y = np.asarray(f, float) - np.mean(f, axis=0), np.asarray(states, float)
    (N, F), C = f.shape, y.shape[1]
    codes, B = patient_codes(patients, how.min_patients)
    member = sparse.csr_matrix((np.ones(N), (codes, np.arange(N))), shape=(B, N))  # sums rows by patient
    products = (f[:, :, None] * y[:, None]).reshape(N, F * C)
    sums = np.hstack([member @ part for part in (np.ones((N, 1)), f, y, products)])
    counts = np.vstack([np.ones(B), bootstrap_counts(B, how.bootstrap, rng)])
    n, sf, sy, sfy = np.split(counts @ sums, np.cumsum([1, F, C]), axis=1)
    covariance = n[:, :, None] * sfy.reshape(-1, F, C) - sf[:, :, None] * sy[:, None]
    spread = np.sqrt(np.clip(n * sy - sy**2, 1e-9, None))  # states are 0 or 1
    return (covariance / spread[:, None]).argmax(axis=2)


def names_held(
    f: np.ndarray,
    naming: Naming,
    owner: np.ndarray,
    states: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> NamesHeld:
    """Hold the names of features f [N, F] of test patients [N] against the concepts' states [N, C].

    owner int [V] is each code's concept (`owners`). A name of a code that belongs to no concept is not right. Raises
    NotComputable under two named features, which could not exchange names, or under `how.min_patients`.
    """
    named = np.flatnonzero(naming.code >= 0)
    if len(named) < 2:
        raise NotComputable(f"{len(named)} features with a name, 2 needed to exchange names")
    said = owner[naming.code[named]]  # [F']
    goes_with = nearest_concepts(f[:, named], states, patients, how, rng)  # [1 + draws, F']
    right = goes_with == said
    counts = len(f), len(np.unique(patients))
    share = right.mean(axis=1)
    deals = np.argsort(rng.random((how.permutations, len(named))), axis=1)
    dealt = (goes_with[0] == said[deals]).mean(axis=1)
    sure = naming.confirmed[named]
    wrong = (~right[:, sure]).mean(axis=1) if sure.any() else np.full(len(right), np.nan)
    return NamesHeld(
        Estimate(float(share[0]), *interval(share[1:], how.level), *counts),
        null_of(dealt, float(share[0]), how.level),
        Estimate(float(wrong[0]), *(interval(wrong[1:], how.level) if sure.any() else (np.nan, np.nan)), *counts),
        len(named),
    )
