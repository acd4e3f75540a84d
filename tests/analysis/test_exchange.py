"""A coin a patient between two predictions: signs by hand, and false alarms in a family of nothing."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.predictor.exchange import exchanged

HOW = Inference(permutations=400, level=0.9, min_patients=2)


def sticky(seed: int, B: int = 60, F: int = 8) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Gains of nothing that hang together within a patient, one feature far noisier than the others."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(B), rng.integers(1, 8, B))
    gains = rng.normal(size=(B, F))[patients] + 0.3 * rng.normal(size=(len(patients), F))
    gains[:, 0] *= 50
    return gains, patients, rng


def test_a_whole_patient_turns_at_once():
    gains, patients = np.array([[1.0], [1.0], [3.0]]), np.array([7, 7, 9])  # sums 2 and 3: draws are ±1 and ±5
    found = exchanged(gains, patients, HOW, np.random.default_rng(0))
    assert (found.null.low, found.null.high) == (-5, 5)
    assert found.null.p == pytest.approx(0.25, abs=0.08)
    assert found.adjusted[0] == found.null.p


def test_equal_predictions_are_told_apart_as_often_as_the_level_says():
    alarms = sum((exchanged(*sticky(seed)[:2], HOW, sticky(seed)[2]).adjusted <= 0.1).any() for seed in range(60))
    assert alarms <= 60 * 0.1 + 3 * np.sqrt(60 * 0.1 * 0.9)


def test_a_small_steady_gain_is_found_beside_a_noisy_feature():
    gains, patients, rng = sticky(1)
    gains[:, 3] += 1
    adjusted = exchanged(gains, patients, HOW, rng).adjusted
    assert adjusted[3] <= 0.05
    assert adjusted[0] > 0.1


def test_no_gain_anywhere_is_no_finding_and_one_patient_no_test():
    found = exchanged(np.zeros((4, 2)), np.array([0, 0, 1, 1]), HOW, np.random.default_rng(0))
    assert found.null[:3] == (0, 0, 0)
    assert (found.adjusted == 1).all()
    with pytest.raises(NotComputable, match="1 patients, 2 needed"):
        exchanged(np.ones((2, 1)), np.zeros(2), HOW, np.random.default_rng(0))
