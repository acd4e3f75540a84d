"""Readers beside the probe: what means find, and what labels cost to send."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable, auroc
from jepascope.analysis.probes.kinds import OnlineCode, difference_of_means, difference_saved, online_code, share_saved

HOW = Inference(bootstrap=200, min_patients=2)


def planted(rows=3, n_patients=512, seed=0):
    """A label that the first of six columns gives away, and one that nothing does."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rows)
    X = rng.normal(size=(len(patients), 6))
    return X, X[:, 0] + 0.3 * rng.normal(size=len(X)) > 1, rng.random(len(X)) < 0.2, patients


def test_the_difference_of_means_is_the_one_by_hand():
    X = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0], [9.0, 9.0]])
    y, train = np.array([0, 1, 0, 1, 1], bool), np.array([1, 1, 1, 1, 0], bool)
    # training mean (1, 2) and spread (1, 2); the means differ by (2, 0) in those units
    assert difference_of_means(X, y, train) == pytest.approx([-2, 2, -2, 2, 16])


def test_the_direction_finds_what_is_planted_and_doesnt_look_at_held_out_labels():
    X, y, _, patients = planted()
    train = patients % 2 == 0
    scores = difference_of_means(X, y, train)
    assert auroc(scores[~train], y[~train]) > 0.95
    assert np.array_equal(scores, difference_of_means(X, np.where(train, y, ~y), train))
    with pytest.raises(NotComputable, match="0 of 768"):
        difference_of_means(X, np.zeros(len(X)), train)


def test_a_planted_label_is_sent_in_fewer_bits_and_an_unrelated_one_is_not():
    X, y, other, patients = planted()
    read, unread = (online_code(X, label, patients, HOW, np.random.default_rng(1)) for label in (y, other))
    assert share_saved([read], patients, HOW, np.random.default_rng(2)).low > 0.3
    nothing = share_saved([unread], patients, HOW, np.random.default_rng(2))
    assert -0.1 < nothing.value < 0.01
    gain = difference_saved([read], [unread], patients, HOW, np.random.default_rng(2))
    assert gain.value == pytest.approx(
        share_saved([read], patients, HOW, np.random.default_rng(2)).value - nothing.value
    )


def test_a_label_costs_nothing_more_for_what_is_sent_after_it():
    """Leak: change the labels of the last half, and the bits of the first stay; a probe that saw them would move."""
    X, y, _, patients = planted()
    code = online_code(X, y, patients, HOW, np.random.default_rng(1))
    rank = np.random.default_rng(1).permutation(512)[patients]
    later = online_code(X, np.where(rank < 256, y, ~y), patients, HOW, np.random.default_rng(1))
    assert np.array_equal(code.bits[rank < 256], later.bits[rank < 256])
    assert not np.allclose(code.bits[rank >= 256], later.bits[rank >= 256])


def test_the_first_block_costs_one_bit_a_row_and_a_share_costs_its_logarithm():
    patients = np.arange(4)
    y, order = np.array([1, 1, 1, 1]), np.random.default_rng(0).permutation(4)
    code = online_code(np.zeros((4, 1)), y, patients, HOW, np.random.default_rng(0), blocks=3)
    # blocks of 1, 1 and 2 patients: shares (1 + ½) / 2 and (2 + ½) / 3; one class alone can't be fitted
    expected = np.array([1, -np.log2(1.5 / 2), -np.log2(2.5 / 3), -np.log2(2.5 / 3)])[order]
    assert code.bits == pytest.approx(expected)
    assert code.by_share == pytest.approx(expected)


def test_shares_saved_are_averaged_over_labels():
    codes = [OnlineCode(np.full(8, bits), np.ones(8)) for bits in (0.5, 1.5, 0.7)]
    assert share_saved(codes, np.arange(8), HOW, np.random.default_rng(0)).value == pytest.approx(0.1)
    with pytest.raises(NotComputable, match="0 labels"):
        share_saved([], np.arange(8), HOW, np.random.default_rng(0))
