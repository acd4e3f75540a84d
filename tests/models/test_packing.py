"""Packing loses nothing, mixes nothing up, and pads little."""

import torch

from jepascope.models.packing import length_buckets, ragged_index, unpack


def test_ragged_index_lists_every_piece_in_order():
    index = ragged_index(torch.tensor([5, 0, 9]), torch.tensor([2, 3, 0]))
    assert index.tolist() == [5, 6, 0, 1, 2]


def test_buckets_and_unpack_give_the_flat_list_back():
    lengths = torch.randint(0, 40, (300,), generator=torch.Generator().manual_seed(0))
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    flat = torch.rand(int(offsets[-1]), 1)
    buckets = length_buckets(offsets, 256)
    assert len(buckets) > 5
    assert torch.equal(
        unpack([flat[b.elements][b.valid] for b in buckets], [b.elements[b.valid] for b in buckets]), flat
    )
    for bucket in buckets:
        assert torch.equal(bucket.valid.sum(1), lengths[bucket.rows])


def test_sorting_by_length_leaves_less_than_a_tenth_of_padding():
    lengths = torch.randint(3, 60, (1000,), generator=torch.Generator().manual_seed(1))
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    computed = sum(bucket.valid.numel() for bucket in length_buckets(offsets, 2048))
    assert computed < 1.1 * lengths.sum()


def test_no_sequences_give_no_buckets():
    assert length_buckets(torch.zeros(1, dtype=torch.int64), 8) == []
