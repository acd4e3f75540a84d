"""Rollouts: matched targets by hand, and an autoregressive latent whose drift, skill and variance are known."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.rollout import rollouts

HOW = Inference(bootstrap=300, min_patients=2)
A = 0.8


def autoregressive(n_patients=400, length=9, D=6, H=3, a=A, seed=0):
    """z_j = a z_{j−1} + noise, of variance 1 throughout; the best prediction from h before is a^h z_{j−h}."""
    rng = np.random.default_rng(seed)
    z = np.empty((n_patients, length, D))
    z[:, 0] = rng.normal(size=(n_patients, D))
    for j in range(1, length):
        z[:, j] = a * z[:, j - 1] + np.sqrt(1 - a**2) * rng.normal(size=(n_patients, D))
    z = z.reshape(-1, D)
    k = np.tile(np.arange(length), n_patients)
    z_hat = np.full((H, *z.shape), np.nan)
    for h in range(1, H + 1):
        z_hat[h - 1, k >= h] = a**h * z[np.flatnonzero(k >= h) - h]
    return z, z_hat, k, np.repeat(np.arange(n_patients), length)


def matched(**kind):
    z, z_hat, k, patients = autoregressive(**kind)
    return rollouts.match_targets(z, z_hat, k, patients, np.zeros(z.shape[1]))


def by_hand():
    """Patient 7 with three encounters and patient 8 with two, in one dimension; H = 2, so one target remains."""
    z = np.array([[0.0], [1.0], [5.0], [2.0], [3.0]])
    one, two = [np.nan, 2, 4, np.nan, 9], [np.nan, np.nan, 3, np.nan, np.nan]
    z_hat = np.array([one, two])[:, :, None]
    return z, z_hat, np.array([0, 1, 2, 0, 1]), np.array([7, 7, 7, 8, 8])


def test_only_targets_that_every_horizon_reaches_remain_with_the_right_starts():
    found = rollouts.match_targets(*by_hand(), np.zeros(1))
    assert found.z.tolist() == [[5.0]]
    assert found.z_hat.tolist() == [[[4.0]], [[3.0]]]
    assert found.z_start.tolist() == [[[1.0]], [[0.0]]]  # z one and two encounters before
    assert found.patients.tolist() == [7]


def test_a_row_that_one_horizon_alone_reaches_changes_nothing():
    z, z_hat, k, patients = autoregressive(n_patients=30)
    before = rollouts.match_targets(z, z_hat, k, patients, np.zeros(6))
    z_hat[0, k < 3] = 1e6  # k = 1 and 2 have one-step predictions, and aren't targets of h = 3
    after = rollouts.match_targets(z, z_hat, k, patients, np.zeros(6))
    assert all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))


def test_distance_drift_and_persistence_by_hand():
    z, z_hat, k, _ = by_hand()
    z, z_hat, k = np.tile(z, (40, 1)), np.tile(z_hat, (1, 40, 1)), np.tile(k, 40)
    z[7::10] = 6  # every second copy's target: D(1) = (1 + 2) / 2, D(2) = (2 + 3) / 2
    targets = rollouts.match_targets(z, z_hat, k, np.repeat(np.arange(80), [3, 2] * 40), np.zeros(1))
    found = rollouts.horizons(targets, HOW, np.random.default_rng(0))
    assert [e.value for e in found.distance] == pytest.approx([1.5, 2.5])
    assert [e.value for e in found.drift] == pytest.approx([0, 100 * (2.5 - 1.5) / 1.5])
    assert [e.value for e in found.of_persistence] == pytest.approx([3 / (4 + 5), 5 / (5 + 6)])
    assert [e.value for e in found.over_mean] == pytest.approx([1 - (1 + 4) / (25 + 36), 1 - (4 + 9) / (25 + 36)])


def test_of_an_autoregression_drift_persistence_skill_and_variance_are_found():
    found = rollouts.horizons(matched(), HOW, np.random.default_rng(0))
    h = np.arange(1, 4)
    expected = {
        "drift": 100 * (np.sqrt((1 - A ** (2 * h)) / (1 - A**2)) - 1),
        "of_persistence": np.sqrt((1 + A**h) / 2),  # errors of variance 1 − a^2h and 2 − 2 a^h
        "over_mean": A ** (2 * h),
        "variance": A ** (2 * h),
    }
    for name, values in expected.items():
        assert [e.value for e in getattr(found, name)] == pytest.approx(list(values), rel=0.05, abs=0.6)
        inside = [e.low - 1e-9 <= v <= e.high + 1e-9 for e, v in zip(getattr(found, name), values, strict=True)]
        assert sum(inside) >= 2, (name, values, getattr(found, name))


def test_skill_over_persistence_pools_the_longer_horizons_alone():
    found = rollouts.skill_over_persistence(matched(), HOW, np.random.default_rng(0))
    h = np.array([2, 3])
    expected = 1 - np.sqrt(1 - A ** (2 * h)).sum() / np.sqrt(2 - 2 * A**h).sum()
    assert found.low < expected < found.high
    assert found.high - found.low < 0.03


def test_a_prediction_that_shrinks_to_the_mean_drifts_down_while_its_skill_and_variance_go_to_nothing():
    """Why a negative drift is no success: ẑ of noise at h = 1 and of less of it at h = 3 comes closer to any target."""
    made, rng = matched(), np.random.default_rng(1)
    noise = rng.normal(size=made.z.shape)
    found = rollouts.horizons(
        made._replace(z_hat=np.stack([noise, noise / 3, noise / 100])), HOW, np.random.default_rng(0)
    )
    assert found.drift[2].high < -20
    assert found.over_mean[0].high < 0
    assert abs(found.over_mean[2].value) < 0.05
    assert found.variance[2].high < 0.001


def test_a_constant_prediction_has_no_variance_wherever_it_lies() -> None:
    made = matched(n_patients=50)
    found = rollouts.horizons(made._replace(z_hat=np.full_like(made.z_hat, 7.0)), HOW, np.random.default_rng(0))
    assert found.variance[0][:3] == pytest.approx((0, 0, 0), abs=1e-9)


def test_predictions_of_another_patient_lose_their_skill_and_keep_their_variance():
    made = matched()
    null = rollouts.horizons(rollouts.of_another_patient(made, np.random.default_rng(1)), HOW, np.random.default_rng(0))
    assert null.over_mean[0].high < 0
    assert null.variance[0].value == pytest.approx(A**2, rel=0.1)
    assert (
        rollouts.skill_over_persistence(
            rollouts.of_another_patient(made, np.random.default_rng(1)), HOW, np.random.default_rng(0)
        ).high
        < 0
    )


def test_every_horizon_is_exchanged_with_the_same_patient():
    made = matched(n_patients=40)
    donor = rollouts.of_another_patient(made._replace(z_hat=np.stack([made.z] * 3)), np.random.default_rng(0)).z_hat
    assert np.array_equal(donor[0], donor[2])
    assert not (donor[0] == made.z).all(axis=1).any()


def test_records_too_short_and_missing_predictions_are_refused():
    z, z_hat, k, patients = by_hand()
    with pytest.raises(NotComputable, match="no encounter has 2 before it"):
        rollouts.match_targets(z[3:], z_hat[:, 3:], k[3:], patients[3:], np.zeros(1))
    z_hat[1, 2] = np.nan
    with pytest.raises(ValueError, match="must be finite wherever k >= 2"):
        rollouts.match_targets(z, z_hat, k, patients, np.zeros(1))
    few = rollouts.match_targets(*by_hand(), np.zeros(1))
    with pytest.raises(NotComputable, match="1 patients, 20 needed"):
        rollouts.horizons(few, Inference(), np.random.default_rng(0))
