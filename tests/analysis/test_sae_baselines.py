"""Other directions, meta-dictionaries, stitching, and the form that others read."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from jepascope.analysis import sae
from jepascope.analysis.sae import baselines, matching, structure
from jepascope.analysis.sae.export import saelens

SETTINGS = sae.Settings(features=16, active=2, epochs=15, batch_rows=128, learning_rate=1e-2)


@pytest.fixture(scope="module")
def planted():
    """Sparse positive sums of 16 directions in 10 dimensions."""
    rng = np.random.default_rng(0)
    atoms = matching.unit_rows(rng.normal(size=(16, 10)))
    f = rng.uniform(1, 2, (3000, 16)) * (rng.random((3000, 16)) < 0.1)
    return (f @ atoms + 0.02 * rng.normal(size=(3000, 10))).astype(np.float32), atoms


def unexplained(dictionary, x):
    residual = x - sae.decode(dictionary, sae.densify(sae.encode(dictionary, x)))
    return np.square(residual).sum() / np.square(x - x.mean(axis=0)).sum()


def test_all_baselines_have_the_same_number_of_entries_and_a_free_dictionary_beats_them(planted):
    x = planted[0]
    found = baselines.baselines(x, SETTINGS, seed=1)  # not the seed of the planted atoms
    assert list(found) == ["pca", "ica", "semi_nmf", "kmeans", "random", "soft_random"]
    ours = unexplained(sae.fit(x, SETTINGS, 0), x)
    for name, dictionary in found.items():
        codes = sae.encode(dictionary, x)
        assert codes.values.shape[1] == 2, name
        assert len(dictionary.W_dec) <= 16, name
        assert unexplained(dictionary, x) > ours + 0.005, name
    assert unexplained(found["soft_random"], x) < unexplained(found["random"], x)


def test_frozen_atoms_stay_and_soft_frozen_ones_stay_near(planted):
    found = baselines.baselines(planted[0], SETTINGS._replace(epochs=4), seed=1)
    start = baselines.random_atoms(10, 16, seed=1)
    assert found["random"].W_dec == pytest.approx(start, abs=1e-5)
    cosine = (found["soft_random"].W_dec * start).sum(axis=1)
    assert baselines.SOFT - 1e-4 < cosine.min() < 0.95


def test_principal_axes_and_independent_sources_are_found():
    rng = np.random.default_rng(0)
    sources = rng.laplace(size=(5000, 3))
    mixing = np.array([[3.0, 0, 0], [0, 2, 0.5], [0, 0, 1]])
    x = (sources @ mixing).astype(np.float32)
    rotated = baselines.independent_atoms(x, 6, seed=0)
    assert np.abs(rotated @ matching.unit_rows(mixing).T).max(axis=0) == pytest.approx(np.ones(3), abs=0.02)
    first = baselines.principal_atoms(x, 2)
    assert np.abs(first[0] @ np.array([1.0, 0, 0])) > 0.99
    assert first[1] == pytest.approx(-first[0])


def lone_directions():
    """Each row lies on one of four rays."""
    atoms = np.array([[1.0, 0, 0], [0, 1, 0], [-1, -1, 1.0], [0, 0, -1]])
    lengths = np.random.default_rng(0).uniform(1, 2, (800, 1))
    return (atoms[np.arange(800) % 4] * lengths).astype(np.float32), atoms


def test_k_means_finds_directions_that_are_used_alone():
    x, atoms = lone_directions()
    found = baselines.mean_atoms(x, 4, seed=0)
    assert matching.matched_cosines(atoms - x.mean(axis=0) / 1.5, found) == pytest.approx(np.ones(4), abs=0.02)


def test_rounds_of_semi_nmf_bring_rows_nearer_to_positive_sums_of_its_directions(monkeypatch):
    rng = np.random.default_rng(0)
    corners = np.linalg.qr(np.column_stack([np.ones(7), rng.normal(size=(7, 6))]))[0][:, 1:]
    x = corners[np.arange(700) % 7] * rng.uniform(0.8, 1.2, (700, 1))
    centred, left = x - x.mean(axis=0), {}
    for rounds in (1, 60):
        monkeypatch.setattr(baselines, "NMF_ROUNDS", rounds)
        atoms = baselines.semi_nmf_atoms(x, 4, seed=0)
        assert np.linalg.norm(atoms, axis=1) == pytest.approx(np.ones(4))
        left[rounds] = np.square([nnls(atoms.T, row)[1] for row in centred[:140]]).sum()
    assert left[60] < 0.95 * left[1]


def test_features_that_are_sums_of_few_are_taken_apart_and_random_ones_are_not():
    rng = np.random.default_rng(0)
    parts = matching.unit_rows(rng.normal(size=(8, 24)))
    pairs = matching.unit_rows(np.array([parts[i] + parts[j] for i in range(8) for j in range(i)]))
    settings = sae.Settings(features=8, active=2, epochs=200, batch_rows=32, learning_rate=1e-2)
    meta = structure.meta_dictionary(pairs, settings, seed=0)
    assert meta.fvu < 0.3 * meta.fvu_of_noise
    atomic = structure.meta_dictionary(matching.unit_rows(rng.normal(size=(28, 24))), settings, seed=0)
    assert atomic.fvu > 0.7 * atomic.fvu_of_noise


def test_what_a_dictionary_of_features_is_held_against_are_directions_too(monkeypatch):
    seen = []

    def spy(x, settings, seed):
        seen.append(x)
        return sae.fit(x, settings, seed)

    monkeypatch.setattr(structure, "fit", spy)
    rows = np.random.default_rng(0).normal(size=(40, 6)) * [5, 4, 3, 2, 1, 1]
    structure.meta_dictionary(rows, sae.Settings(features=8, active=2, epochs=2, batch_rows=16), seed=0)
    for x in seen:
        assert np.linalg.norm(x, axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    spread = [np.square(x).mean(axis=0) for x in seen]
    assert spread[1] == pytest.approx(spread[0], abs=0.12)


def axis_dictionary(axes, active):
    W_dec = np.eye(3, dtype=np.float32)[axes]
    zeros = np.zeros(3, np.float32)
    return sae.Dictionary(W_dec.T, np.zeros(len(axes), np.float32), W_dec, zeros, zeros, 1.0, active)


def test_a_lacking_feature_helps_and_a_known_one_counts_twice():
    x = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 2, 2]], np.float32)
    small, large = axis_dictionary([0, 1], 2), axis_dictionary([2, 1], 2)
    found = structure.stitch(small, large, x)
    total = np.square(x - x.mean(axis=0)).sum()
    # The small one leaves the third axis, 1 + 4; the large one's second feature adds 1 and 2 once more.
    assert found.novel.tolist() == [True, False]
    assert found.nearest == pytest.approx([0, 1])
    assert found.change * total == pytest.approx([-5, 5])
    assert np.array([found.fvu, found.fvu_with_novel, found.fvu_with_known]) * total == pytest.approx([5, 0, 10])
    with pytest.raises(ValueError, match="same rows"):
        structure.stitch(small, large._replace(scale=2.0), x)


@pytest.mark.parametrize("variant", ["topk", "matryoshka", "batch_topk", "jump_relu"])
def test_the_exported_form_computes_the_same_codes_and_reconstruction(planted, variant):
    x = planted[0] * 3 + 5  # so that mean and scale matter
    dictionary = sae.fit(x, SETTINGS._replace(variant=variant, epochs=3), 0)
    cfg, weights = saelens(dictionary)
    pre = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    if cfg["architecture"] == "topk":
        least = np.sort(pre, axis=1)[:, -cfg["k"], None]
        f = np.where(pre >= least, np.maximum(pre, 0), 0)
    else:
        f = np.maximum(pre, 0) * (pre > weights["threshold"])
    ours = sae.densify(sae.encode(dictionary, x))
    assert f == pytest.approx(ours * dictionary.scale, abs=2e-3)
    assert f @ weights["W_dec"] + weights["b_dec"] == pytest.approx(sae.decode(dictionary, ours), abs=5e-3)
    assert (cfg["d_in"], cfg["d_sae"]) == (10, 16)


def test_what_saelens_has_no_form_for_is_refused(planted):
    dictionary = sae.fit(planted[0], SETTINGS._replace(variant="matching_pursuit", epochs=1), 0)
    with pytest.raises(ValueError, match="no form for 'matching_pursuit'"):
        saelens(dictionary)
