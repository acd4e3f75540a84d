"""Predictable and novel codes: planted parts come back, the past alone is read, and test patients have no part."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch

from jepascope.analysis.inference.stats import NotComputable
from jepascope.analysis.predictor import temporal_codes as temporal
from jepascope.analysis.sae import Settings

SETTINGS = Settings(features=16, active=3, epochs=30, batch_rows=128, learning_rate=1e-2)


class Planted(NamedTuple):
    z: np.ndarray
    lasting: np.ndarray  # [N, D], what stays all along a record
    sudden: np.ndarray  # [N, D], what comes once
    gap: np.ndarray
    patients: np.ndarray
    later: np.ndarray  # bool [N]


def planted(seed: int = 0, B: int = 300, D: int = 16) -> Planted:
    """Half of the axes are words that a patient keeps, half words that come and go."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(B), rng.integers(2, 7, B))
    axes = np.linalg.qr(np.random.default_rng(99).normal(size=(D, D)))[0]
    kept = (rng.random((B, D // 2)) < 0.2)[patients] * 3.0
    new = (rng.random((len(patients), D // 2)) < 0.1) * 3.0
    lasting, sudden = kept @ axes[: D // 2], new @ axes[D // 2 :]
    z = (lasting + sudden + 0.1 * rng.normal(size=(len(patients), D))).astype(np.float32)
    later = np.r_[False, patients[1:] == patients[:-1]]
    return Planted(z, lasting, sudden, rng.normal(size=len(z)).astype(np.float32), patients, later)


@pytest.fixture(scope="module")
def fitted() -> temporal.TemporalDictionary:
    made = planted()
    return temporal.fit_temporal(made.z, made.gap, made.patients, SETTINGS, 0)


def alike(x: np.ndarray, y: np.ndarray) -> float:
    """Cosine of two clouds of rows, constants aside: nought where they move apart from each other."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def test_what_lasts_is_predictable_and_what_comes_once_is_novel_for_new_patients(fitted):
    new = planted(seed=1)
    codes = temporal.temporal_codes(fitted, new.z, new.gap, new.patients)
    p, n = (temporal.decoded(fitted, code)[new.later] for code in codes)
    lasting, sudden = new.lasting[new.later], new.sudden[new.later]
    assert alike(p, lasting) > 0.75
    assert abs(alike(p, sudden)) < 0.1
    assert alike(n, sudden) > 0.6
    assert alike(n, lasting) < 0.35
    assert 1 - np.square(new.z[new.later] - fitted.mean - p - n).mean() / new.z[new.later].var(axis=0).mean() > 0.8
    assert (codes.novel > 0).sum(axis=1).max() <= SETTINGS.active


def test_the_predictable_code_reads_neither_the_present_nor_what_comes_after(fitted):
    made = planted(seed=2, B=8)
    before = temporal.temporal_codes(fitted, made.z, made.gap, made.patients)
    assert not before.predictable[~made.later].any()
    longest = np.bincount(made.patients).argmax()  # a query has something to choose among from the third encounter on
    at = np.flatnonzero(made.patients == longest)[2]
    z, gap = made.z.copy(), made.gap.copy()
    z[at] += 5
    others = made.patients != longest
    gap[~others & (np.arange(len(z)) > at)] += 1
    after = temporal.temporal_codes(fitted, z, gap, made.patients)
    np.testing.assert_array_equal(after.predictable[: at + 1], before.predictable[: at + 1])
    assert not np.array_equal(after.novel[at], before.novel[at])
    np.testing.assert_array_equal(after.novel[others], before.novel[others])


def test_a_patient_has_the_same_codes_alone_as_beside_longer_records(fitted):
    made = planted(seed=3, B=6)
    together = temporal.temporal_codes(fitted, made.z, made.gap, made.patients)
    for patient in range(6):
        own = made.patients == patient
        alone = temporal.temporal_codes(fitted, made.z[own], made.gap[own], made.patients[own])
        np.testing.assert_allclose(alone.predictable, together.predictable[own], atol=1e-5)
        np.testing.assert_allclose(alone.novel, together.novel[own], atol=1e-4)


def test_one_head_by_hand():
    """Equal keys and no recency: attention is the plain mean of the codes before."""
    D, F, H = 2, 2, temporal.HEADS * temporal.HEAD_WIDTH
    V, O = torch.zeros(F, H), torch.zeros(H, F)  # noqa: E741
    V[0, 0] = V[1, 1] = O[0, 0] = O[1, 1] = 1
    flat = torch.full((temporal.HEADS,), -50.0)  # softplus is nought
    w = temporal.Weights(
        torch.eye(D), torch.zeros(F), torch.eye(D), torch.zeros(F + 1, H), torch.zeros(F, H), V, O, torch.zeros(F), flat
    )
    x = torch.tensor([[[1.0, 0.0], [0.0, 3.0], [2.0, 2.0]]])
    p, n = temporal.forward(w, x, torch.zeros(1, 3), 1)
    torch.testing.assert_close(p, torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.5, 1.5]]]))
    torch.testing.assert_close(n, torch.tensor([[[1.0, 0.0], [0.0, 3.0], [1.5, 0.0]]]))


def test_what_an_encoder_says_is_linear_and_atoms_have_norm_one(fitted):
    x, y = np.random.default_rng(0).normal(size=(2, 5, 16))
    np.testing.assert_allclose(
        temporal.said(fitted, x) - temporal.said(fitted, y), temporal.said(fitted, x - y), atol=1e-4
    )
    np.testing.assert_allclose(np.linalg.norm(fitted.weights.W_dec.numpy(), axis=1), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_codes():
    made = planted(B=30)
    short = SETTINGS._replace(epochs=2)
    first, again = (temporal.fit_temporal(made.z, made.gap, made.patients, short, 1) for _ in range(2))
    for a, b in zip(first.weights, again.weights, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_rows_that_cannot_be_split_are_refused():
    z = np.random.default_rng(0).normal(size=(4, 3))
    with pytest.raises(NotComputable, match="none of 4 patients"):
        temporal.fit_temporal(z, np.zeros(4), np.arange(4), SETTINGS, 0)
    with pytest.raises(ValueError, match="all 4 are the same"):
        temporal.fit_temporal(np.ones((4, 3)), np.zeros(4), np.array([0, 0, 1, 1]), SETTINGS, 0)
