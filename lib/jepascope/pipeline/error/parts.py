"""The error of a trained model, taken apart: its parts, and what of it is the wrong target."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.error.decomposition import (
    Parts,
    decompose,
    decompose_with,
    fit_reader,
    gained_null,
    share_gained,
    shares,
    systematic_null,
)
from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    Null,
    bootstrap_of_sums,
    permuted_rows,
)
from jepascope.analysis.rollout.geometry import mean_so_far
from jepascope.cohort import encounters as cohort_encounters
from jepascope.objects import load_objects
from jepascope.pipeline.models.arms import load_arm
from jepascope.store import read_table, read_tensors, write_table, write_tensors
from jepascope.training.batches import encode, pack, patients_of
from jepascope.training.checkpoint import load_teacher

MODELS = ("trained", "untrained twin")
READERS = ("own", "past")
# Encounters before the predicted one that the richer reader sees one by one.
LAGS = 3
REFITS = 20
# Test patients whose encounters are encoded once more for the mismatch: that is all it costs.
MISMATCH_PATIENTS = 400


class Rows(NamedTuple):
    """The M encounters that have a prediction, with what was known before each."""

    index: pd.DataFrame  # M rows of the index, those of the predicted encounters
    at: np.ndarray  # int64 [M], their rows among all encounters
    z: np.ndarray  # [M, D]
    z_hat: np.ndarray  # [M, D]
    z_previous: np.ndarray  # [M, D]
    e: np.ndarray  # [M, D]
    mean: np.ndarray  # [D], of z over training patients
    own: np.ndarray  # [M, D + 2], what the predictor read: c_{k−1} and the gap
    past: np.ndarray  # [M, …], and the embeddings that c_{k−1} was made of
    patients: np.ndarray  # [M]
    train: np.ndarray  # bool [M]
    test: np.ndarray  # bool [M]


def load_rows(folder: Path) -> Rows:
    """Read a model's errors with the inputs that could explain them; nothing at k is made of what comes at k or later.

    Raises NotComputable if training or test patients have no prediction.
    """
    o = load_objects(folder)
    at, k = o.target_rows, o.index["k"].to_numpy()
    split = o.index["split"].to_numpy()
    train, test = split[at] == "train", split[at] == "test"
    if not (train.any() and test.any()):
        raise NotComputable(f"{train.sum()} predicted training encounters and {test.sum()} of test patients, 1 needed")
    gap = np.log1p(o.index["gap_days"].fillna(0).clip(lower=0).to_numpy(float))[at]
    own = np.column_stack([o.c[at - 1], gap, gap**2])
    lagged = [np.where((k[at] >= j)[:, None], o.z[np.maximum(at - j, 0)], 0) for j in range(1, LAGS + 1)]
    there = [k[at] >= j for j in range(2, LAGS + 1)]
    rest = [np.log1p(k[at]), o.index["age"].to_numpy(float)[at]]
    past = np.column_stack([own, *lagged, mean_so_far(o.z, k)[at], *there, *rest])
    index = o.index.iloc[at].reset_index(drop=True)
    return Rows(
        index, at, o.z[at], o.z_hat, o.z[at - 1], o.e, o.z[split == "train"].mean(axis=0), own, past,
        index["subject_id"].to_numpy(), train, test,
    )  # fmt: skip


def read_apart(e: np.ndarray, inputs: np.ndarray, rows: Rows, folds: int, seed: int) -> Parts:
    """Parts of all M errors: training rows cross-fitted, the others by the fit to all training patients."""
    train = rows.train
    parts = decompose_with(
        fit_reader(e[train], inputs[train], rows.patients[train], folds, np.random.default_rng(seed)), e, inputs
    )
    crossed = decompose(e[train], inputs[train], rows.patients[train], folds, np.random.default_rng(seed))
    found = Parts(*(np.array(part) for part in parts))
    for whole, part in zip(found, crossed, strict=True):
        whole[train] = part
    return found


def take_apart(folder: Path, trained: Path, twin: Path, statistics: params.Statistics, seed: int) -> None:
    """The step that splits e into bias, systematic part and innovation, for the model and its untrained twin.

    Two readers, one within the other: "own" has what the predictor had, "past" also the embeddings before. Leaves
    parts.safetensors ("<model> <reader> <part>" [M, D]); shares.parquet, also of a predictor that only knows the mean,
    and of readers fitted to test patients; nulls.parquet. Raises NotComputable with too few patients.
    """
    how = Inference(**statistics.model_dump())
    arrays: dict[str, np.ndarray] = {}
    records: list[dict[str, Any]] = []
    for model, objects in zip(MODELS, (trained, twin), strict=True):
        rows = load_rows(objects)
        by_reader = {name: read_apart(rows.e, getattr(rows, name), rows, how.folds, seed) for name in READERS}
        records += _shares(model, by_reader, rows.e, rows, how, seed)
        for name, parts in by_reader.items():
            arrays |= {f"{model} {name} {part}": a.astype(np.float32) for part, a in parts._asdict().items()}
    write_tensors(folder / "parts.safetensors", arrays)
    ours = load_rows(trained)
    test = ours.test
    constant = ours.z - ours.mean
    by_reader = {name: _read_test(constant, getattr(ours, name), ours, how.folds, seed) for name in READERS}
    records += _shares("mean predictor", by_reader, constant, ours, how, seed, test)
    crossed = {
        name: decompose(ours.e[test], getattr(ours, name)[test], ours.patients[test], how.folds, fresh(seed))
        for name in READERS
    }
    records += _shares("trained, readers fitted to test patients", crossed, ours.e, ours, how, seed, test)
    write_table(folder / "shares.parquet", pd.DataFrame(records))
    given, less = (ours.patients, ours.train, test, REFITS, how), _parts(arrays, "trained", "own")
    nulls = {
        "systematic": systematic_null(ours.e, ours.own, *given, fresh(seed)),
        "lost": gained_null(ours.e, less, (ours.own, ours.past), *given, fresh(seed)),
    }
    write_table(folder / "nulls.parquet", pd.DataFrame([{"part": name, **n._asdict()} for name, n in nulls.items()]))


def _read_test(e: np.ndarray, inputs: np.ndarray, rows: Rows, folds: int, seed: int) -> Parts:
    """Parts of the test rows alone, by the fit to all training patients."""
    reader = fit_reader(e[rows.train], inputs[rows.train], rows.patients[rows.train], folds, fresh(seed))
    return decompose_with(reader, e[rows.test], inputs[rows.test])


def _shares(
    model: str,
    by_reader: dict[str, Parts],
    e: np.ndarray,
    rows: Rows,
    how: Inference,
    seed: int,
    test: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """One record a reader and part, and one for what the past adds; parts of all rows, or of the test rows given."""
    at = rows.test if test is None else test
    if test is None:
        by_reader = {name: Parts(*(part[at] for part in parts)) for name, parts in by_reader.items()}
    patients = rows.patients[at]
    records = [
        {"model": model, "reader": name, "part": part, **estimate._asdict()}
        for name, parts in by_reader.items()
        for part, estimate in shares(parts, e[at], patients, how, fresh(seed)).items()
    ]
    gained = share_gained(by_reader["past"], by_reader["own"], e[at], patients, how, fresh(seed))
    return [*records, {"model": model, "reader": "past", "part": "lost", **gained._asdict()}]


def load_parts(folder: Path, model: str, reader: str) -> Parts:
    """The parts [M, D] that `take_apart` left of one model, by one reader."""
    return _parts(read_tensors(folder / "parts.safetensors"), model, reader)


def _parts(arrays: dict[str, np.ndarray], model: str, reader: str) -> Parts:
    return Parts(*(arrays[f"{model} {reader} {part}"] for part in Parts._fields))


def load_share(folder: Path, model: str, reader: str, part: str) -> Estimate:
    """One share of `take_apart`."""
    table = read_table(folder / "shares.parquet").set_index(["model", "reader", "part"])
    row = table.loc[(model, reader, part)]
    return Estimate(row["value"], row["low"], row["high"], int(row["n_rows"]), int(row["n_patients"]))


def load_shares(folder: Path) -> pd.DataFrame:
    """All shares of `take_apart`, but for R², which is the systematic share over what the bias leaves."""
    table = read_table(folder / "shares.parquet")
    return table[table["part"] != "r2"]


def load_null(folder: Path, part: str) -> Null:
    """A null of `take_apart`: "systematic" or "lost"."""
    return Null(**read_table(folder / "nulls.parquet").set_index("part").loc[part].to_dict())


def of_another(rows: Rows, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hand rows of x [M, D] to other patients of like record length, within training and, apart, within the others."""
    moved = np.array(x)
    for part in (np.flatnonzero(rows.train), np.flatnonzero(~rows.train)):
        moved[part] = x[part][permuted_rows(rows.patients[part], 1, rng)[0]]
    return moved


def mismatch_in_error(
    arm: Path, objects: Path, encounters: Path, how: Inference, rng: np.random.Generator
) -> dict[str, Estimate]:
    """How much of an arm's error is that z and the target are two networks' outputs, on test encounters.

    With t the target network's embedding and m = z − t: e = z − ẑ = (t − ẑ) + m. "mismatch" is E‖m‖² / E‖e‖²;
    "removed" is 1 − E‖t − ẑ‖² / E‖e‖², what measuring against the network that the predictor was trained for takes
    away, negative if it adds. A target that hardly varies is easily met, so "spread" is the variance of t over that of
    z, and "removed in units" is "removed" with each error in units of its own target's variance. One network gives 1
    for "spread" and 0 for the others. Raises NotComputable when the arm was stopped, or under `how.min_patients`.
    """
    load_arm(arm)
    cohort, rows = cohort_encounters.load(encounters), load_rows(objects)
    of_split = patients_of(cohort, "test")
    subjects = cohort.index.loc[cohort.index["k"] == 0, "subject_id"].to_numpy()
    chosen = of_split[np.isin(subjects[of_split], rows.patients[rows.test])][:MISMATCH_PATIENTS]
    target = encode(load_teacher(arm), pack(cohort), chosen).numpy()
    of_all = np.full((len(cohort.index), rows.z.shape[1]), np.nan)
    of_all[cohort.index["subject_id"].isin(subjects[chosen]).to_numpy()] = target
    taken = rows.test & np.isin(rows.patients, subjects[chosen])
    t, z, z_hat = of_all[rows.at[taken]], rows.z[taken], rows.z_hat[taken]
    pairs = ((z, t), (t, z_hat), (z, z_hat), (t, t.mean(axis=0)), (z, z.mean(axis=0)))
    columns = np.stack([np.square(a - b).sum(axis=1) for a, b in pairs], axis=1)
    given = (columns, rows.patients[taken], how.bootstrap, how.level, rng, how.min_patients)
    shares = {  # of sums over rows of ‖m‖², ‖t − ẑ‖², ‖e‖², ‖t − t̄‖², ‖z − z̄‖²
        "mismatch": lambda s: s[:, 0] / s[:, 2],
        "removed": lambda s: 1 - s[:, 1] / s[:, 2],
        "removed in units": lambda s: 1 - (s[:, 1] / s[:, 3]) / (s[:, 2] / s[:, 4]),
        "spread": lambda s: s[:, 3] / s[:, 4],
    }
    return {name: bootstrap_of_sums(share, *given) for name, share in shares.items()}


def fresh(seed: int) -> np.random.Generator:
    """A generator of its own for each use: models that are compared then meet the same folds and draws."""
    return np.random.default_rng(seed)
