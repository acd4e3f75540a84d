"""Retraining on a frozen z: it learns, it starts alike whatever it is told, and it uses what it is told."""

import numpy as np
import pytest
import torch
from tests.fixtures_encounters import TINY_MODEL

from jepascope import params
from jepascope.cohort.encounters import Encounters
from jepascope.training.batches import pack, patients_of
from jepascope.training.frozen import Lookup, retrain

pytest_plugins = ["tests.fixtures_trained"]
TRAINING = params.Training(batch_patients=24, learning_rate=1e-2)


@pytest.fixture(scope="module")
def bits(toy: Encounters) -> np.ndarray:
    return (np.random.default_rng(0).random((len(toy.index), 1)) < 0.5).astype(np.float32)


def made_z(toy: Encounters, bits: np.ndarray) -> np.ndarray:
    """Noise, but for the first dimension, which is the bit of the encounter before."""
    z = np.random.default_rng(1).standard_normal((len(toy.index), TINY_MODEL.width)).astype(np.float32)
    later = toy.index["k"].to_numpy() >= 1
    z[later, 0] = 4 * bits[np.flatnonzero(later) - 1, 0] - 2
    return z


def skill(toy: Encounters, z: np.ndarray, z_hat: np.ndarray, dimension: int) -> float:
    """R² on patients that were not trained on: with a hundred epochs the others can be learnt by heart."""
    later = np.flatnonzero((toy.index["k"] >= 1).to_numpy())
    held_out = (toy.index["split"] != "train").to_numpy()[later]
    target = z[later[held_out], dimension]
    return float(1 - np.mean((target - z_hat[held_out, dimension]) ** 2) / target.var())


def predict(toy: Encounters, z: np.ndarray, told: np.ndarray, epochs: int = 100, seed: int = 0) -> np.ndarray:
    return retrain(z, pack(toy), told, patients_of(toy, "train"), TINY_MODEL, TRAINING, epochs, seed)


def test_what_is_told_is_used_and_nothing_else_is_gained(toy: Encounters, bits: np.ndarray) -> None:
    z = made_z(toy, bits)
    untold, told = predict(toy, z, bits[:, :0]), predict(toy, z, bits)
    gained = [skill(toy, z, told, d) - skill(toy, z, untold, d) for d in range(TINY_MODEL.width)]
    assert gained[0] > 0.15
    assert np.mean(gained[1:]) < 0.05


def test_told_only_noughts_is_told_nothing(toy: Encounters, bits: np.ndarray) -> None:
    z = made_z(toy, bits)
    np.testing.assert_array_equal(predict(toy, z, np.zeros_like(bits), 2), predict(toy, z, bits[:, :0], 2))


def test_a_prediction_reads_nothing_told_at_its_own_encounter(toy: Encounters, bits: np.ndarray) -> None:
    """The last encounter of each patient is told something else: no ẑ may move."""
    k = toy.index["k"].to_numpy()
    last = np.r_[k[1:] == 0, True]
    other = np.where(last[:, None], 1 - bits, bits)
    z, validation = made_z(toy, bits), toy.index["split"].to_numpy() != "train"
    later = np.flatnonzero(k >= 1)
    told = predict(toy, z, bits, 2), predict(toy, z, np.where(validation[:, None], other, bits), 2)
    np.testing.assert_array_equal(told[0], told[1])
    assert len(told[0]) == len(later)


def test_a_lookup_is_z_until_a_bit_means_something() -> None:
    z, told = torch.randn(5, 3), torch.tensor([[1.0], [0], [1], [0], [0]])
    lookup, rows = Lookup(z, told), torch.tensor([4, 0])
    torch.testing.assert_close(lookup(rows, torch.arange(3)), z[rows])
    with torch.no_grad():
        lookup.meaning.fill_(2.0)
    torch.testing.assert_close(lookup(rows, torch.arange(3)), z[rows] + torch.tensor([[0.0], [2.0]]))
