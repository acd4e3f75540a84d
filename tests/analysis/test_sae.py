"""A dictionary fitted and read: weights set by hand, planted dictionaries found again, and nothing found in noise."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis import sae
from jepascope.analysis.inference.stats import Inference

HOW = Inference(bootstrap=100, permutations=60, min_patients=2)
SMALL = sae.Settings(features=24, active=3, epochs=40, batch_rows=256, learning_rate=1e-2)


@pytest.fixture(scope="module")
def planted():
    """3-sparse sums of 24 directions in 16 dimensions, 4 rows a patient."""
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=(24, 16))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    f = np.zeros((6000, 24))
    for row in f:
        row[rng.choice(24, 3, replace=False)] = rng.uniform(1, 2, 3)
    x = (f @ atoms + 0.02 * rng.normal(size=(6000, 16))).astype(np.float32)
    return x, f, atoms, np.repeat(np.arange(1500), 4)


def by_hand():
    """Three features in two dimensions, k = 1: x >= 0 on either axis, or along the negative diagonal."""
    W_dec = np.array([[1, 0], [0, 1], [-np.sqrt(0.5), -np.sqrt(0.5)]], np.float32)
    return sae.Dictionary(
        W_dec.T, np.zeros(3, np.float32), W_dec, np.zeros(2, np.float32), np.ones(2, np.float32), 2.0, 1
    )


def test_codes_and_reconstruction_by_hand():
    x = np.array([[5, 1], [1, 3], [-1, -1]], np.float32)  # x̃ = (2, 0), (0, 1), (-1, -1)
    codes = sae.encode(by_hand(), x)
    assert codes.indices[:, 0].tolist() == [0, 1, 2]
    assert codes.values[:, 0] == pytest.approx([2, 1, np.sqrt(2)])
    assert sae.densify(codes) == pytest.approx(np.diag([2, 1, np.sqrt(2)]))
    assert sae.decode(by_hand(), sae.densify(codes)) == pytest.approx(x)


def test_quality_by_hand():
    x = np.array([[5, 1], [1, 3], [5, 3], [5, 3]], np.float32)  # x̃ of the last two is (2, 1): the 1 is lost
    found = sae.quality(by_hand(), x, np.arange(4), HOW, np.random.default_rng(0))
    assert found.fvu.value == pytest.approx(np.mean([0 / 12, 8 / 3]))  # SSE (0, 2 * 2²), SST (12, 3)
    assert found.l0.value == 1
    assert (found.dead, found.reaching, found.features) == (1, 0, 3)
    # W_dec's rows are at 90°, 135° and 135°: the nearest of each is at cosine 0, 0 and -√½.
    assert (found.dense, found.splitting) == (2, pytest.approx(-np.sqrt(0.5) / 3))
    f = np.array([[1, 0], [1, 0], [0, 0], [2, 1.0]])
    assert sae.patients_reached(f, np.array([1, 1, 2, 3])).tolist() == [2, 1]


def test_a_planted_dictionary_is_recovered(planted):
    x, f, atoms, patients = planted
    train = patients < 1000
    # As many features as atoms leaves one or two stuck on sums of atoms; a third more, and none is.
    dictionary = sae.fit(x[train], SMALL._replace(features=32), seed=0)
    assert np.linalg.norm(dictionary.W_dec, axis=1) == pytest.approx(np.ones(32), abs=1e-5)
    found = sae.agreement(atoms, dictionary.W_dec)
    assert found.cosines.mean() > 0.9
    quality = sae.quality(dictionary, x[~train], patients[~train], HOW, np.random.default_rng(0))
    assert quality.fvu.high < 0.1
    assert quality.l0.value <= 3
    codes = sae.densify(sae.encode(dictionary, x[~train]))
    best = sae.best_features(codes, f[~train], patients[~train], HOW, np.random.default_rng(0))
    assert np.abs(best.r).mean() > 0.9  # the mean correlation coefficient of identifiability
    assert (best.p < 0.05).all()


def test_seeds_agree_on_planted_features_and_not_on_their_gaussian_double(planted):
    x = planted[0]
    double = sae.gaussian_like(x, np.random.default_rng(0))
    real, floor = (sae.agreement(*(d.W_dec for d in sae.fit_many(rows, SMALL, [0, 1]))) for rows in (x, double))
    assert real.share > 0.8
    assert floor.share < 0.5
    assert real.matched == round(real.share * real.features)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(planted):
    x, settings = planted[0][:600], SMALL._replace(epochs=2)
    one, same, other = (sae.fit(x, settings, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.W_dec, same.W_dec)
    assert not np.array_equal(one.W_dec, other.W_dec)


def test_gaussian_double_has_the_mean_and_covariance():
    rng = np.random.default_rng(0)
    x = rng.exponential(size=(20000, 4)) @ rng.normal(size=(4, 4))
    double = sae.gaussian_like(x, rng)
    assert double.mean(axis=0) == pytest.approx(x.mean(axis=0), abs=0.1)
    assert np.cov(double.T) == pytest.approx(np.cov(x.T), abs=0.3)


def test_agreement_matches_one_to_one_and_minds_the_sign():
    a = np.eye(3)
    assert sae.agreement(a, a[[2, 0, 1]]).matched == 3
    assert sae.agreement(a, -a).matched == 0
    assert sae.agreement(a, np.array([[1, 0, 0], [1, 0.01, 0], [1, 0, 0.01]])).matched == 1


def test_the_best_of_many_features_is_not_a_finding_on_patient_effects():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(80), 8)
    f = rng.normal(size=(80, 60))[patients] + 0.3 * rng.normal(size=(640, 60))
    concepts = rng.normal(size=(80, 3))[patients]
    nothing = sae.best_features(f, concepts, patients, HOW, rng)
    assert (nothing.p > 0.05).all()
    assert (np.abs(nothing.r) > 0.15).all()  # and yet the search always finds something
    concepts[:, 0] = -f[:, 7]
    found = sae.best_features(f, concepts, patients, HOW, rng)
    assert (found.feature[0], found.r[0]) == (7, pytest.approx(-1, abs=1e-5))
    assert found.p[0] == pytest.approx(1 / 61)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"active \(24\)"):
        sae.fit(np.eye(30), SMALL._replace(active=24), 0)
    with pytest.raises(ValueError, match="rows that differ"):
        sae.fit(np.ones((30, 4)), SMALL, 0)
