"""What a variant is: which entries are on, what they pass on, and what is held against the data.

* topk: the k largest of a row (Makhzani & Frey 2014; Gao et al. 2024).
* batch_topk: the k · B largest of a batch of B rows, so that a rich row may have more (Bussmann et al. 2024).
* jump_relu: those above a threshold learnt per feature (Rajamanoharan et al. 2024).
* matryoshka: topk, but the first features must also do alone, so that common ones come first (Bussmann et al. 2025).
* matching_pursuit: one entry at a time, each on what the ones before it left (Mallat & Zhang 1993; Costa et al. 2025).

All lose the unexplained share of x, plus what features that fell silent could do about the residual (Gao et al. 2024).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from jepascope.analysis.sae.dictionary import Settings
from jepascope.analysis.sae.products import SPARSE, Products

Variant = Literal["topk", "batch_topk", "jump_relu", "matryoshka", "matching_pursuit"]
VARIANTS = get_args(Variant)
# Gao et al. 2024: weight of the auxiliary loss.
AUXILIARY = 1 / 32
# Shares of the features that must do alone, each within the next.
PREFIXES = (1 / 8, 1 / 4, 1 / 2, 1.0)
# Width of the window around a threshold in which its gradient is estimated, in standard deviations of x̃.
BANDWIDTH = 0.2
# Weight of jump_relu's (L0 / k − 1)².
L0_PENALTY = 3.0


class Weights(NamedTuple):
    """The parameters of S fits at once; a feature is a row of W_enc here, for the sparse products."""

    W_enc: Tensor  # [S, F, D]
    b_enc: Tensor  # [S, F]
    W_dec: Tensor  # [S, F, D]
    b_dec: Tensor  # [S, D]
    threshold: Tensor  # [S, F], used by jump_relu alone


class Loss(NamedTuple):
    """What a batch costs each fit, and which features were on in it."""

    total: Tensor  # [S]
    fired: Tensor  # bool [S, F]


class Reconstruction(NamedTuple):
    """x̂ by growing prefixes of the features (a single one, except for matryoshka), and the codes behind it."""

    x_hat: list[Tensor]  # [S, B, D] each
    f: Tensor  # [n]
    columns: Tensor  # int64 [n]
    revived: Tensor | None  # [S, B, D], what the silent features would add; None when there is none
    penalty: Tensor | float  # [S]


def row_top(pre: Tensor, k: int) -> Tensor:
    """Positions of the k largest of each row of pre [S, B, F]."""
    S, B, F = pre.shape
    if not pre.is_cuda:
        # NumPy's vectorised partition finds the least that stays several times faster than `topk`, and ties are rare.
        rows = pre.detach().numpy().reshape(-1, F)
        kept = np.flatnonzero(rows >= np.partition(rows, F - k, axis=1)[:, F - k, None])
        if len(kept) == k * len(rows):
            return torch.from_numpy(kept)
    starts = torch.arange(0, S * B * F, F, device=pre.device).view(S, B, 1)
    return (pre.topk(k, dim=-1, sorted=False).indices + starts).flatten()


def batch_top(pre: Tensor, k: int) -> Tensor:
    """Positions of the k · B largest of each fit's batch, pre [S, B, F]."""
    S, B, F = pre.shape
    starts = torch.arange(0, S * B * F, B * F, device=pre.device).view(S, 1)
    return (pre.flatten(1).topk(k * B, sorted=False).indices + starts).flatten().sort().values


def above(pre: Tensor, floor: Tensor) -> Tensor:
    """Positions where pre [S, B, F] lies above its feature's floor [S, F]."""
    return (pre > floor[:, None]).flatten().nonzero().squeeze(1)


def silent_top(pre: Tensor, dead: Tensor, most: int) -> Tensor:
    """Positions of each row's largest among the dead features [S, F], all of them if there are no more than `most`.

    A fit with fewer dead features than another gets fewer positions: what is filled up is alive, and is dropped again.
    """
    _, B, F = pre.shape  # [S, B, F]
    at = row_top(pre.masked_fill(~dead[:, None], -torch.inf), min(most, int(dead.sum(dim=1).max())))
    return at[dead[at.div(B * F, rounding_mode="floor"), at % F]]


class JumpReLU(torch.autograd.Function):
    """pre where pre > θ, else 0. ∂/∂θ = −(θ/ε) · 1[|pre − θ| < ε/2], a window's estimate of the jump's effect.

    Rajamanoharan et al. 2024, equation 11: the exact derivative by θ is 0 almost everywhere and would teach nothing.
    """

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor) -> Tensor:
        """pre [n], threshold [n]."""
        ctx.save_for_backward(pre, threshold)
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of pre and threshold [n]."""
        pre, threshold = ctx.saved_tensors
        window = (pre - threshold).abs() < BANDWIDTH / 2
        return g * (pre > threshold), -g * threshold / BANDWIDTH * window


class Step(torch.autograd.Function):
    """1 where pre > θ, else 0. ∂/∂θ = −(1/ε) · 1[|pre − θ| < ε/2] (the same paper, equation 12); none to pre."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor) -> Tensor:
        """pre [n], threshold [n]."""
        ctx.save_for_backward(pre, threshold)
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[None, Tensor]:
        """Gradient of the threshold [n]."""
        pre, threshold = ctx.saved_tensors
        return None, -g / BANDWIDTH * ((pre - threshold).abs() < BANDWIDTH / 2)


def prefix_sizes(features: int, variant: str) -> list[int]:
    """How many of the features must do alone: all, and for matryoshka nested beginnings of them as well."""
    shares = PREFIXES if variant == "matryoshka" else (1.0,)
    return sorted({max(1, round(share * features)) for share in shares})


def pursue(centred: Tensor, W_dec: Tensor, k: int, products: Products = SPARSE) -> tuple[Tensor, Tensor, Tensor]:
    """Matching pursuit of centred [S, B, D] on unit atoms W_dec [S, F, D]: residual, values and features [S, B, k].

    No atom is taken twice. Features are numbered 0..F-1 in each fit.
    """
    S, F, _ = W_dec.shape
    no_bias = W_dec.new_zeros(S, F)
    taken = torch.zeros(*centred.shape[:2], F, dtype=torch.bool, device=centred.device)
    residual, values, features = centred, [], []
    for _ in range(k):
        untaken = partial(_top_untaken, taken=taken.clone())
        [(at, value)] = products.encode(residual, W_dec, no_bias, [untaken])
        f = value.relu()
        residual = residual - products.combine(f, at, W_dec)
        taken.view(-1)[at.positions] = True
        values.append(f.view(centred.shape[:2]))
        features.append((at.columns % F).view(centred.shape[:2]))
    return residual, torch.stack(values, dim=2), torch.stack(features, dim=2)


def _top_untaken(pre: Tensor, taken: Tensor) -> Tensor:
    return row_top(pre.masked_fill(taken, -torch.inf), 1)


def _reconstruct(x: Tensor, w: Weights, dead: Tensor, settings: Settings, products: Products) -> Reconstruction:
    """x̂ of x [S, B, D] by any variant but matching pursuit."""
    k, centred = settings.active, x - w.b_dec[:, None]
    main = {
        "batch_topk": partial(batch_top, k=k),
        "jump_relu": partial(above, floor=w.threshold.detach() - BANDWIDTH / 2),
    }.get(settings.variant, partial(row_top, k=k))
    silent = [partial(silent_top, dead=dead, most=x.shape[2] // 2)] if dead.any() else []
    (at, pre), *others = products.encode(centred, w.W_enc, w.b_enc, [main, *silent])
    penalty: Tensor | float = 0.0
    if settings.variant == "jump_relu":
        threshold = w.threshold.flatten()[at.columns]
        f, on = JumpReLU.apply(pre, threshold), Step.apply(pre, threshold)
        fit_of = at.rows.div(x.shape[1], rounding_mode="floor")
        l0 = on.new_zeros(len(x)).index_add(0, fit_of, on) / x.shape[1]  # [S]
        penalty = L0_PENALTY * (l0 / k - 1).square()
    else:
        f = pre.relu()
    x_hat = []
    for size in prefix_sizes(settings.features, settings.variant):
        inside = f if size == settings.features else f * (at.columns % settings.features < size)
        x_hat.append(products.combine(inside, at, w.W_dec) + w.b_dec[:, None])
    revived = [products.combine(values.relu(), found, w.W_dec) for found, values in others]
    return Reconstruction(x_hat, f, at.columns, revived[0] if revived else None, penalty)


def _pursue_and_reconstruct(
    x: Tensor, w: Weights, dead: Tensor, settings: Settings, products: Products
) -> Reconstruction:
    residual, f, features = pursue(x - w.b_dec[:, None], w.W_dec, settings.active, products)
    columns = features + settings.features * torch.arange(len(x), device=x.device)[:, None, None]
    revived = None
    if dead.any():
        silent = partial(silent_top, dead=dead, most=x.shape[2] // 2)
        [(at, values)] = products.encode(residual.detach(), w.W_dec, torch.zeros_like(w.b_enc), [silent])
        revived = products.combine(values.relu(), at, w.W_dec)
    return Reconstruction([x - residual], f.flatten(), columns.flatten(), revived, 0.0)


def unexplained(x: Tensor, x_hat: Tensor) -> Tensor:
    """‖x − x̂‖² / ‖x‖² of each fit [S]."""
    return (x - x_hat).square().sum(dim=(1, 2)) / x.square().sum(dim=(1, 2))


def loss(x: Tensor, w: Weights, dead: Tensor, settings: Settings, products: Products = SPARSE) -> Loss:
    """The loss of S fits on a batch x [S, B, D] of standardised rows; dead [S, F] are features long silent.

    Fits share nothing: the gradient of the sum over S is each one's own.
    """
    run = _pursue_and_reconstruct if settings.variant == "matching_pursuit" else _reconstruct
    made = run(x, w, dead, settings, products)
    total = torch.stack([unexplained(x, x_hat) for x_hat in made.x_hat]).mean(dim=0) + made.penalty
    if made.revived is not None:
        # The residual is the auxiliary's target, so no gradient may run through it.
        target = (x - made.x_hat[-1]).detach()
        total = total + AUXILIARY * dead.any(dim=1) * unexplained(target, made.revived)
    fired = torch.zeros(dead.numel(), dtype=torch.bool, device=x.device)
    fired[made.columns[made.f > 0]] = True
    return Loss(total, fired.view_as(dead))
