"""Tier C: features against labels."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.bridge import feature_labels as fl
from jepascope.analysis.inference.stats import Inference

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
    found = fl.precision_at(f, labels, patients, top=2)
    assert found.among.tolist() == [2]
    assert found.share.tolist() == [[1.0]]  # patient 0 at her first row, patient 1 at her second
    assert fl.precision_at(f, labels, patients, top=100).among.tolist() == [2]


def test_precision_is_among_those_in_whom_the_feature_is_on_and_its_base_is_of_patients():
    patients = np.array([0, 0, 0, 1, 2, 3, 4, 5])
    f = np.zeros((8, 2))
    f[3, 0] = 1.0
    labels = np.array([1.0, 1, 1, 1, 0, 0, 0, 0])[:, None]
    found = fl.precision_at(f, labels, patients, top=3)
    assert found.among.tolist() == [1, 0]
    assert found.share[0] == 1  # with patients in whom it is off, a third or two
    assert np.isnan(found.share[1]).all()
    assert found.base == pytest.approx(2 / 6)  # half of the rows, a third of the patients


def test_the_best_label_is_the_one_of_largest_correlation_whatever_its_sign():
    rng = np.random.default_rng(0)
    labels = (rng.random((500, 4)) < 0.3).astype(float)
    f = np.column_stack([rng.random(500) - labels[:, 3], rng.random(500) + labels[:, 1], np.zeros(500)])
    assert fl.best_labels(f, labels).tolist() == [3, 1, 0]
