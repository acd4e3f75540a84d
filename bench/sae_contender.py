"""One library's TopK autoencoder on given rows, for a given time: how many rows a second, and what is left unexplained.

Runs in the library's own environment, so it imports nothing but that library, PyTorch and NumPy. Everyone gets the same
rows in the same batches, the same learning rate with warm-up and decay, Adam, and its own loss, first weights and
treatment of dead features. The number of steps is what fits into the time, by a rate measured before.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest.mock import MagicMock

import numpy as np
import torch
from torch import Tensor

WARMUP_SHARE, DECAY_SHARE = 0.05, 0.3
CALIBRATION_STEPS = 6


class Task(NamedTuple):
    """What is fitted."""

    D: int
    features: int
    active: int
    batch: int
    learning_rate: float
    seed: int


# One training step on a batch [B, D], and x -> x̂ [N, D].
Trainer = tuple[Callable[[Tensor], object], Callable[[Tensor], Tensor]]


def jepascope(task: Task, steps: int, products: str = "SPARSE") -> Trainer:
    """Build this project's, step by step as `fit_many` does it."""
    from torch.nn.functional import normalize

    from jepascope.analysis.sae import products as known
    from jepascope.analysis.sae.dictionary import Settings
    from jepascope.analysis.sae.training import _first_weights, _rate, held_near
    from jepascope.analysis.sae.variants import loss

    settings = Settings("topk", task.features, task.active, 1, task.batch, task.learning_rate)
    w = _first_weights(task.D, settings, [torch.Generator().manual_seed(task.seed)], None)
    optimiser = torch.optim.Adam(w, lr=task.learning_rate, fused=True)
    alive = torch.zeros(1, task.features, dtype=torch.bool)
    done = iter(range(steps))

    def step(x: Tensor) -> None:
        optimiser.param_groups[0]["lr"] = task.learning_rate * _rate(next(done), steps)
        found = loss(x[None], w, alive, settings, getattr(known, products))
        optimiser.zero_grad()
        found.total.sum().backward()
        optimiser.step()
        with torch.no_grad():
            w.W_dec.copy_(held_near(normalize(w.W_dec, dim=2), w.W_dec, -1.0))

    def reconstruct(x: Tensor) -> Tensor:
        pre = (x - w.b_dec[0]) @ w.W_enc[0].T + w.b_enc[0]
        values, indices = pre.topk(task.active, dim=1)
        return torch.zeros_like(pre).scatter(1, indices, values.relu()) @ w.W_dec[0] + w.b_dec[0]

    return step, reconstruct


def jepascope_dense(task: Task, steps: int) -> Trainer:
    """Build this project's reference, in plain matrices."""
    return jepascope(task, steps, "DENSE")


def saelens(task: Task, steps: int) -> Trainer:
    """Build SAELens' trainer; its sparse activations have no backward on a CPU."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(task.seed)
    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=task.D, d_sae=task.features, k=task.active))
    trainer = SAETrainer(
        SAETrainerConfig(
            total_training_samples=steps * task.batch, train_batch_size_samples=task.batch, lr=task.learning_rate,
            lr_end=0.0, lr_warm_up_steps=int(WARMUP_SHARE * steps), lr_decay_steps=int(DECAY_SHARE * steps),
        ),
        sae,
        iter(()),
    )  # fmt: skip

    def step(x: Tensor) -> None:
        trainer.step(x)
        trainer.n_training_steps += 1

    return step, lambda x: sae.decode(sae.encode(x))


def dictionary_learning(task: Task, steps: int) -> Trainer:
    """Build dictionary_learning's trainer."""
    do_without("nnsight")  # the language models that activations may come from
    from dictionary_learning.trainers.top_k import TopKTrainer

    trainer = TopKTrainer(
        steps, task.D, task.features, task.active, layer=0, lm_name="none", lr=task.learning_rate, device="cpu",
        warmup_steps=int(WARMUP_SHARE * steps), decay_start=int((1 - DECAY_SHARE) * steps), seed=task.seed,
    )  # fmt: skip
    done = iter(range(steps))
    return lambda x: trainer.update(next(done), x), trainer.ae


def sparsify(task: Task, steps: int) -> Trainer:
    """Build sparsify's coder, with the steps of its trainer, which itself wants a language model."""
    from sparsify import SparseCoder, SparseCoderConfig

    torch.manual_seed(task.seed)
    coder = SparseCoder(task.D, SparseCoderConfig(num_latents=task.features, k=task.active))
    optimiser = torch.optim.Adam(coder.parameters(), lr=task.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: rate(i, steps))

    def step(x: Tensor) -> None:
        coder.set_decoder_norm_to_unit_norm()
        coder(x).fvu.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()

    return step, lambda x: coder(x).sae_out


def overcomplete(task: Task, steps: int) -> Trainer:
    """Build overcomplete's autoencoder, with the steps of its `train_sae`."""
    do_without("overcomplete.models", "overcomplete.visualization")  # image models, and pictures
    from overcomplete.sae import TopKSAE
    from overcomplete.sae.losses import top_k_auxiliary_loss

    torch.manual_seed(task.seed)
    model = TopKSAE(task.D, nb_concepts=task.features, top_k=task.active, device="cpu")
    optimiser = torch.optim.Adam(model.parameters(), lr=task.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: rate(i, steps))

    def step(x: Tensor) -> None:
        optimiser.zero_grad()
        pre, codes, x_hat = model(x)
        top_k_auxiliary_loss(x, x_hat, pre, codes, model.get_dictionary()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()

    def reconstruct(x: Tensor) -> Tensor:
        model.eval()
        return model(x)[2]

    return step, reconstruct


def do_without(*modules: str) -> None:
    """Let a library's import of what isn't timed here succeed with nothing behind it.

    These want a torchvision of the very build of PyTorch that is installed, which an index may not have.
    """
    sys.modules.update({name: MagicMock() for name in modules})


def rate(step: int, steps: int) -> float:
    """Learning-rate factor: the same warm-up and decay for those that leave it to the user."""
    warm, decay = max(1, WARMUP_SHARE * steps), max(1, DECAY_SHARE * steps)
    return min(1.0, (step + 1) / warm, max(0.0, (steps - step) / decay))


LIBRARIES = {
    made.__name__: made for made in (jepascope, jepascope_dense, saelens, dictionary_learning, sparsify, overcomplete)
}


def train(trainer: Trainer, data: Tensor, steps: int, task: Task) -> tuple[float, float]:
    """Take `steps` steps over shuffled rows; returns wall and CPU seconds."""
    generator = torch.Generator().manual_seed(task.seed)
    began, cpu_began, done = time.perf_counter(), time.process_time(), 0
    while done < steps:
        for rows in torch.randperm(len(data), generator=generator).split(task.batch):
            if done < steps and len(rows) == task.batch:
                trainer[0](data[rows])
                done += 1
    return time.perf_counter() - began, time.process_time() - cpu_began


def unexplained(trainer: Trainer, held_out: Tensor) -> float:
    """Mean over dimensions of the share of variance that is left, on rows that nobody was fitted to."""
    with torch.no_grad():
        error = (held_out - trainer[1](held_out)).square().sum(dim=0)
    return float((error / (held_out - held_out.mean(dim=0)).square().sum(dim=0)).mean())


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("rows", type=Path, help="train.npy and held_out.npy are in this folder")
    parser.add_argument("--features", type=int, required=True)
    parser.add_argument("--active", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data, held_out = (torch.from_numpy(np.load(asked.rows / f"{name}.npy")) for name in ("train", "held_out"))
    task = Task(data.shape[1], asked.features, asked.active, asked.batch, asked.learning_rate, asked.seed)
    build = LIBRARIES[asked.library]
    first = build(task, 2 * CALIBRATION_STEPS)
    train(first, data, CALIBRATION_STEPS, task)  # the first steps allocate
    _, cpu_seconds = train(first, data, CALIBRATION_STEPS, task)
    steps = max(2, round(asked.seconds * CALIBRATION_STEPS / cpu_seconds))
    trainer = build(task, steps)
    seconds, cpu_seconds = train(trainer, data, steps, task)
    found = {"rows": steps * task.batch, "seconds": seconds, "cpu_seconds": cpu_seconds}
    print(json.dumps(found | {"unexplained": unexplained(trainer, held_out)}))


if __name__ == "__main__":
    main()
