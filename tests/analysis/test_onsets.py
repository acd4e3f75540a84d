"""Displacement as a detector: it finds onsets that move the space, and is at chance where they don't."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.rollout.onsets import (
    changes,
    of_patients,
    onset_auroc,
    onset_gain,
    onsets,
    turbulence_correlation,
)

HOW = Inference(bootstrap=100, permutations=100)


def test_an_onset_is_on_now_and_off_before_and_changes_count_both_ways():
    states = np.array([[0, 1], [1, 1], [1, 0], [0, 1]], bool)
    rows = np.array([1, 2, 3])
    assert onsets(states, rows).tolist() == [[True, False], [False, False], [False, True]]
    assert changes(states, rows).tolist() == [1, 1, 2]


@pytest.fixture(scope="module")
def steps():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(150), 4)
    restless = rng.random(150)[patients]
    begun = rng.random(600) < restless
    return begun, begun + 0.3 * rng.normal(size=600), rng.normal(size=600), patients


def test_lengths_that_grow_with_onsets_tell_them_and_others_are_at_chance(steps):
    begun, moved, still, patients = steps
    found, nothing = (onset_auroc(x, begun, patients, HOW, np.random.default_rng(0)) for x in (moved, still))
    assert found.estimate.low > 0.9 > found.null.high
    assert nothing.estimate.low < 0.5 < nothing.estimate.high
    gain = onset_gain(moved, still, begun, patients, HOW, np.random.default_rng(0))
    assert gain.estimate.value == pytest.approx(found.estimate.value - nothing.estimate.value)
    assert gain.estimate.low > gain.null.high


def test_turbulence_is_one_point_a_patient(steps):
    begun, moved, still, patients = steps
    found = turbulence_correlation(moved, begun.astype(float), patients, HOW, np.random.default_rng(0))
    assert found.estimate.n_rows == found.estimate.n_patients == 150
    x, y = moved.reshape(150, 4).mean(axis=1), begun.reshape(150, 4).mean(axis=1)
    assert found.estimate.value == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert of_patients(moved, patients) == pytest.approx(x)
    assert found.estimate.low > 0.7 > found.null.high > 0
    assert turbulence_correlation(still, begun.astype(float), patients, HOW, np.random.default_rng(0)).null.p > 0.05


def test_too_few_onsets_are_refused(steps):
    _, moved, _, patients = steps
    with pytest.raises(NotComputable, match="with the label: 0"):
        onset_auroc(moved, np.zeros(600, bool), patients, HOW, np.random.default_rng(0))
