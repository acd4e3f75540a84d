"""The blind-spot map: a concept that the predictor can't see stands out, and its parts are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.error.blind_spots import (
    MATCHED,
    blind_spots,
    concept_directions,
    mean_differences,
    random_directions,
)
from jepascope.analysis.error.decomposition import Parts, decompose
from jepascope.analysis.inference.stats import Inference, q_values

HOW = Inference(bootstrap=200, permutations=50, min_patients=5)


def mapped(rng, N=3000, D=10):
    """z of two concepts and noise: the first is foreseen, the second never, though the past tells it."""
    who = np.arange(N) // 3
    labels = rng.random((N, 2)) < 0.3
    z = rng.normal(size=(N, D)) * 0.5
    z[:, 0] += 3 * labels[:, 0]
    z[:, 1] += 3 * labels[:, 1]
    mean = z.mean(axis=0)
    z_hat = mean + 0.5 * (z - mean)
    z_hat[:, 0], z_hat[:, 1] = z[:, 0], mean[1]
    e = z - z_hat
    own = decompose(e, rng.normal(size=(N, 3)), who, 5, rng)
    past = decompose(e, np.column_stack([rng.normal(size=(N, 3)), labels[:, 1]]), who, 5, rng)
    directions = concept_directions(z, labels), random_directions(z, rng)
    return blind_spots(*directions, e, z, mean, own, past, who, HOW, rng)


def test_the_concept_that_is_not_foreseen_is_seen_and_so_is_what_lost_it():
    found = mapped(np.random.default_rng(0))
    assert found.unforeseen.value == pytest.approx([0.0, 1.0], abs=0.05)
    assert found.lost.value[1] > 0.8
    assert abs(found.lost.value[0]) < 0.01
    assert np.abs(found.systematic.value).max() < 0.01
    assert found.unforeseen.value[1] > found.band[1, 1]
    assert found.p.max() < 0.05


def test_a_direction_tells_the_concept_and_not_what_comes_along():
    rng = np.random.default_rng(0)
    label = rng.random(5000) < 0.5
    z = rng.normal(size=(5000, 3))
    z[:, 0] += 2 * label
    z[:, 1] = z[:, 0] + 0.5 * rng.normal(size=5000)  # comes along, and says nothing more
    fisher, plain = concept_directions(z, label[:, None])[0], mean_differences(z, label[:, None])[0]
    assert abs(plain[1]) > 0.6
    assert abs(fisher[0]) > 0.99
    assert np.linalg.norm([fisher, plain], axis=1) == pytest.approx([1, 1])


def thick_and_thin(rng, N=4000):
    """z as VICReg leaves it: two dozen thick axes, and thin ones over three orders; ẑ foresees the thick."""
    scale = np.sqrt(np.r_[np.geomspace(1e-3, 0.5, 40), np.linspace(2, 3.5, 24)])
    z = rng.normal(size=(N, 64)) * scale
    return z, z * np.where(scale > 1, 0.5, 1.0)


def test_random_directions_are_as_thick_as_any_concept_may_be():
    """Directions of concepts lie between the thick axes and the thin: candidates of the two alone match neither."""
    z, _ = thick_and_thin(np.random.default_rng(0))
    random = random_directions(z, np.random.default_rng(1))
    spread = np.sum((random @ np.cov(z.T)) * random, axis=1)
    for variance in np.geomspace(0.005, 3.2, 12):
        apart = np.sort(np.abs(np.log(spread / variance)))[MATCHED - 1]
        assert apart < np.log(1.5), (
            f"the {MATCHED} nearest to a variance of {variance:.3f} are {np.exp(apart):.1f} times off"
        )


def test_a_direction_that_means_nothing_lies_in_its_band():
    z, e = thick_and_thin(np.random.default_rng(0))
    labels = np.random.default_rng(2).random((len(z), 60)) < 0.3
    none = Parts(*(np.zeros_like(e) for _ in range(3)))
    directions = concept_directions(z, labels), random_directions(z, np.random.default_rng(1))
    who = np.arange(len(z)) // 4
    found = blind_spots(*directions, e, z, z.mean(axis=0), none, none, who, HOW, np.random.default_rng(3))
    assert np.mean(found.p < 0.05) < 0.2
    assert np.ptp(found.band, axis=1).max() < 0.6


def test_parts_are_read_against_the_same_variation():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(60, 2))
    e = z.copy()
    half = Parts(np.zeros_like(e), e / 2, e / 2)
    directions = np.eye(2), random_directions(z, rng)
    found = blind_spots(*directions, e, z, np.zeros(2), half, half, np.arange(60), HOW, rng)
    assert found.unforeseen.value == pytest.approx([1, 1])
    assert found.systematic.value == pytest.approx([0.75, 0.75])
    assert found.lost.value == pytest.approx([0, 0])


def test_one_concept_of_dozens_that_stands_out_can_be_found_among_random_directions():
    """The smallest p must survive the correction for forty concepts, or the map could never speak."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(900, 12))
    e = z * np.r_[0.1, np.ones(11)]
    none = Parts(*(np.zeros_like(e) for _ in range(3)))
    others = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    directions = np.vstack([np.eye(12)[:1], *(others for _ in range(3)), others[:3]])
    random = random_directions(z, np.random.default_rng(1))
    found = blind_spots(directions, random, e, z, np.zeros(12), none, none, np.arange(900) // 3, HOW, rng)
    q = q_values(found.p)
    assert q[0] < 0.05
    # The mean square along random directions, by the rows themselves.
    random = random[:3]
    assert np.sum((random @ (e.T @ e / 900)) * random, axis=1) == pytest.approx(np.mean((e @ random.T) ** 2, axis=0))
    assert (found.p[1:] > 0.02).all()
