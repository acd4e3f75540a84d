"""Many spaces against one: the same numbers as one by one, and differences that share their draws."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.predictor.likeness import difference, estimate, paired_cka, without_axes
from jepascope.analysis.predictor.similarity import patient_cka_bootstrap

HOW = Inference(bootstrap=100, level=0.9, min_patients=4)


def spaces(seed=0, B=50, D=6):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(B), rng.integers(1, 6, B))
    X = rng.normal(size=(len(patients), D))
    return X, {"near": X + rng.normal(size=X.shape) / 2, "far": X + 2 * rng.normal(size=X.shape)}, patients


def test_each_space_gets_what_it_would_get_alone():
    X, others, patients = spaces()
    found = paired_cka(X, others, patients, HOW, np.random.default_rng(3))
    for name, Y in others.items():
        alone = patient_cka_bootstrap(X, Y, patients, HOW, np.random.default_rng(3))
        assert estimate(found[name], HOW.level) == pytest.approx(alone)


def test_a_difference_is_paired_by_draw():
    X, others, patients = spaces()
    found = paired_cka(X, others, patients, HOW, np.random.default_rng(3))
    gap = difference(found["near"], found["far"])
    assert gap.value == found["near"].value - found["far"].value
    np.testing.assert_array_equal(gap.values, found["near"].values - found["far"].values)
    assert estimate(difference(found["near"], found["near"]), 0.9)[:3] == (0, 0, 0)


def test_removing_an_axis_removes_what_only_that_axis_shares():
    X, _others, patients = spaces(B=200)
    axis = np.eye(6)[:, :1]
    Y = np.random.default_rng(1).normal(size=X.shape)
    Y[:, 0] = 5 * X[:, 0]
    rng = np.random.default_rng(0)
    with_it = paired_cka(X, {"Y": Y}, patients, HOW, rng)["Y"].value
    rest = paired_cka(without_axes(X, axis), {"Y": without_axes(Y, axis)}, patients, HOW, rng)["Y"].value
    assert with_it > 0.3
    assert abs(rest) < 0.05


def test_a_constant_space_is_refused_by_name():
    X, _, patients = spaces()
    with pytest.raises(NotComputable, match="compare flat by"):
        paired_cka(X, {"flat": np.ones_like(X)}, patients, HOW, np.random.default_rng(0))
