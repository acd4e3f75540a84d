"""A model held still at chosen encounters: what would ẑ of the next be, had z_k, or c_k, been another?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from jepascope.models.context import BUCKET_ENCOUNTERS, gap_feature
from jepascope.models.jepa import JEPA, Batch
from jepascope.models.packing import length_buckets, ragged_index


class _Piece(NamedTuple):
    """Some of the n encounters, with pasts of similar length."""

    at: Tensor  # int64 [m], which of the n
    past: list[Tensor]  # a block's input at the encounters before, [m, L, D] each
    valid: Tensor  # bool [m, L], False at padding


class Held:
    """Answers edits of n encounters k, each followed by another of the same patient.

    Causality makes edits cheap: what the blocks say at the encounters before k does not change, so it is computed once,
    and many edited copies of encounter k stand side by side, which see the past and themselves. Equal, to rounding,
    to running the context again over the whole sequence.
    """

    def __init__(self, model: JEPA, batch: Batch, z: np.ndarray, rows: np.ndarray) -> None:
        """z [N, D] of the batch; rows int64 [n]. Raises ValueError when a row is a patient's last encounter."""
        at, first = torch.from_numpy(np.asarray(rows, np.int64)), batch.first
        start = first[torch.searchsorted(first, at, right=True) - 1]
        if bool(torch.isin(at + 1, first).any()):
            raise ValueError("rows hold a patient's last encounter, after which nothing is predicted")
        self._model = model
        self.z = torch.from_numpy(np.asarray(z, np.float32))  # [N, D]
        self._extra = torch.stack([gap_feature(batch.gap), batch.age / 50 - 1], dim=1)  # [N, 2]
        self._rows, self._gap_next = at, batch.gap[at + 1]
        self._pieces = self._remember(batch, start)

    @torch.no_grad()
    def _remember(self, batch: Batch, start: Tensor) -> list[_Piece]:
        """Run the context as it is, and keep what each block was given at the encounters before each row."""
        context = self._model.context
        buckets = length_buckets(batch.first, BUCKET_ENCOUNTERS["cpu"])
        x, inputs = context.input(torch.cat([self.z, self._extra], dim=1)), []
        for block in context.blocks:
            inputs.append(x)
            after = torch.empty_like(x)
            for bucket in buckets:
                after[bucket.elements[bucket.valid]] = block(x[bucket.elements], is_causal=True)[bucket.valid]
            x = after
        lengths = self._rows - start
        before = ragged_index(start, lengths)  # encounters before each row, flat
        ends = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        return [
            _Piece(b.rows, [layer[before][b.elements] if len(before) else layer[:0].expand(len(b.rows), 0, -1)
                            for layer in inputs], b.valid)
            for b in length_buckets(ends, BUCKET_ENCOUNTERS["cpu"])
        ]  # fmt: skip

    def contexts(self, z: Tensor) -> Tensor:
        """c_k [n, E, D] had z_k been any of z [n, E, D]."""
        E, context = z.shape[1], self._model.context
        extra = self._extra[self._rows][:, None].expand(-1, E, -1)
        x = context.input(torch.cat([z, extra], dim=2))
        found = torch.empty_like(x)
        itself = torch.eye(E, dtype=torch.bool)
        for piece in self._pieces:
            h, m = x[piece.at], len(piece.at)
            seen = torch.cat([itself.expand(m, E, E), piece.valid[:, None].expand(m, E, -1)], dim=2)[:, None]
            for block, past in zip(context.blocks, piece.past, strict=True):
                h = block(torch.cat([h, past], dim=1), queries=E, mask=seen)  # [m, E, D]
            found = found.index_copy(0, piece.at, h)
        return context.norm(found)

    def predictions(self, c: Tensor) -> Tensor:
        """ẑ_{k+1} [n, E, D] from contexts c [n, E, D]."""
        n, E, D = c.shape
        return self._model.predictor(c.reshape(-1, D), self._gap_next.repeat_interleave(E)).reshape(n, E, D)

    @torch.no_grad()
    def replace_z(self, z: np.ndarray) -> np.ndarray:
        """ẑ_{k+1} [n, E, D] had z_k been any of z [n, E, D]."""
        return self.predictions(self.contexts(torch.from_numpy(np.asarray(z, np.float32)))).numpy()

    def move_z(self, u: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        """ẑ_{k+1} [n, E, D] after z_k + amount · u, with u [E, D] and amounts [n, E]."""
        return self.replace_z(self.z[self._rows].numpy()[:, None] + _steps(u, amounts))

    @torch.no_grad()
    def move_c(self, u: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        """ẑ_{k+1} [n, E, D] after c_k + amount · u: the predictor alone answers."""
        c = self.contexts(self.z[self._rows][:, None])
        return self.predictions(c + torch.from_numpy(_steps(u, amounts))).numpy()

    def jacobians(self, site: str) -> np.ndarray:
        """∂ẑ_{k+1} / ∂z_k, or ∂c_k, of each encounter, [n, D, D]: site is "z" or "c"."""
        x = self.z[self._rows][:, None]
        with torch.no_grad():
            x = x if site == "z" else self.contexts(x)
        x = x.clone().requires_grad_()
        z_hat = self.predictions(self.contexts(x) if site == "z" else x)[:, 0]  # [n, D]
        # Rows don't meet, so the gradient of a sum over rows is each row's own.
        rows = [torch.autograd.grad(z_hat[:, d].sum(), x, retain_graph=True)[0][:, 0] for d in range(z_hat.shape[1])]
        return torch.stack(rows, dim=1).numpy()


def _steps(u: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    return (np.asarray(amounts)[:, :, None] * np.asarray(u)[None]).astype(np.float32)
