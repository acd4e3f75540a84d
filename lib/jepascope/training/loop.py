"""The training loop: one for every arm. An arm is an objective; what is frozen simply asks for no gradient."""

from __future__ import annotations

import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from jepascope import params
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.models.jepa import JEPA, Batch
from jepascope.models.objectives import Losses, Objective, Weights, stop_gradient_vicreg
from jepascope.progress import with_bar
from jepascope.store import read_table, write_table
from jepascope.training.batches import epoch_batches, pack, patients_of, select
from jepascope.training.checkpoint import Progress, load_checkpoint, load_weights, save_checkpoint, save_model
from jepascope.training.initial import new_model
from jepascope.training.watch import check_gates, watch

CHECKPOINT = "checkpoint.safetensors"
BEST = "best"
HISTORY = "history.parquet"


class TrainingError(RuntimeError):
    """The loss or its gradient is not finite; the message names the batch."""


class Run(NamedTuple):
    """What stays the same from step to step."""

    checkpoint: Path
    model: JEPA
    objective: Objective
    optimiser: torch.optim.Optimizer
    cohort: Batch
    total_steps: int
    training: params.Training


def train(
    folder: Path, encounters: Path, model_params: params.Model, training_params: params.Training, seed: int
) -> None:
    """Train the stop-gradient JEPA: a step that resumes from what a killed attempt left in `folder`.

    `encounters` is the folder of an extraction. Leaves model.safetensors, model.json and history.parquet.
    Raises TrainingError when the loss is not finite, CollapseError when a gate closes.
    """
    cohort = cohort_encounters.load(encounters)
    model = new_model(len(cohort.vocabulary), model_params, seed)
    weights = Weights(training_params.invariance, training_params.variance, training_params.covariance)
    fit(folder, cohort, model, partial(stop_gradient_vicreg, weights=weights), training_params, seed)
    finish(folder, model)


def fit(
    folder: Path,
    encounters: Encounters,
    model: JEPA,
    objective: Objective,
    training: params.Training,
    seed: int,
    keep_best: bool = False,
) -> None:
    """Fit what asks for gradient in `model` to the objective on train patients, watching on validation patients.

    Deterministic per seed, and bit-equal on a CPU whether killed and resumed or not. Writes history.parquet (a row an
    epoch) and, every `checkpoint_every` steps, a checkpoint into `folder`. With `keep_best` the model ends with the
    weights of its best epoch on validation patients: right only where the target stands still.
    """
    torch.set_num_threads(training.threads)
    model.to(training.device)
    cohort = pack(encounters).to(training.device)
    train_patients, validation_patients = (patients_of(encounters, split) for split in ("train", "validation"))
    optimiser = make_optimiser(model, training)
    progress = load_checkpoint(folder / CHECKPOINT, model, optimiser)
    stored = read_table(folder / HISTORY) if progress.epoch else pd.DataFrame()
    history: list[Any] = stored.to_dict("records")[: progress.epoch]
    total_steps = training.epochs * math.ceil(len(train_patients) / training.batch_patients)
    run = Run(folder / CHECKPOINT, model, objective, optimiser, cohort, total_steps, training)

    left = range(progress.epoch, training.epochs)
    for epoch in with_bar(left, "training, epochs", total=training.epochs, initial=progress.epoch):
        batches = epoch_batches(train_patients, training.batch_patients, seed, epoch)
        progress = run_epoch(run, batches, progress)
        means = (np.array(progress.loss_sums) / len(batches)).tolist()
        record: dict[str, float] = {"epoch": epoch, "step": (epoch + 1) * len(batches)}
        record |= {f"train_{term}": mean for term, mean in zip(Losses._fields, means, strict=True)}
        record |= watch(model, objective, cohort, train_patients, validation_patients)
        history.append(record)
        if keep_best and record["validation_total"] <= min(past["validation_total"] for past in history):
            save_model(folder / BEST, model)
        write_table(folder / HISTORY, pd.DataFrame(history))
        if record["step"] > training.warmup_share * total_steps:
            check_gates(record, training)  # before the checkpoint, so that a resumed run meets the gate again
        progress = Progress(epoch + 1)
        save_checkpoint(run.checkpoint, model, optimiser, progress)
    if keep_best:
        load_weights(folder / BEST, model)
    model.to("cpu").eval()


def run_epoch(run: Run, batches: list[np.ndarray], progress: Progress) -> Progress:
    """Take the epoch's steps from `progress` on; return the progress at its end, with the epoch's summed losses."""
    epoch, sums = progress.epoch, np.array(progress.loss_sums)
    run.model.train()
    for step in range(progress.step, len(batches)):
        done = epoch * len(batches) + step
        sums += take_step(run, batches[step], done, where=f"epoch {epoch}, step {step}")
        progress = Progress(epoch, step + 1, tuple(sums.tolist()))
        if (done + 1) % run.training.checkpoint_every == 0:
            save_checkpoint(run.checkpoint, run.model, run.optimiser, progress)
    return progress


def take_step(run: Run, patients: np.ndarray, done: int, where: str) -> list[float]:
    """One gradient step on a batch of patients; returns the losses before it. Raises TrainingError, naming `where`."""
    peak = run.training.learning_rate * schedule(done, run.total_steps, run.training.warmup_share)
    for group in run.optimiser.param_groups:
        group["lr"] = peak * group["rate"]
    batch = select(run.cohort, torch.from_numpy(patients).to(run.training.device))
    losses = run.objective(run.model(batch))
    run.optimiser.zero_grad()
    losses.total.backward()
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), run.training.gradient_clip).item()
    values = torch.stack(losses).tolist()
    if not math.isfinite(values[0] + norm):
        raise TrainingError(
            f"{where}: the loss is {values[0]} and its gradient's norm {norm}; lower training.learning_rate, "
            "or look for a non-finite age or gap among the batch's encounters"
        )
    run.optimiser.step()
    return values


def schedule(step: int, total: int, warmup_share: float) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then half a cosine down to zero at `total`."""
    warmup = max(1, round(warmup_share * total))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def make_optimiser(model: JEPA, training: params.Training) -> torch.optim.AdamW:
    """AdamW with a slow encoder, because its z is the predictor's moving target.

    At one rate for both, ẑ fell to a rank of two to five in the first epochs and skill under zero; at a tenth neither
    happened. Only matrices decay: shrinking a bias or a norm's gain regularises nothing.
    """
    groups: list[dict[str, Any]] = [
        {
            "params": [p for p in module.parameters() if p.requires_grad and (p.ndim > 1) == is_matrix],
            "weight_decay": training.weight_decay if is_matrix else 0.0,
            "rate": rate,
        }
        for module, rate in ((model.encoder, training.encoder_rate), (model.context, 1.0), (model.predictor, 1.0))
        for is_matrix in (True, False)
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)


def finish(folder: Path, model: JEPA) -> None:
    """Save the trained model and drop what only the fit needed."""
    save_model(folder, model)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    shutil.rmtree(folder / BEST, ignore_errors=True)
