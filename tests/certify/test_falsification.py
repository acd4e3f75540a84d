"""What a cure changes: by hand, family-wise, and in the direction in which a concept moves z."""

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.certify.falsification import changes, displacements, effects

HOW = Inference(bootstrap=300)
n, D, Q, B = 2000, 6, 20, 400
PATIENTS = np.repeat(np.arange(B), n // B)


def test_a_concept_that_is_told_opens_and_the_others_stay() -> None:
    rng = np.random.default_rng(0)
    states, directions = rng.random((n, D)) < 0.3, np.eye(D)
    before = rng.standard_normal((n, D))
    after = before + 0.1 * rng.standard_normal((n, D)) + 1.5 * states[:, [2]] * directions[2]
    found = changes(before, after, directions, np.full(D, 3.0), states, PATIENTS, HOW, np.random.default_rng(1))
    assert found.value[2] == pytest.approx(0.5, abs=0.02)
    assert found.opened().tolist() == [False, False, True, False, False, False]
    pooled = found.pooled(np.arange(D) != 2, 0.95)
    assert pooled.value == pytest.approx(0, abs=0.01)
    assert pooled.n_patients == B


def test_family_wise_intervals_leave_nought_out_in_one_cohort_of_twenty() -> None:
    opened, single = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        states, directions = rng.random((n, Q)) < 0.3, rng.standard_normal((Q, D))
        shared = np.repeat(rng.standard_normal((B, D)), n // B, axis=0)  # a patient's rows move together
        found = changes(
            np.zeros((n, D)), shared, directions, np.ones(Q), states, PATIENTS, HOW, np.random.default_rng(0)
        )
        low, high = np.quantile(found.draws, [0.025, 0.975], axis=0)
        opened.append(found.opened().any())
        single.append(((low > 0) | (high < 0)).any())
    assert np.mean(opened) <= 0.15 < np.mean(single)


def test_effects_are_those_of_one_concept_the_others_being_equal() -> None:
    rng = np.random.default_rng(2)
    first = rng.random(n) < 0.4
    states = np.stack([first, np.where(rng.random(n) < 0.7, first, rng.random(n) < 0.4)], axis=1)
    z = 2 * states[:, :1] * np.eye(D)[0] + 1 * states[:, 1:] * np.eye(D)[1] + 0.1 * rng.standard_normal((n, D))
    directions, sizes = effects(z, states)
    np.testing.assert_allclose(directions, np.eye(D)[:2], atol=0.03)
    assert sizes == pytest.approx([2, 1], abs=0.05)
    np.testing.assert_allclose(displacements(z, states, np.eye(D)[:1].repeat(2, axis=0))[0], 2, atol=0.05)


def test_a_concept_of_five_carriers_leaves_the_others_their_intervals() -> None:
    """A draw of patients without a carrier says nothing of that concept, and all about the others."""
    rng = np.random.default_rng(3)
    states, directions = rng.random((n, 2)) < 0.3, np.eye(D)[:2]
    states[:, 1] = np.isin(PATIENTS, [3, 30, 60, 90, 120])
    before = rng.standard_normal((n, D))
    after = before + states @ directions
    found = changes(before, after, directions, np.ones(2), states, PATIENTS, HOW, np.random.default_rng(0))
    assert np.isnan(found.draws[:, 1]).any()
    assert np.isfinite([found.low, found.high]).all()
    assert found.opened().tolist() == [True, True]
    rare, both = (found.pooled(np.array(which), 0.95) for which in ([False, True], [True, True]))
    assert (rare.value, both.low) == (pytest.approx(1), pytest.approx(1))
    with_one = np.stack([states[:, 0], PATIENTS == 3], axis=1)  # a third of all draws leave that patient out
    found = changes(before, after, directions, np.ones(2), with_one, PATIENTS, HOW, np.random.default_rng(0))
    assert found.pooled(np.array([True, True]), 0.95).n_patients == B
    alone = with_one[:, 1:]
    of_one = changes(before, after, directions[:1], np.ones(1), alone, PATIENTS, HOW, np.random.default_rng(0))
    with pytest.raises(NotComputable, match="undefined in"):
        of_one.pooled(np.array([True]), 0.95)
