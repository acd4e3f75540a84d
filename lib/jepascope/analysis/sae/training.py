"""Fitting dictionaries: one, or several at once that differ in their first weights and in the order of their data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from jepascope.analysis.sae.dictionary import Dictionary, Settings
from jepascope.analysis.sae.products import SPARSE, Products, preactivations
from jepascope.analysis.sae.variants import VARIANTS, Loss, Weights, loss

# A feature is dead after 2 silent *epochs*; the libraries' threshold of ten million rows would never be reached on a
# hospital's encounters.
SILENT_EPOCHS = 2
WARMUP_SHARE, DECAY_SHARE = 0.05, 0.3
# Takes the rows of a batch [S, B] and which features have long been silent [S, F].
BatchLoss = Callable[[Tensor, Tensor], Loss]


class Hold(NamedTuple):
    """Atoms to start from, and the cosine to them that decoder rows must keep: 1 freezes them, −1 lets them go."""

    atoms: np.ndarray  # [F, D], or [S, F, D] for fits with atoms of their own
    cosine: float


def _rate(step: int, steps: int) -> float:
    """Learning-rate factor: linear warm-up, flat, linear decay to zero."""
    warm, decay = max(1, WARMUP_SHARE * steps), max(1, DECAY_SHARE * steps)
    return min(1.0, (step + 1) / warm, (steps - step) / decay)


def fit(x: np.ndarray, settings: Settings, seed: int, hold: Hold | None = None) -> Dictionary:
    """Fit on the training patients' rows x [N, D]; the same seed gives the same bits on a CPU.

    Raises like `fit_many`.
    """
    return fit_many(x, settings, [seed], hold)[0]


def fit_many(
    x: np.ndarray,
    settings: Settings,
    seeds: Sequence[int],
    hold: Hold | None = None,
    products: Products = SPARSE,
    rows: np.ndarray | None = None,
) -> list[Dictionary]:
    """Fits to one x [N, D], a seed each, in one batched product: on a GPU one small fit alone would leave it idle.

    A seed decides the first decoder rows and the order of the data, and nothing else. With `rows` [S, n], each fit sees
    rows of its own (a bootstrap draw), all standardised as x is. Raises ValueError if x holds less than two rows or is
    constant, active is not below features, or the variant is unknown.
    """
    if settings.variant not in VARIANTS:
        raise ValueError(f"no variant {settings.variant!r}; there are {', '.join(VARIANTS)}")
    if not 0 < settings.active < settings.features:
        raise ValueError(f"active ({settings.active}) must lie between 0 and features ({settings.features})")
    mean = np.asarray(x, float).mean(axis=0)
    scale = float(np.sqrt(np.square(x - mean).mean()))
    if len(x) < 2 or not scale > 0:
        raise ValueError(f"an SAE needs rows that differ: got {len(x)} rows with standard deviation {scale}")
    data = torch.from_numpy(((x - mean) / scale).astype(np.float32)).to(settings.device)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    w = _first_weights(data.shape[1], settings, generators, hold)
    seen = torch.arange(len(x)).expand(len(seeds), -1) if rows is None else torch.from_numpy(rows)  # [S, n]

    def batch_loss(batch: Tensor, dead: Tensor) -> Loss:
        return loss(data[batch], w, dead, settings, products)

    optimise(batch_loss, seen, w, settings, generators, -1.0 if hold is None else hold.cosine)
    threshold = _thresholds(data, w, settings)
    return [_fitted(w, s, threshold, mean, scale, settings) for s in range(len(seeds))]


def _fitted(
    w: Weights, s: int, threshold: Tensor | None, mean: np.ndarray, scale: float, settings: Settings
) -> Dictionary:
    """Fit number s, off the device; matching pursuit has no encoder but the decoder's transpose."""
    encoder = w.W_dec if settings.variant == "matching_pursuit" else w.W_enc
    return Dictionary(
        W_enc=_numpy(encoder[s].T), b_enc=_numpy(w.b_enc[s]), W_dec=_numpy(w.W_dec[s]), b_dec=_numpy(w.b_dec[s]),
        mean=mean.astype(np.float32), scale=scale, active=settings.active, variant=settings.variant,
        threshold=None if threshold is None else _numpy(threshold[s]),
    )  # fmt: skip


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().numpy()


def _first_weights(D: int, settings: Settings, generators: list[torch.Generator], hold: Hold | None) -> Weights:
    S, F = len(generators), settings.features
    if hold is None:
        atoms = torch.stack([torch.randn(F, D, generator=generator) for generator in generators])
    else:
        atoms = torch.from_numpy(np.asarray(hold.atoms, np.float32)).expand(S, F, D)
    W_dec = normalize(atoms, dim=2)
    # x̃ along a random direction has variance one: were it normal, k of F features would be above this.
    threshold = torch.special.ndtri(torch.full((S, F), 1 - settings.active / F)).clamp(min=0)
    first = (W_dec.clone(), torch.zeros(S, F), W_dec.clone(), torch.zeros(S, D), threshold)
    w = Weights(*(part.to(settings.device).requires_grad_() for part in first))
    w.W_dec.requires_grad_(hold is None or hold.cosine < 1)
    return w


def optimise(
    batch_loss: BatchLoss,
    seen: Tensor,
    w: Weights,
    settings: Settings,
    generators: list[torch.Generator],
    cosine: float = -1.0,
) -> None:
    """Adam on shuffled batches; decoder rows go back to norm one after each step, or f could shrink to please L0.

    Moves w in place. seen int64 [S, n]: the rows of each fit; what is lost on them is the caller's.
    """
    optimiser = torch.optim.Adam(w, lr=settings.learning_rate, fused=True)
    start = w.W_dec.detach().clone()
    n = seen.shape[1]
    steps = settings.epochs * -(-n // settings.batch_rows)
    silent = torch.zeros_like(w.b_enc, requires_grad=False)  # [S, F], epochs since the feature last fired
    step = 0
    for _ in range(settings.epochs):
        fired = torch.zeros_like(silent, dtype=torch.bool)
        order = torch.stack([torch.randperm(n, generator=generator) for generator in generators])
        for rows in seen.gather(1, order).to(w.W_dec.device).split(settings.batch_rows, dim=1):
            optimiser.param_groups[0]["lr"] = settings.learning_rate * _rate(step, steps)
            found = batch_loss(rows, silent >= SILENT_EPOCHS)  # rows [S, B]
            optimiser.zero_grad()
            found.total.sum().backward()
            optimiser.step()
            with torch.no_grad():
                if w.W_dec.requires_grad:
                    w.W_dec.copy_(held_near(normalize(w.W_dec, dim=2), start, cosine))
                w.threshold.clamp_(min=0)
            fired |= found.fired
            step += 1
        silent = torch.where(fired, 0.0, silent + 1)


def held_near(W: Tensor, start: Tensor, cosine: float) -> Tensor:
    """Unit rows of W [.., D] turned back towards those of start, as far as it takes to have `cosine` with them."""
    if cosine <= -1:
        return W
    along = (W * start).sum(dim=-1, keepdim=True)
    across = normalize(W - along * start, dim=-1)
    bounded = cosine * start + (1 - cosine**2) ** 0.5 * across
    return torch.where(along < cosine, bounded, W)


def _thresholds(data: Tensor, w: Weights, settings: Settings) -> Tensor | None:
    """What an entry must exceed when a row comes alone [S, F]; None where the k largest of the row are taken.

    batch_topk: the mean over batches of the least entry that was kept (Bussmann et al. 2024).
    """
    if settings.variant == "jump_relu":
        return w.threshold
    if settings.variant != "batch_topk":
        return None
    least = []
    with torch.no_grad():
        for rows in data.split(settings.batch_rows):
            pre = preactivations(rows - w.b_dec[:, None], w.W_enc, w.b_enc)  # [S, B, F]
            least.append(pre.flatten(1).topk(settings.active * len(rows)).values[:, -1].relu())
    return torch.stack(least).mean(dim=0)[:, None].expand_as(w.b_enc)
