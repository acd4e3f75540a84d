"""The same JEPA as one would first write it: rectangular tensors, padding masks, PyTorch's own transformer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from jepascope.models.context import Predictor, gap_feature
from jepascope.models.encoder import CLS, Block
from jepascope.models.jepa import JEPA, Batch, JEPAOutput

PADDING = -1  # not 0: that is [CLS], which is read


class Padded(NamedTuple):
    """A batch as rectangles. Rows of `tokens` are the cells of the grid, or only the encounters there are."""

    tokens: Tensor  # int64 [R, 1 + L], [CLS] first, PADDING last; R = N, or B · K with patients padded too
    rows: Tensor  # int64 [N], which rows of `tokens` are encounters
    present: Tensor  # bool [B, K], True where a patient has a k-th encounter
    gap: Tensor  # float32 [B, K]
    age: Tensor  # float32 [B, K]


def pad_batch(batch: Batch, pad_patients: bool) -> Padded:
    """Lay a packed batch out in rectangles, to the longest encounter and the longest patient of the batch.

    With `pad_patients` an encounter that isn't there is a row as well: tokens are B × K × L, as in most code that is
    public. Without, encounters are one list and only their tokens are padded: the better of the plain ways.
    """
    lengths, per_patient = batch.offsets.diff(), batch.first.diff()
    encounters = pad_sequence(list(batch.tokens.split(lengths.tolist())), batch_first=True, padding_value=PADDING)
    tokens = nn.functional.pad(encounters, (1, 0), value=CLS)  # [N, 1 + L]
    present = torch.arange(int(per_patient.max()), device=tokens.device) < per_patient[:, None]
    gap, age = (_grid(present, values) for values in (batch.gap, batch.age))
    if not pad_patients:
        return Padded(tokens, torch.arange(len(tokens), device=tokens.device), present, gap, age)
    cells = tokens.new_full((present.numel(), tokens.shape[1]), PADDING)  # [B K, 1 + L]
    # An absent encounter keeps its [CLS]: a row that is masked whole would be 0 / 0 in the softmax.
    cells[:, 0] = CLS
    rows = present.flatten().nonzero()[:, 0]
    cells[rows] = tokens
    return Padded(cells, rows, present, gap, age)


class PaddedEncoder(nn.Module):
    """The encoder over one rectangle; torch's layers compute every position, read or not."""

    def __init__(self, vocabulary_size: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.blocks = _transformer(width, heads, layers)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode tokens [R, 1 + L]; returns [R, D]."""
        x = self.embedding(tokens.clamp(min=0))
        x = self.blocks(x, src_key_padding_mask=tokens == PADDING)
        return self.out(self.norm(x[:, 0]))


class PaddedContext(nn.Module):
    """The causal transformer over [B, K, D]."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.input = nn.Linear(width + 2, width)
        self.blocks = _transformer(width, heads, layers)
        self.norm = nn.LayerNorm(width)

    def forward(self, z: Tensor, gap: Tensor, age: Tensor) -> Tensor:
        """Read z [B, K, D] with gap (days) and age (years) [B, K]; returns c [B, K, D]."""
        x = self.input(torch.cat([z, gap_feature(gap)[..., None], age[..., None] / 50 - 1], dim=-1))
        causal = nn.Transformer.generate_square_subsequent_mask(z.shape[1], device=z.device)
        return self.norm(self.blocks(x, mask=causal, is_causal=True))


class PaddedJEPA(nn.Module):
    """Takes and returns what JEPA does, so that one training step fits both; in between it is plain."""

    def __init__(
        self,
        vocabulary_size: int,
        width: int,
        heads: int,
        encoder_layers: int,
        context_layers: int,
        predictor_hidden: int,
        pad_patients: bool = True,
    ) -> None:
        super().__init__()
        self.pad_patients = pad_patients
        self.encoder = PaddedEncoder(vocabulary_size, width, heads, encoder_layers)
        self.context = PaddedContext(width, heads, context_layers)
        self.predictor = Predictor(width, predictor_hidden)

    def forward(self, batch: Batch) -> JEPAOutput:
        """Compute z, c [N, D] and ẑ [M, D]; what was computed for padding is dropped here."""
        padded = pad_batch(batch, self.pad_patients)
        present = padded.present
        z = self.encoder(padded.tokens)[padded.rows]  # [N, D]
        c = self.context(_grid(present, z), padded.gap, padded.age)  # [B, K, D]
        has_previous = present[:, 1:]
        z_hat = self.predictor(c[:, :-1][has_previous], padded.gap[:, 1:][has_previous])  # [M, D]
        row = _grid(present, torch.arange(len(z), device=z.device))
        return JEPAOutput(z, c[present], z_hat, row[:, 1:][has_previous])


def with_weights_of(model: JEPA, pad_patients: bool) -> PaddedJEPA:
    """Make the padded model that computes what `model` computes."""
    padded = PaddedJEPA(**model.config, pad_patients=pad_patients)
    for ours, theirs in ((model.encoder, padded.encoder), (model.context, padded.context)):
        copied = {name: value for name, value in ours.state_dict().items() if not name.startswith("blocks.")}
        theirs.load_state_dict(copied, strict=False)
        for block, layer in zip(ours.blocks, theirs.blocks.layers, strict=True):
            _copy_block(block, layer)
    padded.predictor.load_state_dict(model.predictor.state_dict())
    return padded


def _copy_block(block: Block, layer: nn.TransformerEncoderLayer) -> None:
    attention = layer.self_attn
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([block.query.weight, block.key_value.weight]))
        attention.in_proj_bias.copy_(torch.cat([block.query.bias, block.key_value.bias]))
    pairs = ((attention.out_proj, block.attention_out), (layer.norm1, block.attention_norm),
             (layer.norm2, block.mlp_norm), (layer.linear1, block.mlp[0]), (layer.linear2, block.mlp[2]))  # fmt: skip
    for theirs, ours in pairs:
        theirs.load_state_dict(ours.state_dict())


def _transformer(width: int, heads: int, layers: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def _grid(present: Tensor, values: Tensor) -> Tensor:
    """Put values [N, …] of encounters in order where `present` [B, K] is True, zeros elsewhere."""
    grid = values.new_zeros(*present.shape, *values.shape[1:])
    grid[present] = values
    return grid
