"""Temporal Feature Analysis: an embedding as what its past predicts and what is novel, in the words of one dictionary.

    x_k = (z_k − μ) / s
    a_j = ReLU(x_j W_enc + b_enc)                       [F], what each encounter says
    α_kj = softmax_{j<k}([a_{k−1}, gap_k] Q · a_j K / √H − r (k − 1 − j))
    p_k = ReLU(Σ_{j<k} α_kj a_j V O + b_p)              predictable code, of the past alone; nought at k = 0
    n_k = TopK((x_k − p_k W_dec) W_enc + b_enc)         novel code, of what is left
    x̂_k = (p_k + n_k) W_dec                             rows of W_dec [F, D] have norm one

After Lubana et al. 2025: both codes are trained together, on ‖x − x̂‖² and nothing else, and only the novel one is made
sparse. In their public code the present encounter asks the questions (its own code is in the query) and sets the
length of p. Here it does neither, or p would not be a prediction. r ≥ 0 is learnt, one a head: what is recent may weigh
more. No outcome, no ẑ and no e has any part in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, scaled_dot_product_attention, softplus

from jepascope.analysis.inference.stats import NotComputable
from jepascope.analysis.sae import Settings

HEADS, HEAD_WIDTH = 4, 16
# Patients encoded at a time: a hospital's, padded to the longest record, would be gigabytes.
CHUNK_PATIENTS = 1024


class Weights(NamedTuple):
    """In the letters of the module's equations; H is the width of all heads together."""

    W_enc: Tensor  # [D, F]
    b_enc: Tensor  # [F]
    W_dec: Tensor  # [F, D]
    Q: Tensor  # [F + 1, H]
    K: Tensor  # [F, H]
    V: Tensor  # [F, H]
    O: Tensor  # [H, F]  # noqa: E741
    b_p: Tensor  # [F]
    r: Tensor  # [heads], before softplus


class TemporalDictionary(NamedTuple):
    """Fitted weights, and the standardisation that they need."""

    weights: Weights
    mean: np.ndarray  # [D], μ
    scale: float  # s
    active: int  # of the novel code's features, at most


class TemporalCodes(NamedTuple):
    """Codes of N encounters."""

    predictable: np.ndarray  # float32 [N, F]
    novel: np.ndarray  # float32 [N, F]


class _Padded(NamedTuple):
    """Whole patients side by side, records filled up at their ends: what comes after is seen by nobody."""

    x: Tensor  # [B, K, D]
    gap: Tensor  # [B, K]
    rows: np.ndarray  # int [B, K], where each stands among the N
    real: np.ndarray  # bool [B, K]


def fit_temporal(
    z: np.ndarray, gap: np.ndarray, patients: np.ndarray, settings: Settings, seed: int
) -> TemporalDictionary:
    """Fit on training patients' z [N, D] with gap [N], the time since the last discharge on a scale of order one.

    patients [N], rows of each together and in order of k. A batch holds whole patients, about `batch_rows` encounters.
    Raises NotComputable if no patient has two encounters, ValueError if z is constant.
    """
    records = _records(patients)
    lengths = records[1]
    if lengths.max() < 2:
        raise NotComputable(f"none of {len(lengths)} patients has an encounter with one before it")
    mean = np.asarray(z, float).mean(axis=0)
    scale = float(np.sqrt(np.square(z - mean).mean()))
    if not scale > 0:
        raise ValueError(f"a dictionary needs rows that differ: all {len(z)} are the same")
    generator = torch.Generator().manual_seed(seed)
    w = _first_weights(z.shape[1], settings, generator)
    size = max(1, round(settings.batch_rows / lengths.mean()))  # patients a batch
    optimiser = torch.optim.Adam(w, lr=settings.learning_rate)
    steps = settings.epochs * -(-len(lengths) // size)
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    x = (z - mean) / scale
    for _ in range(settings.epochs):
        for some in torch.randperm(len(lengths), generator=generator).split(size):
            batch = _padded(x, gap, records, some.numpy())
            inputs, real = batch.x.to(settings.device), torch.from_numpy(batch.real)
            p, n = forward(w, inputs, batch.gap.to(settings.device), settings.active)
            optimiser.zero_grad()
            (inputs - (p + n) @ w.W_dec)[real].square().mean().backward()
            optimiser.step()
            decay.step()
            with torch.no_grad():
                w.W_dec.copy_(normalize(w.W_dec, dim=1))
    return TemporalDictionary(Weights(*(part.detach().cpu() for part in w)), mean, scale, settings.active)


def forward(w: Weights, x: Tensor, gap: Tensor, active: int) -> tuple[Tensor, Tensor]:
    """p and n [B, K, F] of B patients' standardised rows x [B, K, D], with gaps [B, K]; row k of p reads rows < k."""
    B, K, _ = x.shape
    a = (x @ w.W_enc + w.b_enc).relu()  # [B, K, F]
    asked = torch.cat([a.roll(1, dims=1), gap[..., None]], dim=2)  # a_{k−1}; what row 0 gets is dropped below
    q, k, v = (
        part.view(B, K, HEADS, HEAD_WIDTH).transpose(1, 2) for part in (asked @ w.Q, a @ w.K, a @ w.V)
    )  # [B, heads, K, H / heads]
    ago = torch.arange(K, device=x.device)[:, None] - torch.arange(K, device=x.device) - 1  # [K, K]
    bias = (-softplus(w.r)[:, None, None] * ago).masked_fill(ago < 0, -torch.inf)
    first = torch.zeros(K, K, dtype=torch.bool, device=x.device)
    first[0, 0] = True  # a row that attends to nothing is NaN
    h = scaled_dot_product_attention(q, k, v, attn_mask=bias.masked_fill(first, 0.0))
    p = (h.transpose(1, 2).reshape(B, K, -1) @ w.O + w.b_p).relu()
    p = p * (torch.arange(K, device=x.device) > 0)[:, None]
    pre = (x - p @ w.W_dec) @ w.W_enc + w.b_enc
    values, indices = pre.topk(active, dim=2)
    return p, torch.zeros_like(pre).scatter(2, indices, values.relu())


def temporal_codes(
    dictionary: TemporalDictionary, z: np.ndarray, gap: np.ndarray, patients: np.ndarray
) -> TemporalCodes:
    """Both codes of rows z [N, D], of any patients, whether fitted to or not; gap and patients as in `fit_temporal`."""
    w, records = dictionary.weights, _records(patients)
    B = len(records[1])
    codes = TemporalCodes(*(np.zeros((len(z), len(w.W_dec)), np.float32) for _ in range(2)))
    x = (z - dictionary.mean) / dictionary.scale
    for start in range(0, B, CHUNK_PATIENTS):
        batch = _padded(x, gap, records, np.arange(start, min(start + CHUNK_PATIENTS, B)))
        with torch.no_grad():
            found = forward(w, batch.x, batch.gap, dictionary.active)
        for code, part in zip(codes, found, strict=True):
            code[batch.rows[batch.real]] = part.numpy()[batch.real]
    return codes


def decoded(dictionary: TemporalDictionary, code: np.ndarray) -> np.ndarray:
    """What codes [N, F] say in the space of z, [N, D], as a step from its training mean."""
    return code @ dictionary.weights.W_dec.numpy() * dictionary.scale


def said(dictionary: TemporalDictionary, x: np.ndarray) -> np.ndarray:
    """What each feature's encoder says of rows x [N, D], [N, F], but for a constant: of a vector or of a difference."""
    return np.asarray(x, np.float32) @ dictionary.weights.W_enc.numpy() / np.float32(dictionary.scale)


def _records(patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First row and length of each patient's record."""
    _, starts, lengths = np.unique(np.asarray(patients), return_index=True, return_counts=True)
    return starts, lengths


def _padded(x: np.ndarray, gap: np.ndarray, records: tuple[np.ndarray, np.ndarray], some: np.ndarray) -> _Padded:
    starts, lengths = (part[some] for part in records)
    place = np.arange(lengths.max())
    real = place < lengths[:, None]
    rows = starts[:, None] + np.where(real, place, 0)
    inputs, gaps = (torch.from_numpy(np.asarray(part[rows], np.float32)) for part in (x, gap))
    return _Padded(inputs, gaps, rows, real)


def _first_weights(D: int, settings: Settings, generator: torch.Generator) -> Weights:
    """The encoder starts as the decoder's transpose, as an SAE's does; attention at the usual scale."""
    F, H = settings.features, HEADS * HEAD_WIDTH

    def scaled(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) / shape[0] ** 0.5

    W_dec = normalize(torch.randn(F, D, generator=generator), dim=1)
    attention = (scaled(F + 1, H), scaled(F, H), scaled(F, H), scaled(H, F))
    first = (W_dec.T.clone(), torch.zeros(F), W_dec, *attention, torch.zeros(F), torch.zeros(HEADS))
    return Weights(*(part.to(settings.device).requires_grad_() for part in first))
