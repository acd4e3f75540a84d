"""Context and predictor: what the encounters up to k say, and which encounter they lead to expect."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jepascope.models.encoder import Block
from jepascope.models.packing import length_buckets, unpack

BUCKET_ENCOUNTERS = {"cpu": 1024, "cuda": 16_384}


def gap_feature(gap: Tensor) -> Tensor:
    """Days since the previous discharge, [N], on a log scale of order one: a day matters more after two than after 900.

    log(1 + gap) / 4 - 1 is -1 at 0 days and 0.5 after a year. Overlapping stays (negative gaps) count as 0 days.
    """
    return gap.clamp(min=0).log1p() / 4 - 1


class Context(nn.Module):
    """c_k = LN(CausalTransformer(W · [z_i, age_i, gap_i] for i <= k))_k: time is continuous, not a position number."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.input = nn.Linear(width + 2, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, z: Tensor, first: Tensor, gap: Tensor, age: Tensor) -> Tensor:
        """Read each patient's encounters in order: z [N, D], first int64 [B + 1], gap (days) and age (years) [N].

        Returns c [N, D]. Padding comes after a patient's last encounter, where causality alone keeps it unseen.
        """
        x = self.input(torch.cat([z, gap_feature(gap)[:, None], age[:, None] / 50 - 1], dim=1))
        buckets = length_buckets(first, BUCKET_ENCOUNTERS[z.device.type])
        pieces = [self._read(x[b.elements])[b.valid] for b in buckets]
        return self.norm(unpack(pieces, [b.elements[b.valid] for b in buckets]))

    def _read(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, is_causal=True)  # [b, K, D]
        return x


class Predictor(nn.Module):
    """ẑ_k = MLP([c_{k-1}, gap_k]): which encounter comes, given the past and when it comes."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width + 1, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, c_before: Tensor, gap: Tensor) -> Tensor:
        """Predict from c_before = c_{k-1} [M, D] and gap = gap_k [M], days. Returns z_hat [M, D]."""
        return self.mlp(torch.cat([c_before, gap_feature(gap)[:, None]], dim=1))
