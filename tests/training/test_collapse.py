"""Collapse measures on arrays whose answer is known."""

import numpy as np
import pytest

from jepascope.training.collapse import (
    dimension_std,
    effective_rank,
    mean_absolute_cosine,
    rankme,
    skill,
    within_patient_share,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_rankme_is_the_number_of_equal_directions(rng):
    Q = np.linalg.qr(rng.normal(size=(50, 8)))[0]  # eight orthonormal columns
    assert rankme(Q) == pytest.approx(8, rel=1e-4)
    assert rankme(Q * [1, 1, 0, 0, 0, 0, 0, 0]) == pytest.approx(2, rel=1e-4)


def test_rankme_by_hand_for_two_unequal_singular_values():
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert rankme(np.diag([3.0, 1.0])) == pytest.approx(np.exp(entropy), rel=1e-5)


def test_rankme_sees_an_offset_of_the_mean_and_effective_rank_does_not(rng):
    X = rng.normal(size=(2000, 8))
    assert effective_rank(X + 100) == pytest.approx(effective_rank(X))
    assert effective_rank(X) > 7.9
    assert rankme(X + 100) < 2 < 7.9 < rankme(X)


def test_effective_rank_by_hand_weighs_variances():
    X = np.array([[3.0, 0], [-3, 0], [0, 1], [0, -1]])  # variances 9 : 1
    assert effective_rank(X) == pytest.approx(np.exp(-(0.9 * np.log(0.9) + 0.1 * np.log(0.1))))


def test_mean_absolute_cosine_is_one_on_a_line_and_small_in_space(rng):
    line = np.outer(rng.normal(size=100), rng.normal(size=64)) + 5
    assert mean_absolute_cosine(line) == pytest.approx(1)
    assert mean_absolute_cosine(rng.normal(size=(400, 64))) == pytest.approx(np.sqrt(2 / np.pi / 64), rel=0.05)


def test_a_static_identity_has_no_variance_within_patients(rng):
    patient = np.repeat(np.arange(50), 4)
    identity = rng.normal(size=(50, 8))[patient]
    assert within_patient_share(identity, patient) == pytest.approx(0, abs=1e-12)
    assert within_patient_share(rng.normal(size=(200, 8)), patient) == pytest.approx(1, abs=0.06)


def test_within_patient_share_recovers_planted_variance_components(rng):
    patient = np.repeat(np.arange(2000), rng.integers(2, 6, 2000))
    X = 2 * rng.normal(size=(2000, 3))[patient] + rng.normal(size=(len(patient), 3))  # 4 between : 1 within
    assert within_patient_share(X, patient) == pytest.approx(0.2, abs=0.01)


def test_patients_with_one_encounter_do_not_enter_the_within_share(rng):
    patient = np.repeat(np.arange(20), 3)
    X = rng.normal(size=(60, 4))
    more = np.concatenate([X, 1e3 * rng.normal(size=(5, 4))])
    assert within_patient_share(more, np.r_[patient, 100 + np.arange(5)]) == within_patient_share(X, patient)


def test_skill_by_hand():
    target = np.array([[1.0, 0.0], [3.0, 0.0]])
    assert skill(target, target, np.zeros(2)) == 1
    assert skill(target, target - [1, 0], np.zeros(2)) == pytest.approx(1 - 2 / 10)
    assert skill(target, np.zeros((2, 2)), target - [0, 1]) == pytest.approx(1 - 10 / 2)


def test_measures_without_rows_are_not_computable_and_do_not_fail():
    none = np.empty((0, 4))
    assert np.isnan([rankme(none), effective_rank(none), mean_absolute_cosine(none), *dimension_std(none)]).all()
    assert np.isnan(within_patient_share(none, np.empty(0)))
    assert np.isnan(skill(none, none, np.zeros(4)))


def test_a_constant_representation_has_rank_one(rng):
    X = np.tile(rng.normal(size=8), (30, 1))
    assert rankme(X) == pytest.approx(1, abs=1e-3)
    assert effective_rank(np.ones((30, 8))) == pytest.approx(1)
    assert np.isnan(mean_absolute_cosine(np.ones((30, 8))))
