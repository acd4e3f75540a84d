"""Control labels: what a reader reaches on labels that mean nothing but are as rare and as persistent as a real one.

A probe that reads a random label as well as the real one reads patients, not the concept (Hewitt & Liang 2019 for
words). Two kinds bracket real labels: one that never changes within a patient, and one that persists as the label does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import NotComputable, patient_codes


class Chain(NamedTuple):
    """A two-state Markov chain of a label along a patient's encounters."""

    start: float  # P(on at the first encounter)
    begin: float  # P(on | off at the encounter before)
    stay: float  # P(on | on at the encounter before)


def constant_labels(labels: np.ndarray, patients: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Random labels, bool [draws, N], the same on all rows of a patient and on as many rows as the real one.

    Random row labels would be a straw man: no representation can carry them. Patients are taken in random order while
    the middle of their rows lies within the share that is on, so that prevalence is met to half a patient's rows.

    Args: labels [N] in {0, 1}, patients [N]. Raises ValueError if a label is neither 0 nor 1.
    """
    codes, n_patients = patient_codes(patients)
    wanted = _binary(labels).sum()
    lengths = np.bincount(codes)
    order = np.argsort(rng.random((draws, n_patients)), axis=1)  # [draws, B]
    middle = np.cumsum(lengths[order], axis=1) - lengths[order] / 2
    on = np.zeros((draws, n_patients), bool)
    np.put_along_axis(on, order, middle < wanted, axis=1)
    return on[:, codes]


def fit_chain(labels: np.ndarray, patients: np.ndarray) -> Chain:
    """Maximum likelihood of the chain: shares among first rows, and among pairs of neighbouring rows of one patient.

    labels [N] in {0, 1}, patients [N], rows of each in order of k. Raises NotComputable if no row follows an on or no
    row follows an off one, ValueError if a label is neither 0 nor 1.
    """
    codes, _ = patient_codes(patients)
    order = np.argsort(codes, kind="stable")
    on, codes = _binary(labels)[order], codes[order]
    follows = codes[1:] == codes[:-1]
    before, after = on[:-1][follows], on[1:][follows]
    if before.all() or not before.any():
        raise NotComputable(f"{before.sum()} rows follow one with the label and {(~before).sum()} one without")
    return Chain(float(on[np.r_[True, ~follows]].mean()), float(after[~before].mean()), float(after[before].mean()))


def sticky_labels(chain: Chain, patients: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Random labels, bool [draws, N], that come and go within patients as the chain says, and depend on nothing else.

    With the chain of `fit_chain` they have the label's prevalence at the first row and its turnover, hence nearly its
    prevalence overall (exactly, in the mean, where its turnover doesn't change with k). One step for all draws and
    patients at each k. patients [N], rows of each in order of k.
    """
    codes, _ = patient_codes(patients)
    order = np.argsort(codes, kind="stable")
    lengths = np.bincount(codes)
    first = np.cumsum(lengths) - lengths  # [B], in sorted rows
    uniform = rng.random((draws, len(codes)))
    on = np.empty((draws, len(codes)), bool)  # in sorted rows
    on[:, first] = uniform[:, first] < chain.start
    for k in range(1, int(lengths.max())):
        rows = first[lengths > k] + k
        on[:, rows] = uniform[:, rows] < np.where(on[:, rows - 1], chain.stay, chain.begin)
    moved = np.empty_like(on)
    moved[:, order] = on
    return moved


def _binary(labels: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 0 or 1: leave rows without a label out first")
    return labels.astype(bool)
