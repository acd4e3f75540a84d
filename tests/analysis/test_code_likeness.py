"""Codes against readings: r as numpy has it, exact in draws of patients, and gains that add up."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, bootstrap_counts
from jepascope.analysis.predictor import code_likeness
from jepascope.analysis.predictor.exchange import exchanged

HOW = Inference(bootstrap=200, permutations=300, level=0.9, min_patients=5)


def rows(seed: int = 0, B: int = 150, F: int = 3):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(B), rng.integers(1, 7, B))
    code = rng.normal(size=(B, F))[patients] + rng.normal(size=(len(patients), F))
    near, far = (code + noise * rng.normal(size=code.shape) for noise in (0.5, 3.0))
    return np.maximum(code, 0), near, far, patients, rng


def by_numpy(x: np.ndarray, y: np.ndarray) -> list[float]:
    return [np.corrcoef(a, b)[0, 1] for a, b in zip(x.T, y.T, strict=True)]


def test_correlations_are_numpys_and_nought_for_a_code_that_never_changes():
    code, near, far, *_ = rows()
    code[:, 1] = 0
    found = code_likeness.correlations({"p": code}, {"near": near, "far": far})
    for name, reading in (("near", near), ("far", far)):
        np.testing.assert_allclose(found["p", name][[0, 2]], by_numpy(code[:, [0, 2]], reading[:, [0, 2]]))
        assert found["p", name][1] == 0


def test_a_draw_counts_each_row_as_often_as_its_patient_was_drawn():
    code, near, _, patients, _ = rows()
    found = code_likeness.mean_correlations({"p": code}, {"near": near}, patients, HOW, np.random.default_rng(4))
    assert found["p", "near"].value == pytest.approx(np.mean(by_numpy(code, near)))
    counts = bootstrap_counts(150, HOW.bootstrap, np.random.default_rng(4))[3].astype(int)
    drawn = np.repeat(np.arange(len(code)), counts[patients])
    assert found["p", "near"].values[3] == pytest.approx(np.mean(by_numpy(code[drawn], near[drawn])))


def test_gains_add_up_to_the_difference_of_correlations():
    code, near, far, *_ = rows()
    gains = code_likeness.correlation_gains(code, near, far)
    np.testing.assert_allclose(gains.sum(axis=0), np.subtract(by_numpy(code, near), by_numpy(code, far)), atol=1e-12)


def test_turned_gains_spread_as_correlations_with_exchanged_readings_do():
    code, near, _, patients, rng = rows(F=1)
    readings = [code_likeness.standard(near + rng.normal(size=near.shape)) for _ in range(2)]
    coins = rng.integers(0, 2, (300, 150)).astype(bool)[:, patients]
    exact = [
        by_numpy(code, np.where(coin[:, None], *readings))[0]
        - by_numpy(code, np.where(coin[:, None], *readings[::-1]))[0]
        for coin in coins
    ]
    found = exchanged(code_likeness.correlation_gains(code, *readings), patients, HOW, rng).null
    assert found.high - found.low == pytest.approx(np.subtract(*np.quantile(exact, [0.95, 0.05])), rel=0.2)
