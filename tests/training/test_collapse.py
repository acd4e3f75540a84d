"""Collapse measures on arrays whose answer is known."""

import numpy as np
import pytest
from scipy.linalg import eigh
from scipy.spatial.distance import cdist

from jepascope.training.collapse import (
    DELTA,
    between_patient_share,
    dimension_std,
    effective_rank,
    lidar,
    mean_absolute_cosine,
    rankme,
    same_patient_retrieval,
    skill,
    top_variance_share,
    within_patient_share,
)

PATIENT_SHARES = (within_patient_share, between_patient_share, lidar)


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


def test_the_top_axis_share_by_hand_and_without_the_mean():
    X = np.array([[3.0, 0], [-3, 0], [0, 1], [0, -1]])  # variances 9 : 1
    assert top_variance_share(X + np.array([100, -7])) == pytest.approx(0.9)
    assert np.isnan(top_variance_share(np.ones((30, 8))))


def test_between_and_within_shares_tell_an_identity_from_a_clock_and_from_noise(rng):
    patient, step = np.divmod(np.arange(300), 5)
    identity, clock, noise = rng.normal(size=(60, 8))[patient], rng.normal(size=(5, 8))[step], rng.normal(size=(300, 8))
    between = [between_patient_share(X, patient) for X in (identity, clock, noise)]
    within = [within_patient_share(X, patient) for X in (identity, clock, noise)]
    assert between == pytest.approx([1, 0, 1], abs=0.05)
    # A patient's own mean takes one of five degrees of freedom: 299/300 · 5/4 for the clock.
    assert within == pytest.approx([0, 299 / 240, 1], abs=0.05)


def test_between_and_within_shares_recover_planted_variance_components(rng):
    length = rng.integers(2, 6, 4000)
    patient = np.repeat(np.arange(4000), length)
    step = np.concatenate([np.arange(n) for n in length])
    drift = 1.5 * np.array([-1.0, 1, -1, 1, -1])  # of one dimension, the same for everyone
    X = 2 * rng.normal(size=4000)[patient] + drift[step] + rng.normal(size=len(patient))
    total = X.var()
    assert between_patient_share(X[:, None], patient) == pytest.approx((4 + 1) / total, rel=0.03)
    within = sum(np.square(drift[:n] - drift[:n].mean()).sum() for n in length) / (len(X) - 4000) + 1
    assert within_patient_share(X[:, None], patient) == pytest.approx(within / total, rel=0.03)


def test_the_share_between_reads_steps_by_order_within_the_patient():
    X = np.array([[0.0], [1], [2], [0], [1], [9], [0], [1]])  # the sixth row's patient came once: left out
    patient = np.array([7, 7, 7, 3, 3, 5, 8, 8])
    assert between_patient_share(X, patient) == 0
    assert between_patient_share(X[::-1], patient[::-1]) > 0


def lidar_by_definition(X: np.ndarray, patient: np.ndarray) -> float:
    """The generalised problem Σ_b v = λ Σ_w v, solved by scipy, on scatter summed patient by patient."""
    groups = [X[patient == p] for p in np.unique(patient) if (patient == p).sum() > 1]
    scatter = sum(np.cov(g.T, bias=True) * len(g) for g in groups) / (sum(map(len, groups)) - len(groups))
    sigma_b = np.cov(np.array([g.mean(axis=0) for g in groups]).T, bias=True)
    values = eigh(sigma_b, scatter + DELTA * np.eye(X.shape[1]), eigvals_only=True)
    share = np.clip(values / values.sum(), 1e-12, None)
    return float(np.exp(-(share * np.log(share)).sum()))


def test_lidar_equals_the_generalised_eigenproblem_solved_by_scipy(rng):
    patient = np.repeat(np.arange(80), rng.integers(1, 6, 80))
    X = (rng.normal(size=(80, 6)) * [5, 3, 1, 1, 0, 0])[patient] + rng.normal(size=(len(patient), 6)) @ np.triu(
        rng.normal(size=(6, 6))
    )
    assert lidar(X, patient) == pytest.approx(lidar_by_definition(X, patient), rel=1e-4)
    shuffled = rng.permutation(len(patient))
    assert lidar(X[shuffled], patient[shuffled]) == pytest.approx(lidar(X, patient))


def test_lidar_by_hand_weighs_directions_by_their_noise_within_patients():
    means = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    inside = np.array([[1.0, 0], [-1, 0], [0, 0.5], [0, -0.5]])  # variances within 4 : 1, between 1 : 1, so λ 1 : 4
    X = (means[:, None] + inside).reshape(16, 2)
    assert lidar(X, np.repeat(np.arange(4), 4)) == pytest.approx(
        np.exp(-(0.2 * np.log(0.2) + 0.8 * np.log(0.8))), rel=1e-3
    )


def test_lidar_falls_with_the_directions_that_tell_patients_apart_and_rankme_does_not(rng):
    patient = np.repeat(np.arange(200), 40)
    person = rng.normal(size=(200, 8))
    noise = rng.normal(size=(8000, 8))
    assert lidar(person[patient] + noise, patient) > 7.5
    assert lidar((person * [1, 1, 0, 0, 0, 0, 0, 0])[patient] + noise, patient) < 3
    assert rankme((person * [1, 1, 0, 0, 0, 0, 0, 0])[patient] + noise) > 7.5


def test_retrieval_by_hand():
    X = np.array([[0.0], [1.0], [10.0], [1.4], [11.0]])  # the last encounter is its patient's only one: left out
    share, chance = same_patient_retrieval(X, np.array([4, 4, 2, 2, 9]))
    assert share == 0.5  # 1.0 and 1.4 find each other
    assert chance == pytest.approx(1 / 3)


def test_retrieval_equals_a_search_over_all_distances_wherever_the_origin_lies(rng):
    patient = np.repeat(np.arange(60), rng.integers(2, 6, 60))
    X = rng.normal(size=(60, 4))[patient] + 0.5 * rng.normal(size=(len(patient), 4))
    distance = cdist(X, X)
    np.fill_diagonal(distance, np.inf)
    same = patient[:, None] == patient
    np.fill_diagonal(same, False)
    for origin in (0, 3000):
        share, chance = same_patient_retrieval(X + origin, patient)
        assert share == same[np.arange(len(X)), distance.argmin(axis=1)].mean()
        assert chance == pytest.approx(same.sum() / len(X) / (len(X) - 1))
    assert share > 5 * chance


def test_retrieval_is_one_for_a_static_identity_and_near_chance_for_noise_and_for_a_constant(rng):
    patient = np.repeat(np.arange(300), 3)
    assert same_patient_retrieval(rng.normal(size=(300, 8))[patient], patient).share == 1
    for X in (rng.normal(size=(900, 8)), np.ones((900, 8))):
        share, chance = same_patient_retrieval(X, patient)
        assert chance == pytest.approx(2 / 899)
        assert share < 0.01


def test_retrieval_among_many_rows_keeps_every_second_patient_whole(rng):
    patient = np.repeat(np.arange(100), 4)
    X = rng.normal(size=(100, 3))[patient] + 0.5 * rng.normal(size=(400, 3))
    kept = patient % 2 == 0
    assert same_patient_retrieval(X, patient, max_rows=200) == same_patient_retrieval(X[kept], patient[kept])
    assert same_patient_retrieval(X, patient, max_rows=1).chance < 1  # two patients are left


def test_skill_by_hand():
    target = np.array([[1.0, 0.0], [3.0, 0.0]])
    assert skill(target, target, np.zeros(2)) == 1
    assert skill(target, target - [1, 0], np.zeros(2)) == pytest.approx(1 - 2 / 10)
    assert skill(target, np.zeros((2, 2)), target - [0, 1]) == pytest.approx(1 - 10 / 2)


def test_measures_without_rows_are_not_computable_and_do_not_fail():
    none = np.empty((0, 4))
    assert np.isnan([rankme(none), effective_rank(none), mean_absolute_cosine(none), *dimension_std(none)]).all()
    assert np.isnan([measure(none, np.empty(0)) for measure in PATIENT_SHARES]).all()
    assert np.isnan(same_patient_retrieval(none, np.empty(0))).all()
    assert np.isnan(top_variance_share(none))
    assert np.isnan(skill(none, none, np.zeros(4)))


def test_measures_by_patient_need_two_patients_who_came_twice(rng):
    X, patient = rng.normal(size=(5, 3)), np.array([0, 0, 0, 1, 2])
    assert np.isnan([measure(X, patient) for measure in PATIENT_SHARES]).all()
    assert np.isnan(same_patient_retrieval(X, patient)).all()


def test_a_constant_representation_has_rank_one(rng):
    X = np.tile(rng.normal(size=8), (30, 1))
    assert rankme(X) == pytest.approx(1, abs=1e-3)
    assert effective_rank(np.ones((30, 8))) == pytest.approx(1)
    assert np.isnan(mean_absolute_cosine(np.ones((30, 8))))
    assert [measure(np.ones((30, 8)), np.arange(30) // 3) for measure in PATIENT_SHARES] == pytest.approx(
        [0, 0, 1], abs=1e-3
    )
