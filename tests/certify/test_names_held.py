"""Names against the truth: right ones are right, dealt ones mostly not, and odds ratios can confirm a wrong one."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.certify.features import correlations
from jepascope.certify.other_systems import NOBODY, Naming, names_held, nearest_concepts, owners

HOW = Inference(bootstrap=100, permutations=200)


@pytest.fixture(scope="module")
def world():
    """Five concepts; code v belongs to concept v, the last code to none; feature f goes with concept f."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(120), 3)
    states = rng.random((360, 5)) < [0.08, 0.2, 0.3, 0.4, 0.5]
    carried = np.hstack([states & (rng.random((360, 5)) < 0.8), rng.random((360, 1)) < 0.3])
    return states, carried, states + 0.2 * rng.normal(size=(360, 5)), patients


def test_codes_belong_to_the_concept_they_go_with_or_to_none(world):
    states, carried, *_ = world
    assert owners(carried, states).tolist() == [0, 1, 2, 3, 4, NOBODY]


def test_nearest_concepts_are_those_of_largest_r(world):
    states, _, f, patients = world
    mixed = f @ np.random.default_rng(1).normal(size=(5, 7))
    found = nearest_concepts(mixed, states, patients, HOW, np.random.default_rng(0))
    assert found.shape == (101, 7)
    assert found[0].tolist() == correlations(mixed, states).argmax(axis=1).tolist()


def test_right_names_are_right_and_swapped_ones_are_sure_and_wrong(world):
    states, carried, f, patients = world
    owner, sure = owners(carried, states), np.ones(5, bool)
    given = (owner, states, patients, HOW, np.random.default_rng(0))
    right = names_held(f, Naming(np.arange(5), sure), *given)
    assert right.right[:3] == (1, 1, 1)
    assert right.sure_and_wrong.value == 0
    assert right.dealt.value == pytest.approx(1 / 5, abs=0.05)
    swapped = names_held(f, Naming(np.array([1, 0, 2, 5, NOBODY]), sure), *given)
    assert swapped.named == 4
    assert swapped.right.value == pytest.approx(1 / 4)
    assert swapped.sure_and_wrong.value == pytest.approx(3 / 4)
    unsure = names_held(f, Naming(np.arange(5), ~sure), *given)
    assert np.isnan(unsure.sure_and_wrong.value)
    with pytest.raises(NotComputable, match="1 features with a name"):
        names_held(f, Naming(np.array([1] + 4 * [NOBODY]), sure), *given)
