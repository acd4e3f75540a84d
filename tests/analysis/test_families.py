"""Max-T: by hand, against a plain loop, the chance of any false finding, and power on a planted effect."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference import families, stats


def clustered(rng, n_patients=60):
    return np.repeat(np.arange(n_patients), rng.integers(1, 8, n_patients))


def columns_with_effect(rng, patients, width, effect=0.8):
    own = rng.normal(size=(patients.max() + 1, width))[patients]
    return np.sqrt(effect) * own + np.sqrt(1 - effect) * rng.normal(size=(len(patients), width))


def absolute(statistic):
    return lambda rows: np.abs(statistic(rows))


def test_adjusted_p_by_hand():
    table = np.array([[3.0, 1, 2], [2, 2, 0], [0, 1.5, 2.5], [3.5, 0, 0], [1, 1, 1]])  # observed, then four draws

    def statistic(rows):
        return table[rows[:, 0]]

    rows = np.array([[1], [2], [3], [4]])
    found = families.max_t(lambda r: statistic(r if len(r) > 1 else np.array([[0]])), rows, level=0.5)
    # t = 3: maxima 2, 2.5, 3.5, 1. t = 2 (last column), among the last two: 2, 2.5, 0, 1. t = 1: 2, 1.5, 0, 1.
    assert found.adjusted == pytest.approx([2 / 5, 4 / 5, 3 / 5])
    assert found.threshold == 2.5
    assert found.observed == pytest.approx(table[0])


@pytest.mark.parametrize("cells", [stats.CHUNK_CELLS, 3000])
def test_it_equals_a_plain_loop_over_draws_whatever_the_chunk(monkeypatch, cells):
    monkeypatch.setattr(families, "CHUNK_CELLS", cells)
    rng = np.random.default_rng(0)
    patients = clustered(rng)
    features, labels = columns_with_effect(rng, patients, 5), columns_with_effect(rng, patients, 2) > 0.5
    rows = stats.permuted_rows(patients, 60, rng)
    found = families.max_t(absolute(families.moved_correlations(features, labels)), rows, 0.9)
    pairs = [(label, feature) for label in range(2) for feature in range(5)]

    def r(moved):
        return np.array([abs(np.corrcoef(labels[moved, a], features[:, b])[0, 1]) for a, b in pairs])

    observed, drawn = r(np.arange(len(patients))), np.array([r(moved) for moved in rows])
    assert found.observed == pytest.approx(observed)
    assert found.threshold in drawn.max(axis=1).round(12) or found.threshold == pytest.approx(
        np.sort(drawn.max(axis=1))[int(np.ceil(0.9 * 59))]
    )
    p = [(1 + np.sum(drawn[:, observed <= t].max(axis=1) >= t - 1e-12)) / 61 for t in observed]
    expected = [max(p[j] for j in range(10) if observed[j] >= observed[q]) for q in range(10)]
    assert found.adjusted == pytest.approx(expected)


def any_false(seed, effect=0.8):
    rng = np.random.default_rng(seed)
    patients = clustered(rng)
    features, label = columns_with_effect(rng, patients, 30, effect), columns_with_effect(rng, patients, 1, effect) > 0
    statistic = absolute(families.moved_correlations(features, label))
    by_patient = families.patient_max_t(statistic, patients, 99, rng)
    by_row = families.patient_max_t(statistic, np.arange(len(patients)), 99, rng)
    return [np.nanmin(found.adjusted) <= 0.05 for found in (by_patient, by_row)]


def test_the_chance_of_any_false_finding_is_kept_by_patients_and_lost_by_rows():
    by_patient, by_row = np.mean([any_false(seed) for seed in range(200)], axis=0)
    assert by_patient <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)  # three binomial standard errors
    assert by_row > 0.5


def test_planted_features_are_found_and_leave_the_others_their_level():
    found, false = 0, 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        patients = clustered(rng, 120)
        features, latent = columns_with_effect(rng, patients, 30), columns_with_effect(rng, patients, 1)
        features[:, :2] += 0.8 * latent
        family = families.patient_max_t(absolute(families.moved_correlations(features, latent > 0)), patients, 99, rng)
        found += np.sum(family.adjusted[:2] <= 0.05)
        false += np.any(family.adjusted[2:] <= 0.05)
    assert found / 100 > 0.8
    assert false / 50 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 50)


def test_step_down_finds_no_less_than_the_threshold():
    rng = np.random.default_rng(5)
    patients = clustered(rng)
    features, latent = columns_with_effect(rng, patients, 20), columns_with_effect(rng, patients, 1)
    features += latent * np.linspace(0, 1.5, 20)
    family = families.patient_max_t(absolute(families.moved_correlations(features, latent > 0)), patients, 199, rng)
    assert np.all(family.adjusted[family.observed > family.threshold] <= 0.05 + 1 / 200)
    assert np.all(np.diff(family.adjusted[np.argsort(family.observed)]) <= 0)


def test_what_is_undefined_is_not_tested_and_does_not_spoil_the_rest():
    rng = np.random.default_rng(0)
    patients = clustered(rng)
    features = columns_with_effect(rng, patients, 4)
    label = columns_with_effect(rng, patients, 1) > 0
    alone = families.patient_max_t(families.moved_correlations(features, label), patients, 50, np.random.default_rng(1))
    features = np.column_stack([np.ones(len(features)), features])
    beside = families.patient_max_t(
        families.moved_correlations(features, label), patients, 50, np.random.default_rng(1)
    )
    assert np.isnan(beside.adjusted[0])
    assert beside.adjusted[1:] == pytest.approx(alone.adjusted)
    with pytest.raises(stats.NotComputable, match="all 5 statistics are undefined"):
        families.patient_max_t(families.moved_correlations(features, label * 0), patients, 9, rng)


def test_a_hypothesis_often_undefined_in_the_draws_is_not_tested_and_does_not_spoil_a_larger_one():
    def statistic(rows):
        drawn = np.array([[1.0, 2.0, 3.0]]).repeat(len(rows), axis=0)
        drawn[(rows[:, 0] % 5 == 1), 1] = np.nan
        return drawn

    rows = np.arange(1, 51)[:, None] * np.ones((1, 3), int)
    found = families.max_t(statistic, rows)
    assert found.adjusted == pytest.approx([1, np.nan, 1], nan_ok=True)
    assert found.threshold == 3
