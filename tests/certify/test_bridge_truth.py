"""The concept that no label names is found in what labels leave, where it is, and not where it isn't."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jepascope.analysis.stats import Inference, NotComputable
from jepascope.certify import bridge
from jepascope.certify.planted import Truth

HOW = Inference(bootstrap=60, permutations=40)
PATIENTS, ROWS = 300, 3


@pytest.fixture(scope="module")
def world():
    """Four concepts in z, of which three are labels; `hidden` is the fourth."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(PATIENTS), ROWS)
    states = (rng.normal(size=(PATIENTS, 4))[who] + rng.normal(size=(len(who), 4))) > 0.8
    z = states @ rng.normal(size=(4, 6)) * 2 + rng.normal(size=(len(who), 6))
    names = ["one", "two", "three", "hidden"]
    about = pd.DataFrame({"name": names, "dynamics": "chronic", "labelled": [True] * 3 + [False]})
    index = pd.DataFrame({"subject_id": who, "split": np.where(who < 200, "train", "test")})
    truth = Truth(pd.DataFrame(states, columns=names), about, np.zeros(len(who)))
    parts = bridge.part_by_labels(z, states[:, :3], who < 200)
    return z, parts, truth, index


def found(world, parts):
    _, _, truth, index = world
    return bridge.concepts_in_parts(parts, truth, index, HOW, np.random.default_rng(0))


def test_what_labels_leave_has_nothing_of_the_labels_and_the_parts_add_up(world):
    z, parts, truth, index = world
    train = (index["split"] == "train").to_numpy()
    assert parts.told + parts.left + z[train].mean(axis=0) == pytest.approx(z)
    states = truth.states.to_numpy(float)[train]
    assert np.abs(np.corrcoef(np.hstack([parts.left[train], states[:, :3]]).T)[:6, 6:]).max() < 1e-9


def test_the_unlabelled_concept_stands_alone_in_what_labels_leave(world):
    _, parts, *_ = world
    both = found(world, {bridge.TOLD: parts.told, bridge.LEFT: parts.left})
    for less, largest in ((None, True), (None, False), (bridge.TOLD, True)):
        estimate, null = bridge.beyond_labelled(both, bridge.LEFT, less, largest, HOW.level)
        assert estimate.low > max(0.2, null.high)
    table = both.table().set_index(["part", "concept"])["value"]
    assert table[bridge.TOLD]["one"] > 0.9 > 0.6 > table[bridge.LEFT]["one"]


def test_no_direction_and_no_split_sees_a_test_patient(world):
    """Test rows turned over turn over their AUROC exactly, as long as the direction is of others."""
    z, parts, truth, index = world
    test = (index["split"] == "test").to_numpy()
    turned = np.where(test[:, None], -parts.left, parts.left)
    before, after = (found(world, {bridge.LEFT: x}).aurocs.value for x in (parts.left, turned))
    assert after == pytest.approx(1 - before)
    other = bridge.part_by_labels(np.where(test[:, None], 5 - z, z), truth.states.to_numpy()[:, :3], ~test)
    assert np.array_equal(other.told, parts.told)


def test_a_labelled_one_that_is_left_as_well_takes_the_strict_claim_away(world):
    z, *_ = world
    whole = found(world, {bridge.LEFT: z})
    mean, _ = bridge.beyond_labelled(whole, bridge.LEFT, None, False, HOW.level)
    largest, _ = bridge.beyond_labelled(whole, bridge.LEFT, None, True, HOW.level)
    assert largest.low <= 0
    assert largest.value < mean.value


def test_without_a_concept_that_has_no_label_there_is_nothing_to_ask(world):
    z, _, truth, index = world
    named = truth._replace(concepts=truth.concepts.assign(labelled=True))
    with pytest.raises(NotComputable, match="unlabelled 0, 1 needed"):
        bridge.concepts_in_parts({"z": z}, named, index, HOW, np.random.default_rng(0))
