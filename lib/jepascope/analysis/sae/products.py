"""The matrix products of sparse codes: only the entries that are on are multiplied, forward and backward.

Of the products of a training step all but one have a sparse factor: the decoder's, its two gradients, and the two of
the encoder. `SPARSE` computes those by gathering rows (one fused kernel, `embedding_bag`, on CPU and GPU); `DENSE` is
the same in plain matrices and autograd, to check against. The encoder's own product stays dense: nobody knows
beforehand which entries will be on.

Several fits are computed at once, as one block-diagonal matrix: S fits with B rows and F features have R = S·B rows and
C = S·F columns, and a row of fit s has entries in the columns of fit s alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

# Takes pre-activations [S, B, F], returns positions in their flattened form [n], rows ascending.
Select = Callable[[Tensor], Tensor]


class Entries(NamedTuple):
    """Which entries of the codes [R, C] may differ from zero, in order of rows; transposed products need columns'."""

    positions: Tensor  # int64 [n], in the flattened pre-activations [S, B, F]
    rows: Tensor  # int64 [n], ascending
    columns: Tensor  # int64 [n]
    row_starts: Tensor  # int64 [R]
    by_column: Tensor  # int64 [n], the order that sorts columns
    column_starts: Tensor  # int64 [C]


class Products(NamedTuple):
    """The two operations that a loss is made of; both can be differentiated by all their tensors."""

    # x [S, B, D], W [S, F, D] (a row a feature), b [S, F], selections -> each one's entries and x Wᵀ + b there [n]
    encode: Callable[[Tensor, Tensor, Tensor, Sequence[Select]], list[tuple[Entries, Tensor]]]
    # values [n] at entries, W [S, F, D] -> their product [S, B, D]
    combine: Callable[[Tensor, Entries, Tensor], Tensor]


def entries_at(positions: Tensor, shape: Sequence[int]) -> Entries:
    """Rows and columns of positions [n] in a flattened [S, B, F], and where each row and column starts."""
    S, B, F = shape
    rows = positions.div(F, rounding_mode="floor")
    columns = positions - rows * F + rows.div(B, rounding_mode="floor") * F
    in_order, by_column = columns.sort(stable=True)
    row_starts, column_starts = (
        torch.searchsorted(ascending, torch.arange(n, device=positions.device))
        for ascending, n in ((rows, S * B), (in_order, S * F))
    )
    return Entries(positions, rows, columns, row_starts, by_column, column_starts)


def _gather_sum(values: Tensor, which: Tensor, starts: Tensor, table: Tensor) -> Tensor:
    """Rows Σ values · table[which] over each stretch of entries from one start to the next."""
    return embedding_bag(which, table, starts, mode="sum", per_sample_weights=values)


def _transposed(values: Tensor, at: Entries, table: Tensor) -> Tensor:
    """codesᵀ @ table [R, D] -> [C, D]: rows gathered in order of columns, so that no two add to one place at once."""
    return _gather_sum(values[at.by_column], at.rows[at.by_column], at.column_starts, table)


def _dots(g: Tensor, at: Entries, table: Tensor) -> Tensor:
    """g [R, D] times table [C, D], at the entries only [n].

    That is the gradient of a weighted sum by its weights, and as such has a fused kernel; gathering both sides first
    would write n × D numbers.
    """
    with torch.enable_grad():
        weights = torch.zeros(len(at.columns), dtype=g.dtype, device=g.device, requires_grad=True)
        total = _gather_sum(weights, at.columns, at.row_starts, table.detach())
        return torch.autograd.grad(total, weights, g)[0]


class _Sampled(torch.autograd.Function):
    """(x Wᵀ + b) at the entries, of which the dense product `pre` is at hand; the gradients touch these alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, W: Tensor, b: Tensor, pre: Tensor, at: Entries) -> Tensor:
        ctx.save_for_backward(x, W)
        ctx.at = at
        return pre.flatten()[at.positions]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (x, W), at = ctx.saved_tensors, ctx.at
        flat_x, flat_W = x.reshape(-1, x.shape[-1]), W.reshape(-1, W.shape[-1])
        dx = _gather_sum(g, at.columns, at.row_starts, flat_W).view_as(x) if ctx.needs_input_grad[0] else None
        dW = _transposed(g, at, flat_x).view_as(W) if ctx.needs_input_grad[1] else None
        db = g.new_zeros(len(flat_W)).index_add_(0, at.columns, g).view(W.shape[:-1])
        return dx, dW, db if ctx.needs_input_grad[2] else None, None, None


class _Combined(torch.autograd.Function):
    """Σ values · W over the entries of each row."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, W: Tensor, at: Entries) -> Tensor:
        ctx.save_for_backward(values, W)
        ctx.at = at
        return _gather_sum(values, at.columns, at.row_starts, W.reshape(-1, W.shape[-1]))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (values, W), at = ctx.saved_tensors, ctx.at
        dvalues = _dots(g, at, W.reshape(-1, W.shape[-1])) if ctx.needs_input_grad[0] else None
        dW = _transposed(values, at, g).view_as(W) if ctx.needs_input_grad[1] else None
        return dvalues, dW, None


def preactivations(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """x Wᵀ + b [S, B, F] of x [S, B, D], W [S, F, D], b [S, F]."""
    return torch.baddbmm(b[:, None], x, W.transpose(1, 2))


def _sparse_encode(x: Tensor, W: Tensor, b: Tensor, selects: Sequence[Select]) -> list[tuple[Entries, Tensor]]:
    with torch.no_grad():
        pre = preactivations(x, W, b)
        found = [entries_at(select(pre), pre.shape) for select in selects]
    return [(at, _Sampled.apply(x, W, b, pre, at)) for at in found]


def _sparse_combine(values: Tensor, at: Entries, W: Tensor) -> Tensor:
    return _Combined.apply(values, W, at).view(len(W), -1, W.shape[-1])


def _dense_encode(x: Tensor, W: Tensor, b: Tensor, selects: Sequence[Select]) -> list[tuple[Entries, Tensor]]:
    pre = preactivations(x, W, b)
    found = [entries_at(select(pre.detach()), pre.shape) for select in selects]
    return [(at, pre.flatten()[at.positions]) for at in found]


def _dense_combine(values: Tensor, at: Entries, W: Tensor) -> Tensor:
    S, F, _ = W.shape
    n_rows = len(at.row_starts)
    f = values.new_zeros(n_rows * F).index_put((at.positions,), values)
    return f.view(S, n_rows // S, F) @ W


SPARSE = Products(_sparse_encode, _sparse_combine)
DENSE = Products(_dense_encode, _dense_combine)
