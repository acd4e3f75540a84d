"""What a run is watched by, once an epoch on validation patients, and the gates that stop it."""

from __future__ import annotations

import numpy as np

from jepascope import params
from jepascope.models.jepa import JEPA, Batch
from jepascope.models.objectives import Objective
from jepascope.training import collapse
from jepascope.training.batches import infer


class CollapseError(RuntimeError):
    """The representation has collapsed; the message names the gate and its value."""


def watch(
    model: JEPA, objective: Objective, cohort: Batch, train: np.ndarray, validation: np.ndarray
) -> dict[str, float]:
    """Measure loss, spread, rank and skill on validation patients; NaN where there is too little data.

    The mean that skill is held against comes from train patients, as many as there are validation patients.
    """
    output = infer(model, cohort, validation)
    sample = np.unique(np.linspace(0, len(train) - 1, min(len(train), len(validation))).astype(int))
    train_mean = infer(model, cohort, train[sample]).z.mean(dim=0).numpy()
    z, c, z_hat, rows = (tensor.numpy() for tensor in output)
    patient = np.repeat(validation, cohort.first.diff().cpu().numpy()[validation])  # [N]
    return (
        {f"validation_{term}": value.item() for term, value in objective(output)._asdict().items()}
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
    """Every collapse measure of one object, X [N, D] with its patients [N], under `<measure>_<name>`."""
    std = collapse.dimension_std(X)
    return {
        f"rankme_{name}": collapse.rankme(X),
        f"effective_rank_{name}": collapse.effective_rank(X),
        f"std_min_{name}": float(std.min()),
        f"std_mean_{name}": float(std.mean()),
        f"mean_absolute_cosine_{name}": collapse.mean_absolute_cosine(X),
        f"within_patient_share_{name}": collapse.within_patient_share(X, patient),
    }


def check_gates(record: dict[str, float], training: params.Training) -> None:
    """Stop a collapsed run: an explanation of a dead representation would look like any other.

    Raises CollapseError. NaN (too few validation patients) closes no gate and stands as NaN in the history.
    """
    if record["rankme_z"] < training.min_rank:
        raise CollapseError(
            f"epoch {record['epoch']}: RankMe of z is {record['rankme_z']:.2f}, under training.min_rank = "
            f"{training.min_rank}: z has collapsed; raise training.variance or lower training.learning_rate"
        )
    if record["within_patient_share_z"] < training.min_within_patient:
        raise CollapseError(
            f"epoch {record['epoch']}: {record['within_patient_share_z']:.4f} of z's variance lies within patients, "
            f"under training.min_within_patient = {training.min_within_patient}: z tells who, not what happened; "
            "lower training.invariance"
        )
