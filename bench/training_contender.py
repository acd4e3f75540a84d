"""One way to compute the same training, as a process that takes turns: packed (the library's), or padded."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measure import GIB
from padded_model import with_weights_of
from torch import Tensor, nn
from training_cost import flops
from turns import Step, Turns, peak_of_process

from jepascope import params
from jepascope.cohort.encounters import load
from jepascope.models.encoder import BUCKET_TOKENS
from jepascope.models.jepa import JEPA, Batch, JEPAOutput
from jepascope.models.objectives import covariance, variance
from jepascope.models.packing import length_buckets
from jepascope.training.batches import epoch_batches, pack, patients_of, select
from jepascope.training.initial import new_model
from jepascope.training.loop import make_optimiser

WAYS = ("packed", "encounters", "patients")


def loss(output: JEPAOutput, training: params.Training) -> Tensor:
    """Weigh VICReg's three terms, with the target detached: what the headline model is trained on."""
    prediction = nn.functional.mse_loss(output.z_hat, output.z.detach()[output.target_rows])
    spread = training.variance * variance(output.z) + training.covariance * covariance(output.z)
    return training.invariance * prediction + spread


def update(model: nn.Module, optimiser: torch.optim.Optimizer, training: params.Training) -> float:
    """Clip the gradient and take the optimiser's step; returns the gradient's norm."""
    norm = nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clip).item()
    optimiser.step()
    return norm


def take_step(model: nn.Module, optimiser: torch.optim.Optimizer, batch: Batch, training: params.Training) -> float:
    """Take one training step; returns the loss. On CUDA the forward runs in bfloat16, the losses in float32."""
    with torch.autocast("cuda", torch.bfloat16, enabled=batch.gap.is_cuda):
        output = model(batch)
    total = loss(JEPAOutput(*(tensor.float() for tensor in output[:3]), output.target_rows), training)
    optimiser.zero_grad()
    total.backward()
    update(model, optimiser, training)
    return total.item()


def positions(way: str, batch: Batch) -> int:
    """Count the positions that the encoder computes in one pass, [CLS] and padding included."""
    if way == "packed":
        return sum(bucket.valid.shape[0] * (1 + bucket.valid.shape[1])
                   for bucket in length_buckets(batch.offsets, BUCKET_TOKENS[batch.offsets.device.type]))  # fmt: skip
    longest = 1 + int(batch.offsets.diff().max())
    rows = len(batch.gap) if way == "encounters" else (len(batch.first) - 1) * int(batch.first.diff().max())
    return rows * longest


def account(way: str, batch: Batch, shape: params.Model) -> Step:
    """Say what a step on this batch goes through."""
    return Step(len(batch.gap), len(batch.tokens), positions(way, batch), flops(batch, shape))


def in_the_way(way: str, model: JEPA) -> nn.Module:
    """Return the model itself, or the padded one that computes the same."""
    return model if way == "packed" else with_weights_of(model, pad_patients=way == "patients")


def peak_of_gpu() -> float:
    """Return the most that tensors held on the GPU, in GiB."""
    return torch.cuda.max_memory_allocated() / GIB


def batches(patients: np.ndarray, size: int, seed: int) -> Iterator[np.ndarray]:
    """Draw batches of patients epoch by epoch, without end; every way gets the same ones in the same order."""
    for epoch in itertools.count():
        yield from epoch_batches(patients, size, seed, epoch)


def main() -> None:
    """Train until there are no more turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encounters", type=Path)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--profile", default="synthetic")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    profile = params.load_profile(asked.profile)
    training, on_gpu = profile.training, asked.device == "cuda"
    torch.set_num_threads(training.threads)
    encounters = load(asked.encounters)
    cohort = pack(encounters).to(asked.device)
    model = in_the_way(asked.way, new_model(len(encounters.vocabulary), profile.model, 0)).to(asked.device).train()
    optimiser = make_optimiser(model, training)
    turns = Turns(peak_of_gpu if on_gpu else peak_of_process)
    turns.wait()
    for patients in batches(patients_of(encounters, "train"), training.batch_patients, seed=0):
        batch = select(cohort, torch.from_numpy(patients).to(asked.device))
        take_step(model, optimiser, batch, training)  # its .item() waits for the GPU
        turns.after_step(partial(account, asked.way, batch, profile.model))


if __name__ == "__main__":
    main()
