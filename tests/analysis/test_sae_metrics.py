"""What a dictionary does on held-out patients: planted absorption, split features, probes on few features, entropy."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis import sae
from jepascope.analysis.sae import labels, metrics
from jepascope.analysis.stats import Inference, NotComputable

HOW = Inference(bootstrap=100, permutations=60, min_patients=2)
N = 2000
PATIENTS = np.repeat(np.arange(N // 2), 2)
TRAIN = PATIENTS % 2 == 0


def axis_dictionary(W_dec, active):
    """Encoder = decoder, no bias, no standardisation."""
    W_dec = np.asarray(W_dec, np.float32)
    zeros = np.zeros(W_dec.shape[1], np.float32)
    return sae.Dictionary(W_dec.T, np.zeros(len(W_dec), np.float32), W_dec, zeros, zeros, 1.0, active)


def animals(seed=0):
    """A general concept on axis 0; a special one, always with it, on axis 1; a stranger on axis 2."""
    rng = np.random.default_rng(seed)
    general = rng.random(N) < 0.5
    special = general & (rng.random(N) < 0.4)
    stranger = rng.random(N) < 0.4
    return np.stack([general, special, stranger], axis=1).astype(np.float32), general, special


def absorbed_in(W_dec):
    x, general, _ = animals()
    # Two entries: with the merged feature on, the general one's own would be a third and is left out.
    found = axis_dictionary(W_dec, 2)
    return metrics.absorption(found, x, general, PATIENTS, TRAIN, ~TRAIN, HOW, np.random.default_rng(0))


def test_a_special_feature_that_took_the_general_ones_direction_absorbs_it():
    x, general, _ = animals()
    merged = np.array([[1, 0, 0], [0.9, 0.9, -0.5], [0, 0, 1]]) / np.array([[1], [np.sqrt(1.87)], [1]])
    dictionary = axis_dictionary(merged, 1)
    found = metrics.absorption(dictionary, x, general, PATIENTS, TRAIN, ~TRAIN, HOW, np.random.default_rng(0))
    assert found.feature == 0
    assert found.absorbers.tolist() == [1]
    # k = 1: the merged feature wins on every row of the special concept without the stranger, and the stranger on ties.
    f = sae.densify(sae.encode(dictionary, x))
    silent = (f[:, 0] == 0) & (f[:, 1] > 0) & general & ~TRAIN
    assert found.rate.value == pytest.approx(silent.sum() / (general & ~TRAIN).sum())
    assert found.rate.low > 0.1


def test_features_of_their_own_absorb_nothing():
    assert absorbed_in(np.eye(3)).rate.value == pytest.approx(0.0, abs=0.02)


def test_a_feature_that_is_on_is_not_absorbed_however_much_another_carries():
    x, general, _ = animals()
    both = axis_dictionary(np.array([[1, 0, 0], [np.sqrt(0.5), np.sqrt(0.5), 0]]), 2)
    found = metrics.absorption(both, x, general, PATIENTS, TRAIN, ~TRAIN, HOW, np.random.default_rng(0))
    assert found.rate.value == 0


def test_a_silent_feature_without_a_stand_in_is_not_absorbed():
    x, general, _ = animals()
    blind = axis_dictionary(np.array([[0.0, 0, 1], [0, 0, -1]]), 1)  # nothing points along the concept
    found = metrics.absorption(blind, x, general, PATIENTS, TRAIN, ~TRAIN, HOW, np.random.default_rng(0))
    assert found.rate.value == 0


def test_absorption_of_a_concept_that_nobody_has_is_not_computable():
    x = animals()[0]
    with pytest.raises(NotComputable):
        metrics.absorption(axis_dictionary(np.eye(3), 1), x, np.zeros(N), PATIENTS, TRAIN, ~TRAIN, HOW, None)


def test_a_split_direction_is_seen_by_its_neighbour():
    W = np.array([[1, 0, 0], [1, 0.1, 0], [0, 0, 2]])
    assert metrics.splitting(W) == pytest.approx([1 / np.sqrt(1.01), 1 / np.sqrt(1.01), 0])


def test_a_label_in_three_features_needs_three():
    rng = np.random.default_rng(0)
    f = (rng.random((N, 12)) < 0.15).astype(float)
    y = f[:, [2, 5, 9]].any(axis=1)
    auroc = {
        k: metrics.sparse_probe(f, y, PATIENTS, TRAIN, ~TRAIN, k, HOW, np.random.default_rng(0)) for k in (1, 3, 5)
    }
    assert set(metrics.ranked_features(f[TRAIN], y[TRAIN])[:3]) == {2, 5, 9}
    assert auroc[1].high < 0.75
    assert auroc[3].value == pytest.approx(1.0)
    assert auroc[5].n_patients == (~TRAIN).sum() // 2


def test_the_probes_features_are_chosen_without_test_patients():
    rng = np.random.default_rng(0)
    f, y = rng.normal(size=(N, 40)), rng.random(N) < 0.5
    f[:, 7] += 3 * (y & TRAIN)
    f[:, 8] += 3 * (y & ~TRAIN)
    found = metrics.sparse_probe(f, y, PATIENTS, TRAIN, ~TRAIN, 1, HOW, rng)
    assert abs(found.value - 0.5) < 0.08


def test_entropy_by_hand_beside_what_prevalence_gives():
    y = np.array([[1, 0], [1, 0], [1, 0], [0, 1.0]])
    f = np.array([[1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 2, 1, 0.0]])
    found = labels.label_entropy(f, y)
    of_all = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(2)
    assert found.entropy[:3] == pytest.approx([0, 0, of_all])
    assert np.isnan(found.entropy[3])
    assert found.expected == pytest.approx(of_all)
    assert found.label[1] in (0, 1)
    assert abs(found.r[1]) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="two at least"):
        labels.label_entropy(f, y[:, :1])
