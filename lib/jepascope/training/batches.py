"""Batches: whole patients, drawn anew each epoch, from a cohort that is packed once and stays on the device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from jepascope.cohort.encounters import Encounters
from jepascope.models.jepa import Batch, JEPAOutput
from jepascope.models.packing import ragged_index


def pack(encounters: Encounters) -> Batch:
    """Lay the whole cohort out as one Batch, because then any batch is a gather and nothing is collated in Python.

    Raises ValueError when the rows are not in order of (subject_id, k), or k does not count 0, 1, 2, … in a patient.
    """
    subject, k = (encounters.index[name].to_numpy() for name in ("subject_id", "k"))
    starts = np.flatnonzero(np.r_[True, subject[1:] != subject[:-1]][: len(subject)])
    first = np.r_[starts, len(subject)]
    if len(np.unique(subject)) < len(starts) or not np.array_equal(
        k, np.arange(len(k)) - np.repeat(starts, np.diff(first))
    ):
        raise ValueError("encounters.index must be sorted by (subject_id, k) with k = 0, 1, 2, … in each patient")
    return Batch(
        tokens=torch.from_numpy(encounters.tokens.astype(np.int64)),
        offsets=torch.from_numpy(encounters.offsets.astype(np.int64)),
        first=torch.from_numpy(first),
        gap=torch.from_numpy(encounters.index["gap_days"].fillna(0).to_numpy(np.float32).copy()),
        age=torch.from_numpy(encounters.index["age"].to_numpy(np.float32).copy()),
    )


def patients_of(encounters: Encounters, split: str) -> np.ndarray:
    """List the patients of a split by their position in the packed cohort, int64, ascending.

    Raises ValueError when the split has no patient: nothing could be fitted, or checked, on it.
    """
    patients = np.flatnonzero(encounters.index.loc[encounters.index["k"] == 0, "split"].to_numpy() == split)
    if not len(patients):
        raise ValueError(f"the cohort has no {split} patient: more patients, or a larger share for that split")
    return patients


def select(cohort: Batch, patients: Tensor) -> Batch:
    """Gather patients (int64 [B], positions in the cohort) into a Batch, in the order given."""
    per_patient = cohort.first.diff()[patients]
    rows = ragged_index(cohort.first[patients], per_patient)
    lengths = cohort.offsets.diff()[rows]
    tokens = cohort.tokens[ragged_index(cohort.offsets[rows], lengths)]
    return Batch(tokens, _offsets(lengths), _offsets(per_patient), cohort.gap[rows], cohort.age[rows])


def epoch_batches(patients: np.ndarray, size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Deal shuffled patients into ceil(n / size) equal batches (±1): a small last one would have a noisy variance.

    The order is a function of (seed, epoch) alone: resuming needs a position, not a generator's state. Lengths are
    sorted inside a batch (models.packing), never across: a batch of only long patients would bias VICReg's statistics.
    """
    order = np.random.default_rng([seed, epoch]).permutation(patients)
    return np.array_split(order, -(-len(order) // size))


@torch.no_grad()
def infer(model: nn.Module, cohort: Batch, patients: np.ndarray, size: int = 256) -> JEPAOutput:
    """Run the model in eval mode over patients (positions, in order); returns the joined output on the CPU."""
    training = model.training
    model.eval()
    outputs, before = [], 0
    for start in range(0, len(patients), size):
        chosen = torch.from_numpy(patients[start : start + size]).to(cohort.first.device)
        output = model(select(cohort, chosen))
        outputs.append(output._replace(target_rows=output.target_rows + before))
        before += len(output.z)
    model.train(training)
    return JEPAOutput(*(torch.cat(parts).cpu() for parts in zip(*outputs, strict=True)))


@torch.no_grad()
def encode(encoder: nn.Module, cohort: Batch, patients: np.ndarray, size: int = 256) -> Tensor:
    """Run an encoder alone over patients (positions, in order): z [N, D] on the CPU, chunk by chunk as `infer` does."""
    pieces = []
    for start in range(0, len(patients), size):
        batch = select(cohort, torch.from_numpy(patients[start : start + size]).to(cohort.first.device))
        pieces.append(encoder(batch.tokens, batch.offsets).cpu())
    return torch.cat(pieces)


def _offsets(lengths: Tensor) -> Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
