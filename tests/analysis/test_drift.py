"""Drift towards centroids: by hand, planted, and against random centroids."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.trajectories import drift as d

HOW = Inference(bootstrap=200, permutations=50, min_patients=5, min_carriers=2)


def test_a_step_straight_to_the_point_drifts_by_its_length_and_one_across_by_nothing() -> None:
    steps = d.steps_of(np.array([[0.0, 0], [2, 0], [2, 3]]), np.array([1, 1, 1]))
    assert d.drift(steps, np.array([[10.0, 0], [2, -9]])) == pytest.approx(np.array([[2, 4 / np.sqrt(85)], [0, -3]]))
    with pytest.raises(NotComputable, match="two encounters"):
        d.steps_of(np.zeros((2, 2)), np.array([1, 2]))


def test_a_course_is_the_drift_of_both_ways_and_turns_its_sign_when_the_step_is_walked_back() -> None:
    x, who, towards = np.array([[0.0, 3], [4, 0]]), np.array([1, 1]), np.array([[0.0, 0], [4, 3]])
    there, back = (d.course(d.steps_of(points, who), towards) for points in (x, x[::-1]))
    # From (0, 3) the way to the origin is (0, −1), and the step (4, −3); from (4, 0) it is (−1, 0), the step (−4, 3).
    assert there == pytest.approx(np.array([[(3 - 4) / 2, (4 - 3) / 2]]))
    assert back == pytest.approx(-there)


def test_a_centroid_counts_patients_and_not_their_rows() -> None:
    x, patients = np.array([[5.0], [6], [7], [4], [100]]), np.array([1, 1, 1, 2, 3])
    members = np.array([[True, True, True, True, False], [False] * 5])
    found = d.centroids(x, members, patients)
    assert found[0].tolist() == [5.0]
    assert np.isnan(found[1]).all()


def test_kinds_of_step_are_told_apart_by_what_is_coded_when() -> None:
    #                    patient 1: coded at k = 2 and 3     patient 2: never     patient 3: at k = 0
    member = np.array([False, False, True, True, False, False, False, True, False])
    patients = np.array([1, 1, 1, 1, 2, 2, 2, 3, 3])
    rows = np.array([0, 1, 2, 4, 5, 7])
    found = d.kinds_of_step(member, patients, rows)
    assert d.so_far(member, patients).tolist() == [False, False, True, True, False, False, False, True, True]
    assert found["coded"].tolist() == [False, False, True, False, False, True]
    assert found["free"].tolist() == [True, True, False, True, True, False]
    assert found["before"].tolist() == [True, False, False, False, False, False]
    assert found["never yet"].tolist() == [False, False, False, True, False, False]


def planted(pull: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """200 patients of five encounters; half are coded from k = 3 on at (6, 0, …), and stray towards it at k = 2."""
    rng = np.random.default_rng(seed)
    patients, k = np.repeat(np.arange(200), 5), np.tile(np.arange(5), 200)
    falls_ill = patients < 100
    x = rng.normal(size=(1000, 6))
    x[:, 0] += np.where(falls_ill & (k == 2), pull, 0) + np.where(falls_ill & (k > 2), 6, 0)
    return x, falls_ill & (k > 2), patients


@pytest.mark.parametrize("pull", [0.0, 2.0])
def test_an_approach_is_found_where_it_is_planted_and_not_where_points_only_return_to_the_middle(pull: float) -> None:
    x, member, patients = planted(pull, 0)
    steps, beyond = courses(x, member, patients)
    rng, masks = np.random.default_rng(0), [d.kinds_of_step(member, patients, steps.rows)]
    found = d.approach(beyond, masks, steps.patients, HOW, rng)
    assert (found.estimate.low > max(0, found.null.value)) == (pull > 0)
    assert (found.null.p < 0.05) == (pull > 0)
    assert found.null.low < 0 < found.null.high
    assert found.concepts == 1
    drifted = d.drift(steps, d.centroids(x, member[None], patients))[:, 0]
    mean, excess = d.mean_drift(drifted, beyond[0], masks[0]["before"], steps.patients, HOW, 0)
    assert mean.n_patients == 100
    assert mean.value == pytest.approx(drifted[masks[0]["before"]].mean())
    assert excess.value == pytest.approx(beyond[0][masks[0]["before"]].mean())
    with pytest.raises(NotComputable, match="no concept has 500"):
        d.approach(beyond, masks, steps.patients, HOW._replace(min_patients=500), rng)


def test_a_mean_over_concepts_is_one_of_ratios_and_leaves_out_what_few_patients_have() -> None:
    patients = np.repeat(np.arange(6), 2)
    values = np.stack([np.arange(12.0), np.ones(12), np.full(12, 1e6)])
    masks = np.stack([patients < 5, patients > 0, patients == 3])  # of five, five and one patient
    once, days = np.ones(12), np.tile([1.0, 3.0], 6)
    how = HOW._replace(min_patients=5)
    by_step, by_day = (
        d.mean_over_concepts(values, masks, took, patients, how, np.random.default_rng(0)) for took in (once, days)
    )
    assert by_step.value == pytest.approx((4.5 + 1) / 2)
    assert by_day.value == pytest.approx((4.5 + 1) / 2 / 2)
    assert (by_step.n_rows, by_step.n_patients) == (12, 6)
    with pytest.raises(NotComputable, match="no concept has 6 patients"):
        d.mean_over_concepts(values, masks, once, patients, HOW._replace(min_patients=6), np.random.default_rng(0))


def courses(x: np.ndarray, member: np.ndarray, patients: np.ndarray) -> tuple[d.Steps, np.ndarray]:
    """Steps of x, and their courses beyond random centroids, [1, M]."""
    steps = d.steps_of(x, patients)
    own = d.course(steps, d.centroids(x, member[None], patients))
    at_random = d.course(steps, d.random_centroids(x, member, patients, 20, np.random.default_rng(0)))
    return steps, (own - at_random.mean(axis=1, keepdims=True)).T


def test_patients_who_always_lay_near_a_concept_do_not_seem_to_approach_it() -> None:
    """Nobody moves: all waver about places of their own, those who will be coded about one near the centroid."""
    alarms, narrow = 0, 0
    for seed in range(30):
        x, member, patients = planted(0.0, seed)
        x[:, 0] += np.where(patients < 100, 6.0, 0.0) - 6.0 * member  # at the centroid from the first encounter on
        steps, beyond = courses(x, member, patients)
        masks = [d.kinds_of_step(member, patients, steps.rows)]
        found = d.approach(beyond, masks, steps.patients, HOW, np.random.default_rng(seed))
        alarms += found.estimate.low > max(0, found.null.value)
        narrow += found.null.p <= 0.05
    assert alarms <= 30 * 0.025 + 3 * np.sqrt(30 * 0.025 * 0.975)
    assert narrow <= 30 * 0.05 + 3 * np.sqrt(30 * 0.05 * 0.95)
