"""Two readers beside the fitted probe: one that fits nothing but means, and one that is charged for what it learns.

A probe's AUROC counts what a reader ends up with and not what it costs to get there. The difference of means has no
weights to overfit; the online code pays, in bits, for every label that the rows before it did not give away.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, bootstrap_of_sums, patient_codes
from jepascope.analysis.probes.linear import Probe, fit_probe, probe_scores

BLOCKS = 8
# One ridge weight for all blocks: to choose it by the labels that are being sent would be sent for nothing.
PENALTY = 30.0


def difference_of_means(X: np.ndarray, y: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Read along the line between two means: what it finds lies open, for any reader, without a choice of weights.

    Score of a row x: ⟨m₁ − m₀, (x − μ) / s⟩, with m₁ and m₀ the means of standardised training rows with and without
    the label. X [N, D], y bool [N], train bool [N]; returns [N]. Raises NotComputable if train holds one class only.
    """
    y = np.asarray(y, bool)
    if y[train].all() or not y[train].any():
        raise NotComputable(f"{y[train].sum()} of {train.sum()} training rows have the label: two classes needed")
    mean, scale = X[train].mean(axis=0), X[train].std(axis=0)
    standard = (X - mean) / np.where(scale < 1e-8, 1.0, scale)
    return standard @ (standard[train & y].mean(axis=0) - standard[train & ~y].mean(axis=0))


class OnlineCode(NamedTuple):
    """What it costs to send the labels, in bits a row [N], to someone who has the rows."""

    bits: np.ndarray  # by a probe of the rows sent so far
    by_share: np.ndarray  # by the share of the label among rows sent so far: nothing is read


def online_code(
    X: np.ndarray, y: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator, blocks: int = BLOCKS
) -> OnlineCode:
    """Send labels block by block, each by a probe of the blocks before: a reader that needs much data pays for it.

    L = N₁ + Σ_b Σ_{i in b} −log₂ p_b(y_i | x_i), p_b a ridge-logistic probe of all rows before block b, and the N₁ rows
    of the first block at one bit each (Voita & Titov 2020, eq. 5). Blocks hold whole patients in random order and
    double in size, so that all fits cost about as much as one on all rows, and a patient is never sent by a probe that
    has seen her. Where fewer patients than `how.min_carriers` carry or lack the label so far, the share is used.

    X [N, D], y [N] in {0, 1}, patients [N]. Raises NotComputable under 2^(blocks − 1) patients.
    """
    y = np.asarray(y, bool)
    codes, n_patients = patient_codes(patients, 2 ** (blocks - 1))
    rank = rng.permutation(n_patients)[codes]  # [N], the patient's place in the order
    edges = n_patients // 2 ** np.arange(blocks - 1, -1, -1)  # patients sent after each block
    bits, by_share = np.ones(len(y)), np.ones(len(y))
    for sent, upto in itertools.pairwise(edges):
        before, block = rank < sent, (rank >= sent) & (rank < upto)
        share = (y[before].sum() + 0.5) / (before.sum() + 1)  # Krichevsky & Trofimov: never certain
        by_share[block] = -np.log2(np.where(y[block], share, 1 - share))
        try:
            probe = fit_probe(X, y, patients, before, how, rng, penalties=(PENALTY,))
        except NotComputable:
            bits[block] = by_share[block]
        else:
            bits[block] = _cost(probe, X[block], y[block])
    return OnlineCode(bits, by_share)


def _cost(probe: Probe, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """−log₂ p(y | x) of each row."""
    logit = probe_scores(probe, X)
    return np.logaddexp(0, np.where(y, -logit, logit)) / np.log(2)


def share_saved(
    codes: Sequence[OnlineCode], patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """The share of bits that reading saves, mean over Q labels: labels are too rare to compare with one bit a row.

    1 − L / L_share each, and the mean of them. Patients are drawn, the codes stay as they were sent. Codes of the same
    rows, patients [N]. Raises NotComputable under `how.min_patients` or with no code.
    """
    return _of_sums(_saved(codes, 1.0), patients, how, rng)


def difference_saved(
    ours: Sequence[OnlineCode],
    theirs: Sequence[OnlineCode],
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    """`share_saved` of one space minus that of another, paired by draw. Labels in the same order in both."""
    return _of_sums(_saved(ours, 1.0) + _saved(theirs, -1.0), patients, how, rng)


class _Part(NamedTuple):
    sign: float
    code: OnlineCode
    share: float  # of all parts of this sign


def _saved(codes: Sequence[OnlineCode], sign: float) -> list[_Part]:
    if not codes:
        raise NotComputable("0 labels, 1 needed")
    return [_Part(sign, code, 1 / len(codes)) for code in codes]


def _of_sums(parts: list[_Part], patients: np.ndarray, how: Inference, rng: np.random.Generator) -> Estimate:
    """Σ sign · share · (1 − L / L_share), each L a sum over rows, in draws of patients."""
    columns = np.stack([column for part in parts for column in part.code], axis=1)  # [N, 2 parts]
    weights = np.array([part.sign * part.share for part in parts])
    return bootstrap_of_sums(
        lambda s: (1 - s[:, ::2] / s[:, 1::2]) @ weights,
        columns, patients, how.bootstrap, how.level, rng, how.min_patients,
    )  # fmt: skip
