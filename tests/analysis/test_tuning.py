"""Choosing on validation patients: the choice is theirs, the fit is not."""

import numpy as np
import pytest

from jepascope.analysis.inference.stats import NotComputable
from jepascope.analysis.outcomes.tuning import Candidate, log_loss, tune

N = 12
LABELS = np.array([0, 1] * 6, float)
PATIENTS = np.arange(N)
TRAIN, VALIDATION, TEST = (np.arange(N) // 4 == part for part in range(3))


def constant(labels, train, setting):
    return np.full(len(labels), setting)


def mean_of_train(labels, train, shift):
    return np.full(len(labels), np.nanmean(labels[train]) + shift)


def test_the_log_loss_is_that_computed_by_hand():
    expected = -(np.log(0.8) + np.log(1 - 0.4) + np.log(1 - 0.5)) / 3
    assert log_loss(np.array([0.8, 0.4, 0.5]), np.array([1, 0, 0])) == pytest.approx(expected)


def test_a_certain_error_costs_much_and_not_infinitely():
    assert 15 < log_loss(np.array([0.0]), np.array([1])) < 20


def test_a_probability_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        log_loss(np.array([np.nan, 0.5]), np.array([1, 0]))


def test_the_setting_with_the_smallest_validation_loss_is_kept():
    tuned = tune(Candidate([0.1, 0.45, 0.9], constant), LABELS, TRAIN, VALIDATION, PATIENTS)
    assert tuned.setting == 0.45
    assert (tuned.probability == 0.45).all()
    assert tuned.losses.argmin() == 1


def test_a_tie_goes_to_the_earlier_setting():
    assert tune(Candidate([0.3, 0.7], constant), LABELS, TRAIN, VALIDATION, PATIENTS).setting == 0.3


def test_a_fit_is_given_no_label_outside_train():
    seen = []

    def spy(labels, train, setting):
        seen.append(labels.copy())
        return np.full(len(labels), 0.5)

    tune(Candidate([1], spy), LABELS, TRAIN, VALIDATION, PATIENTS)
    np.testing.assert_array_equal(np.isfinite(seen[0]), TRAIN)


def test_test_labels_change_neither_choice_nor_fit():
    candidate = Candidate([-0.3, 0.0, 0.3], mean_of_train)
    tuned = tune(candidate, LABELS, TRAIN, VALIDATION, PATIENTS)
    other = tune(candidate, np.where(TEST, 1 - LABELS, LABELS), TRAIN, VALIDATION, PATIENTS)
    assert other.setting == tuned.setting
    np.testing.assert_array_equal(other.losses, tuned.losses)
    np.testing.assert_array_equal(other.probability, tuned.probability)


def test_validation_labels_may_change_the_choice():
    labels = LABELS.copy()
    labels[VALIDATION] = [1, 1, 1, 0]
    candidate = Candidate([-0.3, 0.0, 0.3], mean_of_train)
    assert tune(candidate, LABELS, TRAIN, VALIDATION, PATIENTS).setting == 0.0
    assert tune(candidate, labels, TRAIN, VALIDATION, PATIENTS).setting == 0.3


def test_validation_without_both_classes_chooses_nothing():
    with pytest.raises(NotComputable, match="no setting can be chosen.*without the label: 0"):
        tune(Candidate([0.5], constant), np.where(VALIDATION, 1.0, LABELS), TRAIN, VALIDATION, PATIENTS)
    with pytest.raises(NotComputable, match="no setting can be chosen"):
        tune(Candidate([0.5], constant), LABELS, TRAIN, np.zeros(N, bool), PATIENTS)


def test_a_patient_in_train_and_validation_is_refused():
    with pytest.raises(ValueError, match="split by patient"):
        tune(Candidate([0.5], constant), LABELS, TRAIN, VALIDATION, np.zeros(N))
