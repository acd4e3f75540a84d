"""Spectra of the error relative to z: by hand, and against what was planted."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.error.leading_axis import flipped_share, leading_axis, share_along
from jepascope.analysis.error.relative_spectrum import along, ratios, relative_axes
from jepascope.analysis.inference.stats import Inference, NotComputable

HOW = Inference(bootstrap=200, permutations=100, min_patients=5)


def test_directions_are_found_by_the_share_that_is_missed_and_not_by_size():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4000, 4)) * [10, 1, 1, 1]
    missed = np.sqrt([0.5, 0.1, 1.0, 1.5])
    e = missed * rng.normal(size=z.shape) * [10, 1, 1, 1]
    axes = relative_axes(e, z)
    assert np.abs(axes).argmax(axis=1).tolist() == [1, 0, 2, 3]
    found = along(axes, e, z, z.mean(axis=0), np.arange(4000) // 4, HOW, rng)
    assert found.value == pytest.approx([0.1, 0.5, 1.0, 1.5], rel=0.1)
    assert (found.low < found.value).all()
    assert (found.value < found.high).all()
    assert (found.n_rows, found.n_patients) == (4000, 1000)


def test_a_constant_error_counts_as_an_error():
    z = np.random.default_rng(0).normal(size=(500, 3))
    found = along(np.eye(3), np.full(z.shape, 2.0), z, np.zeros(3), np.arange(500), HOW, np.random.default_rng(1))
    assert found.value == pytest.approx(4 / np.mean(z**2, axis=0))


def test_a_ratio_of_sums_by_hand_and_its_interval_over_patients():
    over, under = np.array([[1.0], [3.0], [0.0], [2.0], [4.0]]), np.array([[2.0], [2.0], [4.0], [4.0], [8.0]])
    found = ratios(over, under, np.array([1, 2, 3, 4, 5]), HOW, np.random.default_rng(0))
    assert found.value == pytest.approx([0.5])
    repeated = ratios(
        np.repeat(over, 9, 0), np.repeat(under, 9, 0), np.repeat(np.arange(5), 9), HOW, np.random.default_rng(0)
    )
    assert (repeated.low, repeated.high) == (pytest.approx(found.low), pytest.approx(found.high))
    with pytest.raises(NotComputable, match="4 patients, 5 needed"):
        ratios(over[:4], under[:4], np.arange(4), HOW, np.random.default_rng(0))


def test_too_few_rows_for_a_spectrum_are_refused():
    with pytest.raises(NotComputable, match="5 rows, 7 needed"):
        relative_axes(np.ones((5, 6)), np.ones((5, 6)))


def test_an_axis_that_columns_share_stands_out_and_a_wide_column_does_not():
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(200), 4)
    noise = rng.normal(size=(200, 6))[who] + rng.normal(size=(800, 6))
    shared = noise + 2 * rng.normal(size=(200, 1))[who]
    wide = noise * [5, 1, 1, 1, 1, 1]
    for e, stands_out in ((shared, True), (wide, False)):
        axis = leading_axis(e[who < 100])
        held = (e[who >= 100], who[who >= 100], HOW, rng)
        found, null = share_along(axis, *held), flipped_share(axis, *held)
        assert (found.low > null.high) == stands_out
        assert (null.p < 0.05) == stands_out
