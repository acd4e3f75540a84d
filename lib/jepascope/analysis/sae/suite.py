"""A dictionary held against concepts: what a few features say of them, what was absorbed, how pure features are.

Every choice (which features a reader may see, which label is a feature's own) is made on training patients; every
number is read on test patients, with one joint bootstrap over patients for all concepts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, bootstrap_of_sums, require_carriers
from jepascope.analysis.probes.linear import Probe, fit_probe, mean_auroc, probe_scores
from jepascope.analysis.sae.dictionary import Dictionary, densify
from jepascope.analysis.sae.encoding import encode
from jepascope.analysis.sae.labels import label_entropy
from jepascope.analysis.sae.metrics import PROBE_PENALTY, own_feature, ranked_features, stand_ins

# How many features a reader may see (Gurnee et al. 2023; Karvonen et al. 2025).
FEW = (1, 5, 16)


class Concepts(NamedTuple):
    """Labels of the rows of some patients, and which rows are for choosing and fitting, which for reading."""

    labels: np.ndarray  # bool [N, Q]
    patients: np.ndarray  # [N]
    train: np.ndarray  # bool [N]
    test: np.ndarray  # bool [N]


class ConceptReading(NamedTuple):
    """What a dictionary's features have to do with concepts, on test patients."""

    auroc: dict[int, Estimate]  # k -> mean over concepts, of readers that see k features
    # Share of rows that show a concept whose own feature is off while another speaks for it; None where none shows one.
    absorbed: Estimate | None
    label_r: Estimate  # mean over living features of r with the label that is nearest on training patients
    entropy: Estimate  # mean over features that are on with a label; over log Q
    entropy_expected: float  # of a feature that is on everywhere alike


def computable(concepts: Concepts, how: Inference) -> Concepts:
    """Leave out labels that too few patients carry or lack, in train or in test. Raises NotComputable under two."""
    enough = []
    for q, label in enumerate(concepts.labels.T):
        try:
            for rows in (concepts.train, concepts.test):
                require_carriers(label[rows], concepts.patients[rows], how.min_carriers)
        except NotComputable:
            continue
        enough.append(q)
    if len(enough) < 2:
        raise NotComputable(f"{len(enough)} labels carried by {how.min_carriers} patients, 2 needed")
    return concepts._replace(labels=concepts.labels[:, enough])


def readers(x: np.ndarray, concepts: Concepts, how: Inference, rng: np.random.Generator) -> list[Probe]:
    """A linear reader of x [N, D] for each concept: what counts as a row that shows it. Raises NotComputable."""
    return [
        fit_probe(x, label, concepts.patients, concepts.train, how, rng, (PROBE_PENALTY,))
        for label in concepts.labels.T
    ]


def sparse_scores(f: np.ndarray, concepts: Concepts, k: int, how: Inference, rng: np.random.Generator) -> np.ndarray:
    """Scores [N_test, Q] of linear readers that may see k features of f [N, F], chosen and fitted on train."""
    scores = []
    for label in concepts.labels.T:
        seen = f[:, ranked_features(f[concepts.train], label[concepts.train])[:k]]
        probe = fit_probe(seen, label, concepts.patients, concepts.train, how, rng, (PROBE_PENALTY,))
        scores.append(probe_scores(probe, seen[concepts.test]))
    return np.stack(scores, axis=1)


def read_concepts(
    dictionary: Dictionary,
    x: np.ndarray,
    concepts: Concepts,
    of_x: list[Probe],
    how: Inference,
    rng: np.random.Generator,
) -> ConceptReading:
    """All measures of one dictionary of x [N, D] against the concepts of its rows; `of_x` are the `readers` of x.

    Raises NotComputable as `computable` and the bootstrap do.
    """
    f = densify(encode(dictionary, x))
    labels, patients = concepts.labels[concepts.test], concepts.patients[concepts.test]
    auroc = {
        k: mean_auroc(sparse_scores(f, concepts, k, how, rng), labels, patients, how, rng)
        for k in FEW
        if k <= f.shape[1]
    }
    absorbed = absorption(dictionary, f, x, concepts, of_x, how, rng)
    return ConceptReading(auroc, absorbed, *_purity(f, concepts, how, rng))


def absorption(
    dictionary: Dictionary,
    f: np.ndarray,
    x: np.ndarray,
    concepts: Concepts,
    of_x: list[Probe],
    how: Inference,
    rng: np.random.Generator,
) -> Estimate | None:
    """How often a concept's own feature is silent because a more special one has taken its direction in.

    Chanin et al. 2024, over all concepts together: rows absorbed, over test rows in which a linear reader of x sees a
    concept. A concept's own feature is chosen on train. Sparse readers can't tell absorption from a poor feature.
    f [N, F] are the dictionary's codes of x [N, D]. None where no row shows a concept.
    """
    sums = np.zeros((int(concepts.test.sum()), 2))
    for label, reader in zip(concepts.labels.T, of_x, strict=True):
        own = own_feature(f[concepts.train], label[concepts.train])
        shown = (label & (probe_scores(reader, x) > 0))[concepts.test]
        stood_in = (stand_ins(dictionary, f[concepts.test], reader, own) > 0).any(axis=1)
        sums += np.stack([shown & stood_in, shown], axis=1)
    if not sums[:, 1].any():
        return None
    patients = concepts.patients[concepts.test]
    common = (patients, how.bootstrap, how.level, rng, how.min_patients)
    return bootstrap_of_sums(lambda s: s[:, 0] / s[:, 1], sums, *common)


def _purity(
    f: np.ndarray, concepts: Concepts, how: Inference, rng: np.random.Generator
) -> tuple[Estimate, Estimate, float]:
    """Label correlation and entropy, the measures of MedSAE (Renzulli et al. 2025), as means over living features.

    A feature's label is the nearest on train: the nearest on test would be found by the search itself.
    """
    on = f[:, np.ptp(f[concepts.train], axis=0) > 0].astype(float)
    if not on.shape[1]:
        raise NotComputable("no feature is on in these training patients")
    own = label_entropy(on[concepts.train], concepts.labels[concepts.train])
    y, f_test = concepts.labels[concepts.test].astype(float), on[concepts.test]
    common = (concepts.patients[concepts.test], how.bootstrap, how.level, rng, how.min_patients)
    r = bootstrap_of_sums(_mean_r, _moments(f_test, y[:, own.label] * np.sign(own.r)), *common)
    masses = (f_test[:, :, None] * y[:, None]).reshape(len(y), -1)  # [N_test, F · Q]
    shape = (f_test.shape[1], y.shape[1])
    entropy = bootstrap_of_sums(lambda s: _mean_entropy(s.reshape(-1, *shape)), masses, *common)
    return r, entropy, label_entropy(np.ones((len(y), 1)), y).expected


def _moments(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Columns whose sums give r of each column of a with its column of b, [N, 6 F] of [N, F] each."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)  # centred: sums stay small
    return np.hstack([np.ones_like(a), a, b, a * a, b * b, a * b])


def _mean_r(sums: np.ndarray) -> np.ndarray:
    """Mean over features of Pearson's r, from sums [draws, 6 F] of `_moments`."""
    n, a, b, aa, bb, ab = np.split(sums, 6, axis=1)
    spread = (n * aa - a**2) * (n * bb - b**2)
    moves = spread > 1e-9 * (n * aa * n * bb)  # a feature that is silent in a draw tracks nothing there
    return np.where(moves, (n * ab - a * b) / np.sqrt(np.where(moves, spread, 1.0)), 0.0).mean(axis=1)


def _mean_entropy(mass: np.ndarray) -> np.ndarray:
    """Mean over features of the entropy of their mass [draws, F, Q] over labels, by log Q; silent ones left out."""
    p = mass / mass.sum(axis=2, keepdims=True)
    entropy = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=2) / np.log(mass.shape[2])
    return np.nanmean(entropy, axis=1)
