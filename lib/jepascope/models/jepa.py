"""The JEPA: z, c and ẑ of a batch in one forward, every intermediate that interpretability needs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from jepascope.models.context import Context, Predictor
from jepascope.models.encoder import Encoder


class Batch(NamedTuple):
    """Packed encounters of whole patients, in order of (patient, k)."""

    tokens: Tensor  # int64 [T]
    offsets: Tensor  # int64 [N + 1]; tokens of encounter i are tokens[offsets[i]:offsets[i + 1]]
    first: Tensor  # int64 [B + 1]; encounters of patient b are first[b]:first[b + 1]
    gap: Tensor  # float32 [N], days since the previous discharge, 0 at k = 0
    age: Tensor  # float32 [N], years

    def to(self, device: str | torch.device) -> Batch:
        """Move every tensor."""
        return Batch(*(tensor.to(device) for tensor in self))


class JEPAOutput(NamedTuple):
    """The objects of a batch; e is z[target_rows] - z_hat."""

    z: Tensor  # [N, D]
    c: Tensor  # [N, D]
    z_hat: Tensor  # [M, D], the prediction of z_k for every k >= 1, rows in order; M = N - B
    target_rows: Tensor  # int64 [M], the row of z that each z_hat predicts


class JEPA(nn.Module):
    """Predicts in the space it represents in: ẑ_k = P(c_{k-1}, gap_k) stands for z_k = E(encounter k), the same E.

    No projector: z is what is regularised, predicted and analysed.
    """

    def __init__(
        self,
        vocabulary_size: int,
        width: int = 64,
        heads: int = 4,
        encoder_layers: int = 2,
        context_layers: int = 2,
        predictor_hidden: int = 128,
    ) -> None:
        super().__init__()
        self.config = {
            "vocabulary_size": vocabulary_size,
            "width": width,
            "heads": heads,
            "encoder_layers": encoder_layers,
            "context_layers": context_layers,
            "predictor_hidden": predictor_hidden,
        }
        self.encoder = Encoder(vocabulary_size, width, heads, encoder_layers)
        self.context = Context(width, heads, context_layers)
        self.predictor = Predictor(width, predictor_hidden)

    def forward(self, batch: Batch) -> JEPAOutput:
        """Compute z, c and ẑ. A patient with one encounter has z and c, and no row in ẑ."""
        z = self.encoder(batch.tokens, batch.offsets)
        c = self.context(z, batch.first, batch.gap, batch.age)
        target_rows = prediction_targets(batch.first)
        return JEPAOutput(z, c, self.predictor(c[target_rows - 1], batch.gap[target_rows]), target_rows)


def prediction_targets(first: Tensor) -> Tensor:
    """List the rows with a predecessor of the same patient, int64 [N - B]: all but each patient's first."""
    has_previous = torch.ones(int(first[-1]), dtype=torch.bool, device=first.device)
    has_previous[first[:-1]] = False
    return has_previous.nonzero()[:, 0]
