"""What a dictionary does on patients it was not fitted to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    bootstrap_of_sums,
    patient_codes,
)
from jepascope.analysis.probes.linear import Probe
from jepascope.analysis.sae.dictionary import Dictionary, decode, densify
from jepascope.analysis.sae.encoding import encode
from jepascope.analysis.sae.matching import unit_rows

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
    return np.argsort(-np.abs(_gap(f, labels)), kind="stable")


def own_feature(f: np.ndarray, labels: np.ndarray) -> int:
    """The feature that stands for a label: of the largest gap upwards, as a feature is one-sided.

    `ranked_features` may put one first that is on where the label is absent; that one should be silent with the label.
    """
    return int(_gap(f, labels).argmax())


def _gap(f: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean of f [N, F] with the label less the mean without it, in standard deviations [F]; 0 for a constant one."""
    labels = np.asarray(labels, bool)
    spread = f.std(axis=0)
    return (f[labels].mean(axis=0) - f[~labels].mean(axis=0)) / np.where(spread > 1e-8, spread, np.inf)


def stand_ins(dictionary: Dictionary, f: np.ndarray, reader: Probe, own: int) -> np.ndarray:
    """What another feature carries of a concept in rows where its `own` one is off, [N, F]; 0 where none stands in.

    Chanin et al. 2024: one other feature j carries at least ABSORBER_SHARE of Σ_j max(0, f_j ⟨W_j, w⟩), w being the
    direction of `reader`, of the concept on x. f [N, F] of the rows.
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
