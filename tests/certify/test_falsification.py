"""What is foreseen of a concept, and what a cure changes: by hand, unbiased, family-wise."""

import numpy as np
import pytest

from jepascope.analysis.error.blind_spots import concept_directions
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.certify.falsification import Foreseen, effects, foreseen, relative

HOW = Inference(bootstrap=300)
n, D, Q, B = 2000, 6, 20, 400
PATIENTS = np.repeat(np.arange(B), n // B)
EVERY = np.ones(D, bool)


def world(seed: int, size: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States of D concepts, each of which moves z by `size` along an axis of its own; and noise."""
    rng = np.random.default_rng(seed)
    states, noise = rng.random((n, D)) < 0.3, rng.standard_normal((2, n, D))
    return states, noise[0] + size * states, noise[1]


def test_a_share_is_that_of_two_contrasts_by_hand() -> None:
    states = np.array([[True], [False]] * 30)
    predicted = np.where(states, 1.0, 0.5)
    z = np.where(states, 3.0, 1.0)
    found = foreseen(predicted, z, np.eye(1), states, np.arange(60), HOW, np.random.default_rng(0))
    assert found.value[0] == pytest.approx(0.5 / 2)
    assert (found.n_rows, found.n_patients) == (60, 60)


def test_the_state_foresees_all_half_of_it_half_and_the_blind_nothing() -> None:
    states, z, noise = world(0)
    shares = {
        name: foreseen(x, z, np.eye(D), states, PATIENTS, HOW, np.random.default_rng(0))
        for name, x in (("all", 3.0 * states), ("half", 1.5 * states), ("blind", noise))
    }
    assert shares["all"].value == pytest.approx(np.ones(D), abs=0.06)
    assert shares["half"].value == pytest.approx(np.full(D, 0.5), abs=0.03)
    assert not shares["blind"].moved().any()
    whole = relative(shares["half"], shares["all"], EVERY, 0.95)
    assert whole.value == pytest.approx(0.5)
    assert whole.low <= whole.value <= whole.high
    nothing = foreseen(0 * noise, z, np.eye(D), states, PATIENTS, HOW, np.random.default_rng(0))
    with pytest.raises(NotComputable, match="nothing was foretold"):
        relative(shares["half"], nothing, EVERY, 0.95)


def test_half_a_share_is_not_taken_for_more_where_the_direction_was_fitted_to_other_rows() -> None:
    """Along a direction fitted to few rows, z of these lies further apart than any other's: what came can't tell."""
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        states = rng.random((2, 200, 1)) < 0.3
        z = rng.standard_normal((2, 200, 30)) + 1.5 * states * np.eye(30)[0]
        w = concept_directions(z[0], states[0])
        m = 1.5 * states[1] * np.eye(30)[0]
        found = foreseen(m, z[1], w, states[1], np.arange(200), HOW, np.random.default_rng(0))
        ratios.append(float(found.value[0]))
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)


def test_a_concept_that_is_told_opens_and_the_others_stay() -> None:
    states, z, noise = world(0)
    change = 0.1 * noise
    change[:, 2] += 1.5 * states[:, 2]
    found = foreseen(change, z, np.eye(D), states, PATIENTS, HOW, np.random.default_rng(1))
    assert found.value[2] == pytest.approx(0.5, abs=0.03)
    assert found.moved().tolist() == [False, False, True, False, False, False]
    others = np.arange(D) != 2
    pooled = found.pooled(others, 0.95)
    assert pooled.value == pytest.approx(0, abs=0.01)
    assert pooled.n_patients == B
    assert found.furthest(EVERY).value == found.value[2]
    assert found.furthest(others).high < 0.05


def test_moves_either_way_cancel_in_the_mean_and_not_in_the_furthest() -> None:
    draws = np.zeros((50, 3))
    found = Foreseen(np.array([0.3, -0.3, 9]), np.array([0.2, -0.5, 8]), np.array([0.4, -0.1, 10]), draws, 9, 3)
    two = np.array([True, True, False])
    assert found.pooled(two, 0.95).value == pytest.approx(0)
    assert found.furthest(two) == (-0.3, -0.5, -0.1, 9, 3)
    with pytest.raises(NotComputable, match="tells none"):
        found.furthest(np.zeros(3, bool))
    with pytest.raises(NotComputable, match="tells none"):
        found.pooled(np.zeros(3, bool), 0.95)


def test_a_concept_that_z_does_not_tell_has_no_share_and_widens_no_other() -> None:
    states, z, noise = world(1)
    z[:, 0] = noise[:, 0]
    predicted = 1.5 * states + 0.1 * noise
    found = foreseen(predicted, z, np.eye(D), states, PATIENTS, HOW, np.random.default_rng(0))
    assert np.isnan(found.value).tolist() == [True] + [False] * (D - 1)
    assert found.pooled(EVERY, 0.95).value == pytest.approx(0.5, abs=0.03)
    without = foreseen(
        predicted[:, 1:], z[:, 1:], np.eye(D - 1), states[:, 1:], PATIENTS, HOW, np.random.default_rng(0)
    )
    np.testing.assert_allclose(found.low[1:], without.low)
    alone = EVERY & (np.arange(D) == 0)
    with pytest.raises(NotComputable, match="tells none"):
        found.pooled(alone, 0.95)
    untold = foreseen(predicted[:, :1], z[:, :1], np.eye(1), states[:, :1], PATIENTS, HOW, np.random.default_rng(0))
    assert np.isnan([untold.value, untold.low, untold.high]).all()
    with pytest.raises(NotComputable, match="no concept"):
        foreseen(predicted, z, np.eye(D)[:0], states[:, :0], PATIENTS, HOW, np.random.default_rng(0))


def test_family_wise_intervals_leave_nought_out_in_one_cohort_of_twenty() -> None:
    moved, single = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        states, directions = rng.random((n, Q)) < 0.3, rng.standard_normal((Q, Q)) + 3 * np.eye(Q)
        z = states @ np.linalg.inv(directions).T * 3.0
        shared = np.repeat(rng.standard_normal((B, Q)), n // B, axis=0)  # a patient's rows move together
        found = foreseen(shared, z, directions, states, PATIENTS, HOW, np.random.default_rng(0))
        low, high = np.quantile(found.draws, [0.025, 0.975], axis=0)
        moved.append(found.moved().any())
        single.append(((low > 0) | (high < 0)).any())
    assert np.mean(moved) <= 0.15 < np.mean(single)


def test_effects_are_those_of_one_concept_the_others_being_equal() -> None:
    rng = np.random.default_rng(2)
    first = rng.random(n) < 0.4
    states = np.stack([first, np.where(rng.random(n) < 0.7, first, rng.random(n) < 0.4)], axis=1)
    z = 2 * states[:, :1] * np.eye(D)[0] + 1 * states[:, 1:] * np.eye(D)[1] + 0.1 * rng.standard_normal((n, D))
    np.testing.assert_allclose(effects(z, states), np.eye(D)[:2], atol=0.03)


def test_a_concept_of_five_carriers_leaves_the_others_their_intervals() -> None:
    """A draw of patients without a carrier says nothing of that concept, and all about the others."""
    states, z, _ = world(3)
    states, z, directions = states[:, :2], z.copy(), np.eye(D)[:2]
    states[:, 1] = np.isin(PATIENTS, [3, 30, 60, 90, 120])
    z[:, 1] = states[:, 1]
    change = states @ directions
    found = foreseen(change, z, directions, states, PATIENTS, HOW, np.random.default_rng(0))
    assert np.isnan(found.draws[:, 1]).any()
    assert np.isfinite([found.low, found.high]).all()
    assert found.moved().tolist() == [True, True]
    assert found.pooled(np.array([False, True]), 0.95).value == pytest.approx(1)
    assert found.pooled(np.array([True, True]), 0.95).n_patients == B
    alone = (PATIENTS == 3)[:, None]  # a third of all draws leave that patient out
    z[:, 1] = alone[:, 0]
    of_one = foreseen(change, z, directions[1:], alone, PATIENTS, HOW, np.random.default_rng(0))
    with pytest.raises(NotComputable, match="undefined in"):
        of_one.pooled(np.array([True]), 0.95)
