"""The error split by futures: by hand, unbiased by their number, and nought where nothing is avoidable."""

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference
from jepascope.certify import oracle

HOW = Inference(bootstrap=200, permutations=50)
n, D, B = 3000, 4, 600
PATIENTS = np.repeat(np.arange(B), n // B)


def world(M: int, seed: int = 0, fault: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z, ẑ and futures [n, M, D]: unit noise around a known mean, ẑ off that mean by a fault of known size."""
    rng = np.random.default_rng(seed)
    m = rng.standard_normal((n, D))
    return (
        m + rng.standard_normal((n, D)),
        m + fault * rng.standard_normal((n, D)),
        m[:, None] + rng.standard_normal((n, M, D)),
    )


def test_the_parts_of_one_row_by_hand() -> None:
    futures = np.array([[[1.0], [3.0]]])  # mean 2, variance 2
    parts = oracle.split_error(np.array([[5.0]]), np.array([[1.0]]), futures, np.eye(1))
    assert [float(part[0, 0]) for part in parts] == [16.0, 9.0 - 1.0, 1.0 - 1.0, 6.0 + 2.0, 2.0, 4.0 - 4.0]
    assert parts.irreducible + parts.reducible + parts.cross == parts.total


@pytest.mark.parametrize("M", [2, 4, 32])
def test_shares_do_not_depend_on_the_number_of_futures(M: int) -> None:
    parts = oracle.split_error(*world(M), np.eye(D))
    found = oracle.part_shares(parts, np.ones(D, bool), PATIENTS, HOW, np.random.default_rng(0))
    assert found["irreducible"].value == pytest.approx(1 / 1.25, abs=0.03)
    assert found["reducible"].value == pytest.approx(0.25 / 1.25, abs=0.03)
    assert found["cross"].low < 0 < found["cross"].high
    assert found["spread"].value == pytest.approx(found["irreducible"].value, abs=0.04)
    # Of two futures each half is one, and nothing is left of it but rounding.
    assert found["perfect"].low <= 1e-9
    assert found["perfect"].high >= -1e-9


def test_a_perfect_predictor_has_no_reducible_error() -> None:
    parts = oracle.split_error(*world(8, fault=0.0), np.eye(D))
    found = oracle.part_shares(parts, np.ones(D, bool), PATIENTS, HOW, np.random.default_rng(0))
    assert abs(found["reducible"].value) < 0.01


def test_calibration_is_one_for_right_futures_and_not_for_wrong_ones() -> None:
    z, _, futures = world(8)
    right = oracle.calibrate(z, futures, PATIENTS, HOW, np.random.default_rng(0))
    wrong = oracle.calibrate(z, futures + 0.5, PATIENTS, HOW, np.random.default_rng(0))
    narrow = oracle.calibrate(z, futures.mean(axis=1, keepdims=True) + 0.7 * (futures - futures.mean(axis=1, keepdims=True)), PATIENTS, HOW, np.random.default_rng(0))  # fmt: skip  # noqa: E501
    assert right.came.low < 1 < right.came.high
    assert right.stranger.low > 1.5
    assert wrong.came.low > 1.1
    assert narrow.came.low > 1.3


def test_truth_values_give_the_calibration_of_numbers() -> None:
    rng = np.random.default_rng(0)
    p = rng.random((n, 1, 3))
    came, futures = rng.random((n, 3)) < p[:, 0], rng.random((n, 6, 3)) < p
    quick = oracle.calibrate(came, futures, PATIENTS, HOW, np.random.default_rng(0))
    plain = oracle.calibrate(came.astype(float), futures.astype(float), PATIENTS, HOW, np.random.default_rng(0))
    np.testing.assert_allclose([*quick.came, *quick.simulated], [*plain.came, *plain.simulated], rtol=1e-5)


def test_scores_are_normal_if_means_agree_and_find_the_one_that_does_not() -> None:
    rng = np.random.default_rng(1)
    p = rng.uniform(0.1, 0.9, (n, 1, 60))
    came, futures = rng.random((n, 60)) < p[:, 0], rng.random((n, 8, 60)) < p
    came[:, 7] |= rng.random(n) < 0.2
    t = oracle.mean_scores(came, futures, PATIENTS)["t"].to_numpy()
    assert t[7] > 6
    assert np.sqrt((np.delete(t, 7) ** 2).mean()) == pytest.approx(1, abs=0.25)


def test_a_part_of_the_avoidable_error_agrees_by_its_size_and_a_strangers_does_not() -> None:
    rng = np.random.default_rng(2)
    m = rng.standard_normal((n, D)) * [4, 2, 1, 1]
    futures, z_hat = m[:, None] + rng.standard_normal((n, 8, D)), np.zeros((n, D))
    e = m + 3 * rng.standard_normal((n, D))
    known = m * [1, 0, 0, 0]  # 16 of 22
    found = oracle.agree(known, e, z_hat, futures, PATIENTS, 1, HOW, np.random.default_rng(0))
    assert found.r2.value == pytest.approx(16 / 22, abs=0.02)
    assert found.null.value < -0.5
    assert found.null.p < 0.05
    assert found.axes > 0.98
    assert found.chance == 0.25


def test_maps_correlate_as_numpy_says() -> None:
    rng = np.random.default_rng(4)
    one, other, variance = rng.random((n, 5)) * np.arange(1, 6), rng.random((n, 5)), rng.random((n, 5)) + 1
    found = oracle.correlate_spots(one, other, variance, PATIENTS, HOW, np.random.default_rng(0))
    expected = np.corrcoef(one.sum(0) / variance.sum(0), other.sum(0) / variance.sum(0))[0, 1]
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high


def test_what_does_not_vary_has_no_leading_axis() -> None:
    covariances = np.stack([np.diag([1.0, 3.0, 2.0]), np.zeros((3, 3)), 1e-30 * np.eye(3)])
    np.testing.assert_array_equal(np.abs(oracle.leading_axes(covariances, 2)), [np.eye(3)[1:], *np.zeros((2, 2, 3))])
    rng = np.random.default_rng(5)
    z, z_hat, futures = world(4)
    found = oracle.agree(np.ones((n, D)), z - z_hat, z_hat, futures, PATIENTS, 1, HOW, rng)
    assert found.axes == 0 < found.axes_of_e
    assert found.null.p == 1
