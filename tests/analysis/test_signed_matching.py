"""Signed matching: a feature and its opposite are told apart, and a predictor that knows nothing is no finding."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.error.signed_matching import excess_over, signed_match, spoken, spoken_share
from jepascope.analysis.inference.stats import Inference
from jepascope.analysis.sae import Dictionary, Settings, fit

HOW = Inference(bootstrap=200, min_patients=5)


def test_a_direction_is_missed_and_its_opposite_hallucinated():
    atoms = np.eye(4)[:3]
    W = np.array([[2.0, 0.1, 0, 0], [0, -1, 0, 0.1], [0, 0, 0, 1], [1, 1, 0, 0.5]])
    match = signed_match(W, atoms, np.ones(4, bool))
    assert match.missed.tolist() == [True, False, False, False]
    assert match.hallucinated.tolist() == [False, True, False, False]
    assert (match.atoms_missed, match.atoms_hallucinated, match.atoms) == (1, 1, 3)
    silent = signed_match(W, atoms, np.array([False, True, True, True]))  # the first is never on
    assert (silent.missed.any(), silent.hallucinated.tolist()) == (False, match.hallucinated.tolist())
    assert (silent.atoms_missed, silent.atoms_hallucinated) == (0, 1)


def test_energy_goes_to_the_kind_of_the_feature_that_carries_it():
    """Weights by hand: feature j is on with the size of entry j."""
    D = 3
    plain = Dictionary(
        *(a.astype(np.float32) for a in (np.eye(D), np.zeros(D), np.eye(D), np.zeros(D), np.zeros(D))), 1.0, 2
    )
    match = signed_match(np.eye(D), np.array([[1.0, 0, 0], [0, -1, 0]]), np.ones(D, bool))
    energy = spoken(plain, match, np.array([[3.0, 1, 0], [0, 2, 1], [-5, -1, 0.0]]))
    assert energy == pytest.approx(np.array([[9, 1, 10], [0, 4, 5], [0, 0, 0]]))
    given = (np.array([1, 2, 3]), HOW._replace(min_patients=2), np.random.default_rng(0))
    assert spoken_share(energy[:2], "missed", given[0][:2], *given[1:]).value == pytest.approx(9 / 15)
    assert spoken_share(energy[:2], "hallucinated", given[0][:2], *given[1:]).value == pytest.approx(5 / 15)


def test_the_excess_is_over_the_largest_of_the_others():
    ours = np.array([[6.0, 0, 10]] * 20)
    others = [np.array([[2.0, 0, 10]] * 20), np.array([[5.0, 0, 10]] * 20)]
    found = excess_over(ours, others, "missed", np.arange(20), HOW, np.random.default_rng(0))
    assert (found.value, found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1))


@pytest.mark.parametrize(("sign", "kind"), [(1, "missed"), (-1, "hallucinated")])
def test_what_a_predictor_leaves_out_or_puts_in_is_found(sign, kind):
    rng = np.random.default_rng(0)
    atoms = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    f = rng.uniform(1, 2, (1500, 8)) * (rng.random((1500, 8)) < 0.15)
    dictionary = fit(
        (sign * f @ atoms).astype(np.float32),
        Settings(features=12, active=2, epochs=25, batch_rows=64, learning_rate=1e-2),
        0,
    )
    match = signed_match(dictionary.W_dec, atoms, np.ones(12, bool))
    energy = spoken(dictionary, match, (sign * f @ atoms).astype(np.float32))
    assert spoken_share(energy, kind, np.arange(1500), HOW, rng).value > 0.6
