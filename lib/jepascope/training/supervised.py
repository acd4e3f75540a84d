"""Training of the supervised transformer, on the JEPA's batches, resuming where a killed attempt stopped."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from jepascope import params
from jepascope.cohort.encounters import Encounters
from jepascope.models.jepa import Batch
from jepascope.models.packing import ragged_index
from jepascope.models.supervised import Supervised, masked_log_loss
from jepascope.progress import with_bar
from jepascope.store import read_tensors, write_tensors
from jepascope.training.batches import epoch_batches, pack, patients_of, select
from jepascope.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from jepascope.training.loop import TrainingError, schedule

CHECKPOINT = "checkpoint.safetensors"


def train_supervised(
    folder: Path,
    encounters: Encounters,
    labels: np.ndarray,
    model_params: params.Model,
    training: params.Training,
    prediction: params.Prediction,
    seed: int,
) -> dict[int, np.ndarray]:
    """Train on train patients and read held-out patients after some epochs: the best of these is early stopping.

    It is read at `prediction.budget` epochs, evenly spaced (`reading_epochs`), for the caller to choose among by
    validation patients, task by task: as many choices as any other model has. Deterministic per seed. Into `folder`
    go a file per reading and a checkpoint per epoch, from which a killed call resumes; both can be removed after.

    Args: labels [N, Q] in {0, 1} or NaN; those of other splits than train are never read.
    Returns: epoch (from 1) → probability [N, Q], NaN on the rows of other patients than validation and test.
    Raises TrainingError when the loss is not finite.
    """
    torch.set_num_threads(training.threads)
    model = new_supervised(len(encounters.vocabulary), labels.shape[1], model_params, seed).to(training.device)
    cohort = pack(encounters).to(training.device)
    targets = torch.from_numpy(labels.astype(np.float32)).to(training.device)
    train_patients = patients_of(encounters, "train")
    optimiser = _optimiser(model, training, prediction.supervised_rate)
    read = reading_epochs(prediction.supervised_epochs, prediction.budget)
    done = load_checkpoint(folder / CHECKPOINT, {"model": model}, optimiser).epoch
    left = range(done, prediction.supervised_epochs)
    for epoch in with_bar(left, "supervised, epochs", total=prediction.supervised_epochs, initial=done):
        batches = epoch_batches(train_patients, training.batch_patients, seed, epoch)
        for step, patients in enumerate(batches):
            now, total = epoch * len(batches) + step, prediction.supervised_epochs * len(batches)
            for group in optimiser.param_groups:
                group["lr"] = prediction.supervised_rate * schedule(now, total, training.warmup_share)
            _take_step(model, optimiser, cohort, targets, patients, training.gradient_clip)
        if epoch + 1 in read:
            write_tensors(_reading(folder, epoch + 1), {"probability": predict(model, cohort, held_out(encounters))})
        save_checkpoint(folder / CHECKPOINT, {"model": model}, optimiser, Progress(epoch + 1))
    return {epoch: read_tensors(_reading(folder, epoch))["probability"] for epoch in read}


def new_supervised(vocabulary_size: int, tasks: int, model_params: params.Model, seed: int) -> Supervised:
    """Draw starting weights, leaving the caller's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = model_params.model_dump(include={"width", "heads", "encoder_layers", "context_layers"})
        return Supervised(vocabulary_size, tasks, **shape)


def reading_epochs(epochs: int, budget: int) -> list[int]:
    """The epochs, counted from 1, after which the model is read: `budget` of them or all, the last one included."""
    return sorted({math.ceil(epochs * (i + 1) / budget) for i in range(budget)})


def held_out(encounters: Encounters) -> np.ndarray:
    """List validation and test patients by their position in the packed cohort, int64, ascending."""
    split = encounters.index.loc[encounters.index["k"] == 0, "split"].to_numpy()
    return np.flatnonzero(np.isin(split, ["validation", "test"]))


@torch.no_grad()
def predict(model: Supervised, cohort: Batch, patients: np.ndarray, size: int = 256) -> np.ndarray:
    """Probabilities float32 [N, Q] of the patients' rows (positions in the cohort); NaN on all other rows."""
    training = model.training
    model.eval()
    found = np.full((len(cohort.gap), model.heads.out_features), np.nan, dtype=np.float32)
    for start in range(0, len(patients), size):
        chosen = torch.from_numpy(patients[start : start + size]).to(cohort.first.device)
        found[_rows(cohort, chosen).cpu().numpy()] = model(select(cohort, chosen)).sigmoid().cpu().numpy()
    model.train(training)
    return found


def _take_step(
    model: Supervised,
    optimiser: torch.optim.Optimizer,
    cohort: Batch,
    targets: Tensor,
    patients: np.ndarray,
    gradient_clip: float,
) -> None:
    """One gradient step on a batch of patients (positions in the cohort)."""
    chosen = torch.from_numpy(patients).to(cohort.first.device)
    loss = masked_log_loss(model(select(cohort, chosen)), targets[_rows(cohort, chosen)])
    optimiser.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), gradient_clip)
    if not torch.isfinite(loss + norm):
        raise TrainingError(
            f"the supervised transformer's loss is {loss.item()}, its gradient's norm {norm.item()}: lower "
            "prediction.supervised_rate, or look for a non-finite age or gap among the encounters"
        )
    optimiser.step()


def _optimiser(model: Supervised, training: params.Training, rate: float) -> torch.optim.AdamW:
    """AdamW at one rate for all, since no target moves here; only matrices decay, as in the JEPA's."""
    groups = [
        {
            "params": [p for p in model.parameters() if (p.ndim > 1) == is_matrix],
            "weight_decay": training.weight_decay if is_matrix else 0.0,
        }
        for is_matrix in (True, False)
    ]
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def _rows(cohort: Batch, patients: Tensor) -> Tensor:
    """The rows of these patients, int64, in the order in which `select` puts them."""
    return ragged_index(cohort.first[patients], cohort.first.diff()[patients])


def _reading(folder: Path, epoch: int) -> Path:
    return folder / f"epoch_{epoch}.safetensors"
