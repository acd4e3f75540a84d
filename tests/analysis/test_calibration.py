"""Calibration: against scikit-learn, by hand, and on probabilities whose truth is planted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.outcomes import calibration

HOW = Inference(bootstrap=200, min_patients=2)


def planted(N=4000, seed=0):
    """Labels drawn from the true risk: calibration is perfect by construction."""
    rng = np.random.default_rng(seed)
    risk = expit(1.2 * rng.normal(size=N) - 1.5)
    return rng, risk, (rng.random(N) < risk).astype(float)


def at_one(statistic, N):
    return statistic(np.ones((1, N)))[0]


def test_brier_equals_scikit_learn_with_weights():
    rng, risk, labels = planted(500)
    weights = rng.integers(0, 4, (5, 500)).astype(float)
    theirs = [brier_score_loss(labels, risk, sample_weight=w) for w in weights]
    assert calibration.weighted_brier(risk, labels)(weights) == pytest.approx(theirs)


def test_brier_skill_is_of_the_training_prevalence_by_hand():
    p, y = np.array([0.5, 0.5, 1.0, 0.0]), np.array([1.0, 0, 1, 0])  # squared errors 1/4, 1/4, 0, 0
    reference = 0.2 * np.ones(4)  # 0.64, 0.04, 0.64, 0.04
    for given in (0.2, reference):
        assert at_one(calibration.weighted_brier_skill(p, y, given), 4) == pytest.approx(1 - 0.5 / 1.36)
    assert at_one(calibration.weighted_brier_skill(np.full(4, 0.2), y, 0.2), 4) == pytest.approx(0)
    never = calibration.weighted_brier_skill(np.zeros(4), np.zeros(4), 0.0)
    assert np.isnan(at_one(never, 4))


def test_calibration_in_the_large_by_hand():
    found = calibration.weighted_calibration_in_the_large(np.array([0.1, 0.3]), np.array([0.0, 1.0]))
    assert found(np.array([[1.0, 1.0], [3.0, 1.0]])) == pytest.approx([0.6 / 2, 0.4 / 4])


def test_the_recalibration_line_equals_scikit_learns_in_every_draw():
    rng, risk, labels = planted(400)
    p = expit(0.5 + 1.8 * logit(risk))
    weights = rng.integers(0, 4, (8, 400)).astype(float)
    ours = calibration.weighted_recalibration(p, labels)(weights)
    for line, w in zip(ours, weights, strict=True):
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit(p)[:, None], labels, w)
        assert line == pytest.approx((model.intercept_[0], model.coef_[0, 0]), abs=1e-5)


def test_a_draw_far_from_all_rows_settles_on_its_own_line():
    """Far from where all rows stand: the shared start must not be taken for the end."""
    rng, risk, labels = planted(300)
    labels[:40] = rng.random(40) < expit(-3 - 2 * logit(risk[:40]))
    weights = np.zeros((2, 300))
    weights[0], weights[1, :40] = 1, 1
    both = calibration.weighted_recalibration(risk, labels)(weights)
    assert both[1] == pytest.approx(at_one(calibration.weighted_recalibration(risk[:40], labels[:40]), 40), abs=1e-6)
    assert both[1, 1] < 0 < both[0, 1]


def test_the_line_tells_perfect_extreme_and_shifted_probabilities():
    _, risk, labels = planted(40_000)
    for p, (intercept, slope) in (
        (risk, (0, 1)),
        (expit(2 * logit(risk)), (0, 0.5)),  # too extreme by two
        (expit(logit(risk) + 0.7), (-0.7, 1)),  # too high everywhere
    ):
        line = at_one(calibration.weighted_recalibration(p, labels), 40_000)
        assert line == pytest.approx((intercept, slope), abs=0.06)
    large = at_one(calibration.weighted_calibration_in_the_large(risk, labels), 40_000)
    assert large == pytest.approx(0, abs=0.005)


def test_ece_by_hand_and_near_nought_for_the_true_risk():
    p, y = np.array([0.1, 0.3, 0.6, 0.8]), np.array([0.0, 1, 1, 1])
    # Two bins of two: |1 − 0.4| / 4 + |2 − 1.4| / 4; with twice the first row |1 − 0.5| / 5 + 0.6 / 5.
    found = calibration.weighted_ece(p, y, bins=2)(np.array([[1.0, 1, 1, 1], [2, 1, 1, 1]]))
    assert found == pytest.approx([0.3, 0.22])
    _, risk, labels = planted(40_000)
    assert at_one(calibration.weighted_ece(risk, labels), 40_000) < 0.01
    assert at_one(calibration.weighted_ece(expit(2 * logit(risk)), labels), 40_000) > 0.05


def test_bins_are_of_equal_mass_and_keep_ties_together():
    p = np.random.default_rng(0).random(1000)
    assert calibration.one_hot_bins(p, 10).sum(axis=0) == pytest.approx(np.full(10, 100), abs=1)
    rare = np.array([0.0] * 95 + [0.3, 0.4, 0.5, 0.6, 0.7])
    member = calibration.one_hot_bins(rare, 10)
    assert (member.sum(axis=1) == 1).all()
    assert member.sum(axis=0).tolist() == [95, 5]
    assert calibration.one_hot_bins(np.full(7, 0.2), 10).shape == (7, 1)


def test_a_perfect_models_ece_is_the_null_and_covers_what_perfect_models_have():
    rejected = 0
    for seed in range(100):
        rng, risk, labels = planted(300, seed)
        rejected += calibration.calibrated_ece(risk, labels, 99, 0.95, rng).p <= 0.1
    assert 2 <= rejected <= 19  # 10 expected
    rng, risk, labels = planted(2000)
    off = calibration.calibrated_ece(expit(2 * logit(risk)), labels, 199, 0.95, rng)
    assert off.p == pytest.approx(1 / 200)
    assert 0 < off.low < off.value < off.high < 0.05


def test_the_curve_has_a_row_a_bin_and_its_intervals_hold_the_true_risk():
    rng, risk, labels = planted(6000)
    curve = calibration.calibration_curve(risk, labels, np.arange(6000) // 3, HOW, rng)
    assert curve["n_rows"].tolist() == [600] * 10
    assert curve["predicted"].is_monotonic_increasing
    assert ((curve["low"] <= curve["predicted"]) & (curve["predicted"] <= curve["high"])).sum() >= 8
    first = risk <= np.quantile(risk, 0.1)
    assert curve.loc[0, ["predicted", "observed"]].tolist() == pytest.approx([risk[first].mean(), labels[first].mean()])


def test_a_bin_of_few_patients_is_not_shown():
    p, y = np.repeat([0.1, 0.9], [60, 40]), np.arange(100) % 2
    patients = np.r_[np.arange(60), np.full(40, 99)]  # the high bin is one patient
    how = HOW._replace(min_patients=5)
    curve = calibration.calibration_curve(p, y, patients, how, np.random.default_rng(0))
    assert curve[["predicted", "n_patients"]].to_numpy().tolist() == [[pytest.approx(0.1), 60]]
    strict, each = HOW._replace(min_patients=90), np.arange(100)
    with pytest.raises(NotComputable, match="no bin"):
        calibration.calibration_curve(each / 100, y, each, strict, np.random.default_rng(0))


FLAT, APART = np.full(40, 0.3), np.where(np.arange(40) % 2, 0.9, 0.1)
ROUNDED = 0.3 + 1e-12 * np.random.default_rng(0).random(40)


@pytest.mark.parametrize("p", [FLAT, ROUNDED, APART], ids=["constant", "constant but for rounding", "separated"])
def test_without_a_line_there_is_no_number(p):
    labels = (np.arange(40) % 2).astype(float)
    assert np.isnan(calibration.weighted_recalibration(p, labels)(np.ones((3, 40)))).all()


def test_one_class_is_refused():
    with pytest.raises(NotComputable, match="0 positive and 40 negative"):
        calibration.weighted_recalibration(np.linspace(0.1, 0.9, 40), np.zeros(40))
