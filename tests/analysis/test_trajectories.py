"""Paths by their distances: steps, turns, straightness, order against shuffles, pace; fields show no person."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.trajectories import flow
from jepascope.analysis.trajectories import order as o
from jepascope.analysis.trajectories import paths as t

HOW = Inference(bootstrap=200, permutations=50, min_patients=5, min_carriers=2)


def walkers(patients: int, encounters: int, drift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Independent points, plus `drift` times the number of the encounter along the first axis."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(patients * encounters, 8))
    x[:, 0] += drift * np.tile(np.arange(encounters), patients)
    return x, np.repeat(np.arange(patients), encounters)


def test_steps_turns_and_straightness_of_a_square_are_those_by_hand() -> None:
    x = np.array([[0.0, 0], [3, 0], [3, 4], [9, 9], [9, 9], [10, 9]])
    found = t.paths(x, np.array([7, 7, 7, 2, 2, 2]))
    walked = t.walks(found, np.array([2, 5]))
    squared, owner = t.steps(found, walked)
    assert squared.tolist() == [9, 16, 0, 1]
    assert owner.tolist() == [0, 0, 1, 1]
    cosine, whose, at = t.turns(found, walked)
    assert cosine.tolist() == pytest.approx([0.0])  # a right angle; beside a step of no length there is no turn
    assert whose.tolist() == [0]
    assert at.tolist() == [1]
    assert o.angle(found, walked)[0].tolist() == pytest.approx([90, 0])
    assert [part.tolist() for part in o.step_length(found, walked)] == [[7, 1], [2, 2]]
    straight, counts = o.straightness(found, walked)
    assert straight.tolist() == pytest.approx([5 / 7, 1.0])
    assert counts.tolist() == [1, 1]


def test_rows_of_a_patient_must_stand_together() -> None:
    with pytest.raises(ValueError, match="stand together"):
        t.paths(np.zeros((3, 2)), np.array([1, 2, 1]))


def test_shuffles_keep_each_walk_s_places_and_its_ends_when_only_the_middle_moves() -> None:
    x, patients = walkers(30, 6, 0.0, 0)
    found = t.paths(x, patients)
    walked = t.walks(found, np.arange(len(x)))
    for middle in (False, True):
        moved = t.shuffled(walked, np.random.default_rng(1), middle=middle)
        assert not np.array_equal(moved.place, walked.place)
        by_walk = np.lexsort((moved.place, moved.owner))
        assert np.array_equal(moved.place[by_walk], walked.place)
        assert np.array_equal(moved.owner, walked.owner)
        start = np.flatnonzero(np.r_[True, np.diff(walked.owner) > 0])
        end = np.r_[start[1:], len(walked.owner)] - 1
        ends_stay = np.array_equal(moved.place[start], walked.place[start]) and np.array_equal(
            moved.place[end], walked.place[end]
        )
        assert ends_stay == middle


def test_a_path_up_to_k_holds_nothing_of_later_encounters() -> None:
    x, patients = walkers(20, 5, 0.5, 0)
    late = np.arange(len(x)) % 5 > 2
    changed = np.where(late[:, None], x + 10, x)
    rows = np.flatnonzero(np.arange(len(x)) % 5 == 2)
    ours, theirs = (t.paths(points, patients) for points in (x, changed))
    rates = [rate(np.arange(len(x)) * 9.0) for rate in (o.speed, o.curvature)]
    for measure in (o.turning, o.straightness, o.angle, o.step_length, *rates):
        assert np.array_equal(measure(ours, t.walks(ours, rows))[0], measure(theirs, t.walks(theirs, rows))[0])
        whole = t.whole_paths(ours, 3)
        assert not np.array_equal(measure(ours, whole)[0], measure(theirs, whole)[0])


def excess_of(found: t.Paths, walked: t.Walks, measure: o.Measure, draws: int) -> o.Excess:
    """The excess of a measure over so many shuffles."""
    return o.order_excess(
        o.measure_order(found, walked, measure, draws, np.random.default_rng(0)), HOW, np.random.default_rng(0)
    )


def test_rates_are_lengths_and_angles_over_the_days_that_they_took() -> None:
    found = t.paths(np.array([[0.0, 0], [3, 0], [3, 4], [2, 4], [8, 8], [9, 8]]), np.array([7, 7, 7, 7, 2, 2]))
    walked = t.walks(found, np.array([3, 5]))
    days = np.array([100.0, 102, 110, 116, 50, 70])
    length, took = o.speed(days)(found, walked)
    assert length.tolist() == [8, 1]
    assert took.tolist() == [16, 20]
    turned, took = o.curvature(days)(found, walked)
    assert turned.tolist() == pytest.approx([180, 0])
    assert took.tolist() == [(110 - 100) / 2 + (116 - 102) / 2, 0]


def test_days_stay_where_they_are_when_points_are_walked_in_another_order() -> None:
    found = t.paths(np.array([[0.0, 0], [3, 0], [3, 4]]), np.array([7, 7, 7]))
    walked = t.walks(found, np.array([2]))._replace(place=np.array([0, 2, 1]))
    days = np.array([0.0, 2, 10])
    assert [part.tolist() for part in o.speed(days)(found, walked)] == [[9.0], [10.0]]
    turned, took = o.curvature(days)(found, walked)
    assert turned.tolist() == pytest.approx([180 - np.degrees(np.arccos(4 / 5))])
    assert took.tolist() == [5.0]


def test_a_twin_with_as_much_order_leaves_nothing_beyond_it_and_an_idle_one_leaves_all() -> None:
    course, idle = (t.paths(*walkers(100, 5, drift, 3)) for drift in (1.5, 0.0))
    walked = t.whole_paths(course, 3)
    ours, twin = (o.measure_order(found, walked, o.turning, 20, np.random.default_rng(0)) for found in (course, idle))
    same = o.excess_beyond(ours, ours, HOW, np.random.default_rng(0))
    assert (same.value, same.low, same.high) == (0, 0, 0)  # on the same draws of patients
    beyond = o.excess_beyond(ours, twin, HOW, np.random.default_rng(0))
    apart = [o.order_excess(one, HOW, np.random.default_rng(0)).excess.value for one in (ours, twin)]
    assert beyond.value == pytest.approx(apart[0] - apart[1])
    assert beyond.low > 0


def test_encounters_in_no_order_turn_back_by_half_and_show_no_excess() -> None:
    found = t.paths(*walkers(300, 5, 0.0, 3))
    excess = excess_of(found, t.whole_paths(found, 3), o.turning, 50)
    assert excess.shuffled == pytest.approx(-0.5, abs=0.05)
    assert excess.excess.low < 0 < excess.excess.high
    assert excess.null.p > 0.05


def test_a_course_is_straighter_than_the_same_points_shuffled() -> None:
    found = t.paths(*walkers(100, 5, 1.5, 3))
    for measure in (o.turning, o.straightness):
        excess = excess_of(found, t.whole_paths(found, 3), measure, 50)
        assert excess.excess.low > excess.null.high
        assert excess.null.p == pytest.approx(1 / 51)
        assert excess.observed.value == pytest.approx(excess.shuffled + excess.excess.value)
    with pytest.raises(NotComputable, match="no patient has 6"):
        t.whole_paths(found, 6)


def test_a_mean_over_shuffles_counts_the_turns_that_the_shuffles_have() -> None:
    """Each first encounter comes twice: set apart by a shuffle, the two have turns that they hadn't."""
    x, patients = walkers(60, 5, 0.0, 3)
    x[1::5] = x[::5]
    found = t.paths(x, patients)
    walked, rng = t.whole_paths(found, 3), np.random.default_rng(0)
    excess = excess_of(found, walked, o.turning, 40)
    drawn = np.array([[part.sum() for part in o.turning(found, t.shuffled(walked, rng))] for _ in range(40)])
    own, turns = (part.sum() for part in o.turning(found, walked))
    assert drawn[:, 1].mean() > 1.1 * turns
    assert excess.observed.value == pytest.approx(own / turns)
    assert excess.shuffled == pytest.approx(drawn[:, 0].sum() / drawn[:, 1].sum())
    assert abs(excess.null.value) < 0.01


def test_the_slope_on_days_tells_a_calendar_from_a_count() -> None:
    rng = np.random.default_rng(0)
    patients, days = np.repeat(np.arange(150), 4), np.exp(rng.normal(4, 1, 600))
    when = np.cumsum(days)  # days[i], since the encounter before
    direction = rng.normal(size=(600, 8))
    unit = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    for exponent in (0.0, 1.0):
        x = np.cumsum(unit * ((1 + days) ** exponent)[:, None], axis=0)
        slope = o.pace(t.paths(x, patients), when, patients, HOW, rng)
        assert slope.value == pytest.approx(exponent, abs=0.02)


def test_a_cell_or_a_point_of_few_patients_is_not_shown() -> None:
    start = np.array([[0.1, 0.1]] * 6 + [[0.9, 0.9]] * 6)
    step = np.tile([1.0, -2.0], (12, 1))
    patients = np.r_[np.zeros(6), np.arange(6)]  # six steps of one patient, six of six
    field = flow.field(start, step, patients, np.array([[0, 0.5, 1.0], [0, 0.5, 1.0]]), 3)
    assert field.at.tolist() == [[0.75, 0.75]]
    assert field.step.tolist() == [[1.0, -2.0]]
    assert field.patients.tolist() == [6]
    band = flow.band(np.array([1.0, 3, 2, 9]), np.array([0, 0, 0, 1]), 3, 0.95, 2)
    assert band.k.tolist() == [0]
    assert band.value.tolist() == [2.0]
    assert band.high[0] - band.value[0] == pytest.approx(1.96 / np.sqrt(3), abs=1e-3)
    assert flow.along(np.array([[1.0, 5.0]]), np.zeros(2), np.array([2.0, 0])).tolist() == [0.5]


def test_ends_are_of_the_same_mix_of_k_so_that_a_long_record_is_no_concept() -> None:
    """All move along one axis as they come back; the concept lies along another, and sets in late."""
    k = np.tile(np.arange(6), 50)
    member = (np.repeat(np.arange(50), 6) < 25) & (k >= 3)
    x = np.stack([k, member, np.zeros(300)], axis=1).astype(float)
    without, having = flow.matched_ends(x, member, k)
    assert without.tolist() == pytest.approx([4, 0, 0])  # k of 3, 4 and 5 alone
    assert having.tolist() == pytest.approx([4, 1, 0])
    never = flow.along(x[~member], without, having)
    assert never.tolist() == pytest.approx([0] * len(never))
    rare = member & ((k < 5) | (np.arange(300) < 6))  # at k = 5 one of the 25
    assert flow.matched_ends(x, rare, k)[1][0] == pytest.approx(flow.matched_ends(x, rare, k)[0][0])
    all_late = member | (k == 5)  # nobody is left without it at k = 5
    assert flow.matched_ends(x, all_late, k)[1].tolist() == pytest.approx([3.5, 1, 0])
    with pytest.raises(NotComputable, match="with the concept and without"):
        flow.matched_ends(x, k > 2, k)


def test_the_plane_and_its_cells_follow_the_points_they_are_fitted_on() -> None:
    x = np.random.default_rng(0).normal(size=(500, 4)) * [5, 1, 3, 0.1]
    mean, axes = flow.plane(x)
    assert np.abs(axes[[0, 2], [0, 1]]).tolist() == pytest.approx([1, 1], abs=0.05)
    borders = flow.cells((x - mean) @ axes, 4)
    assert borders.shape == (2, 5)
    assert borders[0, -1] < 15  # not the outliers
