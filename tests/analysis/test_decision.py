"""Net benefit: by hand, its two references, and thresholds at which a planted model is worth having."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from jepascope.analysis.inference.stats import Inference, NotComputable, bootstrap_mean
from jepascope.analysis.outcomes import decision

HOW = Inference(bootstrap=200, min_patients=2, min_carriers=2)


def planted(N=4000, seed=0):
    rng = np.random.default_rng(seed)
    risk = expit(1.5 * rng.normal(size=N) - 1.5)
    return risk, (rng.random(N) < risk).astype(float), np.arange(N) // 4


def test_net_benefit_by_hand():
    p, y = np.array([0.9, 0.5, 0.2, 0.1]), np.array([1.0, 0, 1, 0])
    found = decision.weighted_net_benefit(p, y, np.array([0.2, 0.5]))
    weights = np.array([[1.0, 1, 1, 1], [1, 3, 1, 0]])
    # At 0.2 three are flagged, one in vain (0.25 each); at 0.5 two, one in vain (1 each).
    assert found(weights) == pytest.approx(np.array([[1.75 / 4, 0], [1.25 / 5, -2 / 5]]))


def test_the_references_are_all_and_none():
    risk, labels, patients = planted()
    curve = decision.decision_curve(risk, labels, patients, HOW, 0)
    rate, t = labels.mean(), curve["threshold"]
    assert curve["treat_all"].to_numpy() == pytest.approx((rate - (1 - rate) * t / (1 - t)).to_numpy())
    best = np.maximum(curve["treat_all"], 0)
    assert curve["advantage"].to_numpy() == pytest.approx((curve["net_benefit"] - best).to_numpy())
    nobody = decision.weighted_net_benefit(np.zeros(4000), labels, np.array([0.1, 0.5]))(np.ones((1, 4000)))
    assert nobody.tolist() == [[0, 0]]


def test_the_true_risk_is_never_worse_than_its_references_and_useful_around_the_prevalence():
    risk, labels, patients = planted(20_000)
    curve = decision.decision_curve(risk, labels, patients, HOW, 0)
    assert (curve["advantage"] > -0.002).all()
    useful = curve.loc[curve["advantage_low"] > 0, "threshold"]
    assert useful.min() < labels.mean() < useful.max()
    assert curve["flagged"].is_monotonic_decreasing


def test_probabilities_that_say_nothing_are_useful_nowhere():
    risk, labels, patients = planted()
    curve = decision.decision_curve(np.random.default_rng(1).permutation(risk), labels, patients, HOW, 0)
    assert not (curve["advantage_low"] > 0).any()


def test_its_interval_is_that_of_the_mean_gain():
    risk, labels, patients = planted(600)
    curve = decision.decision_curve(risk, labels, patients, HOW, 3, (0.2,))
    gain = (risk >= 0.2) * np.where(labels == 1, 1, -0.25)
    alone = bootstrap_mean(gain, patients, HOW.bootstrap, HOW.level, np.random.default_rng(3))
    assert curve[["net_benefit", "low", "high"]].to_numpy()[0] == pytest.approx(alone[:3])


def test_impossible_thresholds_and_too_few_carriers_are_refused():
    risk, labels, patients = planted(200)
    with pytest.raises(ValueError, match="between 0 and 1, found 0.1 to 1.0"):
        decision.weighted_net_benefit(risk, labels, np.array([0.1, 1.0]))
    with pytest.raises(NotComputable, match="patients with the label: 0, 2 needed"):
        decision.decision_curve(risk, np.zeros(200), patients, HOW, 0)
