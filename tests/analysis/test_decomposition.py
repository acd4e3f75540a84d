"""The parts of an error: they add up, find what was planted for patients not fitted to, and nothing in nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from jepascope.analysis.error.decomposition import (
    PENALTIES,
    blind_axes,
    decompose,
    decompose_with,
    fit_reader,
    gained_null,
    share_gained,
    shares,
    systematic_null,
)
from jepascope.analysis.inference.stats import Inference, NotComputable

HOW = Inference(bootstrap=200, permutations=50, min_patients=5)


def planted(rng, patients=200, rows=5, D=8, strength=1.0):
    """e = bias + strength · (a direction times the first input) + noise; half of every row is its patient's."""
    who = np.repeat(np.arange(patients), rows)
    N = len(who)
    inputs = rng.normal(size=(patients, 6))[who] + rng.normal(size=(N, 6))
    axis = np.eye(D)[2]
    noise = rng.normal(size=(patients, D))[who] + rng.normal(size=(N, D))
    return 0.5 + strength * inputs[:, :1] * axis + noise, inputs, who, axis


def halves(who):
    return who < who.max() / 2, who >= who.max() / 2


def test_the_three_parts_add_up_to_the_error():
    e, inputs, who, _ = planted(np.random.default_rng(0))
    parts = decompose(e, inputs, who, 5, np.random.default_rng(1))
    assert parts.bias + parts.systematic + parts.innovation == pytest.approx(e)


def test_shares_add_up_to_one_and_find_what_was_planted():
    e, inputs, who, axis = planted(np.random.default_rng(0), patients=600)
    parts = decompose(e, inputs, who, 5, np.random.default_rng(1))
    found = shares(parts, e, who, HOW, np.random.default_rng(2))
    assert sum(found[name].value for name in ("bias", "systematic", "innovation")) == pytest.approx(1)
    # E‖e‖² = 8 · 0.25 (bias) + 2 (systematic) + 8 · 2 (noise)
    assert found["bias"].value == pytest.approx(2 / 20, abs=0.02)
    assert found["systematic"].low < 2 / 20 < found["systematic"].high
    assert found["r2"].value == pytest.approx(found["systematic"].value / (1 - found["bias"].value))
    assert abs(blind_axes(parts, 1)[0] @ axis) > 0.99


def test_the_blind_axis_is_found_where_the_largest_axis_of_the_error_is_another():
    e, inputs, who, axis = planted(np.random.default_rng(0), patients=600)
    e[:, 5] *= 3
    first_of_e = np.linalg.eigh(np.cov(e, rowvar=False))[1][:, -1]
    assert abs(first_of_e @ axis) < 0.1
    assert abs(blind_axes(decompose(e, inputs, who, 5, np.random.default_rng(1)), 1)[0] @ axis) > 0.99


def test_nothing_is_systematic_in_errors_that_only_know_their_patient():
    """Fitted by rows, the same reader would recognise patients by their inputs."""
    values = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        who = np.repeat(np.arange(60), 8)
        e, inputs = (rng.normal(size=(60, d))[who] + 0.1 * rng.normal(size=(480, d)) for d in (6, 20))
        values.append(shares(decompose(e, inputs, who, 5, rng), e, who, HOW, rng)["systematic"].value)
        by_rows = decompose(e, inputs, np.arange(480), 5, rng)
        assert shares(by_rows, e, who, HOW, rng)["systematic"].value > 0.2
    assert np.mean(values) < 0.005
    assert max(values) < 0.03


def test_a_row_is_read_by_fits_that_have_not_seen_its_patient():
    e, inputs, who, _ = planted(np.random.default_rng(0), patients=40)
    before = decompose(e, inputs, who, 5, np.random.default_rng(1))
    moved = e.copy()
    moved[who == 7] += 100
    after = decompose(moved, inputs, who, 5, np.random.default_rng(1))
    assert np.array_equal(before.systematic[who == 7], after.systematic[who == 7])
    assert np.array_equal(before.bias[who == 7], after.bias[who == 7])
    assert not np.allclose(before.systematic, after.systematic)


def test_a_reader_is_the_ridge_of_scikit_learn_on_standardised_inputs():
    e, inputs, who, _ = planted(np.random.default_rng(0))
    inputs = inputs * [1, 10, 1, 0.1, 1, 1] + 50
    reader = fit_reader(e, inputs, who, 5, np.random.default_rng(1))
    assert reader.penalty in PENALTIES
    standard = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    reference = Ridge(alpha=reader.penalty * len(e)).fit(standard, e)
    parts = decompose_with(reader, e, inputs)
    assert parts.bias + parts.systematic == pytest.approx(reference.predict(standard))


def test_a_constant_input_is_left_alone():
    e, inputs, who, _ = planted(np.random.default_rng(0))
    with_constant = np.column_stack([inputs, np.full(len(e), 7.0)])
    plain, more = (decompose(e, x, who, 5, np.random.default_rng(1)) for x in (inputs, with_constant))
    assert more.systematic == pytest.approx(plain.systematic)


def test_what_a_richer_reader_adds_is_the_difference_of_shares():
    e, inputs, who, _ = planted(np.random.default_rng(0))
    poor, rich = (decompose(e, x, who, 5, np.random.default_rng(1)) for x in (inputs[:, 1:], inputs))
    gained = share_gained(rich, poor, e, who, HOW, np.random.default_rng(2))
    systematic = [shares(p, e, who, HOW, np.random.default_rng(2))["systematic"].value for p in (poor, rich)]
    assert gained.value == pytest.approx(systematic[1] - systematic[0], abs=1e-3)
    assert gained.low > 0


def test_errors_of_other_patients_give_no_systematic_part():
    e, inputs, who, _ = planted(np.random.default_rng(0))
    null = systematic_null(e, inputs, who, *halves(who), 20, HOW, np.random.default_rng(1))
    assert abs(null.value) < 0.01
    assert null.high < 0.05
    assert null.p == pytest.approx(1 / 21)


def test_what_the_past_adds_is_nothing_where_what_is_left_is_another_patients():
    """The first input is the poorer reader's, and stays found by both; only the second input's part moves."""
    e, inputs, who, _ = planted(np.random.default_rng(0))
    e = e + inputs[:, 1:2] * np.eye(8)[4]
    train, test = halves(who)
    own = inputs[:, :1]
    reader = fit_reader(e[train], own[train], who[train], 5, np.random.default_rng(2))
    less = decompose_with(reader, e, own)
    null = gained_null(e, less, (own, inputs), who, train, test, 20, HOW, np.random.default_rng(1))
    assert -0.03 < null.value <= null.high < 0.01
    assert null.p == pytest.approx(1 / 21)
    # Where the richer reader has nothing more, the gain is one of the null's own.
    noise = np.random.default_rng(3).normal(size=inputs.shape)
    none = gained_null(
        e, less, (own, np.column_stack([own, noise])), who, train, test, 20, HOW, np.random.default_rng(1)
    )
    assert none.p > 0.05
    assert none.low < none.value < none.high < 0.01


def test_the_null_of_a_gain_is_of_the_share_of_the_whole_error():
    """Doubling what the poorer reader explains must shrink the null's shares, as it shrinks the gain's."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(120), 4)
    inputs, noise = rng.normal(size=(480, 40)), rng.normal(size=(480, 3))
    widths = []
    for strength in (0.0, 10.0):
        e = noise + strength * inputs[:, :1]
        less = decompose_with(fit_reader(e, inputs[:, :1], who, 5, np.random.default_rng(2)), e, inputs[:, :1])
        given = (inputs[:, :1], inputs), who, *halves(who), 20, HOW, np.random.default_rng(1)
        null = gained_null(e, less, *given)
        widths.append(null.high - null.low)
    assert widths[1] < widths[0] / 3


def test_a_reader_that_finds_nothing_takes_exactly_nothing():
    """A share of a millionth has an interval as narrow, and would hold as a finding by a hair."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(100), 4)
    e, inputs = rng.normal(size=(400, 5)).astype(np.float32) + 1, rng.normal(size=(400, 30)).astype(np.float32)
    train, test = halves(who)
    reader = fit_reader(e[train], inputs[train], who[train], 5, np.random.default_rng(1))
    assert reader.penalty == np.inf == max(PENALTIES)
    assert not reader.W.any()
    parts = decompose_with(reader, e[test], inputs[test])
    found = shares(parts, e[test], who[test], HOW, np.random.default_rng(2))["systematic"]
    assert (found.value, found.low, found.high) == (0, 0, 0)
    # Where no reader of moved errors finds anything either, the true pairing is one of the null's own.
    null = systematic_null(e, inputs, who, train, test, 20, HOW, np.random.default_rng(1))
    assert null.low <= 0 <= null.high
    assert null.p > 0.05


def test_bad_input_is_refused_by_name():
    e, inputs, who, _ = planted(np.random.default_rng(0), patients=40)
    with pytest.raises(ValueError, match="not finite"):
        decompose(np.full_like(e, np.nan), inputs, who, 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="2 folds"):
        decompose(e, inputs, who, 2, np.random.default_rng(0))
    with pytest.raises(NotComputable, match="4 patients"):
        decompose(e[:20], inputs[:20], who[:20], 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="9 axes of 8"):
        blind_axes(decompose(e, inputs, who, 5, np.random.default_rng(0)), 9)
