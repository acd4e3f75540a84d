"""Test patients rolled out: embeddings, contexts and predictions from several encounters before, a model at a time."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix

from jepascope import params
from jepascope.analysis.embedding.codes import principal_codes
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.features import bag_of_codes
from jepascope.models.jepa import JEPA, Batch
from jepascope.models.rollout import rollout
from jepascope.pipeline.models.arms import load_arm
from jepascope.store import read_table, read_tensors, write_table, write_tensors
from jepascope.training.batches import encode, pack, patients_of, select

CHUNK_PATIENTS = 256
WORSE = "label_escalation_per_enc"
COLUMNS = ["subject_id", "k", "gap_days", WORSE]


class Rollouts(NamedTuple):
    """N encounters of test patients, in order of (patient, k), and what one model makes of them."""

    index: pd.DataFrame  # N rows: subject_id, k, gap_days, label_escalation_per_enc
    z: np.ndarray  # float32 [N, D]
    c: np.ndarray  # float32 [N, D]
    z_hat: np.ndarray  # float32 [H, N, D], ẑ_{j|j−h} in row j; NaN where k < h
    mean: np.ndarray  # float32 [D], of z over (a part of the) training patients


class Codes(NamedTuple):
    """The same N encounters without a model."""

    bag: csr_matrix  # float32 [N, V], tokens present
    axes: np.ndarray  # float32 [N, D], principal axes of the bag, fitted on training patients


def roll_out(folder: Path, encounters: Path, model: Path, rolled: params.Rollout) -> None:
    """The step that embeds test patients and predicts each encounter from 1, …, H before it.

    Raises NotComputable when training of this model was stopped.
    """
    jepa = load_arm(model)
    cohort = cohort_encounters.load(encounters)
    packed = pack(cohort)
    test = patients_of(cohort, "test")
    parts = [
        _roll(jepa, select(packed, torch.from_numpy(test[a : a + CHUNK_PATIENTS])), rolled.horizon)
        for a in range(0, len(test), CHUNK_PATIENTS)
    ]
    z, c, z_hat = (np.concatenate(pieces, axis=-2) for pieces in zip(*parts, strict=True))
    train = patients_of(cohort, "train")
    # As many as there are test patients: a mean of thousands needs no more, and it is cohorts that grow.
    some = np.unique(np.linspace(0, len(train) - 1, min(len(train), len(test))).astype(int))
    mean = encode(jepa.encoder, packed, train[some]).mean(dim=0).numpy()
    write_tensors(folder / "rollouts.safetensors", {"z": z, "c": c, "z_hat": z_hat, "mean": mean})
    write_table(folder / "index.parquet", _test_index(cohort.index))


def load_rollouts(folder: Path) -> Rollouts:
    """Read what `roll_out` left."""
    return Rollouts(read_table(folder / "index.parquet"), **read_tensors(folder / "rollouts.safetensors"))


def lay_out_codes(folder: Path, encounters: Path, width: int, seed: int) -> None:
    """The step that leaves the test patients' tokens, and `width` principal axes of them: spaces without a model."""
    cohort = cohort_encounters.load(encounters)
    bag, split = bag_of_codes(cohort), cohort.index["split"].to_numpy()
    axes = principal_codes(bag, split == "train", width, seed)[split == "test"]
    mine = bag[split == "test"]
    arrays = {"data": mine.data, "indices": mine.indices, "indptr": mine.indptr, "columns": np.array([mine.shape[1]])}
    write_tensors(folder / "codes.safetensors", {"axes": axes, **arrays})


def load_codes(folder: Path) -> Codes:
    """Read what `lay_out_codes` left."""
    arrays = read_tensors(folder / "codes.safetensors")
    shape = (len(arrays["axes"]), int(arrays["columns"][0]))
    return Codes(csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape), arrays["axes"])


@torch.no_grad()
def _roll(jepa: JEPA, batch: Batch, horizon: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z and c [n, D] and ẑ [H, n, D] of one chunk of patients."""
    output = jepa(batch)
    z_hat = torch.stack(rollout(jepa, batch, output.z, horizon))
    return output.z.numpy(), output.c.numpy(), z_hat.numpy()


def _test_index(index: pd.DataFrame) -> pd.DataFrame:
    test = index[index["split"] == "test"]
    return test.reindex(columns=COLUMNS).reset_index(drop=True)
