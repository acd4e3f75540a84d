"""Small random batches for the models' tests."""

import torch

from jepascope.models.jepa import Batch


def random_batch(encounters_per_patient: list[int], vocabulary: int = 50, seed: int = 0, longest: int = 20) -> Batch:
    """Patients with the given numbers of encounters, 1 to `longest` random tokens each."""
    g = torch.Generator().manual_seed(seed)
    n = sum(encounters_per_patient)
    lengths = torch.randint(1, longest + 1, (n,), generator=g)
    zero = torch.zeros(1, dtype=torch.int64)
    return Batch(
        tokens=torch.randint(1, vocabulary, (int(lengths.sum()),), generator=g),
        offsets=torch.cat([zero, lengths.cumsum(0)]),
        first=torch.cat([zero, torch.tensor(encounters_per_patient).cumsum(0)]),
        gap=torch.rand(n, generator=g) * 400,
        age=20 + torch.rand(n, generator=g) * 60,
    )


def torch_reference_layer(block: torch.nn.Module, width: int, heads: int) -> torch.nn.TransformerEncoderLayer:
    """torch's own pre-norm transformer layer, carrying the weights of one of our blocks."""
    layer = torch.nn.TransformerEncoderLayer(
        width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    attention = layer.self_attn
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([block.query.weight, block.key_value.weight]))
        attention.in_proj_bias.copy_(torch.cat([block.query.bias, block.key_value.bias]))
    attention.out_proj.load_state_dict(block.attention_out.state_dict())
    layer.norm1.load_state_dict(block.attention_norm.state_dict())
    layer.norm2.load_state_dict(block.mlp_norm.state_dict())
    layer.linear1.load_state_dict(block.mlp[0].state_dict())
    layer.linear2.load_state_dict(block.mlp[2].state_dict())
    return layer.train()  # eval mode takes a fused path that skips nothing we want checked, but rounds otherwise
