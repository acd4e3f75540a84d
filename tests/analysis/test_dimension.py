"""The shape of a space: dimensions that are known, and halves that agree because they were made to."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from jepascope.analysis.embedding import dimension
from jepascope.analysis.inference.stats import Inference, NotComputable

HOW = Inference(bootstrap=200, permutations=100)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_one_row_is_taken_of_each_patient():
    patients = np.array([7, 7, 3, 3, 3, 9])
    rows = dimension.one_row_each(patients, rng())
    assert list(patients[rows]) == [3, 7, 9]
    assert len({int(dimension.one_row_each(patients, rng(seed))[0]) for seed in range(20)}) == 3


def test_ratios_are_those_by_hand_and_equal_rows_have_none():
    x = np.array([[0.0], [1.0], [3.0], [20.0], [60.0], [60.0]])
    found = dimension.log_ratios(x)
    assert found[:4] == pytest.approx(np.log([3, 2, 3 / 2, 19 / 17]))
    assert np.isnan(found[4:]).all()
    with pytest.raises(NotComputable, match="have an equal"):
        dimension.log_ratios(np.repeat(np.eye(3), 4, axis=0))


def test_a_curved_sheet_has_two_dimensions_wherever_it_lies():
    u, v = rng().normal(size=(2, 3000))
    sheet = np.column_stack([u, v, np.sin(u), np.cos(v), u * v])
    turned = sheet @ np.linalg.qr(rng(1).normal(size=(12, 5)))[0].T
    for x, dimensions in ((np.column_stack([u, v]), 2), (turned, 2), (rng(2).normal(size=(3000, 4)), 4)):
        found = dimension.two_nn(dimension.log_ratios(x), HOW, rng())
        assert found.value == pytest.approx(dimensions, rel=0.08)


def test_a_sheet_fills_less_than_gaussian_clouds_and_a_cloud_does_not():
    def clouds(columns, seed):
        return np.stack([dimension.log_ratios(rng(seed + n).normal(size=(600, columns))) for n in range(3)], axis=1)

    u = rng(5).normal(size=(600, 2))
    sheet = dimension.log_ratios(np.column_stack([u, u**2]))
    assert dimension.two_nn_excess(sheet, clouds(4, 0), HOW, rng()).low > 1
    same = clouds(4, 10)
    null = dimension.two_nn_excess(same[:, 0], clouds(4, 0), HOW, rng())
    assert null.low < 0 < null.high


def test_the_participation_ratio_of_equal_variances_is_their_number():
    x = rng().normal(size=(3000, 10)) * np.r_[np.ones(4), np.zeros(6)]
    found = dimension.participation_ratio(x, HOW, rng())
    assert found.low < 4 < found.high
    assert found.high - found.low < 0.2


def test_few_rows_don_t_flatten_the_participation_ratio():
    """Row by row with itself, 60 rows of 50 equal directions would have 27."""
    values = [dimension.participation_ratio(rng(s).normal(size=(60, 50)), HOW, rng()).value for s in range(20)]
    assert np.mean(values) == pytest.approx(50, rel=0.1)


def test_agreement_of_halves_is_the_rank_correlation_of_their_distances():
    x = rng().normal(size=(30, 8)) * np.arange(1, 9)
    first, second = dimension.halves(x, rng(1), rotations=1)
    turned = (x - x.mean(axis=0)) @ np.linalg.qr(rng(1).standard_normal((8, 8)))[0]
    pairs = np.tril_indices(30, -1)
    cosines = []
    for half in (turned[:, ::2], turned[:, 1::2]):
        unit = half / np.linalg.norm(half, axis=1, keepdims=True)
        cosines.append((unit @ unit.T)[pairs])
    values = dimension.split_half_draws(first, second, HOW, rng())
    assert values[0] == pytest.approx(spearmanr(*cosines).statistic, abs=1e-3)
    assert len(values) == 1 + HOW.bootstrap


def test_halves_agree_where_few_directions_matter_and_not_in_a_round_cloud():
    narrow, round_ = rng().normal(size=(80, 2)) @ rng(1).normal(size=(2, 20)), rng().normal(size=(80, 20))
    found = [
        dimension.of_draws(dimension.split_half_draws(*dimension.halves(x, rng()), HOW, rng()), 80, HOW.level)
        for x in (narrow, round_)
    ]
    assert found[0].low > 0.8
    assert abs(found[1].value) < 0.1
    null = dimension.permuted_stability(*dimension.halves(narrow, rng()), HOW.permutations, HOW.level, rng())
    assert abs(null.value) < 0.03
    assert null.p < 0.02


def test_a_draw_without_change_of_weights_gives_the_value(monkeypatch):
    monkeypatch.setattr(dimension, "bootstrap_chunks", lambda B, draws, chunk, rng: [np.full((2, B), 3.0)])
    values = dimension.split_half_draws(*dimension.halves(rng().normal(size=(25, 6)), rng()), HOW, rng())
    assert values == pytest.approx(values[0], abs=1e-5)


def test_a_draw_is_the_correlation_over_pairs_of_different_patients_by_how_often_both_were_drawn(monkeypatch):
    counts = np.array([[3.0, 0, 1, 2, 0, 1, 1, 0]])
    monkeypatch.setattr(dimension, "bootstrap_chunks", lambda B, draws, chunk, rng: [counts])
    first, second = dimension.halves(rng().normal(size=(8, 4)), rng(1), rotations=1)
    values = dimension.split_half_draws(first, second, HOW._replace(min_patients=2), rng())
    i, j = np.tril_indices(8, -1)
    weight = counts[0, i] * counts[0, j]
    covariance = np.cov(first[0][i, j], second[0][i, j], aweights=weight, ddof=0)
    assert values[1] == pytest.approx(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]), abs=1e-5)
