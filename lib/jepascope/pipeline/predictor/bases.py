"""The predictor taken apart: a transcoder of its MLP, and the axes of its input that it makes something of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, Inference
from jepascope.analysis.predictor.interaction_basis import (
    Basis,
    edges,
    effects,
    interaction_basis,
    number_of,
    random_basis,
    whitening,
)
from jepascope.analysis.predictor.replacement import explained_more, unexplained
from jepascope.analysis.sae import Settings, decode, densify, encode, fit
from jepascope.analysis.sae.baselines import principal_atoms
from jepascope.analysis.sae.transcoder import fit_transcoder, linear_map, transcode, written
from jepascope.models.context import gap_feature
from jepascope.objects import load_objects
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.store import read_json, read_tensors, write_json, write_table, write_tensors
from jepascope.training.checkpoint import load_model

# How many axes of its input the predictor is left with, in turn; the claim is about their mean.
BUDGETS = (1, 2, 4, 8, 16, 32)
# Rows on which Jacobians are taken: a mean over them needs no more.
MOST_ROWS = 4000
LIB, PCA, TURNED = "interaction basis", "principal axes", "random rotation"
Map = Callable[[np.ndarray], np.ndarray]


class Layer(NamedTuple):
    """The predictor's MLP of one model: u [M, D + 1] in, ẑ [M, D] out, for every encounter with one before it."""

    u: np.ndarray  # [c_{k−1}, gap_k]
    z_hat: np.ndarray
    predict: Map  # u [n, D + 1] -> ẑ [n, D]
    jacobians: Map  # u [n, D + 1] -> ∂ẑ/∂u [n, D, D + 1]
    split: np.ndarray
    patients: np.ndarray

    def of(self, split: str) -> Layer:
        """The rows of one split."""
        rows = self.split == split
        parts = (part[rows] for part in (self.u, self.z_hat, self.split, self.patients))
        u, z_hat, split_of, patients = parts
        return Layer(u, z_hat, self.predict, self.jacobians, split_of, patients)


def load_layer(objects: Path, model: Path) -> Layer:
    """What the predictor of `model` reads and writes, from its objects. Raises StoreError."""
    found, mlp = load_objects(objects), load_model(model).predictor.mlp.cpu().eval()
    rows = found.target_rows
    index = found.index.iloc[rows]
    gap = gap_feature(torch.from_numpy(index["gap_days"].fillna(0).to_numpy(np.float32))).numpy()
    u = np.hstack([found.c[rows - 1], gap[:, None]])
    jacobian = torch.func.vmap(torch.func.jacrev(mlp))

    @torch.no_grad()
    def predict(x: np.ndarray) -> np.ndarray:
        return mlp(torch.from_numpy(np.asarray(x, np.float32))).numpy()

    def jacobians(x: np.ndarray) -> np.ndarray:
        return jacobian(torch.from_numpy(np.asarray(x, np.float32))).detach().numpy()

    return Layer(u, found.z_hat, predict, jacobians, index["split"].to_numpy(), index["subject_id"].to_numpy())


def bases_of(train: Layer, seed: int) -> dict[str, Basis]:
    """The interaction basis of a layer's inputs, and what it is held against; found on these rows."""
    rng = np.random.default_rng(seed)
    some = train.u[np.sort(rng.permutation(len(train.u))[:MOST_ROWS])]
    return {
        LIB: interaction_basis(some, train.jacobians),
        PCA: whitening(some),
        TURNED: random_basis(some, rng),
    }


def open_predictor(
    folder: Path,
    trained: Path,
    twin: Path,
    model: Path,
    twin_model: Path,
    statistics: params.Statistics,
    sae: params.Sae,
    seed: int,
) -> None:
    """The step that replaces the predictor's MLP, fitted on training patients, and measures it on test patients.

    Leaves replaced.parquet (stand-ins by unexplained share of ẑ), kept.parquet (by axes left), axes.json (how many
    directions interact), readings.json (transcoder_over_linear, fewer_axes), and codes.safetensors and
    twin_codes.safetensors, every method's features of all rows. Raises NotComputable for too few test patients.
    """
    how, settings = Inference(**statistics.model_dump()), Settings(**sae.model_dump(exclude={"variant"}))
    gains, fewer = {}, {}
    for name, objects, weights in (("z", trained, model), ("untrained", twin, twin_model)):
        layer = load_layer(objects, weights)
        stand_ins, codes = replace_layer(layer, settings, seed)
        bases = bases_of(layer.of("train"), seed)
        codes |= {short: bases[long].axes(layer.u) for short, long in (("lib", LIB), ("pca_of_c", PCA))}
        codes["rotation"] = bases[TURNED].axes(layer.u)
        write_tensors(
            folder / f"{'' if name == 'z' else 'twin_'}codes.safetensors",
            {method: np.ascontiguousarray(f, np.float32) for method, f in codes.items()},
        )
        test = layer.of("test")
        gains[name] = _gains(test, stand_ins, how, seed)
        fewer[name], kept = _fewer(test, bases, how, seed)
        if name == "z":
            write_table(folder / "replaced.parquet", _replaced(test, stand_ins, how, seed))
            write_table(folder / "kept.parquet", kept)
            outputs = principal_atoms(layer.of("train").z_hat, 2 * test.z_hat.shape[1])[: test.z_hat.shape[1]]
            write_json(folder / "axes.json", describe_axes(test, bases, outputs))
    readings = {
        name: Reading(of["z"][0], of["z"][1], of["untrained"][0])
        for name, of in (("transcoder_over_linear", gains), ("fewer_axes", fewer))
    }
    save_readings(folder, readings)


def replace_layer(layer: Layer, settings: Settings, seed: int) -> tuple[dict[str, Map], dict[str, np.ndarray]]:
    """Stand-ins for the layer, by name, from test rows u to ẑ; and the features of all rows, by method.

    All write with `settings.active` numbers, except the linear map of full rank. The SAE reads ẑ itself and replaces
    nothing: it is what a code of so many entries can say of ẑ at best.
    """
    train, k = layer.of("train"), settings.active
    transcoder = fit_transcoder(train.u, train.z_hat, settings, seed)
    frozen = fit_transcoder(train.u, train.z_hat, settings, seed, frozen=True)
    linear = linear_map(train.u, train.z_hat)
    dictionary = fit(train.z_hat, settings, seed)
    whole: Map = partial(linear.at_rank, rank=len(linear.B))
    stand_ins: dict[str, Map] = {
        "transcoder": lambda u: written(transcoder, transcode(transcoder, u)),
        "transcoder, decoder frozen at random": lambda u: written(frozen, transcode(frozen, u)),
        "linear map, then the SAE of ẑ": lambda u: decode(dictionary, densify(encode(dictionary, whole(u)))),
        f"linear map of rank {k}": lambda u: linear.at_rank(u, k),
        "linear map of full rank": whole,
        "SAE of ẑ, which reads ẑ": lambda u: decode(dictionary, densify(encode(dictionary, layer.predict(u)))),
        f"{k} principal axes of ẑ, which read ẑ": principal_stand_in(train.z_hat, layer.predict, k),
    }
    codes = {
        "transcoder": transcode(transcoder, layer.u),
        "sae_of_z_hat": densify(encode(dictionary, layer.z_hat)),
        "linear": linear.axes(layer.u),
    }
    return stand_ins, codes


def principal_stand_in(y: np.ndarray, predict: Map, k: int) -> Map:
    """The k widest principal axes of y [n, D] as a stand-in that reads the output."""
    mean, axes = y.mean(axis=0), principal_atoms(y, 2 * k)[:k]
    return lambda u: (predict(u) - mean) @ axes.T @ axes + mean


def _replaced(test: Layer, stand_ins: dict[str, Map], how: Inference, seed: int) -> pd.DataFrame:
    rows = []
    for name, stand_in in stand_ins.items():
        found = unexplained(test.z_hat, stand_in(test.u), test.patients, how, np.random.default_rng(seed))
        rows.append({"stand-in": name, **found._asdict()})
    return pd.DataFrame(rows)


def _gains(test: Layer, stand_ins: dict[str, Map], how: Inference, seed: int) -> tuple[Estimate, Estimate]:
    """How much more than a linear map and as sparse a code the transcoder explains, and one with a frozen decoder."""
    made = {name: stand_in(test.u) for name, stand_in in stand_ins.items()}
    ours, frozen, linear = list(made.values())[:3]
    first, null = (
        explained_more(test.z_hat, [y], [linear], test.patients, how, np.random.default_rng(seed))
        for y in (ours, frozen)
    )
    return first, null


def _fewer(
    test: Layer, bases: dict[str, Basis], how: Inference, seed: int
) -> tuple[tuple[Estimate, Estimate], pd.DataFrame]:
    """How much more of ẑ survives on the interaction basis' leading axes than on PCA's; a random rotation's; by budget.

    Estimates are means over `BUDGETS`.
    """
    left = {
        name: [test.predict(basis.kept(test.u, r)) for r in BUDGETS if r <= len(basis.strength)]
        for name, basis in bases.items()
    }
    rows = [
        {
            "basis": name,
            "axes": r,
            **unexplained(test.z_hat, y, test.patients, how, np.random.default_rng(seed))._asdict(),
        }
        for name, made in left.items()
        for r, y in zip(BUDGETS, made, strict=False)
    ]
    gain, null = (
        explained_more(test.z_hat, left[name], left[PCA], test.patients, how, np.random.default_rng(seed))
        for name in (LIB, TURNED)
    )
    return (gain, null), pd.DataFrame(rows)


def describe_axes(test: Layer, bases: dict[str, Basis], outputs: np.ndarray) -> dict[str, dict[str, float]]:
    """For each basis, on test rows: how many axes act on ẑ, and how many pairs of axis and direction of ẑ.

    outputs [E, D], directions of ẑ: its principal axes among training patients.
    """
    some = test.u[np.linspace(0, len(test.u) - 1, min(len(test.u), MOST_ROWS // 4)).astype(int)]
    found = {}
    for name, basis in bases.items():
        acts, pairs = effects(basis, some, test.jacobians), edges(basis, outputs, some, test.jacobians)
        found[name] = {
            "axes": float(len(acts)),
            "acting": number_of(acts),
            "edges": number_of(pairs.ravel()),
            "of_pairs": float(pairs.size),
        }
    return found


def load_codes(folder: Path, whose: str = "") -> dict[str, np.ndarray]:
    """Features of all rows by method, as `open_predictor` left them; `whose`: "twin_" for the untrained twin's."""
    return read_tensors(folder / f"{whose}codes.safetensors")


def load_axes(folder: Path) -> dict[str, dict[str, float]]:
    """What `describe_axes` found of each basis. Raises StoreError."""
    return read_json(folder / "axes.json")
