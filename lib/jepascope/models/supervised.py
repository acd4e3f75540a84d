"""The supervised transformer: the JEPA's encoder and context, told the outcomes instead of the next encounter."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from jepascope.models.context import Context
from jepascope.models.encoder import Encoder
from jepascope.models.jepa import Batch


class Supervised(nn.Module):
    """logit_k = W · c_k + b, a row of W a task: beside frozen probes on c, only what c was trained for differs.

    Encoder and context are the JEPA's own modules, of the same size.
    """

    def __init__(
        self, vocabulary_size: int, tasks: int, width: int, heads: int, encoder_layers: int, context_layers: int
    ) -> None:
        super().__init__()
        self.encoder = Encoder(vocabulary_size, width, heads, encoder_layers)
        self.context = Context(width, heads, context_layers)
        self.heads = nn.Linear(width, tasks)

    def forward(self, batch: Batch) -> Tensor:
        """Log-odds of every task at every encounter, [N, Q]; row k reads encounters ≤ k alone."""
        z = self.encoder(batch.tokens, batch.offsets)  # [N, D]
        return self.heads(self.context(z, batch.first, batch.gap, batch.age))


def masked_log_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over tasks of the mean log-loss over a task's answered rows: one mean of all would drown rare questions.

    logits [N, Q]; labels [N, Q] in {0, 1}, NaN where not answered: no loss and no gradient. A task without an answer
    is left out of the mean; without any answer the loss is 0.
    """
    answered = labels.isfinite()
    losses = binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")  # [N, Q]
    rows = answered.sum(dim=0)  # [Q]
    per_task = torch.where(answered, losses, 0).sum(dim=0) / rows.clamp(min=1)
    return per_task.sum() / (rows > 0).sum().clamp(min=1)
