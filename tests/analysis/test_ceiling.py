"""Planted outcomes: who knows the risk reaches all of it, who knows the outcome more; a companion has no effect."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.outcomes.ceiling import CEILING, contrast, shares_of_ceiling, without_effect

HOW = Inference(bootstrap=200, permutations=100)
CERTAIN, EFFECT = 0.8, 1.2


@pytest.fixture(scope="module")
def world():
    """A cause with an effect on the hazard, and a companion that goes with it and has none."""
    rng = np.random.default_rng(4)
    N = 6000
    patients = np.repeat(np.arange(N // 3), 3)
    cause = rng.random(N) < 0.3
    companion = rng.random(N) < np.where(cause, 0.6, 0.1)
    hazard = 0.15 * np.exp(EFFECT * cause + 0.5 * rng.normal(size=N))
    risk = -CERTAIN * np.expm1(-hazard)
    label = (rng.random(N) < risk).astype(float)
    return cause, companion, risk, label, patients


def told(table, model, kind):
    return table.set_index(["model", "kind"]).loc[(model, kind)]


def test_shares_are_of_what_lies_above_a_coin(world):
    cause, _, risk, label, patients = world
    rng = np.random.default_rng(0)
    made = {"risk, moved": risk**3, "cause": cause * 0.5, "coin": rng.random(len(label)), "outcome": 0.1 + 0.8 * label}
    table = shares_of_ceiling(made, risk, label, patients, HOW, seed=1)
    above = roc_auc_score(label, risk) - 0.5
    assert told(table, CEILING, "auroc")["value"] == pytest.approx(0.5 + above)
    assert told(table, CEILING, "share")[["value", "low", "high"]].tolist() == [1, 1, 1]
    assert told(table, "risk, moved", "share")["value"] == 1  # ranks alone count
    by_hand = (roc_auc_score(label, cause) - 0.5) / above
    assert told(table, "cause", "share")["value"] == pytest.approx(by_hand)
    assert told(table, "coin", "share")["low"] < 0 < told(table, "coin", "share")["high"]
    assert told(table, "cause", "excess")["high"] < 0 < told(table, "outcome", "excess")["low"]
    assert told(table, "outcome", "share")["low"] > 1  # a leak shows
    assert told(table, "outcome", "excess")["p"] < 0.02
    assert told(table, "coin", "excess")["null"] == pytest.approx(0, abs=0.02)


def test_the_excess_is_paired_by_draw(world):
    """Its interval is narrower than those of its two AUROC together would be."""
    cause, _, risk, label, patients = world
    table = shares_of_ceiling({"nearly": risk + 0.01 * cause}, risk, label, patients, HOW, seed=1)
    width = {kind: np.ptp(told(table, "nearly", kind)[["low", "high"]].astype(float)) for kind in ("auroc", "excess")}
    assert width["excess"] < width["auroc"] / 3


def test_a_companion_goes_with_the_outcome_and_has_no_effect_of_its_own_and_a_cause_has(world):
    cause, companion, risk, label, patients = world
    for state, effect, acts in ((companion, 0.0, False), (cause, EFFECT, True)):
        rng = np.random.default_rng(2)
        seen = contrast(label, state, patients, HOW, rng)
        assert seen.estimate.value == pytest.approx(label[state].mean() - label[~state].mean())
        assert seen.estimate.low > seen.null.high
        own = contrast(label - without_effect(risk, state, effect, CERTAIN), state, patients, HOW, rng).estimate
        assert (own.low > 0.05) == acts
        assert (own.low < 0 < own.high) != acts


def test_a_risk_without_a_states_effect_is_the_risk_of_the_hazard_without_it():
    risk, state = np.array([0.0, 0.3, 0.3]), np.array([True, True, False])
    left = without_effect(risk, state, EFFECT, CERTAIN)
    hazard = -np.log(1 - 0.3 / CERTAIN)
    np.testing.assert_allclose(left, [0, CERTAIN * (1 - np.exp(-hazard / np.exp(EFFECT))), 0.3])
    np.testing.assert_allclose(without_effect(risk, state, 0.0, CERTAIN), risk)
    with pytest.raises(ValueError, match=r"0 to under 0\.8"):
        without_effect(np.array([0.9]), state[:1], 0.0, CERTAIN)


def test_one_class_and_two_patients_are_refused_with_a_reason(world):
    _, companion, risk, label, patients = world
    with pytest.raises(NotComputable, match="with the label: 0"):
        shares_of_ceiling({"a": risk}, risk, 0 * label, patients, HOW, seed=0)
    with pytest.raises(NotComputable, match="without the label: 0"):
        contrast(label, np.ones_like(companion), patients, HOW, np.random.default_rng(0))
    few = HOW._replace(min_carriers=1)
    with pytest.raises(NotComputable, match="2 patients"):
        shares_of_ceiling({"a": risk[:6]}, risk[:6], np.array([0, 1, 0, 1, 0, 1.0]), patients[:6], few, seed=0)
