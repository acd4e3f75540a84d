"""Simulated futures, and the error held against them: what nobody could foresee, and what the state foretold."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from jepascope import params
from jepascope.analysis.error.blind_spots import concept_directions
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, Null, permuted_rows
from jepascope.certify import oracle
from jepascope.certify.falsification import Foreseen, foreseen, relative
from jepascope.certify.futures import Futures, simulate
from jepascope.certify.planted import Truth, load_truth
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.models.encoder import Encoder
from jepascope.objects import Objects, load_objects
from jepascope.pipeline.certification.model import planted_records
from jepascope.pipeline.error.concepts import carried
from jepascope.pipeline.error.parts import READERS, load_rows, read_apart
from jepascope.store import read_json, read_table, read_tensors, write_json, write_table, write_tensors
from jepascope.training.checkpoint import load_model

# Leading axes that are compared between the estimated avoidable error and the oracle's.
AXES = 3
CHUNK_ENCOUNTERS = 2048


def simulate_futures(
    folder: Path,
    encounters: Path,
    source: params.Source,
    extraction: params.Extraction,
    certification: params.Certification,
    statistics: params.Statistics,
    seed: int,
) -> None:
    """The step that simulates futures of test encounters from the planted state, and holds them against what came.

    Leaves futures.safetensors (`certify.futures.Futures`), tokens.parquet (each token: what came, what was expected)
    and calibration.parquet; or, where one can't be made, reasons.json in its place, as other chapters read this step.
    """
    cohort, reasons = cohort_encounters.load(encounters), {}
    rng = np.random.default_rng(seed)
    try:
        planted = planted_records(encounters) / "planted"
        found = simulate(folder / "scratch", planted, cohort, source, extraction, certification, rng)
        (folder / "scratch").rmdir()
        write_tensors(folder / "futures.safetensors", found._asdict())
        _check(folder, cohort, found, Inference(**statistics.model_dump()), rng)
    except NotComputable as reason:
        reasons["reason"] = str(reason)
    write_json(folder / "reasons.json", reasons)


def _check(folder: Path, cohort: Encounters, found: Futures, how: Inference, rng: np.random.Generator) -> None:
    V, n = len(cohort.vocabulary), len(found.rows)
    came = _bag(cohort.tokens, cohort.offsets, V)[found.rows]
    futures = _bag(found.tokens, found.offsets, V).reshape(n, -1, V)
    patients = cohort.index["subject_id"].to_numpy()[found.rows]
    scores = oracle.mean_scores(came, futures, patients)
    write_table(folder / "tokens.parquet", pd.concat([cohort.vocabulary[["token", "kind"]], scores], axis=1))
    checked = oracle.calibrate(came, futures, patients, how, rng)
    write_table(folder / "calibration.parquet", _estimates(checked._asdict()))


def made(folder: Path, file: str = "futures.safetensors") -> Path:
    """The folder of a step of the planted world, if it holds this file; else NotComputable with the recorded reason."""
    if not (folder / file).exists():
        raise NotComputable(read_json(folder / "reasons.json")["reason"])
    return folder


def _bag(tokens: np.ndarray, offsets: np.ndarray, V: int) -> np.ndarray:
    """Which encounter has which token, bool [N, V]."""
    bag = np.zeros((len(offsets) - 1, V), bool)
    bag[np.repeat(np.arange(len(bag)), np.diff(offsets)), tokens] = True
    return bag


def _estimates(found: dict[str, Estimate]) -> pd.DataFrame:
    return pd.DataFrame([{"name": name, **estimate._asdict()} for name, estimate in found.items()])


def load_estimate(file: Path, name: str) -> Estimate:
    """One named estimate of a table of them. Raises NotComputable if it isn't there or isn't defined."""
    table = read_table(file).set_index("name")
    if name not in table.index or table.loc[name, ["value", "low", "high"]].isna().any():
        raise NotComputable(f"too few patients for '{name}'")
    row = table.loc[name]
    return Estimate(row["value"], row["low"], row["high"], int(row["n_rows"]), int(row["n_patients"]))


def load_calibration(folder: Path, name: str) -> Estimate:
    """How far `name` (came, simulated, stranger) lies from the mean of the futures, over how far one of them does."""
    return load_estimate(made(folder, "calibration.parquet") / "calibration.parquet", name)


def load_tokens(folder: Path) -> pd.DataFrame:
    """Each token's frequency, came and expected, and its score."""
    return read_table(made(folder, "tokens.parquet") / "tokens.parquet")


def off_tokens(tokens: pd.DataFrame) -> pd.DataFrame:
    """How many tokens' means lie apart, of what came and of a simulated future in its place: 1 in 20 by chance."""
    rows = []
    for name, column in (("what came", "t"), ("a simulated future in its place", "t_simulated")):
        t = tokens[column].dropna().abs()
        rows.append([name, len(t), int((t > 1.96).sum()), float(np.sqrt((t**2).mean())), float(t.max())])
    return pd.DataFrame(
        rows, columns=["encounters", "tokens", "beyond 1.96", "root mean square score", "largest score"]
    )


def describe_concepts(records: Path, encounters: Path) -> pd.DataFrame:
    """The planted concepts: concept, dynamics, prevalence among encounters, parent, and examples of codes."""
    index = cohort_encounters.load(encounters).index
    truth = load_truth(records / "planted", index)
    described = truth.concepts[["name", "dynamics", "parent", "codes"]].copy()
    described["prevalence"] = truth.states[list(described["name"])].mean().to_numpy()
    described["codes"] = [", ".join(list(codes)[::2][:3]) or "none of its own" for codes in described["codes"]]
    return described.rename(columns={"name": "concept"}).fillna({"parent": ""})


def spell_concepts(concepts: pd.DataFrame) -> pd.DataFrame:
    """The concepts for the page: by dynamics, names in words, prevalence in per cent."""
    spelled = concepts.sort_values(["dynamics", "prevalence"], ascending=[True, False])[
        ["concept", "dynamics", "prevalence", "parent", "codes"]
    ]
    spelled = spelled.assign(prevalence=spelled["prevalence"].map("{:.1%}".format))
    return spelled.replace({"concept": "_", "dynamics": "_", "parent": "_"}, " ", regex=True)


class Held(NamedTuple):
    """A model's predictions of the n encounters that have futures."""

    objects: Objects
    truth: Truth
    rows: np.ndarray  # int64 [n], rows of the index
    place: np.ndarray  # int64 [n], the same among predictions
    futures: np.ndarray  # float32 [n, M, D], z of the simulated encounters
    patients: np.ndarray  # [n]


def load_held(records: Path, futures: Path, model: Path, objects: Path) -> Held:
    """Encode the futures with a model's own encoder, beside its objects and the truth."""
    o, drawn = load_objects(objects), read_tensors(futures / "futures.safetensors")
    rows = drawn["rows"]
    z = encode_encounters(load_model(model).encoder, drawn["tokens"], drawn["offsets"])
    truth = load_truth(records / "planted", o.index)
    place = np.searchsorted(o.target_rows, rows)
    return Held(o, truth, rows, place, z.reshape(len(rows), -1, z.shape[1]), o.index["subject_id"].to_numpy()[rows])


@torch.no_grad()
def encode_encounters(encoder: Encoder, tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """z [N, D] of encounters by themselves, chunk by chunk; tokens int [T], offsets int64 [N + 1]."""
    flat, ends = torch.from_numpy(tokens.astype(np.int64)), torch.from_numpy(offsets)
    pieces = []
    for start in range(0, len(offsets) - 1, CHUNK_ENCOUNTERS):
        mine = ends[start : start + CHUNK_ENCOUNTERS + 1]
        pieces.append(encoder(flat[mine[0] : mine[-1]], mine - mine[0]))
    return torch.cat(pieces).numpy()


def hold_against_oracle(
    folder: Path,
    records: Path,
    futures: Path,
    model: Path,
    objects: Path,
    statistics: params.Statistics,
    seed: int,
) -> None:
    """The step that splits a model's error by simulated futures, and certifies the parts estimated without them.

    Leaves shares.parquet (of ‖e‖²), axes.parquet (parts along the principal axes of z), calibration.parquet (z of what
    came among z of its futures), concepts.parquet and kinds.parquet (what is foreseen, by ẑ and by the state),
    agreement.json, spots.parquet and correlation.parquet (reducible error along each concept's direction, by the oracle
    and as estimated).
    """
    how = Inference(**statistics.model_dump())
    held, rng = load_held(records, futures, model, objects), np.random.default_rng(seed)
    z, z_hat = held.objects.z[held.rows], held.objects.z_hat[held.place]
    train = (held.objects.index["split"] == "train").to_numpy()
    axes = oracle.leading_axes(np.cov(held.objects.z[train].T), z.shape[1])
    parts = oracle.split_error(z, z_hat, held.futures, axes)
    every = np.ones(len(axes), bool)
    write_table(folder / "shares.parquet", _estimates(oracle.part_shares(parts, every, held.patients, how, rng)))
    means = {name: part.mean(axis=0) for name, part in parts._asdict().items()}
    variance = ((z - held.objects.z[train].mean(axis=0)) @ axes.T) ** 2
    write_table(folder / "axes.parquet", pd.DataFrame({"axis": 1 + np.arange(len(axes)), **means}).assign(
        variance=variance.mean(axis=0)
    ))  # fmt: skip
    checked = oracle.calibrate(z, held.futures, held.patients, how, rng)
    write_table(folder / "calibration.parquet", _estimates(checked._asdict()))
    directions = concept_directions(held.objects.z[train], _states(held)[train])
    _foresee(folder, held, directions, how, seed)
    _certify(folder, held, objects, directions, how, seed)


def _states(held: Held) -> np.ndarray:
    """Which concept is on at which encounter, bool [N, Q], in the order of the concepts."""
    return held.truth.states[list(held.truth.concepts["name"])].to_numpy(bool)


def _foresee(folder: Path, held: Held, directions: np.ndarray, how: Inference, seed: int) -> None:
    """How much of each concept, and of each kind, is foreseen: by ẑ, by the state, and by strangers' in their place."""
    states = _states(held)[held.rows]
    ok = np.isfinite(directions).all(axis=1) & [carried(on, held.patients, how.min_carriers) for on in states.T]
    strangers = permuted_rows(held.patients, 1, np.random.default_rng(seed))[0]
    z_hat, m = held.objects.z_hat[held.place], held.futures.mean(axis=1)
    predicted = {
        "ẑ": z_hat,
        "state": m,
        "missed": m - z_hat,
        "ẑ, another patient's": z_hat[strangers],
        "missed, another patient's": m[strangers] - z_hat,
    }
    told = (held.objects.z[held.rows], directions[ok], states[:, ok], held.patients, how)
    # One seed for all: the same draws of patients.
    found = {by: foreseen(x, *told, np.random.default_rng(seed)) for by, x in predicted.items()}
    named = held.truth.concepts[["name", "dynamics"]][ok].rename(columns={"name": "concept"})
    shares = [
        named.assign(space=by, value=found[by].value, low=found[by].low, high=found[by].high) for by in ("ẑ", "state")
    ]
    write_table(folder / "concepts.parquet", pd.concat(shares, ignore_index=True))
    write_table(folder / "kinds.parquet", _estimates(_by_kind(found, named["dynamics"].to_numpy(), how.level)))


def _by_kind(found: dict[str, Foreseen], dynamics: np.ndarray, level: float) -> dict[str, Estimate]:
    """Means over the concepts of each kind, "<kind>, <by>", and what ẑ foresees of what the state does."""
    estimates = {}
    for kind in pd.unique(dynamics):
        which = dynamics == kind
        asked = {by: partial(one.pooled, which, level) for by, one in found.items()}
        asked["ẑ of the state's"] = partial(relative, found["ẑ"], found["state"], which, level)
        for by, ask in asked.items():
            with suppress(NotComputable):
                estimates[f"{kind}, {by}"] = ask()
    return estimates


def _certify(folder: Path, held: Held, objects: Path, directions: np.ndarray, how: Inference, seed: int) -> None:
    """Hold the bias and systematic part, estimated as without a truth, against the oracle's avoidable error.

    By both readers of the error: of the predictor's own input, and of the past behind it.
    """
    rows, ok = load_rows(objects), np.isfinite(directions).all(axis=1)
    e, z_hat, z = rows.e[held.place], rows.z_hat[held.place], rows.z[held.place]
    along = oracle.split_error(z, z_hat, held.futures, directions[ok])
    variance = ((z - rows.mean) @ directions[ok].T) ** 2
    spots = held.truth.concepts[["name", "dynamics"]][ok].rename(columns={"name": "concept"})
    spots["reducible"] = along.reducible.sum(axis=0) / variance.sum(axis=0)
    agreements, correlations = {}, {}
    for reader in READERS:
        rng = np.random.default_rng(seed)
        parts = read_apart(rows.e, getattr(rows, reader), rows, how.folds, seed)
        estimated = (parts.bias + parts.systematic)[held.place]
        found = oracle.agree(estimated, e, z_hat, held.futures, held.patients, AXES, how, rng)
        agreements[reader] = found._asdict() | {"r2": found.r2._asdict(), "null": found.null._asdict()}
        taken = (e @ directions[ok].T) ** 2 - ((e - estimated) @ directions[ok].T) ** 2
        spots[reader] = taken.sum(axis=0) / variance.sum(axis=0)
        correlations[reader] = oracle.correlate_spots(along.reducible, taken, variance, held.patients, how, rng)
    write_json(folder / "agreement.json", agreements)
    write_table(folder / "spots.parquet", spots)
    write_table(folder / "correlation.parquet", _estimates(correlations))


def load_share(folder: Path, part: str) -> Estimate:
    """A share of ‖e‖²: irreducible, reducible, cross, spread, or perfect (see `oracle.part_shares`)."""
    return load_estimate(folder / "shares.parquet", part)


def load_foreseen_of(folder: Path, dynamics: str, by: str) -> Estimate:
    """What is foreseen of one kind of concept, as a share of what its concepts do to z.

    `by`: "ẑ", "state", "missed" (what the state foretells and ẑ doesn't foresee); "ẑ" and "missed" also with
    ", another patient's" in their place; or "ẑ of the state's", ẑ's share over the state's.
    """
    return load_estimate(folder / "kinds.parquet", f"{dynamics}, {by}")


def load_foreseen(folder: Path) -> pd.DataFrame:
    """What ẑ, and the state, foresee of each concept that could be measured. Raises NotComputable if none could."""
    known = read_table(folder / "concepts.parquet").dropna(subset="value")
    if known.empty:
        raise NotComputable("of no concept enough test patients have it, and show it in z")
    return known


def load_agreement(folder: Path, reader: str = "own") -> oracle.Agreement:
    """What `hold_against_oracle` found of the parts that a reader estimated: "own", or "past"."""
    stored: dict[str, Any] = read_json(folder / "agreement.json")[reader]
    return oracle.Agreement(**{**stored, "r2": Estimate(**stored["r2"]), "null": Null(**stored["null"])})


def load_spots(folder: Path) -> pd.DataFrame:
    """Reducible error along each concept's direction, and as each reader estimated it, over the variance of z there."""
    return read_table(folder / "spots.parquet")


def load_axes(folder: Path) -> pd.DataFrame:
    """The parts of the error along the principal axes of z."""
    return read_table(folder / "axes.parquet")
