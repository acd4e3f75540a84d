"""The arms, each trained equally long by the one loop: kept apart from what reads them, so that no reader retrains."""

from __future__ import annotations

from pathlib import Path

from jepascope import params
from jepascope.store import write_json
from jepascope.training.step import train
from jepascope.training.watch import CollapseError

STOPPED = "stopped.json"


def train_arm(
    folder: Path,
    encounters: Path,
    model_params: params.Model,
    training_params: params.Training,
    arms: params.Arms,
    seed: int,
    arm: params.ArmName,
) -> None:
    """The step that trains one arm for `arms.epochs`. One that a gate stops is a finding, and stopped.json has why."""
    chosen = training_params.model_copy(update={"arm": arm, "epochs": arms.epochs})
    try:
        train(folder, encounters, model_params, chosen, seed)
    except CollapseError as reason:
        write_json(folder / STOPPED, {"reason": str(reason)})
