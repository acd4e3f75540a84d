"""Edits of z and of c along concepts, read from the next ẑ: the step, and what its page reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.error.blind_spots import concept_directions
from jepascope.analysis.inference.stats import Inference, NotComputable, auroc
from jepascope.analysis.predictor.steering import (
    GRID,
    REGIMES,
    Areas,
    Respond,
    Scored,
    areas,
    part_effects,
    pooled,
    random_units,
    regimes,
    row_space,
    score_edits,
    share_steerable,
    unrelated,
)
from jepascope.analysis.sae import Dictionary
from jepascope.pipeline.dictionary.dictionaries import load_consensus
from jepascope.pipeline.readings import Reading, load_reading, load_table, save_readings
from jepascope.pipeline.steering.directions import (
    KINDS,
    Directions,
    Subject,
    choose_subject,
    make_directions,
    random_labels,
)
from jepascope.pipeline.steering.edits import Held
from jepascope.store import read_json, write_json, write_table
from jepascope.training.batches import pack
from jepascope.training.checkpoint import load_model

SITES = ("z", "c")
DRAWS = 19  # of random labels, and of random directions: as many as it takes for 1 in 20
JACOBIANS = 300  # training encounters whose answers span the row space
SHARE = 0.99  # of the effect that the row space holds


class Readers(NamedTuple):
    """Linear readers of ẑ for what the next encounter holds, in standard deviations of their score in training."""

    own: np.ndarray  # [Q, D]
    labels: np.ndarray  # [R, Q, D], of random labels
    other: np.ndarray  # bool [Q, Q], which concepts are off target of which


def fit_readers(s: Subject, moved: np.ndarray) -> Readers:
    """Fit readers of ẑ_{k+1} to the labels of k + 1, on training patients."""
    o = s.objects
    z_hat = o.z_hat[np.searchsorted(o.target_rows, s.before + 1)]
    flat = moved[:, s.before + 1].transpose(1, 0, 2).reshape(len(z_hat), -1)
    w = concept_directions(z_hat, np.concatenate([s.labels[s.before + 1], flat], axis=1))
    w /= np.maximum((z_hat @ w.T).std(axis=0), 1e-12)[:, None]
    Q = s.labels.shape[1]
    return Readers(w[:Q], w[Q:].reshape(len(moved), Q, -1), unrelated(s.labels[s.before]))


class Run(NamedTuple):
    """What R edits of each concept did."""

    on: np.ndarray  # [R, n, Q], area on target
    selective: np.ndarray  # [R, n, Q], less area off target
    scored: Scored  # of the first of the R, on and off [n, Q · A]


def run_edits(
    respond: Respond, u: np.ndarray, own: np.ndarray, amounts: np.ndarray, readers: Readers, still: np.ndarray
) -> Run:
    """Edit along u [R, Q, D], read on target by own [R, Q, D], as far as amounts [n, Q, A] say."""
    (R, Q, _), A, n = u.shape, len(GRID), len(still)
    found, first = [], []
    for q in range(Q):
        others, tiled = readers.own[readers.other[q]], np.tile(amounts[:, q], (1, R))
        scored = score_edits(respond, np.repeat(u[:, q], A, 0), tiled, np.repeat(own[:, q], A, 0), others, still)
        found.append(np.stack(areas(scored)))  # [2, n, R]
        first.append([part[:, :A] for part in scored])
    on, selective = np.stack(found, axis=3).transpose(0, 2, 1, 3)
    return Run(on, selective, Scored(*(np.stack(p, axis=1).reshape(n, Q * A) for p in zip(*first, strict=True))))


def run_kinds(
    respond: Respond, kinds: Mapping[str, Directions], random: np.ndarray, readers: Readers, still: np.ndarray
) -> Iterator[tuple[str, Areas, Scored]]:
    """Run every kind at one site with its nulls; edits at random, which kinds share, are run once.

    random [R, D]: directions that take the place of each concept's, as far and in the same rows.
    """
    u = np.repeat(random[:, None], len(readers.own), axis=1)  # [R, Q, D]
    own = np.broadcast_to(readers.own, u.shape)
    at_random: dict[bool, Run] = {}
    for kind, d in kinds.items():
        is_feature = kind == "feature"
        if is_feature not in at_random:
            at_random[is_feature] = run_edits(respond, u, own, d.amounts, readers, still)
        labels = run_edits(respond, d.labels, readers.labels, d.amounts, readers, still)
        real = run_edits(respond, d.u[None], readers.own[None], d.amounts, readers, still)
        nulls = (*labels[:2], *at_random[is_feature][:2])
        yield kind, Areas(real.on[0], real.selective[0], *nulls), real.scored


def steer(
    folder: Path, encounters: Path, model: Path, objects: Path, statistics: params.Statistics, seed: int, *votes: Path
) -> None:
    """The step that edits z and c of test encounters and reads the next ẑ.

    With the folder of a vote, all kinds of direction; without, the headline's alone, which is all that a twin is asked.
    Leaves regimes.parquet (a row a site, kind and concept), curves.parquet (a row more for each α), parts.parquet (row
    and null space), concepts.parquet, readings.json and about.json. Raises NotComputable as `choose_subject`.
    """
    how = Inference(**statistics.model_dump())
    s = choose_subject(encounters, objects, how, seed)
    rng = np.random.default_rng(seed)
    moved = random_labels(s, DRAWS, rng)
    readers, batch = fit_readers(s, moved), pack(s.cohort)
    jepa, o = load_model(model), s.objects
    held = Held(jepa, batch, o.z, s.rows)
    still = o.z_hat[np.searchsorted(o.target_rows, s.rows + 1)]
    dictionary, about = dictionary_of(votes)
    some = rng.permutation(s.before)[:JACOBIANS]
    tables: dict[str, list[pd.DataFrame]] = {"regimes": [], "curves": [], "parts": []}
    readings: dict[str, Reading] = {}
    for site in SITES:
        x, respond = getattr(o, site), getattr(held, f"move_{site}")
        basis = row_space(Held(jepa, batch, o.z, some).jacobians(site), SHARE)
        about[f"rank_{site}"] = len(basis)
        random = random_units(x[s.before], DRAWS, np.random.default_rng(seed))
        wanted = [kind for kind in KINDS if kind != "feature" or (site == "z" and dictionary is not None)]
        kinds = {kind: make_directions(kind, x, s, moved, dictionary) for kind in (wanted if votes else KINDS[:1])}
        for kind, found, scored in run_kinds(respond, kinds, random, readers, still):
            named = s.concepts.assign(site=site, kind=kind, n_rows=len(s.rows), n_patients=len(np.unique(s.patients)))
            parts = _parts(respond, kinds[kind], readers, basis, still, s, how, seed)
            tables["parts"].append(pd.concat([named, parts], axis=1))
            tables["curves"].append(_curves(scored, named))
            size = np.abs(kinds[kind].amounts).mean(axis=(0, 2)) / np.abs(GRID).mean()
            judged = regimes(found, s.patients, how, np.random.default_rng(seed))
            tables["regimes"].append(pd.concat([named.assign(size=size), judged], axis=1))
            readings |= {f"{site} {kind} {name}": reading for name, reading in _readings(found, s, how, seed).items()}
    for name, parts in tables.items():
        write_table(folder / f"{name}.parquet", pd.concat(parts, ignore_index=True))
    write_table(folder / "concepts.parquet", _read_concepts(s, readers, still))
    save_readings(folder, readings)
    counted = {"rows": len(s.rows), "patients": len(np.unique(s.patients)), "concepts": len(s.concepts), "draws": DRAWS}
    write_json(folder / "about.json", about | counted)


def _readings(found: Areas, s: Subject, how: Inference, seed: int) -> dict[str, Reading]:
    given = (s.patients, how)
    by_name = {name: pooled(found, name, *given, np.random.default_rng(seed)) for name in ("on", "selective")}
    by_name["share"] = share_steerable(found, *given, np.random.default_rng(seed))
    return {name: Reading(*pair) for name, pair in by_name.items()}


def dictionary_of(votes: tuple[Path, ...]) -> tuple[Dictionary | None, dict[str, object]]:
    """The consensus dictionary, or why there is none."""
    try:
        return (load_consensus(votes[0]) if votes else None), {"features": "none"}
    except NotComputable as reason:
        return None, {"features": str(reason)}


def _curves(scored: Scored, named: pd.DataFrame) -> pd.DataFrame:
    """Mean change on and off target at each α, a row a concept and α."""
    on, off = (part.mean(axis=0) for part in scored)  # [Q · A], concept by concept
    long = named.loc[named.index.repeat(len(GRID))].reset_index(drop=True)
    return long.assign(alpha=np.tile(GRID, len(named)), on=on, off=off)


def _parts(
    respond: Respond, d: Directions, readers: Readers, basis: np.ndarray, still: np.ndarray, s: Subject, how: Inference,
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    """What the row-space and null-space parts of each edit do on target, at α = 1."""
    Q, one = len(d.u), GRID.index(1.0)
    row = d.u @ basis.T @ basis
    u = np.stack([d.u, row, d.u - row], axis=1).reshape(3 * Q, -1)
    amounts, own = np.repeat(d.amounts[:, :, one], 3, axis=1), np.repeat(readers.own, 3, axis=0)
    on = score_edits(respond, u, amounts, own, readers.own, still).on.reshape(len(still), Q, 3)
    table = part_effects(on, s.patients, how, np.random.default_rng(seed))
    return table.assign(in_row_space=np.square(row).sum(axis=1))


def _read_concepts(s: Subject, readers: Readers, still: np.ndarray) -> pd.DataFrame:
    """How well ẑ tells the next encounter's concept on the edited rows: what is not foreseen can't well be moved."""
    rows = []
    for q, label in enumerate(s.labels[s.rows + 1].T):
        told = auroc(still @ readers.own[q], label) if label.any() and not label.all() else np.nan
        rows.append({**s.concepts.iloc[q], "share": label.mean(), "auroc": told, "others": int(readers.other[q].sum())})
    return pd.DataFrame(rows)


def load_steered(folder: Path, name: str = "regimes") -> pd.DataFrame:
    """A table that `steer` left: regimes, curves, parts or concepts."""
    return load_table(folder, name)


def load_effect(folder: Path, twin: Path, name: str, site: str = "z") -> Reading:
    """A reading of the headline's directions, with the twin's: on, selective or share. Raises NotComputable."""
    key = f"{site} {KINDS[0]} {name}"
    return load_reading(folder, key)._replace(untrained=load_reading(twin, key).estimate)


def count_regimes(folder: Path) -> pd.DataFrame:
    """By site and kind: concepts in each regime, and mean excess over random labels, on target and selective."""
    rows = []
    for (site, kind), table in load_steered(folder).groupby(["site", "kind"], sort=False):
        found = {name: load_reading(folder, f"{site} {kind} {name}") for name in ("on", "selective")}
        counts = {regime: int((table["regime"] == regime).sum()) for regime in REGIMES}
        rows.append({"site": site, "kind": kind, **counts, **{name: r.estimate for name, r in found.items()}})
    return pd.DataFrame(rows)


def sum_up_parts(folder: Path) -> pd.DataFrame:
    """By site and kind, means over concepts: length in the row space, effects of the parts, illusions counted."""
    columns = ["in_row_space", "whole", "row_part", "null_part"]
    grouped = load_steered(folder, "parts").groupby(["site", "kind"], sort=False)
    return grouped[columns].mean().join(grouped[["moves", "illusion"]].sum()).reset_index()


def about(folder: Path) -> dict[str, object]:
    """What was counted, dimensions of the row space at each site, and why there are no features, if there are none."""
    found: dict[str, object] = read_json(folder / "about.json")
    return found
