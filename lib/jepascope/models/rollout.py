"""Rollout: predictions fed back as if they had been seen, so that ẑ reaches several encounters ahead."""

from __future__ import annotations

import torch
from torch import Tensor

from jepascope.models.context import BUCKET_ENCOUNTERS, Context, gap_feature
from jepascope.models.jepa import JEPA, Batch
from jepascope.models.packing import Bucket, length_buckets, unpack


def rollout(model: JEPA, batch: Batch, z: Tensor, horizon: int) -> tuple[Tensor, ...]:
    """Predict every encounter from 1, 2, …, `horizon` encounters before it, all at once and with gradient.

    ẑ_{j|j−h} = P(c_{j−1|j−h}, gap_j), where c_{j−1|j−h} reads z_i for i ≤ j−h and the model's own ẑ_{i|j−h} for the
    encounters between. That encounters happen, and when, is given; what happens in them is not.

    batch of N encounters; z [N, D], the embeddings to start from. Returns `horizon` tensors [N, D]: row j of the h-th
    is ẑ_{j|j−h}, NaN where the patient has no encounter j−h.
    """
    features = torch.stack([gap_feature(batch.gap), batch.age / 50 - 1], dim=1)  # [N, 2]
    k = torch.arange(len(z), device=z.device) - batch.first[:-1].repeat_interleave(batch.first.diff())  # [N]
    buckets = length_buckets(batch.first, BUCKET_ENCOUNTERS[z.device.type])
    streams = [z]
    for h in range(1, horizon + 1):
        c = _contexts(model.context, [torch.cat([s, features], dim=1) for s in streams], buckets)  # c_{j|j−h+1}
        z_hat = model.predictor(c.roll(1, dims=0), batch.gap)  # row j reads the context of row j − 1
        streams.append(torch.where((k >= h)[:, None], z_hat, 0.0))
    return tuple(torch.where((k >= h)[:, None], s, torch.nan) for h, s in enumerate(streams[1:], start=1))


def _contexts(context: Context, inputs: list[Tensor], buckets: list[Bucket]) -> Tensor:
    """Contexts [N, D] of the last stream: stream s holds at j what is imagined of j from the encounters ≤ j − s."""
    x = [context.input(stream) for stream in inputs]
    pieces = []
    for bucket in buckets:
        length = bucket.elements.shape[1]
        h = torch.cat([stream[bucket.elements] for stream in x], dim=1)  # [b, S·K, D]
        mask = _diagonals(len(x), length, h.device)
        for block in context.blocks:
            h = block(h, mask=mask)
        pieces.append(h[:, -length:][bucket.valid])
    return context.norm(unpack(pieces, [bucket.elements[bucket.valid] for bucket in buckets]))


def _diagonals(streams: int, length: int, device: torch.device) -> Tensor:
    """Who may look at whom, bool [S·K, S·K]: position (s, j) sees what was known at j − s and its own line of thought.

    That is (0, i) for i ≤ j − s, the true past, and (t, j − s + t) for 1 ≤ t ≤ s, what was imagined from it since.
    """
    s, j = torch.arange(streams, device=device), torch.arange(length, device=device)
    start = (j[None, :] - s[:, None]).reshape(-1)  # [S·K], the last true encounter
    stream, position = s.repeat_interleave(length), j.repeat(streams)
    true_past = (stream[None, :] == 0) & (position[None, :] <= start[:, None])
    imagined = (stream[None, :] >= 1) & (stream[None, :] <= stream[:, None]) & (start[None, :] == start[:, None])
    return true_past | imagined
