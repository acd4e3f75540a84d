"""The variants: gradients by hand, sparse products equal to dense ones, and what each one keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from jepascope.analysis import sae
from jepascope.analysis.sae import variants
from jepascope.analysis.sae.products import DENSE, SPARSE, entries_at
from jepascope.analysis.sae.training import held_near
from jepascope.analysis.sae.variants import BANDWIDTH, VARIANTS, JumpReLU, Step, Weights, loss

S, B, D, F = 2, 12, 6, 16


def batch(seed=0):
    """Two fits' weights and rows of their own, with a few dead features in the first alone."""
    generator = torch.Generator().manual_seed(seed)
    W_dec = normalize(torch.randn(S, F, D, generator=generator), dim=2)
    parts = (
        W_dec + 0.1 * torch.randn(S, F, D, generator=generator), 0.1 * torch.randn(S, F, generator=generator),
        W_dec, 0.1 * torch.randn(S, D, generator=generator), torch.full((S, F), 0.4),
    )  # fmt: skip
    dead = torch.zeros(S, F, dtype=torch.bool)
    dead[0, [3, 7]] = True
    return torch.randn(S, B, D, generator=generator), Weights(*(part.requires_grad_() for part in parts)), dead


def gradients(settings, products, dead_too=True):
    x, w, dead = batch()
    found = loss(x, w, dead if dead_too else torch.zeros_like(dead), settings, products)
    return found, torch.autograd.grad(found.total.sum(), w, allow_unused=True)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dead_too", [True, False])
def test_sparse_and_dense_products_give_the_same_loss_and_gradients(variant, dead_too):
    settings = sae.Settings(variant=variant, features=F, active=3)
    (sparse, ours), (dense, theirs) = (gradients(settings, products, dead_too) for products in (SPARSE, DENSE))
    assert torch.allclose(sparse.total, dense.total, atol=1e-6)
    assert torch.equal(sparse.fired, dense.fired)
    assert any(g is not None and g.abs().max() > 0 for g in ours)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.allclose(a, b, atol=2e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_fits_side_by_side_are_the_fits_alone(variant):
    x = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    settings = sae.Settings(variant=variant, features=12, active=3, epochs=4, batch_rows=64)
    together = sae.fit_many(x, settings, [5, 6])
    for dictionary, seed in zip(together, [5, 6], strict=True):
        alone = sae.fit(x, settings, seed)
        assert dictionary.W_dec == pytest.approx(alone.W_dec, abs=1e-4)
        assert sae.densify(sae.encode(dictionary, x)) == pytest.approx(sae.densify(sae.encode(alone, x)), abs=1e-3)
    assert not np.allclose(together[0].W_dec, together[1].W_dec, atol=0.01)


def test_fits_side_by_side_revive_their_own_dead_features_only():
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(12, 32))
    x = (rng.random((600, 12)) < 0.15) @ sources + 0.1 * rng.normal(size=(600, 32))
    settings = sae.Settings(features=48, active=3, epochs=15, batch_rows=64)
    together = sae.fit_many(x.astype(np.float32), settings, [5, 6, 7])
    for dictionary, seed in zip(together, [5, 6, 7], strict=True):
        assert dictionary.W_dec == pytest.approx(sae.fit(x.astype(np.float32), settings, seed).W_dec, abs=1e-4)


def test_an_entry_without_neighbours_keeps_its_row_and_column():
    pre = torch.zeros(2, 3, 4)
    pre[0, 1, 3] = pre[1, 2, 0] = 1.0
    at = entries_at(variants.above(pre, torch.zeros(2, 4)), pre.shape)
    assert at.rows.tolist() == [1, 5]
    assert at.columns.tolist() == [3, 4]
    table = torch.arange(8.0).view(2, 4, 1)
    assert SPARSE.combine(torch.ones(2), at, table).flatten().tolist() == [0, 3, 0, 0, 0, 4]


def test_each_selection_by_hand():
    pre = torch.tensor([[[3.0, -1, 2, 1], [-1, -2, 0.5, -3]]])
    assert sorted(variants.row_top(pre, 2).tolist()) == [0, 2, 4, 6]
    assert variants.batch_top(pre, 1).tolist() == [0, 2]  # both from the first, richer row
    assert variants.above(pre, torch.tensor([[2.5, -5, 0.6, 0]])).tolist() == [0, 1, 2, 3, 5]
    assert variants.silent_top(pre, torch.tensor([[False, True, False, True]]), 1).tolist() == [3, 5]


def test_topk_keeps_k_and_never_a_negative():
    W = np.eye(4, dtype=np.float32)
    zero = np.zeros(4, np.float32)
    dictionary = sae.Dictionary(W, zero, W, zero, zero, 1.0, 2)
    f = sae.densify(sae.encode(dictionary, np.array([[3.0, -1.0, 2.0, 1.0], [-1.0, -2.0, 0.5, -3.0]])))
    assert f.tolist() == [[3, 0, 2, 0], [0, 0, 0.5, 0]]


def test_a_code_does_not_depend_on_the_rows_beside_it():
    x = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    for variant in VARIANTS:
        dictionary = sae.fit(x, sae.Settings(variant=variant, features=12, active=3, epochs=2, batch_rows=64), 0)
        alone = np.vstack([sae.densify(sae.encode(dictionary, row[None])) for row in x[:20]])
        assert sae.densify(sae.encode(dictionary, x))[:20] == pytest.approx(alone, abs=1e-5)


def test_chunks_of_another_width_are_put_together(monkeypatch):
    x = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    dictionary = sae.fit(x, sae.Settings(variant="batch_topk", features=12, active=3, epochs=2, batch_rows=32), 0)
    whole = sae.densify(sae.encode(dictionary, x))
    monkeypatch.setattr("jepascope.analysis.sae.encoding.CHUNK_ROWS", 5)
    assert sae.densify(sae.encode(dictionary, x)) == pytest.approx(whole, abs=1e-5)


def test_the_auxiliary_loss_reaches_dead_features_and_no_other_encoder_row():
    settings = sae.Settings(features=F, active=3)
    (_, with_aux), (_, without) = gradients(settings, SPARSE, True), gradients(settings, SPARSE, False)
    changed = (with_aux[0] - without[0]).abs().sum(dim=2) > 1e-7
    assert torch.equal(changed, batch()[2])


def test_the_jump_and_its_threshold_gradient_by_hand():
    half = BANDWIDTH / 2
    pre = torch.tensor([0.5 - 2 * half, 0.5 - half / 2, 0.5 + half / 2, 0.5 + 2 * half], requires_grad=True)
    threshold = torch.full((4,), 0.5, requires_grad=True)
    f, on = JumpReLU.apply(pre, threshold), Step.apply(pre, threshold)
    assert f.tolist() == pytest.approx([0, 0, 0.5 + half / 2, 0.5 + 2 * half])
    assert on.tolist() == [0, 0, 1, 1]
    by_pre, by_threshold = torch.autograd.grad(f.sum(), (pre, threshold))
    assert by_pre.tolist() == [0, 0, 1, 1]
    assert by_threshold.tolist() == pytest.approx([0, -0.5 / BANDWIDTH, -0.5 / BANDWIDTH, 0])
    [by_threshold] = torch.autograd.grad(on.sum(), threshold)
    assert by_threshold.tolist() == pytest.approx([0, -1 / BANDWIDTH, -1 / BANDWIDTH, 0])


def test_too_many_active_entries_raise_the_threshold_and_too_few_lower_it():
    for active, sign in ((1, -1), (F - 1, 1)):  # a descent step goes against the gradient's sign
        settings = sae.Settings(variant="jump_relu", features=F, active=active)
        x, w, dead = batch()
        w = w._replace(W_dec=torch.zeros_like(w.W_dec))  # so that reconstruction has no say
        gradient = torch.autograd.grad(loss(x, w, torch.zeros_like(dead), settings).total.sum(), w.threshold)[0]
        assert sign * gradient.sum() > 0


@pytest.mark.parametrize("variant", ["batch_topk", "jump_relu"])
def test_thresholds_let_through_k_on_average_and_not_k_everywhere(variant):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(4000, 8)) * rng.uniform(0.2, 2, (4000, 1))).astype(np.float32)
    settings = sae.Settings(variant=variant, features=16, active=3, epochs=20, batch_rows=128, learning_rate=5e-3)
    dictionary = sae.fit(x, settings, 0)
    counts = (sae.densify(sae.encode(dictionary, x)) > 0).sum(axis=1)
    assert counts.mean() == pytest.approx(3, abs=0.5)
    assert counts.std() > 0.5


def test_matryoshka_prefixes_are_nested_and_the_first_can_do_alone():
    assert variants.prefix_sizes(128, "matryoshka") == [16, 32, 64, 128]
    assert variants.prefix_sizes(128, "topk") == [128]
    rng = np.random.default_rng(0)
    atoms = normalize(torch.from_numpy(rng.normal(size=(16, 12))), dim=1).numpy()
    on = rng.random((4000, 16)) < np.linspace(0.5, 0.05, 16)
    x = (on * rng.uniform(1, 2, on.shape) @ atoms).astype(np.float32)
    unexplained = {}
    for variant in ("topk", "matryoshka"):
        settings = sae.Settings(variant=variant, features=16, active=4, epochs=10, batch_rows=128, learning_rate=5e-3)
        dictionary = sae.fit(x, settings, 0)
        f = sae.densify(sae.encode(dictionary, x))
        unexplained[variant] = []
        for size in (2, 4, 8, 16):
            prefix = f * (np.arange(16) < size)
            residual = x - sae.decode(dictionary, prefix)
            unexplained[variant].append(np.square(residual).sum() / np.square(x - x.mean(axis=0)).sum())
    assert all(a > b for a, b in zip(unexplained["matryoshka"], unexplained["matryoshka"][1:], strict=False))
    assert unexplained["matryoshka"][1] < unexplained["topk"][1] - 0.1


def test_pursuit_by_hand_subtracts_what_it_has_explained():
    W = torch.tensor([[[1.0, 0], [0, 1], [0.8, 0.6]]])
    residual, f, features = variants.pursue(torch.tensor([[[2.0, 1.0]]]), W, 2)
    # (2, 1) has 2.2 along (0.8, 0.6); what stays, (0.24, -0.32), has 0.24 along the first axis.
    assert features.tolist() == [[[2, 0]]]
    assert f.flatten().tolist() == pytest.approx([2.2, 0.24], abs=1e-6)
    assert residual.flatten().tolist() == pytest.approx([0, -0.32], abs=1e-6)


def test_pursuit_takes_no_atom_twice():
    x = torch.randn(1, 50, 4, generator=torch.Generator().manual_seed(0))
    W = normalize(torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(1)), dim=2)
    features = variants.pursue(x, W, 6)[2][0]
    assert all(len(set(row.tolist())) == 6 for row in features)


def test_held_rows_keep_their_cosine_and_their_norm():
    generator = torch.Generator().manual_seed(0)
    start, W = (normalize(torch.randn(1, 40, 5, generator=generator), dim=2) for _ in range(2))
    held = held_near(W, start, 0.8)
    cosine, before = (held * start).sum(dim=2), (W * start).sum(dim=2)
    assert held.norm(dim=2).allclose(torch.ones(1, 40))
    assert cosine.min() > 0.8 - 1e-5
    assert torch.equal(held[before > 0.8], W[before > 0.8])
    assert held_near(W, start, 1.0).allclose(start)
    assert torch.equal(held_near(W, start, -1.0), W)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same_fit():
    x = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    settings = sae.Settings(features=16, active=3, epochs=3, batch_rows=64)
    here, there = (sae.fit(x, settings._replace(device=device), 0) for device in ("cpu", "cuda"))
    assert here.W_dec == pytest.approx(there.W_dec, abs=1e-3)


def test_an_unknown_variant_is_named():
    with pytest.raises(ValueError, match="no variant 'top'; there are topk"):
        sae.fit(np.eye(30), sae.Settings(variant="top", features=8, active=2), 0)
