"""Arms: the ways to train one architecture that the book compares. They differ in the lines below, and nowhere else."""

from __future__ import annotations

import math
from functools import partial
from itertools import accumulate
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from jepascope import params
from jepascope.models.jepa import JEPA, Batch
from jepascope.models.objectives import Objective, Pass, Prediction, Weights, absolute_distance, sigreg, vicreg
from jepascope.models.rollout import rollout

# What ẑ is held against: z of the same weights, with the gradient stopped; the same, with the gradient let through;
# z of the momentum copy of the encoder.
Target = Literal["stopped", "attached", "momentum"]


class Phase(NamedTuple):
    """A stretch of training under one target; the learning rate warms up and falls within it."""

    name: str
    target: Target
    share: float = 1.0  # of the epochs
    encoder_moves: bool = True


class Arm(NamedTuple):
    """What is minimised, against what, in which order."""

    objective: Objective
    phases: tuple[Phase, ...]
    horizon: int = 1  # encounters ahead that ẑ reaches, its own predictions fed back

    @property
    def has_momentum(self) -> bool:
        """Whether a momentum copy of the encoder has to be kept."""
        return any(phase.target == "momentum" for phase in self.phases)


def make_arm(training: params.Training) -> Arm:
    """Spell out the arm that `training.arm` names.

    `curriculum` follows the five phases of Clin-JEPA (Yang et al. 2026), whose code is not public; the sizes of its
    phases, VICReg's regularisers in its loss (it began with a pretrained language model, we begin with nothing) and the
    reading of each phase are ours. The hard sync is the moment at which the copy becomes the encoder again.
    """
    weights = Weights(training.invariance, training.variance, training.covariance)
    match training.arm:
        case "stop_gradient":
            return Arm(partial(vicreg, weights=weights), (Phase("joint", "stopped"),))
        case "ema":
            return Arm(partial(vicreg, weights=weights), (Phase("joint", "momentum"),))
        case "both_sides":
            return Arm(partial(vicreg, weights=weights), (Phase("joint", "attached"),))
        case "sigreg":
            objective = partial(sigreg, weight=training.sigreg_weight, slices=training.sigreg_slices)
            return Arm(objective, (Phase("joint", "attached"),))
        case "curriculum":
            phases = (
                Phase("predictor warm-up", "stopped", 0.2, encoder_moves=False),
                Phase("joint refinement", "momentum", 0.5),
                Phase("EMA target alignment", "momentum", 0.15, encoder_moves=False),
                Phase("hard sync and predictor finalisation", "stopped", 0.15, encoder_moves=False),
            )
            return Arm(partial(vicreg, weights=weights, distance=absolute_distance), phases, horizon=2)


def predictor_only(training: params.Training) -> Arm:
    """Fit context and predictor to an encoder that stands still: what an untrained twin gets."""
    objective = partial(vicreg, weights=Weights(training.invariance, 0.0, 0.0))
    return Arm(objective, (Phase("predictor", "stopped", encoder_moves=False),))


def phase_ends(arm: Arm, epochs: int) -> list[int]:
    """Epochs at which the phases end, one epoch each at least and the rest by share; the last is `epochs`.

    Raises ValueError when there are more phases than epochs.
    """
    n = len(arm.phases)
    if epochs < n:
        raise ValueError(
            f"{n} phases don't fit in {epochs} epochs: raise training.epochs (or arms.epochs) to {n} at least"
        )
    shares = accumulate(phase.share for phase in arm.phases)
    return [i + round((epochs - n) * share) for i, share in enumerate(shares, start=1)]


def look(arm: Arm, phase: Phase, model: JEPA, teacher: nn.Module, batch: Batch, step: int) -> Pass:
    """Run the model over a batch as the arm's phase asks: embeddings, targets, predictions.

    `teacher` is the encoder's momentum copy, where the arm has one.
    """
    output = model(batch)
    predictions = [Prediction(output.z_hat, output.target_rows)]
    if arm.horizon > 1:
        for z_hat in rollout(model, batch, output.z, arm.horizon)[1:]:
            rows = (~z_hat.isnan().any(dim=1)).nonzero()[:, 0]
            predictions.append(Prediction(z_hat[rows], rows))
    return Pass(output.z, output.c, target_of(phase, output.z, teacher, batch), tuple(predictions), step)


def target_of(phase: Phase, z: Tensor, teacher: nn.Module, batch: Batch) -> Tensor:
    """The embeddings that predictions are held against, [N, D]: only `attached` lets the gradient reach them."""
    if phase.target == "momentum":
        with torch.no_grad():
            return teacher(batch.tokens, batch.offsets)
    return z if phase.target == "attached" else z.detach()


def follow(teacher: nn.Module, encoder: nn.Module, momentum: float) -> None:
    """Move the copy a little towards the encoder: θ' ← m θ' + (1 − m) θ (He et al. 2020, MoCo, eq. 2)."""
    with torch.no_grad():
        for mine, theirs in zip(teacher.parameters(), encoder.parameters(), strict=True):
            mine.lerp_(theirs, 1 - momentum)


def momentum_at(step: int, total: int, start: float) -> float:
    """Half a cosine from `start` at the first step to 1 at the last (Grill et al. 2020, BYOL)."""
    return 1 - (1 - start) * (math.cos(math.pi * step / max(total, 1)) + 1) / 2
