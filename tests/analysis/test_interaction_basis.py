"""The interaction basis: of a linear layer it is the singular basis, and what a layer ignores comes last."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference
from jepascope.analysis.predictor.interaction_basis import (
    edges,
    effects,
    gradient_gram,
    interaction_basis,
    number_of,
    random_basis,
    whitening,
)
from jepascope.analysis.predictor.replacement import explained_more, unexplained

HOW = Inference(bootstrap=50, permutations=20, min_patients=5)


@pytest.fixture(scope="module")
def layer():
    """Rows whose widest axis the layer doesn't read."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)) * [10.0, 1.0, 1.0, 1.0] + 2.0
    W = np.array([[0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])  # [D, I]
    return x, W, lambda rows: np.broadcast_to(W, (len(rows), *W.shape))


def test_of_a_linear_layer_it_is_the_singular_basis(layer):
    x, W, jacobians = layer
    found = interaction_basis(x, jacobians)
    root = np.linalg.cholesky(np.cov(x, rowvar=False))
    assert found.strength == pytest.approx([*np.linalg.svd(W @ root)[1] ** 2, 0, 0], abs=1e-9)
    assert np.cov(found.axes(x), rowvar=False) == pytest.approx(np.eye(4), abs=1e-9)
    assert effects(found, x, jacobians) == pytest.approx(found.strength, abs=1e-9)


def test_what_the_layer_ignores_comes_last_and_pca_puts_it_first(layer):
    x, W, jacobians = layer
    y, patients, rng = x @ W.T, np.repeat(np.arange(100), 4), np.random.default_rng
    lib, pca = interaction_basis(x, jacobians), whitening(x)
    assert abs(lib.reads[0, :2]).max() < 0.02
    left = {name: basis.kept(x, 2) @ W.T for name, basis in (("lib", lib), ("pca", pca))}
    assert unexplained(y, left["lib"], patients, HOW, rng(0)).high < 0.01
    assert explained_more(y, [left["lib"]], [left["pca"]], patients, HOW, rng(0)).low > 0.2
    assert lib.kept(x, 4) == pytest.approx(x)


def test_gains_are_means_over_budgets_of_differences_in_unexplained_share():
    rng = np.random.default_rng(0)
    y, patients = rng.normal(size=(60, 2)), np.repeat(np.arange(20), 3)
    ours, theirs = [y * 0.9, y], [y * 0.5, y * 0.8]
    total = np.square(y - y.mean(axis=0)).sum(axis=0)
    share = [(np.square(y - one).sum(axis=0) / total).mean() for one in (*ours, *theirs)]
    found = explained_more(y, ours, theirs, patients, HOW, np.random.default_rng(1))
    assert found.value == pytest.approx((share[2] + share[3] - share[0] - share[1]) / 2)
    assert unexplained(y, theirs[0], patients, HOW, np.random.default_rng(1)).value == pytest.approx(share[2])


def test_chunks_change_nothing_and_edges_add_up_to_effects(layer):
    x = layer[0]
    W = np.random.default_rng(1).normal(size=(3, 4))

    def jacobians(rows):
        return (1 - np.tanh(rows @ W.T) ** 2)[:, :, None] * W

    whole, squares = gradient_gram(x, jacobians, chunk=1000)
    assert gradient_gram(x, jacobians, chunk=7)[0] == pytest.approx(whole)
    assert np.diag(whole) == pytest.approx(squares.sum(axis=0))
    basis = random_basis(x, np.random.default_rng(0))
    turned, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    assert edges(basis, turned, x, jacobians).sum(axis=0) == pytest.approx(effects(basis, x, jacobians))


def test_numbers_of_shares_count_them():
    assert number_of(np.array([1.0, 1.0, 0.0])) == pytest.approx(2)
    assert number_of(np.array([5.0, 0.0, 0.0])) == pytest.approx(1)
