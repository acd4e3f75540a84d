"""The shape test: features by hand, no leak, nothing found in nothing, planted shape found, order told from spread."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable, Null
from jepascope.analysis.trajectories import shape_test as s
from jepascope.analysis.trajectories.paths import Walks, paths, shuffled

HOW = Inference(bootstrap=200, permutations=50, folds=3, min_patients=5, min_carriers=2)


def cohort(patients: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points whose spread differs between patients, patients, days, and that spread."""
    rng = np.random.default_rng(seed)
    spread = np.repeat(np.exp(0.7 * rng.normal(size=patients)), 5)
    x = rng.normal(size=(5 * patients, 6)) * spread[:, None]
    return x, np.repeat(np.arange(patients), 5), np.tile(np.arange(5) * 30.0, patients), spread


def test_shape_features_are_those_by_hand() -> None:
    found = paths(np.array([[0.0, 0], [3, 0], [3, 4], [3, 5]]), np.array([1, 1, 1, 1]))
    path = s.trajectory(found, np.array([2]), np.array([0.0, 5, 9, 60]))
    named = dict(zip(s.SHAPE, s.shape_features(path)[0], strict=True))
    assert named["mean step"] == pytest.approx(3.5)
    assert named["last step"] == pytest.approx(4)
    assert named["last over mean step"] == pytest.approx(np.log(4 / 3.5))
    assert named["length per day"] == pytest.approx(np.log(7 / 10))
    assert named["straightness"] == pytest.approx(5 / 7)
    assert named["net displacement"] == pytest.approx(5)
    assert named["turn"] == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="no middle"):
        s.trajectory(found, np.array([1]), np.zeros(4))


def test_shape_at_k_is_the_same_when_the_record_ends_there_and_when_what_follows_is_another() -> None:
    x, patients, days, _ = cohort(30, 0)
    k = np.tile(np.arange(5), 30)
    at_two = np.flatnonzero(k == 2)
    whole = s.shape_features(s.trajectory(paths(x, patients), at_two, days))
    cut = k <= 2
    ended = s.shape_features(s.trajectory(paths(x[cut], patients[cut]), np.flatnonzero(k[cut] == 2), days[cut]))
    other = s.shape_features(s.trajectory(paths(np.where(k[:, None] > 2, 9 * x, x), patients), at_two, days))
    np.testing.assert_allclose(ended, whole)
    np.testing.assert_allclose(other, whole)
    earlier = s.shape_features(s.trajectory(paths(np.where(k[:, None] == 1, 9 * x, x), patients), at_two, days))
    assert not np.allclose(earlier, whole)


def run(label: np.ndarray, seed: int = 0) -> s.ShapeTest:
    x, patients, days, _ = cohort(400, 1)
    found, rows = paths(x, patients), np.flatnonzero(np.tile(np.arange(5), 400) >= s.FIRST_K)
    path = s.trajectory(found, rows, days)
    base = np.hstack([x[rows], s.length_features(found.k[rows], path.span, np.full(len(rows), 30.0))])
    train = patients[rows] < 250
    return s.shape_test(base, path, label[rows], patients[rows], train, ~train, 8, HOW, np.random.default_rng(seed))


def test_nothing_is_found_in_labels_that_have_to_do_with_nothing() -> None:
    found = run(np.random.default_rng(5).random(2000) < 0.3)
    assert not s.holds(found.gain, found.gain_null)
    assert not s.holds(found.order, found.order_null)


def test_spread_that_brings_patients_back_is_found_as_shape_and_not_as_order() -> None:
    spread = cohort(400, 1)[3]
    found = run(np.random.default_rng(5).random(2000) < 1 / (1 + np.exp(1 - 2 * np.log(spread))))
    assert s.holds(found.gain, found.gain_null)
    assert found.gain.value == pytest.approx(found.full.value - found.base.value)
    # Another order of the same points has nearly the same shape.
    assert abs(found.order.value) < found.gain.value / 3


def test_only_the_middle_of_each_path_is_permuted(monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[Walks] = []
    monkeypatch.setattr(s, "shuffled", lambda *given, **named: orders.append(shuffled(*given, **named)) or orders[-1])
    run(np.random.default_rng(5).random(2000) < 0.3)
    assert len(orders) == 8
    for walked in orders:
        last = np.flatnonzero(np.r_[np.diff(walked.owner) > 0, True])
        assert np.array_equal(walked.place[last], np.tile([2, 3, 4], 400))
        assert (walked.place[np.r_[0, last[:-1] + 1]] == 0).all()


def test_shapes_of_other_patients_stay_within_training_and_within_the_rest() -> None:
    patients = np.repeat(np.arange(90), 3)
    train = patients % 3 > 0
    rows = s._of_others(patients, train, 20, np.random.default_rng(0))
    assert np.array_equal(train[rows], np.tile(train, (20, 1)))
    assert (patients[rows] != patients).all()


def test_order_that_brings_patients_back_is_found_as_order() -> None:
    x, patients, days, _ = cohort(400, 1)
    found = paths(x, patients)
    rows = np.flatnonzero(found.k >= s.FIRST_K)
    shape = s.shape_features(s.trajectory(found, rows, days))
    turn = np.zeros(2000)
    turn[rows] = (shape[:, s.SHAPE.index("turn")] + 0.5) / 0.3
    result = run(np.random.default_rng(5).random(2000) < 1 / (1 + np.exp(1 - 2 * turn)))
    assert s.holds(result.order, result.order_null)


def test_a_shape_column_that_repeats_the_base_model_adds_nothing() -> None:
    rng = np.random.default_rng(0)
    base, train = rng.normal(size=(200, 4)), np.arange(200) < 150
    beyond = s._beyond(base, train)
    np.testing.assert_allclose(beyond(base[:, :2] * 3 + 1), 0, atol=1e-9)
    new = rng.normal(size=(200, 1))
    again = new.copy()
    again[~train] += 7  # what is taken out is learnt on training rows alone
    np.testing.assert_allclose(beyond(again)[train], beyond(new)[train])


def test_too_few_carriers_are_refused_and_a_gain_below_its_null_does_not_hold() -> None:
    with pytest.raises(NotComputable):
        run(np.zeros(2000, bool))
    found = run(np.random.default_rng(5).random(2000) < 0.3)
    assert not s.holds(found.gain._replace(low=0.02), Null(0.03, 0, 0.1, 0.5))
    assert s.holds(found.gain._replace(low=0.02), Null(0.01, 0, 0.1, 0.5))
