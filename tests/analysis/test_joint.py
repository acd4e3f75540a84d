"""Joint draws: the same as one bootstrap a statistic, and paired where two models are compared."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference import stats
from jepascope.analysis.inference.joint import Joint, difference, joint_bootstrap

HOW = stats.Inference(bootstrap=300, level=0.9, min_patients=2)


def data(n_patients=60, seed=0):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 8, n_patients))
    return (patients, *rng.normal(size=(2, len(patients))))


def means(x, y):
    return lambda weights: weights @ np.stack([x, y], 1) / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("chunk", [stats.CHUNK_CELLS, 700])
def test_each_interval_is_the_one_that_the_single_bootstrap_gives(monkeypatch, chunk):
    monkeypatch.setattr("jepascope.analysis.inference.joint.CHUNK_CELLS", chunk)
    monkeypatch.setattr("jepascope.analysis.inference.stats.CHUNK_CELLS", chunk)
    patients, x, y = data()
    found = joint_bootstrap(means(x, y), ("x", "y"), patients, HOW, 7)
    for name, values in (("x", x), ("y", y)):
        alone = stats.patient_bootstrap(
            lambda w, v=values: w @ v / w.sum(axis=1), patients, 300, 0.9, np.random.default_rng(7)
        )
        assert found.estimate(name) == pytest.approx(alone)


def test_a_difference_is_paired_and_refused_on_other_rows_or_draws():
    patients, x, y = data()
    first = joint_bootstrap(means(x, y), ("x", "y"), patients, HOW, 7)
    shifted = joint_bootstrap(means(x + 1, y), ("x", "y"), patients, HOW, 7)
    assert difference(shifted, first).estimate("x")[:3] == pytest.approx((1, 1, 1))
    for other in (
        joint_bootstrap(means(x, y), ("x", "y"), patients, HOW, 8),
        joint_bootstrap(means(x, y), ("x", "z"), patients, HOW, 7),
        joint_bootstrap(means(x[::-1], y), ("x", "y"), patients[::-1], HOW, 7),
    ):
        with pytest.raises(ValueError, match="not paired"):
            difference(first, other)


def test_what_is_undefined_has_a_reason():
    patients, x, _ = data()
    found = joint_bootstrap(means(x, np.full(len(x), np.nan)), ("x", "y"), patients, HOW, 7)
    with pytest.raises(stats.NotComputable, match=f"y is undefined on these {len(x)} rows of 60 patients"):
        found.estimate("y")
    seldom = found._replace(value=np.ones(2), drawn=np.where(np.arange(300)[:, None] < 30, np.nan, 1.0))
    with pytest.raises(stats.NotComputable, match="undefined in 30 of 300 draws"):
        Joint(*seldom).estimate("x")
    with pytest.raises(stats.NotComputable, match="60 patients, 100 needed"):
        joint_bootstrap(means(x, x), ("x", "y"), patients, HOW._replace(min_patients=100), 7)
