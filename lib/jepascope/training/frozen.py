"""Context and predictor trained again on a z that stands still, and told something more: a trial of the predictor.

The errors of two such predictors lie in one space, so that one can be subtracted from the other; and without the
encoder a training takes seconds.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from jepascope import params
from jepascope.models.encoder import Encoder
from jepascope.models.jepa import JEPA, Batch
from jepascope.training.batches import epoch_batches, infer, select
from jepascope.training.initial import new_model
from jepascope.training.loop import make_optimiser, schedule


class Lookup(nn.Module):
    """Stands where the encoder was: an encounter's only token is its row, its z is known, and it may be told some bits.

    What a bit means is learnt: a vector, nought at first, that is added to the z that the context reads. So all
    predictors start out the same, whatever they are told. z [N, D], told [N, P].
    """

    def __init__(self, z: Tensor, told: Tensor) -> None:
        super().__init__()
        self.register_buffer("z", z)
        self.register_buffer("told", told)
        self.meaning = nn.Parameter(torch.zeros(told.shape[1], z.shape[1]))

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        """z [N, D] of the rows `tokens` int64 [N], with what they are told; offsets are not needed."""
        z, told = cast(Tensor, self.z), cast(Tensor, self.told)
        return z[tokens] + told[tokens] @ self.meaning


def retrain(
    z: np.ndarray,
    cohort: Batch,
    told: np.ndarray,
    train_patients: np.ndarray,
    model_params: params.Model,
    training: params.Training,
    epochs: int,
    seed: int,
) -> np.ndarray:
    """Train context and predictor anew on a frozen z and predict every encounter with k >= 1; returns ẑ [M, D].

    The loop's optimiser, schedule and order of patients, so that predictors of one seed differ in what they are told
    alone; the loss is the distance to z, as nothing can collapse. Everything is on the CPU.

    Args: z float32 [N, D]; cohort, the N encounters packed (of which the tokens are not read); told [N, P], known at
    each encounter (P may be 0); train_patients int64, positions in the cohort.
    """
    N = len(cohort.gap)
    rows = cohort._replace(tokens=torch.arange(N), offsets=torch.arange(N + 1))
    target = torch.from_numpy(np.asarray(z, np.float32))
    model = new_model(1, model_params, seed)
    optimiser = _replace_encoder(model, target, told, training)
    steps = epochs * -(-len(train_patients) // training.batch_patients)
    done = 0
    model.train()
    for epoch in range(epochs):
        for patients in epoch_batches(train_patients, training.batch_patients, seed, epoch):
            for group in optimiser.param_groups:
                group["lr"] = training.learning_rate * schedule(done, steps, training.warmup_share)
            _step(model, optimiser, target, select(rows, torch.from_numpy(patients)), training)
            done += 1
    return infer(model, rows, np.arange(len(cohort.first) - 1)).z_hat.numpy()


def _replace_encoder(model: JEPA, z: Tensor, told: np.ndarray, training: params.Training) -> torch.optim.AdamW:
    """Put the lookup where the encoder was; returns the optimiser of what is left to learn."""
    model.encoder.requires_grad_(False)
    optimiser = make_optimiser(model, training)
    lookup = Lookup(z, torch.from_numpy(np.asarray(told, np.float32)))
    optimiser.add_param_group({"params": [lookup.meaning], "weight_decay": 0.0, "rate": 1.0})
    model.encoder = cast(Encoder, lookup)
    return optimiser


def _step(
    model: JEPA, optimiser: torch.optim.Optimizer, target: Tensor, batch: Batch, training: params.Training
) -> None:
    output = model(batch)
    optimiser.zero_grad()
    loss = training.invariance * mse_loss(output.z_hat, target[batch.tokens[output.target_rows]])
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clip)
    optimiser.step()
