"""The untrained twin with a trained predictor: the strongest opponent that an encoder without training can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor, nn

from jepascope import params
from jepascope.cohort import encounters as cohort_encounters
from jepascope.training.arms import predictor_only
from jepascope.training.batches import infer, pack
from jepascope.training.initial import untrained_twin
from jepascope.training.loop import finish, fit


class Precomputed(nn.Module):
    """A frozen encoder as a table: an encounter is one token, its row number, and z is looked up, not computed."""

    z: Tensor  # [N, D]

    def __init__(self, z: Tensor) -> None:
        super().__init__()
        self.register_buffer("z", z, persistent=False)

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        """Return z [N, D] of the rows named by tokens int64 [N]; offsets are not needed."""
        return self.z[tokens]


def train_twin(
    folder: Path, encounters: Path, model_params: params.Model, training_params: params.Training, seed: int
) -> None:
    """Fit context and predictor on the untrained twin's z, because an untrained predictor is no opponent.

    The encoder is frozen, so its z is computed once and the objective is the prediction error alone; loop, data,
    epochs and seed are those of `train`. It keeps its best epoch on validation patients: what an untrained encoder
    gives to predict is soon learnt, and an opponent that goes on to overfit would be a weak one. A step, with the same
    files.
    """
    cohort = cohort_encounters.load(encounters)
    model = untrained_twin(cohort, model_params, seed)
    encoder = model.encoder
    packed = pack(cohort)
    table = Precomputed(infer(model, packed, np.arange(len(packed.first) - 1)).z)
    model.register_module("encoder", table)
    rows = np.arange(len(cohort.index) + 1)
    one_token_each = cohort._replace(tokens=rows[:-1], offsets=rows)
    # The gates are for what training may destroy; this z was never trained.
    ungated = training_params.model_copy(
        update={"min_rank": 1.0, "min_std": 0.0, "min_within_patient": 0.0, "processes": 1}
    )
    fit(folder, one_token_each, model, predictor_only(training_params), ungated, seed, keep_best=True)
    model.register_module("encoder", encoder)
    finish(folder, model, encoder)
