"""The training loop: one for every arm. An arm says what is minimised; what stands still asks for no gradient."""

from __future__ import annotations

import contextlib
import copy
import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from jepascope import params
from jepascope.cohort.encounters import Encounters
from jepascope.models.encoder import Block
from jepascope.models.jepa import JEPA, Batch
from jepascope.models.objectives import in_single_precision
from jepascope.progress import with_bar
from jepascope.training import distributed
from jepascope.training.arms import Arm, Phase, follow, look, momentum_at, phase_ends
from jepascope.training.batches import epoch_batches, pack, patients_of, select
from jepascope.training.checkpoint import Progress, load_checkpoint, load_weights, save_checkpoint, save_model
from jepascope.training.history import History
from jepascope.training.watch import CollapseError, check_gates, watch

CHECKPOINT = "checkpoint.safetensors"
BEST = "best"


class TrainingError(RuntimeError):
    """A step can't be taken; the message names the batch and the parameter to change."""


class Run(NamedTuple):
    """What stays the same from step to step."""

    checkpoint: Path
    model: JEPA
    teacher: nn.Module  # whose z the momentum target is; the encoder itself where the arm has no copy
    arm: Arm
    optimiser: torch.optim.Optimizer
    cohort: Batch
    steps: int  # an epoch
    training: params.Training

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds."""
        return {"model": self.model, "teacher": self.teacher}


class Stretch(NamedTuple):
    """A phase, in epochs from `start` up to and without `end`."""

    phase: Phase
    start: int
    end: int


def fit(
    folder: Path,
    encounters: Encounters,
    model: JEPA,
    arm: Arm,
    training: params.Training,
    seed: int,
    keep_best: bool = False,
) -> nn.Module:
    """Fit what asks for gradient in `model` on train patients, watching on validation patients; return the teacher.

    Deterministic per seed, and bit-equal on a CPU whether killed and resumed or not. Writes history.parquet (a row an
    epoch) and, every `checkpoint_every` steps, a checkpoint into `folder`. With `keep_best` the model ends with the
    weights of its best epoch on validation patients: right only where the target stands still.
    """
    run, validation, train_patients = _prepare(folder, encounters, model, arm, training)
    progress = load_checkpoint(run.checkpoint, run.modules, run.optimiser)
    left = range(progress.epoch, training.epochs)
    with contextlib.closing(History(folder, progress.epoch, writes=distributed.rank() == 0)) as history:
        for epoch in with_bar(left, "training, epochs", total=training.epochs, initial=progress.epoch):
            stretch = stretch_of(arm, epoch, training.epochs)
            model.encoder.requires_grad_(stretch.phase.encoder_moves)
            batches = epoch_batches(train_patients, training.batch_patients, seed, epoch)
            progress = run_epoch(run, stretch, batches, progress)
            record: dict[str, Any] = {"epoch": epoch, "step": (epoch + 1) * len(batches), "phase": stretch.phase.name}
            record |= {f"train_{term}": total / len(batches) for term, total in progress.loss_sums.items()}
            record |= watch(model, run.teacher, arm, stretch.phase, run.cohort, train_patients, validation)
            history.add(record)
            if keep_best and record["validation_total"] <= min(past["validation_total"] for past in history.rows):
                save_model(folder / BEST, model)
            if record["step"] > training.warmup_share * training.epochs * len(batches):
                check_gates(record, training)  # before the checkpoint, so that a resumed run meets the gate again
            progress = Progress(epoch + 1)
            _save(run, progress)
    if keep_best:
        load_weights(folder / BEST, model)
    model.requires_grad_(True).to("cpu").eval()
    return run.teacher.to("cpu")


def run_epoch(run: Run, stretch: Stretch, batches: list[np.ndarray], progress: Progress) -> Progress:
    """Take the epoch's steps from `progress` on; return the progress at its end, with the epoch's summed losses."""
    epoch, sums = progress.epoch, dict(progress.loss_sums)
    run.model.train()
    for step in range(progress.step, len(batches)):
        done = epoch * len(batches) + step
        for term, value in take_step(run, stretch, batches[step], done, where=f"epoch {epoch}, step {step}").items():
            sums[term] = sums.get(term, 0.0) + value
        progress = Progress(epoch, step + 1, sums)
        if (done + 1) % run.training.checkpoint_every == 0:
            _save(run, progress)
    return progress


def take_step(run: Run, stretch: Stretch, patients: np.ndarray, done: int, where: str) -> dict[str, float]:
    """One gradient step on a batch of patients; returns the losses before it.

    Raises TrainingError, naming `where`, when memory is short, CollapseError when loss or gradient is not finite.
    """
    training = run.training
    step, steps = done - stretch.start * run.steps, (stretch.end - stretch.start) * run.steps
    for group in run.optimiser.param_groups:
        group["lr"] = training.learning_rate * schedule(step, steps, training.warmup_share) * group["rate"]
    mine = torch.from_numpy(distributed.my_share(patients)).to(training.device)
    batch = select(run.cohort, mine)
    try:
        with torch.autocast(training.device, torch.bfloat16, enabled=training.precision == "bf16"):
            seen = look(run.arm, stretch.phase, run.model, run.teacher, batch, done)
        losses = run.arm.objective(distributed.whole(in_single_precision(seen)))
        run.optimiser.zero_grad()
        losses["total"].backward()
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise TrainingError(
            f"{where}: out of memory on {training.device} with {len(batch.gap)} encounters and {len(batch.tokens)} "
            f"tokens in the batch; lower training.batch_patients (now {training.batch_patients}) or model.width"
        ) from error
    distributed.sum_gradients(run.model.parameters())
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), training.gradient_clip)
    *values, size = torch.stack([*losses.values(), norm]).tolist()
    if not math.isfinite(values[0] + size):
        raise CollapseError(
            f"{where}: gate 'finite': the loss is {values[0]} and its gradient's norm {size}; lower "
            "training.learning_rate, or look for a non-finite age or gap among the batch's encounters"
        )
    run.optimiser.step()
    if run.arm.has_momentum:
        total = training.epochs * run.steps
        trails = stretch.phase.target == "momentum"  # else the target is the encoder itself: a hard sync
        momentum = momentum_at(done, total, training.momentum) if trails else 0.0
        follow(run.teacher, run.model.encoder, momentum)
    return dict(zip(losses, values, strict=True))


def schedule(step: int, total: int, warmup_share: float) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then half a cosine down to zero at `total`."""
    warmup = max(1, round(warmup_share * total))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def stretch_of(arm: Arm, epoch: int, epochs: int) -> Stretch:
    """The phase that an epoch lies in, with its bounds."""
    ends = phase_ends(arm, epochs)
    i = next(i for i, end in enumerate(ends) if epoch < end)
    return Stretch(arm.phases[i], ends[i - 1] if i else 0, ends[i])


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


def finish(folder: Path, model: JEPA, teacher: nn.Module) -> None:
    """Save the trained model and drop what only the fit needed."""
    save_model(folder, model, teacher)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    shutil.rmtree(folder / BEST, ignore_errors=True)


def _prepare(
    folder: Path, encounters: Encounters, model: JEPA, arm: Arm, training: params.Training
) -> tuple[Run, np.ndarray, np.ndarray]:
    """Put everything on the device; returns the run, the validation patients and the train patients."""
    if training.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            "training.device is cuda and no CUDA device is here: set it to cpu in the profile's training"
        )
    torch.set_num_threads(training.threads)
    train_patients, validation = (patients_of(encounters, split) for split in ("train", "validation"))
    model.to(training.device)
    teacher = copy.deepcopy(model.encoder).requires_grad_(False) if arm.has_momentum else model.encoder
    if training.compile:
        for module in {*model.modules(), *teacher.modules()}:
            if isinstance(module, Block):
                module.compile(dynamic=True)  # lengths differ from bucket to bucket
    cohort = pack(encounters).to(training.device)
    steps = math.ceil(len(train_patients) / training.batch_patients)
    optimiser = make_optimiser(model, training)
    return Run(folder / CHECKPOINT, model, teacher, arm, optimiser, cohort, steps, training), validation, train_patients


def _save(run: Run, progress: Progress) -> None:
    if distributed.rank() == 0:
        save_checkpoint(run.checkpoint, run.modules, run.optimiser, progress)
