"""Drift towards centroids: by hand, planted, and against random centroids."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis import drift as d
from jepascope.analysis.stats import Inference, NotComputable

HOW = Inference(bootstrap=200, permutations=50, min_patients=5, min_carriers=2)


def test_a_step_straight_to_the_point_drifts_by_its_length_and_one_across_by_nothing() -> None:
    steps = d.steps_of(np.array([[0.0, 0], [2, 0], [2, 3]]), np.array([1, 1, 1]))
    assert d.drift(steps, np.array([[10.0, 0], [2, -9]])) == pytest.approx(np.array([[2, 4 / np.sqrt(85)], [0, -3]]))
    with pytest.raises(NotComputable, match="two encounters"):
        d.steps_of(np.zeros((2, 2)), np.array([1, 2]))


def test_a_centroid_counts_patients_and_not_their_rows() -> None:
    x, patients = np.array([[0.0], [0], [0], [4], [100]]), np.array([1, 1, 1, 2, 3])
    members = np.array([[True, True, True, True, False], [False] * 5])
    found = d.centroids(x, members, patients)
    assert found[0].tolist() == [2.0]
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
    rng = np.random.default_rng(0)
    steps = d.steps_of(x, patients)
    own = d.drift(steps, d.centroids(x, member[None], patients)).T
    at_random = d.drift(steps, d.random_centroids(x, member, patients, 20, rng))[None]
    masks = [d.kinds_of_step(member, patients, steps.rows)]
    found = d.approach(own, at_random, masks, steps.patients, HOW, rng)
    assert (found.estimate.low > max(0, found.null.value)) == (pull > 0)
    assert found.concepts == 1
    mean, excess = d.mean_drift(own[0], at_random[0], masks[0]["before"], steps.patients, HOW, 0)
    assert mean.n_patients == 100
    assert mean.value - excess.value == pytest.approx(at_random[0][masks[0]["before"]].mean())
    with pytest.raises(NotComputable, match="no concept has 500"):
        d.approach(own, at_random, masks, steps.patients, HOW._replace(min_patients=500), rng)
