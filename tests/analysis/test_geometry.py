"""Steps and searches: by hand, with a planted ratio, with a confound that matching removes, and with nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.rollout import geometry

HOW = Inference(bootstrap=300, permutations=200, min_patients=2, min_carriers=2)


def rng(seed=0):
    return np.random.default_rng(seed)


def planted_steps(ratio: float, confound: float, n_patients=400, rows=5, seed=0) -> geometry.Steps:
    """Steps of gamma length; those of stratum 1 are `confound` times longer, and three times as often deteriorating."""
    g = rng(seed)
    patients = np.repeat(np.arange(n_patients), rows)
    stratum = g.integers(0, 2, len(patients))
    worse = g.random(len(patients)) < np.where(stratum == 1, 0.6, 0.2)
    length = g.gamma(9, 1 / 9, len(patients)) * np.where(worse, ratio, 1) * np.where(stratum == 1, confound, 1)
    return geometry.Steps(length, worse, stratum, patients)


def test_the_matched_ratio_by_hand():
    # stratum 0: worse 4 and 6, stable 2; stratum 1: worse 9, stable 3 and 5; stratum 2 has no stable step
    copies = 30
    steps = geometry.Steps(
        length=np.tile([4.0, 6, 2, 9, 3, 5, 100], copies),
        worse=np.tile(np.array([1, 1, 0, 1, 0, 0, 1], bool), copies),
        stratum=np.tile([0, 0, 0, 1, 1, 1, 2], copies),
        patients=np.tile([1, 1, 2, 2, 3, 3, 1], copies) + 10 * np.repeat(np.arange(copies), 7),
    )
    # Σ n_s a_s = 4 + 6 + 9, Σ n_s b_s = 2 · 2 + 1 · 4
    assert geometry.displacement_ratio(steps, HOW, rng()).value == pytest.approx(19 / 8)
    one = steps._replace(stratum=np.zeros(7 * copies, int))
    assert geometry.displacement_ratio(one, HOW, rng()).value == pytest.approx((119 / 4) / (10 / 3))


def test_a_planted_ratio_of_two_is_found_and_the_null_is_one():
    steps = planted_steps(ratio=2, confound=1)
    found, null = geometry.displacement_ratio(steps, HOW, rng()), geometry.displacement_null(steps, HOW, rng())
    assert found.low < 2 < found.high
    assert found.high - found.low < 0.2
    assert null.low < 1 < null.high
    assert null.p < 0.01


def test_matching_removes_a_ratio_that_is_only_a_confound():
    steps = planted_steps(ratio=1, confound=3)
    unmatched = steps._replace(stratum=np.zeros(len(steps.length), int))
    assert geometry.displacement_ratio(unmatched, HOW, rng()).low > 1.3
    found = geometry.displacement_ratio(steps, HOW, rng())
    assert found.low < 1 < found.high


def test_a_deterioration_that_nobody_or_everybody_has_is_refused():
    steps = planted_steps(ratio=1, confound=1)
    for worse in (np.zeros_like(steps.worse), np.ones_like(steps.worse)):
        with pytest.raises(NotComputable, match="the label: 0, 2 needed"):
            geometry.displacement_ratio(steps._replace(worse=worse), HOW, rng())
    with pytest.raises(NotComputable, match="undefined"):  # no stratum with both kinds
        geometry.displacement_ratio(steps._replace(stratum=steps.worse.astype(int)), HOW, rng())


def test_strata_hold_what_is_alike_in_both_and_nothing_else():
    g = rng()
    gap, k = g.exponential(100, 800), g.geometric(0.4, 800)
    cells = geometry.strata(gap, k, 4, 2)
    assert len(np.unique(cells)) == 8
    for cell in range(8):
        inside = cells == cell
        between = (gap >= gap[inside].min()) & (gap <= gap[inside].max())
        assert ((k[between] >= k[inside].min()) & (k[between] <= k[inside].max()) == inside[between]).all()
    assert np.bincount(geometry.strata(gap, np.ones(800), 4, 3)).tolist() == [200] * 4  # k says nothing


def test_distractors_are_other_patients_of_the_same_stratum_and_all_of_them_come():
    g = rng()
    patients, stratum = g.integers(0, 12, 150), g.integers(0, 3, 150)
    drawn = geometry.draw_distractors(stratum, patients, 2000, rng())
    for row in range(150):
        allowed = np.flatnonzero((stratum == stratum[row]) & (patients != patients[row]))
        assert np.array_equal(np.unique(drawn[row]), allowed)


def test_a_row_alone_in_its_stratum_has_no_distractor_and_is_left_out():
    patients, stratum = np.array([1, 1, 2, 3]), np.array([0, 0, 1, 1])
    drawn = geometry.draw_distractors(stratum, patients, 5, rng())
    assert (drawn[:2] == -1).all()
    assert (drawn[2] == 3).all()
    found = geometry.retrieve(np.eye(4), np.eye(4), drawn, patients)
    assert found.patients.tolist() == [2, 3]


def test_ranks_and_distances_by_hand():
    z = np.array([[0.0], [10.0], [3.0], [4.0]])
    query = np.array([[3.5], [10.0], [0.0], [0.0]])
    distractors = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
    found = geometry.retrieve(query, z, distractors, np.arange(4))
    # row 0: own 3.5; others at 6.5, 0.5, 0.5. row 1: own 0. row 2: own 3; others 0, 10, 4. row 3: own 4; 0, 10, 3.
    assert found.percentile == pytest.approx([1 / 3, 1, 2 / 3, 1 / 3])
    assert found.reciprocal_rank == pytest.approx([1 / 3, 1, 1 / 2, 1 / 3])
    assert found.first == pytest.approx([0, 1, 0, 0])
    assert found.own == pytest.approx([3.5, 0, 3, 4])
    assert found.ambient == pytest.approx([17 / 3, 23 / 3, 11 / 3, 11 / 3])


def test_ties_count_half_and_share_the_first_place():
    same = np.zeros((4, 2))
    found = geometry.retrieve(same, same, np.array([[1, 2, 3]] * 4), np.arange(4))
    assert found.percentile == pytest.approx([0.5] * 4)
    assert found.first == pytest.approx([0.25] * 4)


def test_sparse_and_dense_spaces_agree():
    x, y = (rng(seed).random((30, 8)) * (rng(seed + 5).random((30, 8)) < 0.3) for seed in (0, 1))
    distractors = geometry.draw_distractors(np.zeros(30, int), np.arange(30), 6, rng())
    k = np.tile(np.arange(3), 10)
    rows = np.flatnonzero(k > 0)
    dense = geometry.retrieve(x, y, distractors, np.arange(30))
    sparse = geometry.retrieve(csr_matrix(x), csr_matrix(y), distractors, np.arange(30))
    assert all(np.allclose(a, b) for a, b in zip(dense, sparse, strict=True))
    past = [geometry.percentile_among_past(kind(x[rows]), kind(y), k, rows) for kind in (np.array, csr_matrix)]
    assert np.array_equal(*past)


def test_a_query_that_knows_nothing_finds_at_chance_and_one_that_knows_a_little_above():
    g = rng()
    patients = np.repeat(np.arange(200), 5)
    z = g.normal(size=(1000, 4))
    distractors = geometry.draw_distractors(np.zeros(1000, int), patients, 20, rng())
    blind = geometry.retrieve(g.normal(size=z.shape), z, distractors, patients)
    assert blind.percentile.mean() == pytest.approx(0.5, abs=0.03)
    assert blind.first.mean() == pytest.approx(1 / 21, abs=0.02)
    assert geometry.retrieve(z / 2 + g.normal(size=z.shape), z, distractors, patients).percentile.mean() > 0.6


def test_the_own_past_is_ranked_by_hand_and_nothing_else_is_in_it():
    z = np.array([[0.0], [1.0], [5.0], [7.0], [2.0], [2.0]])  # two patients: k = 0, 1, 2, 3 and k = 0, 1
    k = np.array([0, 1, 2, 3, 0, 1])
    rows = np.flatnonzero(k > 0)
    query = np.array([[0.9], [0.4], [5.5], [2.0]])
    # row 1: own 0.1 against 0.9. row 2: own 4.6 against 0.4, 0.6. row 3: own 1.5 against 5.5, 4.5, 0.5. row 5: a tie.
    assert geometry.percentile_among_past(query, z, k, rows) == pytest.approx([1, 0, 2 / 3, 0.5])


def test_who_the_patient_is_finds_her_next_encounter_among_others_and_not_among_her_own():
    g = rng()
    patients, k = np.repeat(np.arange(300), 4), np.tile(np.arange(4), 300)
    z = 3 * g.normal(size=(300, 6))[patients] + g.normal(size=(1200, 6))
    rows = np.flatnonzero(k > 0)
    query = geometry.mean_so_far(z, k)[rows]
    distractors = geometry.draw_distractors(k[rows], patients[rows], 20, rng())
    assert geometry.retrieve(query, z[rows], distractors, patients[rows]).percentile.mean() > 0.95
    assert geometry.percentile_among_past(query, z, k, rows).mean() < 0.4  # it has the past's noise in it


def test_the_mean_so_far_reads_nothing_of_the_encounter_itself_or_of_another_patient():
    z = np.array([[1.0], [3.0], [8.0], [4.0], [6.0]])
    k = np.array([0, 1, 2, 0, 1])
    so_far = geometry.mean_so_far(z, k)
    assert so_far[[1, 2, 4]].ravel().tolist() == [1, 2, 4]
    assert np.isnan(so_far[[0, 3]]).all()
    z[2] = z[4] = 99  # the last of each
    assert np.array_equal(geometry.mean_so_far(z, k), so_far, equal_nan=True)


def test_the_nearest_other_is_of_another_patient_and_cosine():
    z = np.array([[1.0, 0.0], [2.0, 0.1], [0.0, 3.0], [5.0, 5.0]])
    nearest = geometry.nearest_other(z, np.array([1, 1, 2, 3]))
    assert nearest == pytest.approx(
        1 - np.array([np.sqrt(0.5), 2.1 / np.sqrt(2 * 4.01), np.sqrt(0.5), 2.1 / np.sqrt(2 * 4.01)])
    )
    assert geometry.cosine_distances(z, z[::-1])[0] == pytest.approx(1 - np.sqrt(0.5))


def test_a_ratio_of_means_is_one_over_two_halves():
    patients = np.repeat(np.arange(50), 2)
    found = geometry.ratio_of_means(np.ones(100), np.full(100, 2.0), patients, HOW, rng())
    assert found[:3] == pytest.approx((0.5, 0.5, 0.5))
    assert (found.n_rows, found.n_patients) == (100, 50)
