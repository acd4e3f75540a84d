"""What a dictionary does on held-out patients: planted absorption, split features, probes on few features, entropy."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis import sae
from jepascope.analysis.inference.stats import Inference, auroc
from jepascope.analysis.sae import labels, metrics, suite

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


def absorbed(dictionary, x, label):
    """The share absorbed of one concept, and the features that stood in for its own in test rows."""
    one = suite.Concepts(label[:, None], PATIENTS, TRAIN, ~TRAIN)
    f, rng = sae.densify(sae.encode(dictionary, x)), np.random.default_rng(0)
    readers = suite.readers(x, one, HOW, rng)
    own = metrics.own_feature(f[TRAIN], label[TRAIN])
    stood_in = metrics.stand_ins(dictionary, f[~TRAIN & label], readers[0], own).any(axis=0)
    return suite.absorption(dictionary, f, x, one, readers, HOW, rng), own, np.flatnonzero(stood_in).tolist()


def test_a_special_feature_that_took_the_general_ones_direction_absorbs_it():
    x, general, _ = animals()
    merged = np.array([[1, 0, 0], [0.9, 0.9, -0.5], [0, 0, 1]]) / np.array([[1], [np.sqrt(1.87)], [1]])
    dictionary = axis_dictionary(merged, 1)
    rate, own, absorbers = absorbed(dictionary, x, general)
    assert (own, absorbers) == (0, [1])
    # k = 1: the merged feature wins on every row of the special concept without the stranger, and the stranger on ties.
    f = sae.densify(sae.encode(dictionary, x))
    silent = (f[:, 0] == 0) & (f[:, 1] > 0) & general & ~TRAIN
    assert rate.value == pytest.approx(silent.sum() / (general & ~TRAIN).sum())
    assert rate.low > 0.1


def test_features_of_their_own_absorb_nothing():
    x, general, _ = animals()
    assert absorbed(axis_dictionary(np.eye(3), 2), x, general)[0].value == pytest.approx(0.0, abs=0.02)


def test_a_feature_that_is_on_is_not_absorbed_however_much_another_carries():
    x, general, _ = animals()
    both = axis_dictionary(np.array([[1, 0, 0], [np.sqrt(0.5), np.sqrt(0.5), 0]]), 2)
    assert absorbed(both, x, general)[0].value == 0


def test_a_silent_feature_without_a_stand_in_is_not_absorbed():
    x, general, _ = animals()
    blind = axis_dictionary(np.array([[0.0, 0, 1], [0, 0, -1]]), 1)  # nothing points along the concept
    assert absorbed(blind, x, general)[0].value == 0


def test_a_feature_that_is_silent_with_a_concept_is_not_the_concepts_own():
    """The widest gap is downwards: what is on without the concept was rightly off, and nothing was absorbed."""
    x, general, _ = animals()
    x = np.column_stack([x[:, 0], 2.0 * ~general]).astype(np.float32)
    x[: N // 8, 0] = 0  # the concept's own feature has gaps, its opposite none
    dictionary = axis_dictionary(np.eye(2), 1)
    f = sae.densify(sae.encode(dictionary, x))
    assert metrics.ranked_features(f[TRAIN], general[TRAIN])[0] == 1
    rate, own, _ = absorbed(dictionary, x, general)
    assert own == 0
    assert rate.value == 0


def test_a_split_direction_is_seen_by_its_neighbour():
    W = np.array([[1, 0, 0], [1, 0.1, 0], [0, 0, 2]])
    assert metrics.splitting(W) == pytest.approx([1 / np.sqrt(1.01), 1 / np.sqrt(1.01), 0])


def read_by(f, y, k):
    """AUROC on test patients of a reader that sees k features."""
    one = suite.Concepts(y[:, None], PATIENTS, TRAIN, ~TRAIN)
    return auroc(suite.sparse_scores(f, one, k, HOW, np.random.default_rng(0))[:, 0], y[~TRAIN])


def test_a_label_in_three_features_needs_three():
    rng = np.random.default_rng(0)
    f = (rng.random((N, 12)) < 0.15).astype(float)
    y = f[:, [2, 5, 9]].any(axis=1)
    assert set(metrics.ranked_features(f[TRAIN], y[TRAIN])[:3]) == {2, 5, 9}
    assert read_by(f, y, 1) < 0.75
    assert read_by(f, y, 3) == pytest.approx(1.0)


def test_the_probes_features_are_chosen_without_test_patients():
    rng = np.random.default_rng(0)
    f, y = rng.normal(size=(N, 40)), rng.random(N) < 0.5
    f[:, 7] += 3 * (y & TRAIN)
    f[:, 8] += 3 * (y & ~TRAIN)
    assert abs(read_by(f, y, 1) - 0.5) < 0.08


def test_entropy_by_hand_beside_what_prevalence_gives():
    y = np.array([[1, 0], [1, 0], [1, 0], [0, 1.0]])
    f = np.array([[1, 0, 1, 0, 3], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [0, 2, 1, 0.0, 1]])
    found = labels.label_entropy(f, y)
    of_all = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(2)
    assert found.entropy[:3] == pytest.approx([0, 0, of_all])
    assert np.isnan(found.entropy[3])
    assert found.entropy[4] == pytest.approx(of_all)  # how much it is on counts, and not how often
    assert found.expected == pytest.approx(of_all)
    assert found.label[1] in (0, 1)
    assert abs(found.r[1]) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="two at least"):
        labels.label_entropy(f, y[:, :1])
