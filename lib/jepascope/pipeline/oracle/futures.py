"""Simulated futures, and the error held against them: what nobody could foresee, and what the state foretold."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from jepascope import params
from jepascope.analysis.error.blind_spots import concept_directions
from jepascope.analysis.error.decomposition import Parts
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, Null, permuted_rows
from jepascope.certify import oracle
from jepascope.certify.falsification import changes, displacements
from jepascope.certify.futures import Futures, simulate
from jepascope.certify.planted import Truth, load_truth
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.models.encoder import Encoder
from jepascope.objects import Objects, load_objects
from jepascope.pipeline.certification.model import planted_records
from jepascope.pipeline.error.concepts import carried
from jepascope.pipeline.error.parts import load_rows, read_apart
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
    came among z of its futures), concepts.parquet (what is foreseen of each concept, by ẑ and by the state),
    agreement.json and spots.parquet (reducible error along each concept's direction, oracle and estimate).
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
    names = held.truth.concepts["name"].to_numpy()
    states = held.truth.states[list(names)].to_numpy(bool)
    directions = concept_directions(held.objects.z[train], states[train])
    spaces = {"ẑ": z_hat, "state": held.futures.mean(axis=1)}
    told = (z, directions, states[held.rows], held.patients, how, rng)
    table = oracle.foreseen_shares(spaces, *told)
    dynamics = held.truth.concepts["dynamics"].to_numpy()
    write_table(folder / "concepts.parquet", table.assign(
        dynamics=dynamics[table["concept"]], concept=names[table["concept"]]
    ))  # fmt: skip
    _spots_by_dynamics(folder, held, directions, states, how, seed)
    _certify(folder, held, objects, directions, how, seed)


def _spots_by_dynamics(
    folder: Path, held: Held, directions: np.ndarray, states: np.ndarray, how: Inference, seed: int
) -> None:
    """How much more of each kind of concept the state foretells than ẑ does, and what a stranger's futures would."""
    train, ok = (held.objects.index["split"] == "train").to_numpy(), np.isfinite(directions).all(axis=1)
    mine = states[held.rows][:, ok]
    ok[ok] = [carried(column, held.patients, how.min_carriers) for column in mine.T]
    sizes = displacements(held.objects.z[train], states[train][:, ok], directions[ok])
    strangers = permuted_rows(held.patients, 1, np.random.default_rng(seed))[0]
    means, z_hat = held.futures.mean(axis=1), held.objects.z_hat[held.place]
    dynamics, records = held.truth.concepts["dynamics"].to_numpy()[ok], []
    for futures, m in (("own", means), ("of another patient", means[strangers])):
        rng = np.random.default_rng(seed)
        found = changes(z_hat, m, directions[ok], sizes, states[held.rows][:, ok], held.patients, how, rng)
        for kind in pd.unique(dynamics):
            estimate = found.pooled(dynamics == kind, how.level)
            records.append({"name": f"{kind}, {futures}", **estimate._asdict()})
    write_table(folder / "dynamics.parquet", pd.DataFrame(records))


def _certify(folder: Path, held: Held, objects: Path, directions: np.ndarray, how: Inference, seed: int) -> None:
    """Hold the bias and systematic part, estimated as without a truth, against the oracle's avoidable error."""
    rows, rng = load_rows(objects), np.random.default_rng(seed)
    parts = read_apart(rows.e, rows.own, rows, how.folds, seed)
    mine = Parts(*(part[held.place] for part in parts))
    estimated, e, z_hat = mine.bias + mine.systematic, rows.e[held.place], rows.z_hat[held.place]
    found = oracle.agree(estimated, e, z_hat, held.futures, held.patients, AXES, how, rng)
    write_json(folder / "agreement.json", {
        "r2": found.r2._asdict(), "null": found.null._asdict(),
        "axes": found.axes, "axes_of_e": found.axes_of_e, "chance": found.chance,
    })  # fmt: skip
    ok = np.isfinite(directions).all(axis=1)
    along = oracle.split_error(rows.z[held.place], z_hat, held.futures, directions[ok])
    variance = ((rows.z[held.place] - rows.mean) @ directions[ok].T) ** 2
    taken = (e @ directions[ok].T) ** 2 - ((e - estimated) @ directions[ok].T) ** 2
    write_table(folder / "spots.parquet", pd.DataFrame({
        "concept": held.truth.concepts["name"].to_numpy()[ok],
        "dynamics": held.truth.concepts["dynamics"].to_numpy()[ok],
        "total": along.total.sum(axis=0) / variance.sum(axis=0),
        "reducible": along.reducible.sum(axis=0) / variance.sum(axis=0),
        "estimated": taken.sum(axis=0) / variance.sum(axis=0),
    }))  # fmt: skip
    pair = oracle.correlate_spots(along.reducible, taken, variance, held.patients, how, rng)
    write_table(folder / "correlation.parquet", _estimates({"spots": pair}))


def load_share(folder: Path, part: str) -> Estimate:
    """A share of ‖e‖²: irreducible, reducible, cross, spread, or perfect (see `oracle.part_shares`)."""
    return load_estimate(folder / "shares.parquet", part)


def load_blind_spot(folder: Path, dynamics: str, futures: str = "own") -> Estimate:
    """What the state foretells of one kind of concept and ẑ doesn't, as a share of what the concepts do to z."""
    return load_estimate(folder / "dynamics.parquet", f"{dynamics}, {futures}")


def load_agreement(folder: Path) -> oracle.Agreement:
    """What `hold_against_oracle` found of the estimated parts."""
    stored: dict[str, Any] = read_json(folder / "agreement.json")
    return oracle.Agreement(**{**stored, "r2": Estimate(**stored["r2"]), "null": Null(**stored["null"])})


def load_foreseen(folder: Path) -> pd.DataFrame:
    """What ẑ, and the state, foresee of each concept that could be measured. Raises NotComputable if none could."""
    table = read_table(folder / "concepts.parquet")
    known = table[table["value"].notna()]
    both = known[known.groupby("concept")["space"].transform("size") == 2]
    if both.empty:
        raise NotComputable(str(table["reason"].iloc[0]))
    return both


def load_spots(folder: Path) -> pd.DataFrame:
    """Reducible error along each concept's direction, by the oracle and as estimated, over the variance of z there."""
    return read_table(folder / "spots.parquet")


def load_spot_correlation(folder: Path) -> Estimate:
    """How the two maps of `load_spots` correlate over concepts."""
    return load_estimate(folder / "correlation.parquet", "spots")


def load_axes(folder: Path) -> pd.DataFrame:
    """The parts of the error along the principal axes of z."""
    return read_table(folder / "axes.parquet")
