"""Paths by their distances: steps, turns, straightness, order against shuffles, pace; fields show no person."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.trajectories import flow
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
    cosine, whose = t.turns(found, walked)
    assert cosine.tolist() == pytest.approx([0.0])  # a right angle; beside a step of no length there is no turn
    assert whose.tolist() == [0]
    straight, counts = t.straightness(found, walked)
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
    for measure in (t.turning, t.straightness):
        assert np.array_equal(measure(ours, t.walks(ours, rows))[0], measure(theirs, t.walks(theirs, rows))[0])
        whole = t.whole_paths(ours, 3)
        assert not np.array_equal(measure(ours, whole)[0], measure(theirs, whole)[0])


def test_encounters_in_no_order_turn_back_by_half_and_show_no_excess() -> None:
    found = t.paths(*walkers(300, 5, 0.0, 3))
    excess = t.order_excess(found, t.whole_paths(found, 3), t.turning, 50, HOW, np.random.default_rng(0))
    assert excess.shuffled == pytest.approx(-0.5, abs=0.05)
    assert excess.excess.low < 0 < excess.excess.high
    assert excess.null.p > 0.05


def test_a_course_is_straighter_than_the_same_points_shuffled() -> None:
    found = t.paths(*walkers(100, 5, 1.5, 3))
    for measure in (t.turning, t.straightness):
        excess = t.order_excess(found, t.whole_paths(found, 3), measure, 50, HOW, np.random.default_rng(0))
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
    excess = t.order_excess(found, walked, t.turning, 40, HOW, np.random.default_rng(0))
    drawn = np.array([[part.sum() for part in t.turning(found, t.shuffled(walked, rng))] for _ in range(40)])
    own, turns = (part.sum() for part in t.turning(found, walked))
    assert drawn[:, 1].mean() > 1.1 * turns
    assert excess.observed.value == pytest.approx(own / turns)
    assert excess.shuffled == pytest.approx(drawn[:, 0].sum() / drawn[:, 1].sum())
    assert abs(excess.null.value) < 0.01


def test_the_slope_on_days_tells_a_calendar_from_a_count() -> None:
    rng = np.random.default_rng(0)
    patients, days = np.repeat(np.arange(150), 4), np.exp(rng.normal(4, 1, 600))
    direction = rng.normal(size=(600, 8))
    unit = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    for exponent in (0.0, 1.0):
        x = np.cumsum(unit * ((1 + days) ** exponent)[:, None], axis=0)
        slope = t.pace(t.paths(x, patients), days, patients, HOW, rng)
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


def test_the_plane_and_its_cells_follow_the_points_they_are_fitted_on() -> None:
    x = np.random.default_rng(0).normal(size=(500, 4)) * [5, 1, 3, 0.1]
    mean, axes = flow.plane(x)
    assert np.abs(axes[[0, 2], [0, 1]]).tolist() == pytest.approx([1, 1], abs=0.05)
    borders = flow.cells((x - mean) @ axes, 4)
    assert borders.shape == (2, 5)
    assert borders[0, -1] < 15  # not the outliers
