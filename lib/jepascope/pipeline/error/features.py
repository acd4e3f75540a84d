"""Sparse dictionaries of the error, held against kept features of z, as errors of predictors that know nothing are."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.error.signed_matching import KINDS, excess_over, signed_match, spoken, spoken_share
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable
from jepascope.analysis.sae import Settings, densify, encode, fit
from jepascope.pipeline.dictionary.dictionaries import load_consensus
from jepascope.pipeline.error.parts import load_parts, load_rows, of_another
from jepascope.store import read_table, read_tensors, write_table, write_tensors

# What every predictor's error speaks of z: ours must go beyond the most talkative of these.
KNOW_NOTHING = ("mean", "persistence", "ẑ of another patient")


def match_features(
    folder: Path, trained: Path, parts: Path, votes: Path, statistics: params.Statistics, sae: params.Sae, seed: int
) -> None:
    """The step that fits one dictionary to each kind of error and matches it, with its sign, to z's kept features.

    All dictionaries have the settings and the seed of z's own and see training patients only. Leaves energy.safetensors
    (a kind of error -> [M_test, 3], and patients) and matches.parquet. `parts` is the folder of `error.take_apart`,
    `votes` of `dictionaries.vote_on_features`. Raises NotComputable where under two features of z are kept.
    """
    atoms = load_consensus(votes).W_dec
    rows, settings = load_rows(trained), Settings(**sae.model_dump())
    taken = load_parts(parts, "trained", "past")
    errors = {
        "e": rows.e,
        "systematic": taken.systematic,
        "innovation": taken.innovation,
        "mean": rows.z - rows.mean,
        "persistence": rows.z - rows.z_previous,
        "ẑ of another patient": rows.z - of_another(rows, rows.z_hat, np.random.default_rng(seed)),
    }
    arrays: dict[str, np.ndarray] = {"patients": rows.patients[rows.test]}
    records = []
    for name, error in errors.items():
        error = error.astype(np.float32)
        dictionary = fit(error[rows.train], settings, seed)
        alive = np.any(densify(encode(dictionary, error[rows.train])) > 0, axis=0)
        match = signed_match(dictionary.W_dec, atoms, alive)
        arrays[name] = spoken(dictionary, match, error[rows.test])
        records.append(
            {
                "error": name,
                "features": int(alive.sum()),
                "missed": int(match.missed.sum()),
                "hallucinated": int(match.hallucinated.sum()),
                "z's features missed": match.atoms_missed,
                "z's features hallucinated": match.atoms_hallucinated,
                "of": match.atoms,
            }
        )
    write_tensors(folder / "energy.safetensors", arrays)
    write_table(folder / "matches.parquet", pd.DataFrame(records))


class Spoken(NamedTuple):
    """What one kind of error says in z's words."""

    share: Estimate
    excess: Estimate  # over the predictors that know nothing
    nothing: Estimate  # the largest of theirs


def spoken_of(folder: Path, name: str, kind: str, how: Inference, rng: np.random.Generator) -> Spoken:
    """Share of an error's code in features missed or hallucinated, and its excess. Raises NotComputable.

    `name` is a kind of error of `match_features` and `kind` one of "missed" and "hallucinated".
    """
    if kind not in KINDS:
        raise ValueError(f"no kind {kind!r}; there are {', '.join(KINDS)}")
    arrays = read_tensors(folder / "energy.safetensors")
    patients = arrays["patients"]
    nothing = {other: spoken_share(arrays[other], kind, patients, how, rng) for other in KNOW_NOTHING}
    return Spoken(
        spoken_share(arrays[name], kind, patients, how, rng),
        excess_over(arrays[name], [arrays[other] for other in KNOW_NOTHING], kind, patients, how, rng),
        max(nothing.values(), key=lambda estimate: estimate.value),
    )


def all_spoken(folder: Path, kind: str, how: Inference, rng: np.random.Generator) -> dict[str, Estimate]:
    """The share of one kind in the code of every error that `match_features` looked at."""
    arrays = read_tensors(folder / "energy.safetensors")
    patients = arrays.pop("patients")
    return {name: spoken_share(arrays[name], kind, patients, how, rng) for name in load_matches(folder)["error"]}


def load_matches(folder: Path) -> pd.DataFrame:
    """Counts of matched features, a row a kind of error. Raises NotComputable if there are none."""
    table = read_table(folder / "matches.parquet")
    if table.empty:
        raise NotComputable("no dictionary was fitted")
    return table
