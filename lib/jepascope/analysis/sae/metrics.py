"""What a dictionary does on patients it was not fitted to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.probes import Probe, fit_probe, probe_scores
from jepascope.analysis.sae.dictionary import Dictionary, decode, densify
from jepascope.analysis.sae.encoding import encode
from jepascope.analysis.sae.matching import unit_rows
from jepascope.analysis.stats import (
    Estimate,
    Inference,
    bootstrap_of_sums,
    patient_bootstrap,
    patient_codes,
    require_carriers,
    weighted_auroc,
)

# Fewer patients than this behind a feature, and a card of it would describe persons.
MIN_REACH = 11
# A feature that is on more often than this says little about who it is on for (Karvonen et al. 2025 count these).
DENSE_RATE = 0.1
# What makes one feature's stand-in for another (Chanin et al. 2024): it points along the concept at all, and it alone
# carries this share of what the code holds of the concept.
ABSORBER_COSINE, ABSORBER_SHARE = 0.1, 0.4
# Ridge of a probe on a few standardised features.
PROBE_PENALTY = 1.0


class Quality(NamedTuple):
    """What a dictionary does on rows it was not fitted to."""

    fvu: Estimate  # mean over dimensions of SSE / SST: the share of variance left unexplained
    l0: Estimate  # active features per row
    dead: int  # features silent on all rows
    dense: int  # features on in more than DENSE_RATE of rows
    reaching: int  # features active in at least MIN_REACH patients
    features: int
    splitting: float  # mean over features of the largest cosine with another one


class Absorption(NamedTuple):
    """Rows of a concept in which its feature is silent and another one speaks for it."""

    rate: Estimate  # of the concept's rows that a linear reader of x recognises
    feature: int  # the concept's own, which should have been on
    absorbers: np.ndarray  # int, the features that stood in, the most frequent first


def quality(
    dictionary: Dictionary, x: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Quality:
    """Held-out x [N, D], patients [N]: on training rows FVU flatters and nothing is dead. Raises NotComputable.

    FVU is averaged over dimensions, so that one wide dimension can't hide the others.
    """
    f = densify(encode(dictionary, x))
    error, total = np.square(x - decode(dictionary, f)), np.square(x - x.mean(axis=0))  # [N, D]
    D = x.shape[1]
    common = (patients, how.bootstrap, how.level, rng, how.min_patients)
    fvu = bootstrap_of_sums(lambda s: (s[:, :D] / s[:, D:]).mean(axis=1), np.hstack([error, total]), *common)
    counts = np.stack([(f > 0).sum(axis=1), np.ones(len(f))], axis=1)
    l0 = bootstrap_of_sums(lambda s: s[:, 0] / s[:, 1], counts, *common)
    reach, dense = patients_reached(f, patients), (f > 0).mean(axis=0) > DENSE_RATE
    dead, reaching = (reach == 0).sum(), (reach >= MIN_REACH).sum()
    split = float(splitting(dictionary.W_dec).mean())
    return Quality(fvu, l0, int(dead), int(dense.sum()), int(reaching), f.shape[1], split)


def patients_reached(f: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Patients [F] in whom each feature of f [N, F] fires at least once: rows would count one patient many times."""
    codes, n_patients = patient_codes(patients, 1)
    reached = np.zeros((n_patients, f.shape[1]), bool)
    rows, features = np.nonzero(f > 0)
    reached[codes[rows], features] = True
    return reached.sum(axis=0)


def splitting(W_dec: np.ndarray) -> np.ndarray:
    """Each feature's largest cosine with another one [F], W_dec [F, D]: near one, a direction was split in two."""
    cosine = unit_rows(W_dec) @ unit_rows(W_dec).T
    np.fill_diagonal(cosine, -1.0)
    return cosine.max(axis=1)


def ranked_features(f: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Features [F] by the gap between their means with and without the label, in standard deviations, largest first.

    f [N, F] and labels [N] of training patients (Gurnee et al. 2023): ranked on all rows, the search would flatter.
    """
    labels = np.asarray(labels, bool)
    spread = f.std(axis=0)
    gap = np.abs(f[labels].mean(axis=0) - f[~labels].mean(axis=0))
    return np.argsort(-gap / np.where(spread > 1e-8, spread, np.inf), kind="stable")


def sparse_probe(
    f: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    k: int,
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    """AUROC on test patients of a linear reader that may see k features only: does a label live in a few of them?

    f [N, F], labels, patients [N], train and test [N] bool. The k are chosen, and the reader fitted, on train. All of f
    would tell how much the code kept, not where. Raises NotComputable for too few patients with or without the label.
    """
    labels = np.asarray(labels, bool)
    for rows in (train, test):
        require_carriers(labels[rows], patients[rows], how.min_carriers)
    chosen = f[:, ranked_features(f[train], labels[train])[:k]]
    probe = fit_probe(chosen, labels, patients, train, how, rng, (PROBE_PENALTY,))
    statistic = weighted_auroc(probe_scores(probe, chosen[test]), labels[test])
    return patient_bootstrap(statistic, patients[test], how.bootstrap, how.level, rng, how.min_patients)


def absorption(
    dictionary: Dictionary,
    x: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Absorption:
    """How often a concept's own feature is silent because a more special one has taken its direction in.

    Chanin et al. 2024. The concept's feature is the best single one on train; a linear reader w of x, fitted there too,
    says in which of the concept's test rows x shows it. Of those, absorbed are rows where the feature is off and one
    other feature carries at least ABSORBER_SHARE of Σ_j max(0, f_j ⟨W_j, w⟩). Sparse probing alone can't tell this from
    a feature that is merely poor. x [N, D], labels, patients, train, test [N]. Raises NotComputable.
    """
    labels = np.asarray(labels, bool)
    require_carriers(labels[test], patients[test], how.min_carriers)
    f = densify(encode(dictionary, x))
    reader = fit_probe(x, labels, patients, train, how, rng, (PROBE_PENALTY,))
    own = int(ranked_features(f[train], labels[train])[0])
    shown = test & labels & (probe_scores(reader, x) > 0)
    substitute = stand_ins(dictionary, f, reader, own)
    absorbed = shown & (substitute > 0).any(axis=1)
    sums = np.stack([absorbed, shown], axis=1)[test]
    rate = bootstrap_of_sums(
        lambda s: s[:, 0] / s[:, 1], sums, patients[test], how.bootstrap, how.level, rng, how.min_patients
    )
    times = np.bincount(substitute[absorbed].argmax(axis=1), minlength=f.shape[1])
    return Absorption(rate, own, np.argsort(-times, kind="stable")[: np.count_nonzero(times)])


def stand_ins(dictionary: Dictionary, f: np.ndarray, reader: Probe, own: int) -> np.ndarray:
    """What another feature carries of a concept in rows where its `own` one is off, [N, F]; 0 where none stands in.

    f [N, F] of the rows, `reader` of the concept on x: see `absorption`.
    """
    direction = reader.w / reader.scale
    along = unit_rows(dictionary.W_dec) @ (direction / np.linalg.norm(direction))  # [F]
    carried = np.clip(f * along, 0, None)  # [N, F]
    substitute = np.where(along >= ABSORBER_COSINE, carried, 0.0)
    substitute[:, own] = 0.0
    enough = substitute.max(axis=1) >= ABSORBER_SHARE * carried.sum(axis=1)
    return np.where((enough & (f[:, own] == 0))[:, None], substitute, 0.0)


def fvu_difference(
    ours: Dictionary,
    theirs: Dictionary,
    x: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    """FVU of theirs minus that of ours on held-out x [N, D], paired: both see the same patients in each draw.

    Above zero, ours leaves less unexplained. patients [N]. Raises NotComputable.
    """
    left = [np.square(x - decode(d, densify(encode(d, x)))) for d in (theirs, ours)]  # [N, D] each
    sums, D = np.hstack([left[0] - left[1], np.square(x - x.mean(axis=0))]), x.shape[1]
    return bootstrap_of_sums(
        lambda s: (s[:, :D] / s[:, D:]).mean(axis=1),
        sums, patients, how.bootstrap, how.level, rng, how.min_patients,
    )  # fmt: skip
