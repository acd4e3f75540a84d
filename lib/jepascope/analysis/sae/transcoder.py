"""A transcoder: a sparse stand-in for a layer, from what the layer reads to what it writes.

    f = TopK((x − μ) / s · W_enc + b_enc)      f [N, F], k entries of a row are not zero
    ŷ = (f W_dec + b_dec) t + ν                rows of W_dec [F, D] have norm one

An SAE of the output says what is written; a transcoder also says on what it depends, as feature f is a direction of
the *input* and a direction of the output (Dunefsky, Chlenski & Nanda 2024). x [N, I] and y [N, D] need not be equally
wide. Weights are trained as an SAE's are.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from jepascope.analysis.sae.dictionary import Codes, Settings, densify
from jepascope.analysis.sae.products import SPARSE
from jepascope.analysis.sae.training import optimise
from jepascope.analysis.sae.variants import AUXILIARY, Loss, Weights, row_top, silent_top, unexplained

# Ridge of linear maps, as a share of the mean variance of the inputs: enough to invert what is nearly collinear.
RIDGE = 1e-3


class Scale(NamedTuple):
    """μ and s of one side; s is one number, so that angles stay as they are."""

    mean: np.ndarray
    spread: float

    def apply(self, x: np.ndarray) -> np.ndarray:
        """(x − μ) / s, float32."""
        return ((np.asarray(x) - self.mean) / self.spread).astype(np.float32)


class Transcoder(NamedTuple):
    """A fitted transcoder, in the letters of the module's equations."""

    W_enc: np.ndarray  # [I, F]
    b_enc: np.ndarray  # [F]
    W_dec: np.ndarray  # [F, D]
    b_dec: np.ndarray  # [D]
    reads: Scale
    writes: Scale
    active: int  # k


class LinearMap(NamedTuple):
    """y ≈ (x − μ) A B + ν with r inner axes: what a layer does without a non-linearity, at rank r."""

    A: np.ndarray  # [I, r]
    B: np.ndarray  # [r, D], rows of norm one, the strongest first
    reads: np.ndarray  # μ
    writes: np.ndarray  # ν

    def axes(self, x: np.ndarray) -> np.ndarray:
        """The inner axes of rows x [N, I]: [N, r]."""
        return (x - self.reads) @ self.A

    def at_rank(self, x: np.ndarray, rank: int) -> np.ndarray:
        """ŷ [N, D] by the `rank` strongest axes."""
        return self.axes(x)[:, :rank] @ self.B[:rank] + self.writes


def _scale(x: np.ndarray) -> Scale:
    mean = np.asarray(x, float).mean(axis=0)
    spread = float(np.sqrt(np.square(x - mean).mean()))
    if len(x) < 2 or not spread > 0:
        raise ValueError(f"a transcoder needs rows that differ: got {len(x)} rows with standard deviation {spread}")
    return Scale(mean, spread)


def linear_map(x: np.ndarray, y: np.ndarray) -> LinearMap:
    """Ridge from x [N, I] to y [N, D], turned so that its r leading axes are the best map of rank r.

    Reduced-rank regression (Izenman 1975): the singular axes of the fitted values. A map of rank k is what a code of k
    entries has to beat, as it too writes with k numbers, on the same k axes for everybody. Raises ValueError.
    """
    reads, writes = _scale(x), _scale(y)
    centred = np.asarray(x, float) - reads.mean
    gram = centred.T @ centred
    ridge = RIDGE * np.trace(gram) / len(gram)
    slope = np.linalg.solve(gram + ridge * np.eye(len(gram)), centred.T @ (y - writes.mean))  # [I, D]
    _, _, axes = np.linalg.svd(centred @ slope, full_matrices=False)
    return LinearMap(slope @ axes.T, axes, reads.mean, writes.mean)


def fit_transcoder(x: np.ndarray, y: np.ndarray, settings: Settings, seed: int, frozen: bool = False) -> Transcoder:
    """Fit to training patients' rows x [N, I] -> y [N, D] with `settings.features` and `settings.active`.

    An SAE's encoder starts as its decoder's transpose; here as what the linear map makes of it. `frozen` leaves decoder
    rows where chance put them: what such a transcoder reaches needs no features. Raises ValueError if rows don't differ
    or active is not below features.
    """
    if not 0 < settings.active < settings.features:
        raise ValueError(f"active ({settings.active}) must lie between 0 and features ({settings.features})")
    reads, writes = _scale(x), _scale(y)
    inputs, targets = (torch.from_numpy(s.apply(v)).to(settings.device) for s, v in ((reads, x), (writes, y)))
    generator = torch.Generator().manual_seed(seed)
    F, D = settings.features, targets.shape[1]
    W_dec = normalize(torch.randn(1, F, D, generator=generator), dim=2)
    found = linear_map(x, y)
    slope = torch.from_numpy((found.A @ found.B * reads.spread / writes.spread).astype(np.float32))  # [I, D]
    first = (W_dec @ slope.T, torch.zeros(1, F), W_dec, torch.zeros(1, D), torch.zeros(1, F))
    w = Weights(*(part.clone().to(settings.device).requires_grad_() for part in first))
    w.W_dec.requires_grad_(not frozen)

    def batch_loss(rows: Tensor, dead: Tensor) -> Loss:
        return transcoding_loss(inputs[rows], targets[rows], w, dead, settings.active)

    optimise(batch_loss, torch.arange(len(inputs))[None], w, settings, [generator])
    fitted = (part[0].detach().cpu().numpy() for part in (w.W_enc, w.b_enc, w.W_dec, w.b_dec))
    W_enc, b_enc, decoder, b_dec = fitted
    return Transcoder(W_enc.T.copy(), b_enc, decoder, b_dec, reads, writes, settings.active)


def transcoding_loss(x: Tensor, y: Tensor, w: Weights, dead: Tensor, k: int) -> Loss:
    """Unexplained share of y [S, B, D] by codes of x [S, B, I], plus what silent features could do about the rest."""
    selects = [partial(row_top, k=k)]
    if dead.any():
        selects.append(partial(silent_top, dead=dead, most=y.shape[2] // 2))
    (at, pre), *others = SPARSE.encode(x, w.W_enc, w.b_enc, selects)
    f = pre.relu()
    y_hat = SPARSE.combine(f, at, w.W_dec) + w.b_dec[:, None]
    total = unexplained(y, y_hat)
    for found, values in others:
        target = (y - y_hat).detach()  # the auxiliary's target, so no gradient may run through it
        total = total + AUXILIARY * dead.any(dim=1) * unexplained(target, SPARSE.combine(values.relu(), found, w.W_dec))
    fired = torch.zeros(dead.numel(), dtype=torch.bool, device=x.device)
    fired[at.columns[f > 0]] = True
    return Loss(total, fired.view_as(dead))


def transcode(transcoder: Transcoder, x: np.ndarray) -> np.ndarray:
    """Codes f [N, F] of rows x [N, I], dense: each row by itself."""
    pre = transcoder.reads.apply(x) @ transcoder.W_enc + transcoder.b_enc
    values, indices = torch.from_numpy(pre).topk(transcoder.active, dim=1)
    return densify(Codes(values.relu().numpy(), indices.numpy(), pre.shape[1]))


def written(transcoder: Transcoder, f: np.ndarray) -> np.ndarray:
    """ŷ [N, D] of codes f [N, F]."""
    scaled = f @ transcoder.W_dec + transcoder.b_dec
    return scaled * transcoder.writes.spread + transcoder.writes.mean
