"""Weights and progress on disk: safetensors and JSON, which execute nothing when loaded."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from jepascope.models.jepa import JEPA
from jepascope.store import read_json, read_tensors, write_json, write_tensors


class Progress(NamedTuple):
    """Where a run stands. The learning rate and the order of the data are functions of it, so they need no state."""

    epoch: int = 0
    step: int = 0  # within the epoch
    loss_sums: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)  # of the epoch's steps so far, in the order of Losses


def save_model(folder: Path, model: JEPA) -> None:
    """Write model.safetensors and, beside it, model.json with all that rebuilding takes."""
    write_tensors(folder / "model.safetensors", _arrays(model.state_dict()))
    write_json(folder / "model.json", model.config)


def load_model(folder: Path) -> JEPA:
    """Rebuild a saved model, in eval mode on the CPU. Raises StoreError when a file is missing or damaged."""
    model = JEPA(**read_json(folder / "model.json"))
    load_weights(folder, model)
    return model.eval()


def load_weights(folder: Path, model: nn.Module) -> None:
    """Put a saved model's weights into one of the same shape."""
    model.load_state_dict(_tensors(read_tensors(folder / "model.safetensors")))


def save_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Write weights, optimiser moments and position into *one* file: two could be of different steps after a kill."""
    arrays = {f"model.{name}": array for name, array in _arrays(model.state_dict()).items()}
    for i, state in optimiser.state_dict()["state"].items():
        arrays |= {f"optimiser.{i}.{name}": array for name, array in _arrays(state).items()}
    arrays["position"] = np.array([progress.epoch, progress.step])
    arrays["loss_sums"] = np.array(progress.loss_sums)
    write_tensors(path, arrays)


def load_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> Progress:
    """Put a checkpoint back into model and optimiser, and return where to go on; the beginning when there is none."""
    if not path.exists():
        return Progress()
    tensors = _tensors(read_tensors(path))
    weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, i, key = name.split(".")
            # safetensors through numpy makes scalars [1]; AdamW's step count is a scalar
            state.setdefault(int(i), {})[key] = tensor.reshape(()) if key == "step" else tensor
    model.load_state_dict(weights)
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    epoch, step = tensors["position"].tolist()
    return Progress(epoch, step, tuple(tensors["loss_sums"].tolist()))


def _arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
