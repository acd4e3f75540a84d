"""T1: the future is cut off, replaced or made up, and nothing that a reader at k has may move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix, hstack
from torch import Tensor, nn

from jepascope.audit.findings import Finding, judge, unverified
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.features import history_counts, structure
from jepascope.cohort.labels import SEEN
from jepascope.cohort.questions import LABELS
from jepascope.models.jepa import Batch, JEPAOutput
from jepascope.models.packing import ragged_index
from jepascope.training.batches import pack, select

PLACES = 1000  # pairs of patient and k, at least, where there are as many
MOST_ROUNDS = 50  # of other k in the same patients
BATCH = 256  # patients a forward pass
EXACT = 0.0
ROUNDING = 1e-6  # of the norm, fp32, where shapes change and with them the order of sums
HALF = 2.0**-4  # the same in bf16, whose numbers are 2^-8 apart
OF_THE_FUTURE = (*LABELS, *SEEN, "eligibility_30d", "outcome_30d", "follow_up_days")
STRUCTURE = ("k", "log gap", "log length of stay", "log mean gap so far", "unplanned")


class Inputs(NamedTuple):
    """What a model reads at each encounter, with a name for every column."""

    values: csr_matrix  # [N, F]
    names: list[str]


ReadInputs = Callable[[Encounters], Inputs]
Perturb = Callable[[Batch, Tensor, torch.Generator], Batch]


def coded_inputs(cohort: Encounters) -> Inputs:
    """The widest inputs that a model of the book reads: counts of the coded record up to k, and the structure."""
    words = cohort.vocabulary["token"].tolist()
    names = [f"earlier {word}" for word in words] + [f"now {word}" for word in words] + list(STRUCTURE)
    counts = history_counts(cohort, "coded").log1p()
    return Inputs(hstack([counts, csr_matrix(structure(cohort.index))], format="csr"), names)


def model_reads_no_future(model: nn.Module, cohort: Encounters, seed: int, wanted: int = PLACES) -> list[Finding]:
    """Perturb the future of at least `wanted` (patient, k) and compare z, c, ẑ and e of every encounter up to k.

    Content replaced in place leaves all shapes alone, so equality is exact, in eval mode and in training mode (where
    statistics over a batch would show). Cut off, or with patients in another order and company, sums are taken in
    another order, and ROUNDING is allowed; in bf16 HALF. The value is ‖x − y‖/‖x‖, change over norm, of the object and
    the batch in which it is largest.
    """
    whole = pack(cohort)
    several = torch.from_numpy(np.flatnonzero(np.diff(whole.first.numpy()) > 1))
    if not len(several):
        return [unverified("T1", "z, c, ẑ, e", "no patient has a second encounter, and so none has a future")]
    kinds: list[tuple[str, Perturb, float, bool, bool]] = [
        ("replaced, eval mode", replace, EXACT, False, False),
        ("replaced, training mode", replace, EXACT, True, False),
        ("cut off", truncate, ROUNDING, False, False),
        ("cut off, bf16", truncate, HALF, False, True),
        ("other order and company", _same, ROUNDING, False, False),
    ]
    several = several[torch.randperm(len(several), generator=torch.Generator().manual_seed(seed))[:wanted]]
    rounds = min(MOST_ROUNDS, -(-wanted // len(several)))
    found = []
    for name, perturb, bound, training, half in kinds:
        generator = torch.Generator().manual_seed(seed)
        places, worst = 0, 0.0
        for patients in _batches(several, 1 if half else rounds, generator):
            change = _largest_change(model, whole, patients, perturb, generator, training, half)
            places, worst = places + len(patients), max(worst, change)
        detail = f"{places:,} pairs of patient and k; z, c, ẑ, e"
        found.append(judge("T1", name, worst, bound, detail, places, len(several)))
    return found


def inputs_read_no_future(cohort: Encounters, read: ReadInputs, rng: np.random.Generator) -> Finding:
    """Cut every record at a random k, forget what only the future tells, and compare the inputs of the rows left."""
    kept = cut_rows(cohort.index, rng)
    whole, cut = read(cohort), read(cut_cohort(cohort, kept))
    before, after = whole.values[kept], cut.values
    if before.shape != after.shape:
        moved = [f"{before.shape[1]} columns became {after.shape[1]}"]
    else:
        different = (before != after).tocoo()
        moved = [whole.names[column] for column in np.unique(different.col)]
    detail = f"{len(whole.names):,} columns" + (f"; moved: {', '.join(moved[:3])}" if moved else ", none moved")
    return judge("T1", "inputs of baselines", len(moved), 0, detail, kept.sum(), cohort.index["subject_id"].nunique())


def cut_rows(index: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Choose a k per patient, bool [N]: the rows up to it."""
    lengths = index.groupby("subject_id")["k"].transform("size").to_numpy()
    patient = index["subject_id"].rank(method="dense").to_numpy(int) - 1
    last = np.floor(rng.random(patient.max() + 1)[patient] * lengths)
    return index["k"].to_numpy() <= last


def cut_cohort(cohort: Encounters, kept: np.ndarray) -> Encounters:
    """The rows `kept` (bool [N]), with every column that only the future tells made empty."""
    cut = keep_rows(cohort, kept)
    future = {name: np.nan for name in OF_THE_FUTURE if name in cut.index}
    return cut._replace(index=cut.index.assign(**future))


def keep_rows(cohort: Encounters, kept: np.ndarray) -> Encounters:
    """The rows `kept` (bool [N]) of a cohort, with their tokens."""
    lengths = np.diff(cohort.offsets)
    return cohort._replace(
        index=cohort.index[kept].reset_index(drop=True),
        tokens=cohort.tokens[np.repeat(kept, lengths)],
        offsets=np.r_[0, np.cumsum(lengths[kept])],
    )


def replace(batch: Batch, keep: Tensor, generator: torch.Generator) -> Batch:
    """Make up tokens, gap and age of all that follows the first `keep` [B] encounters; every shape stays."""
    future = ~_past(batch, keep)
    tokens = future.repeat_interleave(batch.offsets.diff())
    made_up = torch.randint(1, int(batch.tokens.max()) + 1, batch.tokens.shape, generator=generator)
    return batch._replace(
        tokens=torch.where(tokens, made_up, batch.tokens),
        gap=torch.where(future, 3000 * torch.rand(future.shape, generator=generator), batch.gap),
        age=torch.where(future, 20 + 70 * torch.rand(future.shape, generator=generator), batch.age),
    )


def truncate(batch: Batch, keep: Tensor, generator: torch.Generator) -> Batch:
    """Leave only the first `keep` [B] encounters of each patient."""
    rows = ragged_index(batch.first[:-1], keep)
    lengths = batch.offsets.diff()[rows]
    tokens = batch.tokens[ragged_index(batch.offsets[rows], lengths)]
    return Batch(tokens, _offsets(lengths), _offsets(keep), batch.gap[rows], batch.age[rows])


def _same(batch: Batch, keep: Tensor, generator: torch.Generator) -> Batch:
    """Only the company changes: every second patient, in reverse order."""
    return select(batch, torch.arange(len(keep)).flip(0)[::2])


def _largest_change(
    model: nn.Module,
    whole: Batch,
    patients: Tensor,
    perturb: Perturb,
    generator: torch.Generator,
    training: bool,
    half: bool,
) -> float:
    batch = select(whole, patients)
    lengths = batch.first.diff()
    keep = (torch.rand(len(lengths), generator=generator) * (lengths - 1)).long() + 1  # 1 … K − 1: a future is left
    before = _forward(model, batch, training, half)
    after = _forward(model, perturb(batch, keep, generator), training, half)
    if perturb is truncate:
        rows_before, rows_after = ragged_index(batch.first[:-1], keep), torch.arange(int(keep.sum()))
    elif perturb is _same:
        chosen = torch.arange(len(keep)).flip(0)[::2]
        rows_before = ragged_index(batch.first[chosen], lengths[chosen])
        rows_after = torch.arange(len(rows_before))
    else:
        rows_before = rows_after = _past(batch, keep).nonzero()[:, 0]
    changes = [
        float((x[rows_before] - y[rows_after]).norm() / x[rows_before].norm().clamp(min=1e-12))
        for x, y in zip(_on_rows(before), _on_rows(after), strict=True)
    ]
    # A comparison with NaN is never true: `max` would pass one over, and a future that breaks the past with it.
    return max(changes) if np.isfinite(changes).all() else float("inf")


@torch.no_grad()
def _forward(model: nn.Module, batch: Batch, training: bool, half: bool) -> JEPAOutput:
    """One pass with the same draws of any dropout, leaving weights, buffers and the caller's generator alone."""
    state, mode = {name: buffer.clone() for name, buffer in model.named_buffers()}, model.training
    model.train(training)
    precision = torch.autocast("cpu", torch.bfloat16) if half else nullcontext()
    with torch.random.fork_rng(devices=[]), precision:
        torch.manual_seed(0)
        output = model(batch)
    model.train(mode)
    for name, buffer in model.named_buffers():
        buffer.copy_(state[name])
    return output


def _on_rows(output: JEPAOutput) -> list[Tensor]:
    """z, c, ẑ and e on the rows of z; ẑ and e are 0 where there is no prediction."""
    z, c, z_hat = output.z.float(), output.c.float(), torch.zeros_like(output.z, dtype=torch.float32)
    z_hat[output.target_rows] = output.z_hat.float()
    e = torch.zeros_like(z)
    e[output.target_rows] = z[output.target_rows] - z_hat[output.target_rows]
    return [z, c, z_hat, e]


def _past(batch: Batch, keep: Tensor) -> Tensor:
    """Bool [N]: among the first `keep` [B] encounters of their patient."""
    lengths = batch.first.diff()
    k = torch.arange(int(batch.first[-1])) - batch.first[:-1].repeat_interleave(lengths)
    return k < keep.repeat_interleave(lengths)


def _batches(patients: Tensor, rounds: int, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(rounds):
        yield from patients[torch.randperm(len(patients), generator=generator)].split(BATCH)


def _offsets(lengths: Tensor) -> Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
