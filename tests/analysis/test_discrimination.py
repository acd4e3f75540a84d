"""Average precision and what a flag catches: against scikit-learn, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from jepascope.analysis.inference.stats import NotComputable
from jepascope.analysis.outcomes import discrimination


def tied(seed=0, N=500):
    rng = np.random.default_rng(seed)
    return rng, rng.integers(0, 12, N).astype(float), (rng.random(N) < 0.2).astype(float)


def test_average_precision_equals_scikit_learn_with_ties_and_weights():
    rng, scores, labels = tied()
    weights = rng.integers(0, 4, (6, 500)).astype(float)
    for s in (scores, rng.normal(size=500) + labels):
        ours = discrimination.weighted_auprc(s, labels)
        theirs = [average_precision_score(labels, s, sample_weight=w) for w in weights]
        assert ours(weights) == pytest.approx(theirs)
        assert ours(np.ones((1, 500)))[0] == pytest.approx(average_precision_score(labels, s))


@pytest.mark.parametrize("build", ["weighted_auprc", "weighted_flagged"])
def test_a_weight_of_two_is_a_row_that_stands_twice(build):
    rng, scores, labels = tied()
    counts = rng.integers(0, 4, 500)
    share = {"weighted_auprc": (), "weighted_flagged": (0.1,)}[build]
    weighted = getattr(discrimination, build)(scores, labels, *share)(counts[None].astype(float))
    again = np.repeat(np.arange(500), counts)
    repeated = getattr(discrimination, build)(scores[again], labels[again], *share)(np.ones((1, len(again))))
    assert weighted == pytest.approx(repeated)


def test_average_precision_by_hand_and_its_value_without_skill():
    # Flagged from the top: 1 of 1, then 1 of 2, then (a tie of two) 2 of 4.
    value = discrimination.weighted_auprc(np.array([4.0, 3, 2, 2]), np.array([1.0, 0, 1, 0]))(np.ones((1, 4)))
    assert value == pytest.approx([(1 + 2 / 4) / 2])
    labels = np.arange(10) < 3
    assert discrimination.weighted_auprc(np.zeros(10), labels)(np.ones((1, 10))) == pytest.approx([0.3])


def test_what_is_flagged_by_hand_with_a_tie_that_fits_in_part():
    scores, labels = np.array([9.0, 5, 5, 5, 5, 1, 1, 1, 1, 1]), np.array([1.0, 1, 1, 0, 0, 1, 0, 0, 0, 0])
    ones = np.ones((1, 10))
    # 3 of 10: the first, and half of the tie of four, which holds two events.
    assert discrimination.weighted_flagged(scores, labels, 0.3)(ones)[0] == pytest.approx((2 / 4, 2 / 3))
    assert discrimination.weighted_flagged(scores, labels, 1.0)(ones)[0] == pytest.approx((1, 0.4))
    assert discrimination.weighted_flagged(scores, labels, 0.1)(ones)[0] == pytest.approx((1 / 4, 1))
    # Without the first row, 0.9 rows are flagged of the tie.
    without = ones - np.eye(1, 10)
    assert discrimination.weighted_flagged(scores, labels, 0.1)(without)[0] == pytest.approx((0.45 / 3, 0.5))


def test_a_constant_score_flags_by_lot():
    labels = (np.arange(200) < 30).astype(float)
    found = discrimination.weighted_flagged(np.zeros(200), labels, 0.05)(np.ones((1, 200)))[0]
    assert found == pytest.approx((0.05, 0.15))


def test_a_draw_without_positives_is_undefined_and_not_nought():
    labels = np.array([1.0, 0, 0, 0])
    weights = np.array([[0.0, 1, 1, 1], [1, 1, 1, 1]])
    for build in (discrimination.weighted_auprc, lambda s, y: discrimination.weighted_flagged(s, y, 0.5)):
        values = build(np.arange(4.0), labels)(weights)
        values = values.reshape(2, -1)[:, 0]
        assert np.isnan(values[0])
        assert np.isfinite(values[1])


def test_one_class_or_an_impossible_share_is_refused():
    for build in (discrimination.weighted_auprc, lambda s, y: discrimination.weighted_flagged(s, y, 0.5)):
        for labels, counts in ((np.zeros(5), "0 positive and 5 negative"), (np.ones(5), "5 positive and 0 negative")):
            with pytest.raises(NotComputable, match=counts):
                build(np.arange(5.0), labels)
    with pytest.raises(ValueError, match="share is 0; flag a share above 0"):
        discrimination.weighted_flagged(np.arange(5.0), np.arange(5) % 2, 0)
