"""Packing: sequences of very different lengths computed with almost no padding.

A batch is one flat list. Its sequences are sorted by length and cut into buckets of about equal size, so that a
bucket's sequences are about equally long and padding to the longest wastes little. Sorted on the size of a batch,
not of the cohort, so that a batch stays a random draw of patients and its variance and covariance are unbiased.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Bucket(NamedTuple):
    """Sequences of similar length, as a padded view on the flat list."""

    rows: Tensor  # int64 [n], which sequences
    elements: Tensor  # int64 [n, L], where their elements lie in the flat list; 0 at padding
    valid: Tensor  # bool [n, L], False at padding


def length_buckets(offsets: Tensor, size: int) -> list[Bucket]:
    """Cut sequences by length into buckets of about `size` elements, because padding to one length doubles the work.

    offsets: int64 [N + 1], sequence i being flat[offsets[i]:offsets[i + 1]]. Which bucket a sequence falls in depends
    on lengths only, never on content. No sequences give no buckets.
    """
    lengths = offsets.diff()
    order = lengths.argsort(stable=True)
    bucket = lengths[order].clamp(min=1).cumsum(0).sub(1) // size
    sizes = bucket.unique_consecutive(return_counts=True)[1]
    return [_padded(rows, offsets[rows], lengths[rows]) for rows in order.split(sizes.tolist())]


def ragged_index(starts: Tensor, lengths: Tensor) -> Tensor:
    """Index the elements of ragged pieces of a flat list at once, because a Python loop over pieces is what is slow.

    starts, lengths: int64 [n]. Returns int64 [sum(lengths)]: start_0, start_0 + 1, …, start_1, start_1 + 1, …
    """
    before = lengths.cumsum(0) - lengths
    return torch.arange(int(lengths.sum()), device=starts.device) + (starts - before).repeat_interleave(lengths)


def unpack(pieces: list[Tensor], positions: list[Tensor]) -> Tensor:
    """Put bucketed results back in flat order: pieces [n_i, D] belong at positions [n_i], which cover 0..N-1 once."""
    return torch.cat(pieces).index_select(0, torch.cat(positions).argsort())


def _padded(rows: Tensor, starts: Tensor, lengths: Tensor) -> Bucket:
    position = torch.arange(int(lengths.max()), device=rows.device)
    valid = position < lengths[:, None]  # [n, L]
    return Bucket(rows, torch.where(valid, starts[:, None] + position, 0), valid)
