"""The packed encoder is the plain padded one, faster; and an encounter is a set."""

import itertools

import torch
from batches_by_hand import random_batch, torch_reference_layer
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from jepascope.models import encoder as encoder_module
from jepascope.models.encoder import Encoder


def make_encoder(layers: int = 2) -> Encoder:
    torch.manual_seed(3)
    encoder = Encoder(vocabulary_size=50, width=16, heads=4, layers=layers)
    nn.init.normal_(encoder.embedding.weight)
    return encoder


def padded_reference(encoder: Encoder, tokens: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Everything padded to the longest encounter, through torch's own layers, all positions computed."""
    sets = [torch.cat([torch.tensor([0]), tokens[a:b]]) for a, b in itertools.pairwise(offsets)]
    padded = pad_sequence(sets, batch_first=True, padding_value=-1)
    x = encoder.embedding(padded.clamp(min=0))
    for block in encoder.blocks:
        x = torch_reference_layer(block, 16, 4)(x, src_key_padding_mask=padded < 0)
    return encoder.out(encoder.norm(x[:, 0]))


def test_packed_encoder_equals_torchs_padded_transformer(monkeypatch):
    monkeypatch.setitem(encoder_module.BUCKET_TOKENS, "cpu", 64)  # many buckets
    encoder, batch = make_encoder(), random_batch([3, 1, 5, 2, 40])
    z = encoder(batch.tokens, batch.offsets)
    torch.testing.assert_close(z, padded_reference(encoder, batch.tokens, batch.offsets), rtol=1e-5, atol=2e-6)


def test_packed_gradients_equal_those_of_torchs_padded_transformer():
    encoder, batch = make_encoder(), random_batch([3, 9])
    weight = torch.randn(12, 16, generator=torch.Generator().manual_seed(0))
    gradients = []
    for z in (encoder(batch.tokens, batch.offsets), padded_reference(encoder, batch.tokens, batch.offsets)):
        encoder.zero_grad()
        (z * weight).sum().backward()
        gradients.append(encoder.embedding.weight.grad.clone())
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_order_of_codes_within_an_encounter_does_not_matter():
    encoder, batch = make_encoder(), random_batch([4])
    shuffled = torch.cat([part.flip(0) for part in batch.tokens.split(batch.offsets.diff().tolist())])
    assert not torch.equal(shuffled, batch.tokens)
    torch.testing.assert_close(encoder(shuffled, batch.offsets), encoder(batch.tokens, batch.offsets))


def test_z_of_an_encounter_does_not_depend_on_its_company():
    encoder, batch = make_encoder(), random_batch([30])
    alone = torch.cat(
        [encoder(part, torch.tensor([0, len(part)])) for part in batch.tokens.split(batch.offsets.diff().tolist())]
    )
    together = encoder(batch.tokens, batch.offsets)
    assert (alone - together).norm() <= 1e-6 * together.norm()


def test_training_mode_changes_nothing_because_there_is_no_dropout_and_no_batch_norm():
    encoder, batch = make_encoder(), random_batch([6])
    trained = encoder.train()(batch.tokens, batch.offsets)
    assert torch.equal(encoder.eval()(batch.tokens, batch.offsets), trained)


def test_an_encounter_without_codes_is_its_cls_alone():
    encoder = make_encoder()
    z = encoder(torch.tensor([7, 8]), torch.tensor([0, 0, 2]))
    assert torch.isfinite(z).all()
    assert torch.allclose(z[0], encoder(torch.tensor([], dtype=torch.int64), torch.tensor([0, 0]))[0])
