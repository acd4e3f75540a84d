"""The encoder: the codes of one encounter, a set, become one vector z."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from jepascope.models.packing import length_buckets, unpack

CLS = 0  # token id of [CLS]; also what padding reads, where nothing looks
# On a CPU small enough that a bucket's activations stay in its cache; on a GPU large enough to fill it.
BUCKET_TOKENS = {"cpu": 2048, "cuda": 131_072}


class Block(nn.Module):
    """Pre-norm transformer block: x ← x + Attention(LN x); x ← x + MLP(LN x).

    No dropout and no batch statistics: a row's value depends on its own sequence alone.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(
        self, x: Tensor, queries: int | None = None, mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Update the first `queries` positions of x [n, L, D] (all by default) and return them, [n, Q, D].

        mask: bool, broadcastable to [n, heads, Q, L], True where a query may look.
        """
        h = self.attention_norm(x)
        q = self._split(self.query(h[:, :queries]))
        k, v = (self._split(half) for half in self.key_value(h).chunk(2, dim=-1))
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)
        x = x[:, :queries] + self.attention_out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.mlp_norm(x))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [n, L, D] -> [n, heads, L, D / heads]


class Encoder(nn.Module):
    """z = W · LN(h_[CLS]) + b, h the transformer's output over {[CLS], codes of the encounter}.

    It ends in a Linear, because a LayerNorm before the regulariser would fix the variance that VICReg is to hold up.
    No positions: the codes of an encounter are a set, their order in the record is billing.
    """

    def __init__(self, vocabulary_size: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, width)
        # A random [CLS] would drown what differs between encounters: z would start out almost constant.
        nn.init.zeros_(self.embedding.weight.data[CLS])
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        """Encode packed encounters: tokens int64 [T], offsets int64 [N + 1]. Returns z [N, D]."""
        buckets = length_buckets(offsets, BUCKET_TOKENS[tokens.device.type])
        pieces = [self.encode_padded(tokens[b.elements], b.valid) for b in buckets]
        return self.out(self.norm(unpack(pieces, [b.rows for b in buckets])))

    def encode_padded(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """Run the blocks over padded encounters, tokens and valid [n, L]. Returns the [CLS] state, [n, D].

        In the last block only [CLS] asks, because nobody reads the other positions after it.
        """
        x = self.embedding(pad(tokens, (1, 0), value=CLS))  # [n, 1 + L, D]
        mask = pad(valid, (1, 0), value=True)[:, None, None, :]  # [n, 1, 1, 1 + L]
        for block in self.blocks[:-1]:
            x = block(x, mask=mask)
        return self.blocks[-1](x, queries=1, mask=mask)[:, 0]
