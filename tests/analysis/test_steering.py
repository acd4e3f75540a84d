"""Effects of edits: areas by hand, regimes of effects that were put in, and the luck that no patient shows."""

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.predictor import steering
from jepascope.analysis.predictor.steering import (
    GRID,
    Areas,
    Scored,
    areas,
    part_effects,
    pooled,
    regimes,
    row_space,
    upper_end,
)
from jepascope.book.claims import Claim

HOW = Inference(bootstrap=200, min_patients=5)
PATIENTS = np.repeat(np.arange(40), 3)
R = 19


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def made(on: list[float], selective: list[float], spread: float = 0.02) -> Areas:
    """Areas of concepts with given means, among draws of nulls that lie within ±0.1, each the same in all patients."""
    g, n, Q = rng(), len(PATIENTS), len(on)
    noise = spread * g.standard_normal((2, n, Q))
    luck = np.linspace(-0.1, 0.1, R)[:, None, None] + np.zeros((R, n, Q))
    return Areas(
        noise[0] + on, noise[1] + selective, *(luck + spread * g.standard_normal(luck.shape) for _ in range(4))
    )


def test_areas_are_those_of_the_trapezoids() -> None:
    on = np.array([[-1.0, 1.0, 2.0]])  # s = α: an effect in the right direction at each α
    off = np.array([[0.5, 0.5, 1.0]])
    assert GRID == (-1.0, 1.0, 2.0)
    area, selective = areas(Scored(on, off))
    assert area[0, 0] == pytest.approx((0.5 + 0.5 + 1.5) / 3)
    assert selective[0, 0] == pytest.approx(area[0, 0] - (0.25 + 0.25 + 0.75) / 3)


def test_a_concept_is_steerable_entangled_or_not_beyond_chance_as_was_put_in() -> None:
    found = regimes(made(on=[0.5, 0.5, 0.0], selective=[0.4, 0.0, 0.0]), PATIENTS, HOW, rng())
    assert list(found["regime"]) == ["steerable", "entangled", "not beyond chance"]


def test_luck_that_is_the_same_in_all_patients_does_not_count() -> None:
    """An excess of 0.08 with a narrow interval, and yet two draws of nothing reach as far."""
    found = regimes(made(on=[0.08], selective=[0.08]), PATIENTS, HOW, rng()).iloc[0]
    assert found["on_over_labels_low"] > 0.05
    assert found["p_on"] > 0.05
    assert found["regime"] == "not beyond chance"


def test_an_effect_of_a_few_patients_does_not_count_though_it_exceeds_all_draws() -> None:
    found = made([0.0], [0.0])
    found.on[:3] += 12.0  # the rows of one patient
    table = regimes(found, PATIENTS, HOW, rng()).iloc[0]
    assert table["p_on"] == pytest.approx(0.05)
    assert table["on_over_labels_low"] < 0.05
    assert table["regime"] == "not beyond chance"


def test_a_mean_that_lucky_draws_reach_as_well_does_not_hold_however_narrow_its_interval() -> None:
    for size, verdict in ((0.06, "does not hold"), (0.3, "holds")):
        estimate, null = pooled(made([size], [0.0]), "on", PATIENTS, HOW, rng())
        assert estimate.low > max(0.0, null.value)
        claim = Claim("x", "x", "causal", "above", 0.0, estimate, "random labels", upper_end(null))
        assert claim.verdict() == verdict


def test_the_share_of_steerable_concepts_and_that_of_random_labels() -> None:
    estimate, null = steering.share_steerable(made([0.5, 0.5, 0.0, 0.0], [0.5, 0.0, 0.0, 0.5]), PATIENTS, HOW, rng())
    assert estimate.value == 0.25
    assert (estimate.low, estimate.high) == (0.25, 0.25)
    assert null.value < 0.1
    assert null.p == pytest.approx(0.05)


def test_the_mean_excess_is_over_random_labels_and_not_over_nought() -> None:
    shifted = made([0.5], [0.5])
    shifted = shifted._replace(labels_on=shifted.labels_on + 0.5)
    estimate, null = pooled(shifted, "on", PATIENTS, HOW, rng())
    assert estimate.value == pytest.approx(0.0, abs=0.02)
    assert null.value == pytest.approx(0.0, abs=1e-9)
    assert null.p > 0.3
    with pytest.raises(NotComputable):
        pooled(shifted, "on", PATIENTS, HOW._replace(min_patients=41), rng())


def test_edits_are_read_by_their_own_reader_and_by_the_others_however_they_are_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    g = rng()
    A, still = g.standard_normal((4, 4)), g.standard_normal((7, 4))
    u, amounts, own, others = (g.standard_normal(shape) for shape in ((5, 4), (7, 5), (5, 4), (3, 4)))

    def linear(u: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        return still[:, None] + amounts[:, :, None] * (u @ A)

    monkeypatch.setattr(steering, "CHUNK", 2)
    found = steering.score_edits(linear, u, amounts, own, others, still)
    np.testing.assert_allclose(found.on, amounts * np.sum((u @ A) * own, axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.off, np.abs(amounts) * np.abs((u @ A) @ others.T).mean(axis=1), rtol=1e-6)


def test_the_row_space_is_what_the_map_answers_to() -> None:
    g = rng()
    basis = np.linalg.qr(g.standard_normal((6, 2)))[0].T  # [2, 6]
    jacobians = g.standard_normal((30, 5, 2)) @ basis
    found = row_space(jacobians, 0.999)
    assert found.shape == (2, 6)
    np.testing.assert_allclose(found.T @ found, basis.T @ basis, atol=1e-8)


def test_an_edit_that_works_through_the_null_space_is_flagged() -> None:
    n = len(PATIENTS)
    effect = np.array([[0.5, 0.5, 0.0], [0.5, 0.1, 0.4], [0.5, 0.1, 0.1], [-0.5, 0.0, -0.5]])  # whole, row, null
    found = part_effects(effect + 0.01 * rng().standard_normal((n, 4, 3)), PATIENTS, HOW, rng())
    assert list(found["moves"]) == [True, True, True, False]
    assert list(found["illusion"]) == [False, True, True, False]


def test_labels_that_go_together_are_not_off_target_of_each_other() -> None:
    g = rng()
    a, b = g.random(500) < 0.3, g.random(500) < 0.3
    other = steering.unrelated(np.stack([a, b, a ^ (g.random(500) < 0.05)], axis=1))
    assert other.tolist() == [[False, True, False], [True, False, True], [False, True, False]]


def test_random_directions_point_where_rows_vary() -> None:
    x = rng().standard_normal((400, 3)) * [10.0, 1.0, 0.0]
    u = steering.random_units(x, 50, rng())
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1)
    assert np.abs(u[:, 0]).mean() > 0.9
    assert np.abs(u[:, 2]).max() < 1e-9
