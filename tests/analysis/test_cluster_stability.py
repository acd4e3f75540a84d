"""Clusters come back where there are kinds, and where there are only patients none is reported."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.embedding.cluster_stability import (
    best_jaccard,
    density_validity,
    patient_effect_only,
    stability,
)
from jepascope.analysis.embedding.maps import Clusters, cluster, principal_axes
from jepascope.analysis.inference.stats import NotComputable
from jepascope.analysis.methods.toy_cohorts import toy_cohort


def kinds(n_patients=120, rows=4, seed=0):
    """Three kinds of patients, far apart, in 24 dimensions."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rows)
    return 6 * np.eye(24)[patients % 3] + 0.5 * rng.normal(size=(len(patients), 24)), patients


def test_jaccard_is_that_by_hand():
    labels, others = np.array([0, 0, 0, 1, 1, -1]), np.array([2, 2, -1, 2, 0, 0])
    # {0,1,2} with {0,1,3}: 2 of 4; {3,4} with {4,5}: 1 of 3
    assert best_jaccard(labels, others, 2) == pytest.approx([2 / 4, 1 / 3])
    assert best_jaccard(labels, np.full(6, -1), 3) == pytest.approx([0, 0, 0])


def test_planted_kinds_come_back_and_are_apart():
    x, patients = kinds()
    axes = principal_axes(x)
    found = cluster(axes, patients, 20)
    again = stability(axes, patients, found, 20, 5, np.random.default_rng(0))
    assert found.kept == 3
    assert again.recovered.all()
    assert again.rand.min() > 0.8
    assert density_validity(axes, found.labels) > 0.4


def test_a_cluster_that_was_drawn_by_hand_does_not_come_back():
    x, patients = kinds()
    random = Clusters(np.random.default_rng(0).integers(0, 3, len(x)), 3, 0)
    again = stability(principal_axes(x), patients, random, 20, 5, np.random.default_rng(0))
    assert not again.recovered.any()
    assert abs(again.rand.mean()) < 0.05


def test_a_resample_holds_whole_patients_once(monkeypatch):
    seen = []

    def spy(x, patients, min_patients):
        seen.append((x[:, 0].astype(int), min_patients))
        return Clusters(np.full(len(x), -1), 0, 0)

    monkeypatch.setattr("jepascope.analysis.embedding.cluster_stability.cluster", spy)
    patients = np.repeat(np.arange(200), 3)
    x = np.arange(600.0)[:, None]
    stability(x, patients, Clusters(np.zeros(600, int), 1, 0), 20, 3, np.random.default_rng(0))
    for rows, needed in seen:
        assert len(np.unique(rows)) == len(rows) == 3 * len(np.unique(patients[rows]))
        assert 100 < len(np.unique(patients[rows])) < 150
        assert needed == round(20 * len(np.unique(patients[rows])) / 200)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_but_patients_has_no_cluster(seed):
    nothing = toy_cohort(np.random.default_rng(seed), patients=250, effect=0.8)
    for x in (nothing.X, patient_effect_only(nothing.X, nothing.patients, np.random.default_rng(seed))):
        assert cluster(principal_axes(x), nothing.patients, 20).kept == 0


def test_the_surrogate_of_three_kinds_has_their_covariances_and_no_kinds():
    x, patients = kinds(600)
    cloud = patient_effect_only(x, patients, np.random.default_rng(0))
    assert np.allclose(np.cov(cloud.T), np.cov(x.T), atol=0.5)
    means, own = (np.stack([y[patients == p].mean(axis=0) for p in range(600)]) for y in (cloud, x))
    assert np.trace(np.cov(means.T)) == pytest.approx(np.trace(np.cov(own.T)), rel=0.1)
    within = [np.mean((y - m[patients]) ** 2) for y, m in ((cloud, means), (x, own))]
    assert within[0] == pytest.approx(within[1], rel=0.1)
    assert cluster(principal_axes(cloud), patients, 20).kept == 0


def test_what_can_t_be_told_is_said():
    with pytest.raises(NotComputable, match="one row each"):
        patient_effect_only(np.eye(5), np.arange(5), np.random.default_rng(0))
    with pytest.raises(NotComputable, match="2 needed"):
        density_validity(np.eye(4), np.array([0, 0, -1, -1]))


def test_patients_who_share_nothing_share_nothing_in_the_surrogate():
    """Means of two rows differ between patients also where patients don't: that much is taken off."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(1500), 2)
    surrogate = patient_effect_only(rng.normal(size=(3000, 3)), patients, rng)
    first, second = surrogate[::2], surrogate[1::2]
    assert np.mean([np.corrcoef(first[:, d], second[:, d])[0, 1] for d in range(3)]) < 0.06
    assert surrogate.std() == pytest.approx(1, abs=0.05)
