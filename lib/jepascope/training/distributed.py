"""One batch shared by several processes: each encodes its patients, all judge the whole batch, gradients are summed.

Variance and covariance of a batch are not means of those of its parts, so the parts are laid together before the
objective sees them. The result is that of one process with the same batch, up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from jepascope.models.objectives import Pass, Prediction, join


def rank() -> int:
    """Which of the processes this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes share the work."""
    return dist.get_world_size() if dist.is_initialized() else 1


def my_share(patients: np.ndarray) -> np.ndarray:
    """This process's part of a batch's patients [B]; parts differ by one at most. Raises ValueError if one is empty."""
    if len(patients) < world():
        raise ValueError(f"{len(patients)} patients in a batch can't be shared by {world()} processes: take fewer")
    return np.array_split(patients, world())[rank()]


def whole(mine: Pass) -> Pass:
    """Lay every process's pass over its part together; the gradient flows into one's own part alone."""
    if world() == 1:
        return mine
    tensors = [mine.z, mine.c, mine.target, *(t for made in mine.predictions for t in made)]
    gathered = [_gather(tensor) for tensor in tensors]  # per tensor, a list over processes
    parts = []
    for r in range(world()):
        z, c, target, *made = (pieces[r] for pieces in gathered)
        predictions = tuple(Prediction(*made[i : i + 2]) for i in range(0, len(made), 2))
        parts.append(Pass(z, c, target, predictions, mine.step))
    return join(parts)


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Add the processes' gradients: each holds the part that flows through its own patients."""
    if world() > 1:
        for parameter in parameters:
            if parameter.requires_grad:
                if parameter.grad is None:  # no patient here reached it; the others wait for us all the same
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)


def _gather(mine: Tensor) -> list[Tensor]:
    """Every process's rows of a tensor [n, …], n differing; one's own keeps its gradient."""
    sizes = [torch.zeros(1, dtype=torch.int64, device=mine.device) for _ in range(world())]
    dist.all_gather(sizes, torch.tensor([len(mine)], device=mine.device))
    longest = int(max(size.item() for size in sizes))
    padded = mine.new_zeros(longest, *mine.shape[1:])
    padded[: len(mine)] = mine.detach()
    pieces = [torch.empty_like(padded) for _ in range(world())]
    dist.all_gather(pieces, padded)
    cut = [piece[: int(size)] for piece, size in zip(pieces, sizes, strict=True)]
    cut[rank()] = mine
    return cut
