"""The concept that no label names is found in what labels leave, where it is, and not where it isn't."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
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
    parts = parted(z, states[:, :3], index)
    return z, parts, truth, index


def parted(z, labels, index, train=None):
    train = (index["split"] == "train").to_numpy() if train is None else train
    who = index["subject_id"].to_numpy()
    return bridge.part_by_labels(z, labels.astype(float), train, who, 5, np.random.default_rng(0))


def found(world, parts, names=None):
    _, _, truth, index = world
    names = truth.states[["one", "two", "three"]] if names is None else names
    return bridge.concepts_in_parts(parts, truth, names, index, HOW, np.random.default_rng(0))


def test_what_labels_leave_of_other_patients_is_least_squares_own_residual(world):
    z, parts, truth, index = world
    train = (index["split"] == "train").to_numpy()
    x = np.column_stack([np.ones(len(z)), truth.states.to_numpy(float)[:, :3]])
    slopes = np.linalg.lstsq(x[train], z[train], rcond=None)[0]
    assert parts.left[~train] == pytest.approx(z[~train] - x[~train] @ slopes)
    assert parts.told[~train] + parts.left[~train] == pytest.approx(z[~train] - z[train].mean(axis=0))


def test_a_training_row_is_parted_by_a_fit_that_did_not_see_its_patient(world):
    """Its own z moved moves what is left of it by just as much, and what is told not at all."""
    z, parts, truth, index = world
    mine = (index["subject_id"] == 7).to_numpy()
    moved = parted(np.where(mine[:, None], z + 5, z), truth.states.to_numpy()[:, :3], index)
    assert moved.told[mine] == pytest.approx(parts.told[mine])
    assert moved.left[mine] == pytest.approx(parts.left[mine] + 5)
    assert not np.allclose(moved.told[~mine], parts.told[~mine])


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
    other = parted(np.where(test[:, None], 5 - z, z), truth.states.to_numpy()[:, :3], index)
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
        bridge.concepts_in_parts({"z": z}, named, truth.states, index, HOW, np.random.default_rng(0))


def test_a_state_that_is_not_always_named_stays_in_what_labels_leave_and_its_name_does_not(world):
    """Half of one concept's encounters go uncoded: labels take the name out of z, and leave the condition."""
    z, _, truth, index = world
    rng = np.random.default_rng(1)
    names = truth.states[["one", "two", "three"]] & (rng.random((len(z), 3)) < [0.5, 1, 1])
    left = parted(z, names.to_numpy(), index).left
    both = found(world, {bridge.LEFT: left}, names)
    states, written = (both.table(recorded).set_index("concept")["value"] for recorded in (False, True))
    assert states["one"] > 0.7
    assert written.max() < 0.6
    assert set(written.index) == {"one", "two", "three"}
    beyond_states, _ = bridge.beyond_labelled(both, bridge.LEFT, None, True, HOW.level)
    beyond_names, null = bridge.beyond_labelled(both, bridge.LEFT, None, True, HOW.level, recorded=True)
    assert beyond_names.low > max(0.2, null.high)
    assert beyond_names.value - beyond_states.value == pytest.approx(states["one"] - written.max())
