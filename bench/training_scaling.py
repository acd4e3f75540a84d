"""Where a training step's time goes, and how it grows with patients, encounters, tokens and width."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from training_contender import batches, loss, take_step, update
from training_cost import flops

from jepascope import params
from jepascope.models.jepa import JEPA, Batch
from jepascope.training.batches import select
from jepascope.training.initial import new_model
from jepascope.training.loop import make_optimiser

VOCABULARY = 400


class Size(NamedTuple):
    """A cohort in which everybody is alike, so that one thing can grow alone."""

    patients: int = 256
    encounters: int = 3  # per patient
    tokens: int = 36  # per encounter
    width: int = 64


GROWING = {"patients": (64, 128, 256, 512, 1024), "encounters": (1, 2, 4, 8, 16), "tokens": (8, 16, 32, 64, 128),
           "width": (16, 32, 64, 128)}  # fmt: skip


class Growth(NamedTuple):
    """How an epoch grows with one thing."""

    grows: str
    values: tuple[int, ...]
    rates: tuple[float, ...]  # encounters a second
    exponent: float  # of CPU seconds, by least squares on logarithms; 1 is linear


def uniform_cohort(size: Size, seed: int = 0) -> Batch:
    """Draw a cohort of that size with random tokens, gaps and ages."""
    g = torch.Generator().manual_seed(seed)
    n = size.patients * size.encounters
    return Batch(
        tokens=torch.randint(1, VOCABULARY, (n * size.tokens,), generator=g),
        offsets=torch.arange(n + 1) * size.tokens,
        first=torch.arange(size.patients + 1) * size.encounters,
        gap=torch.rand(n, generator=g) * 400,
        age=20 + torch.rand(n, generator=g) * 60,
    )


def epoch(size: Size, training: params.Training, device: str) -> Callable[[], None]:
    """Make the function that trains one epoch on a cohort of that size."""
    model = new_model(VOCABULARY, params.Model(width=size.width), 0).to(device)
    optimiser, cohort = make_optimiser(model, training), uniform_cohort(size).to(device)
    steps = -(-size.patients // training.batch_patients)
    drawn = batches(np.arange(size.patients), training.batch_patients, seed=0)

    def run() -> None:
        for _ in range(steps):
            take_step(model, optimiser, select(cohort, torch.from_numpy(next(drawn)).to(device)), training)

    return run


def measure_growth(
    grows: str, values: tuple[int, ...], base: Size, training: params.Training, device: str, repetitions: int
) -> Growth:
    """Time an epoch at each value of one field of `base`, all values in turn, and fit how it grows.

    In CPU seconds on a CPU, because a line through five points is bent by a neighbour's minute.
    """
    sizes = [base._replace(**{grows: value}) for value in values]
    clock = time.perf_counter if device == "cuda" else time.process_time
    runs, seconds = [epoch(size, training, device) for size in sizes], np.zeros((repetitions, len(sizes)))
    for run in runs:
        run()  # the first one allocates
    for repetition in range(repetitions):
        for i, run in enumerate(runs):
            began = clock()
            run()
            seconds[repetition, i] = clock() - began
    medians = np.median(seconds, axis=0)
    rates = [size.patients * size.encounters / took for size, took in zip(sizes, medians, strict=True)]
    return Growth(grows, values, tuple(rates), fitted_exponent(np.array(values), medians))


def fitted_exponent(values: np.ndarray, seconds: np.ndarray) -> float:
    """Return b of the least-squares fit seconds = a · values^b."""
    return float(np.polyfit(np.log(values), np.log(seconds), 1)[0])


def breakdown(
    model: JEPA, shape: params.Model, drawn: Iterator[Batch], training: params.Training, steps: int
) -> tuple[dict[str, float], float]:
    """Time the parts of a training step on real batches: mean CPU milliseconds by part, and GFLOP per step.

    On the CPU only: on a GPU the parts overlap, and a trace is the tool.
    """
    names = ("gathering the batch", "forward, encoder", "forward, context to loss", "backward", "clipping and AdamW")
    optimiser, seconds, operations, marks = make_optimiser(model, training), np.zeros(len(names)), 0.0, list[float]()

    def mark(*_: object) -> None:
        marks.append(time.process_time())

    hook = model.encoder.register_forward_hook(mark)
    for step in range(-1, steps):  # the first one allocates
        marks.clear()
        mark()
        batch = next(drawn)
        mark()
        total = loss(model(batch), training)  # marks at the encoder's end
        mark()
        optimiser.zero_grad()
        total.backward()
        mark()
        update(model, optimiser, training)
        mark()
        if step >= 0:
            seconds += np.diff(marks)
            operations += flops(batch, shape)
    hook.remove()
    return dict(zip(names, (1000 * seconds / steps).tolist(), strict=True)), operations / steps / 1e9
