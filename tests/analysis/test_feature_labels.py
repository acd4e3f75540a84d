"""Tier C: features against labels."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis import feature_labels as fl
from jepascope.analysis.stats import Inference

HOW = Inference(bootstrap=100, permutations=60, min_patients=5)


def test_the_feature_with_a_label_is_tied_and_those_of_nothing_are_not():
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(150), 4)
    labels = (rng.normal(size=(150, 3))[patients] + rng.normal(size=(600, 3)) > 1).astype(float)
    f = rng.normal(size=(150, 4))[patients] + rng.normal(size=(600, 4))
    f[:, 2] += 2 * labels[:, 1]
    found = fl.search(f, labels, patients, HOW, np.random.default_rng(0))
    assert found.observed.shape == found.adjusted.shape == (4, 3)
    assert np.unravel_index(found.adjusted.argmin(), (4, 3)) == (2, 1)
    assert fl.tied(found.adjusted, 0.95).tolist() == [False, False, True, False]
    assert not fl.tied(np.full((2, 3), np.nan), 0.95).any()


def test_features_carry_the_share_that_they_explain():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)) * [np.sqrt(3), 1]
    part = x * [1, 0]
    found = fl.carried_share(x, x, part, np.zeros(2), np.repeat(np.arange(100), 4), HOW, np.random.default_rng(0))
    assert found.value == pytest.approx(np.square(x[:, 0]).sum() / np.square(x).sum())
    assert found.low < found.value < found.high


def test_precision_counts_a_patient_once_with_her_strongest_encounter():
    patients = np.repeat(np.arange(4), 2)
    f = np.array([5.0, 4, 0, 3, 2, 0, 1, 0])[:, None]
    labels = np.array([1, 0, 0, 1, 0, 1, 1, 1.0])[:, None]
    found, taken = fl.precision_at(f, labels, patients, top=2)
    assert taken == 2
    assert found.tolist() == [[1.0]]  # patient 0 at her first row, patient 1 at her second
    assert fl.precision_at(f, labels, patients, top=100)[1] == 2
