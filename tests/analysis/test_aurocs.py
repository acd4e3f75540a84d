"""Joint AUROCs: equal to one bootstrap and one permutation null at a time, and sums of one set of draws."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import (
    Inference,
    NotComputable,
    auroc,
    patient_bootstrap,
    permutation_null,
    permuted_auroc,
    permuted_rows,
    weighted_auroc,
)
from jepascope.analysis.probes.aurocs import joint_aurocs

HOW = Inference(bootstrap=300, permutations=150)


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(150), 4)
    labels = rng.random((600, 3)) < (0.1, 0.3, 0.5)
    scores = np.stack([labels + rng.normal(size=labels.shape), rng.normal(size=labels.shape).round(1)])  # [2, N, 3]
    scores[1, :, 2] = np.nan
    moves = permuted_rows(patients, HOW.permutations, rng)
    return scores, labels, patients, moves, joint_aurocs(scores, labels, patients, moves, HOW, np.random.default_rng(1))


@pytest.mark.parametrize(("s", "q"), [(0, 0), (0, 2), (1, 1)])
def test_one_alone_equals_its_own_bootstrap_and_null(world, s, q):
    scores, labels, patients, moves, found = world
    estimate, null = found.combined(found.only(s, [q]))
    x, y = scores[s, :, q], labels[:, q]
    own = patient_bootstrap(weighted_auroc(x, y), patients, HOW.bootstrap, HOW.level, np.random.default_rng(1))
    assert estimate == pytest.approx(own)
    assert null == pytest.approx(permutation_null(permuted_auroc(x, y), moves, HOW.level))


def test_means_and_differences_are_sums_over_the_same_draws(world):
    scores, labels, _, _, found = world
    mean, _ = found.combined(found.only(0, np.array([True, True, False])))
    assert mean.value == pytest.approx(np.mean([auroc(scores[0, :, q], labels[:, q]) for q in (0, 1)]))
    nothing = found.only(0, [1]) - found.only(0, [1]) + found.only(0, [0])
    assert found.combined(nothing) == found.combined(found.only(0, [0]))
    gain, null = found.combined(found.only(0, [0, 1]) - found.only(1, [0, 1]))
    assert gain.low > 0.1 > null.high
    assert null.low < 0 < null.high
    assert null.p == pytest.approx(1 / 151)


def test_what_was_not_scored_is_no_part_of_anything(world):
    found = world[-1]
    assert np.isnan(found.value[1, 2])
    with pytest.raises(NotComputable, match="undefined"):
        found.combined(found.only(1, [0, 2]))
    with pytest.raises(NotComputable, match="0 targets"):
        found.combined(found.only(1, []))


def test_a_label_that_many_draws_lack_has_no_auroc():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 2)
    labels = (patients == 3)[:, None]
    moves = permuted_rows(patients, 20, rng)
    assert np.isnan(joint_aurocs(rng.normal(size=(1, 120, 1)), labels, patients, moves, HOW, rng).value).all()
