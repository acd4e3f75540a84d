"""Weights and progress on disk: safetensors and JSON, which execute nothing when loaded."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from jepascope.models.encoder import Encoder
from jepascope.models.jepa import JEPA
from jepascope.store import read_json, read_tensors, write_json, write_tensors


class Progress(NamedTuple):
    """Where a run stands. The learning rate and the order of the data are functions of it, so they need no state."""

    epoch: int = 0
    step: int = 0  # within the epoch
    loss_sums: Mapping[str, float] = MappingProxyType({})  # of the epoch's steps so far, by term


def save_model(folder: Path, model: JEPA, teacher: nn.Module | None = None) -> None:
    """Write model.safetensors, model.json with all that rebuilding takes, and the target encoder's weights."""
    write_tensors(folder / "model.safetensors", _arrays(model.state_dict()))
    write_json(folder / "model.json", model.config)
    if teacher is not None:
        write_tensors(folder / "teacher.safetensors", _arrays(teacher.state_dict()))


def load_model(folder: Path) -> JEPA:
    """Rebuild a saved model, in eval mode on the CPU. Raises StoreError when a file is missing or damaged."""
    model = JEPA(**read_json(folder / "model.json"))
    load_weights(folder, model)
    return model.eval()


def load_teacher(folder: Path) -> Encoder:
    """Rebuild the encoder whose z a saved model's predictions were held against, in eval mode on the CPU."""
    teacher = copy.deepcopy(load_model(folder).encoder)
    teacher.load_state_dict(_tensors(read_tensors(folder / "teacher.safetensors")))
    return teacher


def load_weights(folder: Path, model: nn.Module) -> None:
    """Put a saved model's weights into one of the same shape."""
    model.load_state_dict(_tensors(read_tensors(folder / "model.safetensors")))


def save_checkpoint(
    path: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer, progress: Progress
) -> None:
    """Write weights, optimiser moments and position into *one* file: two could be of different steps after a kill."""
    arrays = {
        f"{part}.{k}": array for part, module in modules.items() for k, array in _arrays(module.state_dict()).items()
    }
    for i, state in optimiser.state_dict()["state"].items():
        arrays |= {f"optimiser.{i}.{name}": array for name, array in _arrays(state).items()}
    arrays |= {f"loss_sum.{term}": np.array([value]) for term, value in progress.loss_sums.items()}
    arrays["position"] = np.array([progress.epoch, progress.step])
    write_tensors(path, arrays)


def load_checkpoint(path: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer) -> Progress:
    """Put a checkpoint back into modules and optimiser; return where to go on, the beginning when there is none."""
    if not path.exists():
        return Progress()
    tensors = _tensors(read_tensors(path))
    epoch, step = tensors["position"].tolist()
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(tensors, "optimiser").items():
        i, key = name.split(".")
        # safetensors through numpy makes scalars [1]; AdamW's step count is a scalar
        state.setdefault(int(i), {})[key] = tensor.reshape(()) if key == "step" else tensor
    for part, module in modules.items():
        module.load_state_dict(_part(tensors, part))
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return Progress(epoch, step, {term: value.item() for term, value in _part(tensors, "loss_sum").items()})


def _part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}."): t for name, t in tensors.items() if name.startswith(f"{part}.")}


def _arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
