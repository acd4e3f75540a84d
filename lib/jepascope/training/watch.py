"""What a run is watched by, once an epoch on validation patients, and the gates that stop it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from jepascope import params
from jepascope.models.jepa import JEPA, Batch
from jepascope.training import collapse
from jepascope.training.arms import Arm, Phase, look
from jepascope.training.batches import infer, select


class CollapseError(RuntimeError):
    """The representation has collapsed; the message names the gate and its value."""


@torch.no_grad()
def watch(
    model: JEPA, teacher: nn.Module, arm: Arm, phase: Phase, cohort: Batch, train: np.ndarray, validation: np.ndarray
) -> dict[str, float]:
    """Measure loss, mismatch, spread, rank and skill on validation patients; NaN where there is too little data.

    `mismatch` is how far the target network's z is from the model's, mean ‖f(x) − f'(x)‖ / ‖f'(x)‖: exactly 0 where
    both are one. The mean that skill is held against comes from train patients, as many as validation has.
    """
    sample = np.unique(np.linspace(0, len(train) - 1, min(len(train), len(validation))).astype(int))
    train_mean = infer(model, cohort, train[sample]).z.mean(dim=0).numpy()
    batch = select(cohort, torch.from_numpy(validation).to(cohort.first.device))
    model.eval()
    seen = look(arm, phase, model, teacher, batch, step=0)
    theirs = teacher(batch.tokens, batch.offsets)
    losses = {f"validation_{term}": value.item() for term, value in arm.objective(seen).items()}
    z, c, their_z, z_hat, rows = (t.cpu().numpy() for t in (seen.z, seen.c, theirs, *seen.predictions[0]))
    patient = np.repeat(validation, cohort.first.diff().cpu().numpy()[validation])  # [N]
    return (
        losses
        | {"mismatch": collapse.mismatch(z, their_z)}
        | spread("z", z, patient)
        | spread("c", c, patient)
        | spread("z_hat", z_hat, patient[rows])
        | spread("e", z[rows] - z_hat, patient[rows])
        | {
            "skill_over_mean": collapse.skill(z[rows], z_hat, train_mean),
            "skill_over_persistence": collapse.skill(z[rows], z_hat, z[rows - 1]),
        }
    )


def spread(name: str, X: np.ndarray, patient: np.ndarray) -> dict[str, float]:
    """Every collapse measure of one object, X [N, D] with its patients [N], under `<measure>_<name>`.

    The rows of a patient are in order. All are NaN when any row isn't finite: the loss says so too, and has a gate.
    """
    if not np.isfinite(X).all():
        X, patient = X[:0], patient[:0]
    std = collapse.dimension_std(X)
    retrieval = collapse.same_patient_retrieval(X, patient)
    return {
        f"rankme_{name}": collapse.rankme(X),
        f"effective_rank_{name}": collapse.effective_rank(X),
        f"top_variance_share_{name}": collapse.top_variance_share(X),
        f"std_min_{name}": float(std.min()),
        f"std_mean_{name}": float(std.mean()),
        f"mean_absolute_cosine_{name}": collapse.mean_absolute_cosine(X),
        f"lidar_{name}": collapse.lidar(X, patient),
        f"within_patient_share_{name}": collapse.within_patient_share(X, patient),
        f"between_patient_share_{name}": collapse.between_patient_share(X, patient),
        f"same_patient_retrieval_{name}": retrieval.share,
        f"same_patient_chance_{name}": retrieval.chance,
    }


class Gate(NamedTuple):
    """A measure of z, the floor under which a run stops, and what that would mean."""

    name: str
    measure: str
    says: str
    floor: float
    floor_name: str
    verdict: str


def gates(training: params.Training) -> tuple[Gate, ...]:
    """List the gates in the order they are asked: one collapse closes several, and the first says it best."""
    return (
        Gate(
            "variance",
            "std_mean_z",
            "the mean standard deviation of z",
            training.min_std,
            "training.min_std",
            "every encounter looks the same; raise the regulariser's weight (training.variance or sigreg_weight)",
        ),
        Gate(
            "rank",
            "rankme_z",
            "RankMe of z",
            training.min_rank,
            "training.min_rank",
            "z has collapsed; raise the regulariser's weight or lower training.learning_rate",
        ),
        Gate(
            "effective rank",
            "effective_rank_z",
            "the effective rank of z",
            training.min_rank,
            "training.min_rank",
            "a direction or two hold all its variance; raise training.covariance or sigreg_weight",
        ),
        Gate(
            "within patients",
            "within_patient_share_z",
            "the share of z's variance within patients",
            training.min_within_patient,
            "training.min_within_patient",
            "z tells who, not what happened; lower training.invariance, or raise sigreg_weight",
        ),
    )


def check_gates(record: dict[str, float], training: params.Training) -> None:
    """Stop a collapsed run: an explanation of a dead representation would look like any other.

    Raises CollapseError, naming the gate. A loss that isn't finite closes one; a measure that is NaN (too few
    validation patients) closes none and stands as NaN in the history. No gate sees everything: a static identity has
    full rank, and a rank that stays up does not say that content was kept.
    """
    epoch = record["epoch"]
    losses = {name: x for name, x in record.items() if name.startswith(("train_", "validation_"))}
    broken = [name for name, x in losses.items() if not np.isfinite(x)]
    if broken:
        raise CollapseError(
            f"epoch {epoch}: gate 'finite': {', '.join(broken)} not finite; lower training.learning_rate"
        )
    for gate in gates(training):
        value = record.get(gate.measure, float("nan"))
        if value < gate.floor:
            raise CollapseError(
                f"epoch {epoch}: gate '{gate.name}': {gate.says} is {value:.4g}, under {gate.floor_name} = "
                f"{gate.floor:g}: {gate.verdict}"
            )
