"""Predicted effects of steering held against true ones: concepts turned in the generator, and edited into the model."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.error.blind_spots import concept_directions
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, bootstrap_mean, null_of
from jepascope.analysis.predictor.steering import GRID, random_units
from jepascope.analysis.sae import Dictionary
from jepascope.certify import steering as certified
from jepascope.certify.falsification import effects
from jepascope.certify.planted import load_truth
from jepascope.certify.steering import ACTING, Turned
from jepascope.cohort import encounters as cohort_encounters
from jepascope.objects import load_objects
from jepascope.pipeline.oracle.futures import encode_encounters
from jepascope.pipeline.readings import Reading, load_reading, load_table, save_readings
from jepascope.pipeline.steering.directions import (
    KINDS,
    Directions,
    Subject,
    followed,
    make_directions,
    random_labels,
)
from jepascope.pipeline.steering.edits import Held
from jepascope.pipeline.steering.effects import DRAWS, dictionary_of
from jepascope.store import read_json, read_table, read_tensors, write_json, write_table
from jepascope.training.batches import pack
from jepascope.training.checkpoint import load_model

INPUT, ENCODED = "input", "encoded"  # edits of the records, and of z by what editing the records does on average


class Turns(NamedTuple):
    """Turned concepts in one model's space, and the model held still where they were turned."""

    subject: Subject  # labels are planted states
    dynamics: np.ndarray  # str [Q]
    was_on: np.ndarray  # bool [n, Q]
    now: np.ndarray  # float32 [1 + Q, n, NOW, D], z of encounter k by arm
    true: Turned  # of z_{k+1}
    shown: Turned  # of z_k
    held: Held
    still: np.ndarray  # [n, D], ẑ_{k+1}
    directions: np.ndarray  # [Q, D], unit, in which concepts move z, the others being equal; of training patients
    sizes: np.ndarray  # [Q], how far


def load_turns(records: Path, encounters: Path, switches: Path, model: Path, objects: Path) -> Turns:
    """Encode the arms with a model's own encoder, beside its objects and the planted states."""
    cohort, o, jepa = cohort_encounters.load(encounters), load_objects(objects), load_model(model)
    drawn, concepts = read_tensors(switches / "switches.safetensors"), read_table(switches / "concepts.parquet")
    truth, rows, names = load_truth(records / "planted", o.index), drawn["rows"], concepts["name"].to_numpy()
    was_on, D = drawn["was_on"].astype(bool), o.z.shape[1]
    now, after = (
        encode_encounters(jepa.encoder, drawn[f"{when}_tokens"], drawn[f"{when}_offsets"]).reshape(
            1 + len(names), len(rows), -1, D
        )
        for when in ("now", "next")
    )
    train = (o.index["split"] == "train").to_numpy()
    all_states = truth.states.to_numpy(bool)
    vary = all_states[train].any(axis=0) & ~all_states[train].all(axis=0)
    directions = effects(o.z[train], all_states[train][:, vary])
    sizes = certified.displacements(o.z[train], all_states[train][:, vary], directions)
    place = pd.Index(truth.states.columns[vary]).get_indexer(names)
    if (place < 0).any():
        raise NotComputable("a planted concept has no carrier among training patients")
    patients = o.index["subject_id"].to_numpy()[rows]
    subject = Subject(
        cohort, o, truth.states[list(names)].to_numpy(bool), concepts.rename(columns={"name": "concept"}),
        followed(o.index, "train"), rows, patients,
    )  # fmt: skip
    return Turns(
        subject, concepts["dynamics"].to_numpy(), was_on, now, certified.turned(after, was_on),
        certified.turned(now, was_on), Held(jepa, pack(cohort), o.z, rows),
        o.z_hat[np.searchsorted(o.target_rows, rows + 1)], directions[place], sizes[place],
    )  # fmt: skip


def input_edit(t: Turns) -> Turned:
    """Predicted effect of turning the concept in the records of k: all that follows is the model's."""
    arms, n, M, D = t.now.shape
    z_hat = t.held.replace_z(t.now.transpose(1, 0, 2, 3).reshape(n, arms * M, D))
    return certified.turned(z_hat.reshape(n, arms, M, D).transpose(1, 0, 2, 3), t.was_on)


def latent_edit(t: Turns, u: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Predicted effect [n, Q, D] of moving z_k along u [Q, D]: put in where the concept was off, taken out where on.

    amounts [n, Q, A] as of `Directions`.
    """
    out, put_in = (amounts[:, :, GRID.index(alpha)] for alpha in (-1.0, 1.0))
    moved = t.held.move_z(u, np.where(t.was_on, out, put_in)) - t.still[:, None]
    return moved * np.where(t.was_on, -1.0, 1.0)[:, :, None]


def encoded_direction(t: Turns) -> Directions:
    """The mean change of z_k when the concept is turned in the records: the right direction, one for all rows."""
    mean = t.shown.effect.mean(axis=0)  # [Q, D]
    length = np.linalg.norm(mean, axis=1)
    amounts = np.broadcast_to(length[:, None] * np.array(GRID), (len(t.still), len(length), len(GRID)))
    return Directions(mean / np.maximum(length, 1e-12)[:, None], np.empty((0, *mean.shape)), amounts)


def certify_steering(
    folder: Path,
    records: Path,
    encounters: Path,
    switches: Path,
    model: Path,
    objects: Path,
    statistics: params.Statistics,
    seed: int,
    *votes: Path,
) -> None:
    """The step that holds predicted effects of edits against true effects of turning the same concepts.

    Kinds: of records ("input"), of z by their mean effect on z ("encoded"), and along directions as the steering page
    makes them, here of planted states. Leaves readings.json, carried.parquet (a row a kind and concept) and about.json.
    Raises NotComputable under `statistics.min_patients`.
    """
    how = Inference(**statistics.model_dump())
    t = load_turns(records, encounters, switches, model, objects)
    n_patients = len(np.unique(t.subject.patients))
    if n_patients < how.min_patients:
        raise NotComputable(f"{n_patients} test patients to turn concepts in, {how.min_patients} needed")
    dictionary, about = dictionary_of(votes)
    predicted, nulls = run_all(t, dictionary, seed)
    acting = np.isin(t.dynamics, ACTING)
    shares = {kind: certified.carried_over(p.effect, t.directions, t.sizes) for kind, p in predicted.items()}
    true = certified.carried_over(t.true.effect, t.directions, t.sizes)
    readings = _read_shocks(t, predicted, how, seed)
    for kind, p in predicted.items():
        readings |= {f"{kind} {name}": r for name, r in _agreements(t, p, nulls, acting, how, seed).items()}
        readings |= {f"{kind} {name}": r for name, r in _of_concepts(t, true, shares[kind], nulls, how, seed).items()}
    save_readings(folder, readings)
    write_table(folder / "carried.parquet", _carried(t, {"truth": true, **shares}, how, seed))
    write_json(
        folder / "about.json", about | {"rows": len(t.still), "patients": n_patients, "acting": int(acting.sum())}
    )


def run_all(t: Turns, dictionary: Dictionary | None, seed: int) -> tuple[dict[str, Turned], dict[str, np.ndarray]]:
    """Predicted effects by kind of edit, and [R, n, Q, D] of edits that mean nothing, as far as the headline's."""
    s, rng = t.subject, np.random.default_rng(seed)
    z, Q = s.objects.z, len(t.sizes)
    moved = random_labels(s, DRAWS, rng)
    made = {kind: make_directions(kind, z, s, moved, dictionary) for kind in KINDS if kind != "feature" or dictionary}
    none = np.zeros(t.true.doubt.shape)
    predicted = {INPUT: input_edit(t)}
    for kind, d in {ENCODED: encoded_direction(t), **made}.items():
        predicted[kind] = Turned(latent_edit(t, d.u, d.amounts), none)
    headline = made[KINDS[0]]
    random = random_units(z[s.before], DRAWS * Q, rng).reshape(DRAWS, Q, -1)
    nulls = {
        "directions": np.stack([latent_edit(t, u, headline.amounts) for u in random]),
        "labels": np.stack([latent_edit(t, u, headline.amounts) for u in headline.labels]),
    }
    return predicted, nulls


def _agreements(
    t: Turns, p: Turned, nulls: dict[str, np.ndarray], acting: np.ndarray, how: Inference, seed: int
) -> dict[str, Reading]:
    """Over rows and axes of the concepts that act: slope and cosine, against edits at random and others' effects."""
    found = certified.agree(t.true, p, acting, t.subject.patients, how, np.random.default_rng(seed))
    readings: dict[str, Reading] = {}
    if acting.sum() > 1:
        others = certified.agree_with_others(t.true, p, acting, found, DRAWS, how.level, np.random.default_rng(seed))
        readings["cosine concepts"] = Reading(found.cosine, others)
    for name, effect in nulls.items():
        slope, cosine = certified.agree_by_chance(t.true, effect, acting, found, how.level)
        readings |= {f"slope {name}": Reading(found.slope, slope), f"cosine {name}": Reading(found.cosine, cosine)}
    return readings


def _of_concepts(
    t: Turns, true: np.ndarray, shares: np.ndarray, nulls: dict[str, np.ndarray], how: Inference, seed: int
) -> dict[str, Reading]:
    """Over concepts: slope and r of mean shares carried over; and what is carried over of shocks, which is nothing."""
    patients, readings = t.subject.patients, dict[str, Reading]()
    shock = t.dynamics == "shock"
    found = certified.correlate_concepts(true, shares, patients, how, np.random.default_rng(seed))
    for name, effect in nulls.items():
        by_chance = certified.carried_over(effect, t.directions, t.sizes)  # [R, n, Q]
        slope, r = certified.correlate_by_chance(true, by_chance, found, how.level)
        readings |= {f"concept slope {name}": Reading(found.slope, slope), f"r {name}": Reading(found.cosine, r)}
        for which, chosen in (("shocks", shock), ("acting", np.isin(t.dynamics, ACTING))):
            mean = shares[:, chosen].mean(axis=1)
            rng = np.random.default_rng(seed)
            estimate = bootstrap_mean(mean, patients, how.bootstrap, how.level, rng, how.min_patients)
            drawn = by_chance[:, :, chosen].mean(axis=(1, 2))
            readings[f"{which} {name}"] = Reading(estimate, null_of(drawn, estimate.value, how.level))
    return readings


def _read_shocks(t: Turns, predicted: dict[str, Turned], how: Inference, seed: int) -> dict[str, Reading]:
    """The same for shocks along the directions in which z tells them apart: does the answer hang on how one looks?"""
    s, shock, found = t.subject, t.dynamics == "shock", {}
    train = (s.objects.index["split"] == "train").to_numpy()
    w = concept_directions(s.objects.z[train], s.labels[train][:, shock])
    sizes = certified.displacements(s.objects.z[train], s.labels[train][:, shock], w)
    for kind, p in {"truth": t.true, **predicted}.items():
        mean = certified.carried_over(p.effect[:, shock], w, sizes).mean(axis=1)
        rng = np.random.default_rng(seed)
        estimate = bootstrap_mean(mean, s.patients, how.bootstrap, how.level, rng, how.min_patients)
        found[f"{kind} shocks told apart"] = Reading(estimate, estimate)
    return found


def _carried(t: Turns, shares: dict[str, np.ndarray], how: Inference, seed: int) -> pd.DataFrame:
    """A row a kind and concept: kind, concept, dynamics, on (share of rows with it), value, low, high, n_rows, …"""
    rows = []
    for kind, x in shares.items():
        found = certified.mean_shares(x, t.subject.patients, how, np.random.default_rng(seed))
        named = zip(t.subject.concepts["concept"], t.dynamics, t.was_on.mean(axis=0), found, strict=True)
        rows += [{"kind": kind, "concept": c, "dynamics": d, "on": on, **e._asdict()} for c, d, on, e in named]
    return pd.DataFrame(rows)


def load_agreement(folder: Path, twin: Path, kind: str, name: str, null: str = "directions") -> Reading:
    """A reading of one kind of edit, with the twin's: slope, cosine, concept slope, r, shocks or acting.

    null: "directions" or "labels", edits of z at random; for a cosine also "concepts", the effects of other concepts.
    Raises NotComputable.
    """
    key = f"{kind} {name} {null}"
    return load_reading(folder, key)._replace(untrained=load_reading(twin, key).estimate)


def load_told_apart(folder: Path, kind: str) -> Estimate:
    """What is carried over of shocks along the directions in which z tells them apart. Raises NotComputable."""
    return load_reading(folder, f"{kind} shocks told apart").estimate


def compare_kinds(folder: Path) -> pd.DataFrame:
    """Every kind of edit beside both nulls: kind, then a column a statistic of estimates or nulls."""
    statistics = ("cosine", "slope", "r", "acting", "shocks")
    rows: list[dict[str, object]] = []
    for kind in kinds_of(folder):
        estimates = {name: load_reading(folder, f"{kind} {name} directions").estimate for name in statistics}
        rows.append({"kind": kind, **estimates, "shocks told apart": load_told_apart(folder, kind)})
    for null in ("directions", "labels"):
        nulls = {name: load_reading(folder, f"{KINDS[0]} {name} {null}").null for name in statistics}
        rows.append({"kind": f"random {null}", **nulls, "shocks told apart": None})
    return pd.DataFrame(rows)


def load_carried(folder: Path) -> pd.DataFrame:
    """What is carried over of each concept, by truth and by each kind of edit."""
    return load_table(folder, "carried")


def kinds_of(folder: Path) -> list[str]:
    """The kinds of edit that were run, in order."""
    return [kind for kind in load_carried(folder)["kind"].unique() if kind != "truth"]


def about(folder: Path) -> dict[str, object]:
    """Rows, patients, how many concepts act, and why there are no features, if there are none."""
    found: dict[str, object] = read_json(folder / "about.json")
    return found
