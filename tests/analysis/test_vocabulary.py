"""AUROCs of many features at once: equal to one by one, bootstrapped to first order, calibrated over moves."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import (
    Inference,
    auroc,
    patient_bootstrap,
    patient_permutation,
    permuted_auroc,
    permuted_rows,
    weighted_auroc,
)
from jepascope.analysis.predictor import vocabulary
from jepascope.analysis.predictor.exchange import exchanged

HOW = Inference(bootstrap=1000, permutations=200, level=0.9, min_patients=5)


def features(seed=0, B=150, F=4, signal=1.0):
    """Sticky features, and a score that knows the first half of them."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(B), rng.integers(1, 7, B))
    latent = rng.normal(size=(B, F))[patients] + rng.normal(size=(len(patients), F))
    score = rng.normal(size=(B, F))[patients] + rng.normal(size=latent.shape)
    score[:, : F // 2] += signal * latent[:, : F // 2]
    return np.round(score, 1), latent > 1, patients, rng


def test_values_are_aurocs_with_ties_split():
    score, on, patients, rng = features()
    found = vocabulary.ranked({"a": score, "b": -score}, on, patients, HOW, rng)
    np.testing.assert_allclose(found.value[0], [auroc(score[:, f], on[:, f]) for f in range(4)])
    np.testing.assert_allclose(found.value[1], 1 - found.value[0])
    assert found.of("b").value == pytest.approx(1 - found.of("a").value)


def test_the_interval_is_nearly_that_of_resorting_every_draw():
    score, on, patients, _ = features()
    found = vocabulary.ranked({"a": score}, on, patients, HOW, np.random.default_rng(1))
    for f in range(4):
        exact = patient_bootstrap(weighted_auroc(score[:, f], on[:, f]), patients, 1000, 0.9, np.random.default_rng(1))
        ours = np.quantile(found.values[0][:, f], [0.05, 0.95])
        np.testing.assert_allclose(ours, exact[1:3], atol=0.006)


def test_moved_ranks_are_the_permuted_aurocs_in_standard_errors():
    score, on, patients, rng = features()
    rows = permuted_rows(patients, 20, rng)
    found = vocabulary.moved_ranks({"a": score, "b": -score}, on)(rows)
    for f in range(4):
        exact = permuted_auroc(score[:, f], on[:, f])(rows)
        n = on[rows, f].sum(axis=1)
        scale = np.sqrt((len(on) + 1) / (12 * n * (len(on) - n)))
        np.testing.assert_allclose(found[:, f] * scale + 0.5, exact, atol=1e-5)
    np.testing.assert_allclose(found[:, 4:], -found[:, :4], atol=1e-4)


def test_known_features_are_heard_and_unknown_ones_rarely():
    alarms, found = 0, 0
    for seed in range(40):
        score, on, patients, rng = features(seed)
        p = vocabulary.heard({"a": score}, on, permuted_rows(patients, 200, rng), 0.95).adjusted
        found += (p[:2] <= 0.05).sum()
        alarms += (p[2:] <= 0.05).any()
    assert found >= 76
    assert alarms <= 40 * 0.05 + 3 * np.sqrt(40 * 0.05 * 0.95)


def test_a_threshold_in_standard_errors_comes_back_as_an_auroc():
    score, on, _, _ = features()
    z = vocabulary.moved_ranks({"a": score}, on)(np.arange(len(on))[None])[0]
    for f in range(4):
        assert vocabulary.threshold_aurocs(on, z[f])[f] == pytest.approx(auroc(score[:, f], on[:, f]), abs=1e-5)


def test_the_null_of_a_mean_is_that_of_moving_labels_one_by_one():
    score, on, patients, _ = features()
    rows = permuted_rows(patients, 200, np.random.default_rng(2))
    null = vocabulary.mean_null(score, on, rows, 0.9)

    def exact(moves):
        return np.mean([permuted_auroc(score[:, f], on[:, f])(moves) for f in range(4)], axis=0)

    assert null == pytest.approx(patient_permutation(exact, patients, 200, np.random.default_rng(2), 0.9), abs=2e-3)


def test_gains_add_up_to_the_difference_and_are_nought_against_oneself():
    score, on, _, _ = features()
    gains = vocabulary.auroc_gains(score, score[:, ::-1], on)
    difference = [auroc(score[:, f], on[:, f]) - auroc(score[:, 3 - f], on[:, f]) for f in range(4)]
    np.testing.assert_allclose(gains.sum(axis=0), difference, atol=1e-12)
    assert not vocabulary.auroc_gains(score, score, on).any()


def test_turned_gains_spread_as_aurocs_of_exchanged_scores_do():
    """Two noisy copies of one score, so that exchanging names changes nothing but by chance."""
    score, on, patients, rng = features()
    copies = [score + rng.normal(size=score.shape) for _ in range(2)]
    ranks = [x.argsort(axis=0).argsort(axis=0) for x in copies]
    coins = rng.integers(0, 2, (300, patients.max() + 1)).astype(bool)[:, patients]
    exact = [
        auroc(np.where(coin, ranks[0][:, 0], ranks[1][:, 0]), on[:, 0])
        - auroc(np.where(coin, ranks[1][:, 0], ranks[0][:, 0]), on[:, 0])
        for coin in coins
    ]
    found = exchanged(vocabulary.auroc_gains(*copies, on)[:, :1], patients, HOW, rng).null
    assert found.high - found.low == pytest.approx(np.subtract(*np.quantile(exact, [0.95, 0.05])), rel=0.2)


def test_a_feature_that_is_always_on_is_refused():
    score, on, patients, rng = features()
    on[:, 1] = True
    with pytest.raises(ValueError, match="always or never on"):
        vocabulary.ranked({"a": score}, on, patients, HOW, rng)
