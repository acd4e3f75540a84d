"""Context is torch's causal transformer, patient by patient; time reaches it as time."""

import torch
from batches_by_hand import random_batch, torch_reference_layer
from torch import nn

from jepascope.models.context import Context, Predictor, gap_feature


def test_context_equals_torchs_causal_transformer_run_per_patient():
    torch.manual_seed(0)
    batch, z, context = random_batch([3, 1, 17, 2]), torch.randn(23, 16), Context(16, 4, layers=2)
    expected = []
    for start, end in zip(batch.first[:-1], batch.first[1:], strict=True):
        time = torch.stack([(1 + batch.gap[start:end]).log() / 4 - 1, batch.age[start:end] / 50 - 1], dim=1)
        x = context.input(torch.cat([z[start:end], time], dim=1))[None]
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        for block in context.blocks:
            x = torch_reference_layer(block, 16, 4)(x, src_mask=mask, is_causal=True)
        expected.append(context.norm(x[0]))
    torch.testing.assert_close(context(z, batch.first, batch.gap, batch.age), torch.cat(expected), rtol=1e-5, atol=2e-6)


def test_a_day_counts_more_after_a_short_gap_than_after_a_long_one():
    feature = gap_feature(torch.tensor([0.0, 1.0, 900.0, 901.0, -3.0]))
    assert feature[1] - feature[0] > 100 * (feature[3] - feature[2])
    assert feature[4] == feature[0] == -1


def test_prediction_depends_on_the_gap_it_is_made_for():
    torch.manual_seed(0)
    predictor, c = Predictor(16, 32), torch.randn(1, 16)
    assert not torch.allclose(predictor(c, torch.tensor([1.0])), predictor(c, torch.tensor([300.0])))
