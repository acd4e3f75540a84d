"""The four objects of a trained model, z, c, ẑ and e, over the whole cohort and aligned with one index table."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.models.jepa import JEPA
from jepascope.store import StoreError, read_table, read_tensors, write_table, write_tensors
from jepascope.training.batches import infer, pack
from jepascope.training.checkpoint import load_model


class Objects(NamedTuple):
    """N encounters, M of them with k >= 1 and so with a prediction."""

    index: pd.DataFrame  # N rows, the Encounters' index, same order
    z: np.ndarray  # float32 [N, D]
    c: np.ndarray  # float32 [N, D]
    target_rows: np.ndarray  # int64 [M], row of z predicted by each row of z_hat
    z_hat: np.ndarray  # float32 [M, D]
    e: np.ndarray  # float32 [M, D] = z[target_rows] - z_hat


def embed(model: JEPA, encounters: Encounters) -> Objects:
    """Compute the objects of every encounter, in eval mode and without gradient, on the model's device."""
    cohort = pack(encounters).to(next(model.parameters()).device)
    output = infer(model, cohort, np.arange(len(cohort.first) - 1))
    z, c, z_hat, target_rows = (tensor.numpy() for tensor in output)
    return Objects(encounters.index, z, c, target_rows, z_hat, z[target_rows] - z_hat)


def make_objects(folder: Path, encounters: Path, model: Path) -> None:
    """Embed an extraction with a trained model and save the objects: a step, both inputs being folders of steps."""
    save_objects(folder, embed(load_model(model), cohort_encounters.load(encounters)))


def save_objects(folder: Path, objects: Objects) -> None:
    """Write index.parquet and objects.safetensors."""
    write_table(folder / "index.parquet", objects.index)
    write_tensors(folder / "objects.safetensors", {k: v for k, v in objects._asdict().items() if k != "index"})


def load_objects(folder: Path) -> Objects:
    """Read what `save_objects` wrote. Raises StoreError when a file is missing, damaged or of other objects."""
    index = read_table(folder / "index.parquet")
    objects = Objects(index=index, **read_tensors(folder / "objects.safetensors"))
    if len(objects.z) != len(index):
        raise StoreError(f"{folder}: index and objects are of different runs; remove it and run the same command again")
    return objects
