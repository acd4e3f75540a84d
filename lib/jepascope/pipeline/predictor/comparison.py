"""ẑ against z and against predictors that need no predictor: skill, spread, directions and likeness."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, permuted_rows
from jepascope.analysis.predictor.likeness import difference, estimate, paired_cka, without_axes
from jepascope.analysis.predictor.references import (
    exchange_null,
    ridge_predictions,
    shrinkage,
    skill_by_axis,
    skill_difference,
)
from jepascope.analysis.predictor.similarity import cka_biased, cka_debiased
from jepascope.analysis.predictor.subspaces import (
    Spectrum,
    overlap_bootstrap,
    overlaps,
    principal_angles,
    procrustes,
    random_overlap,
    spectrum,
)
from jepascope.models.context import gap_feature
from jepascope.objects import load_objects
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.store import read_tensors, write_table, write_tensors

Z_HAT, PERSISTENCE, FROM_C, FROM_Z = "ẑ", "persistence", "ridge c → z", "ridge z → z"
TURNED, MAPPED, OTHER = "ẑ, turned", "ẑ, mapped linearly", "ẑ of another patient"
CLAIMED = {"over_persistence": PERSISTENCE, "over_ridge_z": FROM_Z, "over_ridge_c": FROM_C}
# The subspace that claims are about: this share of the dimensions. Fixed beforehand, since any choice of k can be made
# to look well; the curve over all k stands beside it.
SUBSPACE_SHARE = 8


class Targets(NamedTuple):
    """M encounters with one before them, and what was predicted for each."""

    z: np.ndarray  # [M, D]
    predictions: dict[str, np.ndarray]  # name -> [M, D]
    past: np.ndarray  # [M, D + 1], c of the encounter before and the gap: the predictor's own input
    split: np.ndarray  # [M]
    patients: np.ndarray  # [M]
    rows: np.ndarray  # int [M], of the cohort
    origin: np.ndarray  # [D], mean of z over training patients

    def of(self, split: str) -> Targets:
        """Those of one split."""
        kept = self.split == split
        predictions = {name: predicted[kept] for name, predicted in self.predictions.items()}
        past, split_of, patients, rows = (a[kept] for a in (self.past, self.split, self.patients, self.rows))
        return Targets(self.z[kept], predictions, past, split_of, patients, rows, self.origin)


def load_targets(objects: Path) -> Targets:
    """The targets of a model, predicted by ẑ and by persistence. Raises NotComputable without test patients."""
    found = load_objects(objects)
    rows, split = found.target_rows, found.index["split"].to_numpy()
    if not (split[rows] == "test").any():
        raise NotComputable("no test patient has a second encounter")
    gap = torch.from_numpy(found.index["gap_days"].to_numpy(np.float32)[rows])
    past = np.concatenate([found.c[rows - 1], gap_feature(gap).numpy()[:, None]], axis=1)
    predictions = {Z_HAT: found.z_hat, PERSISTENCE: found.z[rows - 1]}
    origin = found.z[split == "train"].mean(axis=0)
    patients = found.index["subject_id"].to_numpy()[rows]
    return Targets(found.z[rows], predictions, past, split[rows], patients, rows, origin)


def with_references(found: Targets) -> Targets:
    """The same with linear predictors from c and from z, and ẑ after the best turn and the best linear map.

    All are fitted on training patients, penalties chosen on validation patients.
    """
    train, validation = found.split == "train", found.split == "validation"
    inputs = {
        FROM_C: found.past,
        FROM_Z: np.concatenate([found.predictions[PERSISTENCE], found.past[:, -1:]], axis=1),
        MAPPED: found.predictions[Z_HAT],
    }
    predictions = dict(found.predictions)
    for name, X in inputs.items():
        predictions[name] = ridge_predictions(X, found.z, train, validation).predicted
    turn = procrustes(found.predictions[Z_HAT][train], found.z[train])
    predictions[TURNED] = turn(found.predictions[Z_HAT]).astype(np.float32)
    return found._replace(predictions=predictions)


def compare_references(folder: Path, trained: Path, twin: Path, statistics: params.Statistics, seed: int) -> None:
    """The step that holds ẑ against predictors from the past: how well, how widely and along which axes it predicts.

    Leaves predictions.safetensors (the linear ones, [M, D]), skills.parquet (a row a predictor), axes.parquet (a row a
    predictor and k), angles.parquet and readings.json. Raises NotComputable for too few test patients.
    """
    how, rng = Inference(**statistics.model_dump()), np.random.default_rng(seed)
    ours, untrained = with_references(load_targets(trained)), with_references(load_targets(twin))
    linear = {name: ours.predictions[name] for name in (FROM_C, FROM_Z)}
    write_tensors(folder / "predictions.safetensors", linear)
    skills = pd.concat([_skills(ours.of("test"), how, rng), _skills(untrained.of("test"), how, rng)[:1]])
    write_table(folder / "skills.parquet", skills.assign(predictor=[*skills["predictor"][:-1], "untrained ẑ"]))
    write_table(folder / "axes.parquet", _axes(ours))
    readings = _skill_readings(ours.of("test"), untrained.of("test"), how, rng)
    readings["subspace"], angles = _subspace(ours, untrained, how, rng)
    write_table(folder / "angles.parquet", angles)
    save_readings(folder, readings)


def _skills(test: Targets, how: Inference, rng: np.random.Generator) -> pd.DataFrame:
    """A row a predictor, ẑ first: skill, share of z's variance, slope, and ẑ's skill less its own."""
    rows = []
    for name, predicted in test.predictions.items():
        found = shrinkage(test.z, predicted, test.origin, test.patients, how, rng)
        pair = (test.predictions[Z_HAT], predicted)
        less = skill_difference(test.z, pair, test.origin, test.patients, how, rng)
        estimates = {"": found.skill, "share_": found.share, "slope_": found.slope, "less_": less}
        cells = {f"{of}{part}": getattr(e, part) for of, e in estimates.items() for part in ("value", "low", "high")}
        counts = {"n_rows": found.skill.n_rows, "n_patients": found.skill.n_patients}
        rows.append({"predictor": name, **cells, **counts})
    return pd.DataFrame(rows)


def _skill_readings(test: Targets, twin: Targets, how: Inference, rng: np.random.Generator) -> dict[str, Reading]:
    """ẑ's skill over each reference, and the slope of z on ẑ."""
    readings = {}
    for name, reference in CLAIMED.items():
        pairs = [(made.predictions[Z_HAT], made.predictions[reference]) for made in (test, twin)]
        ours, theirs = (
            skill_difference(made.z, pair, made.origin, made.patients, how, rng)
            for made, pair in zip((test, twin), pairs, strict=True)
        )
        readings[name] = Reading(ours, exchange_null(test.z, pairs[0], test.origin, test.patients, how, rng), theirs)
    predicted = test.predictions[Z_HAT]
    moved = predicted[permuted_rows(test.patients, 1, rng)[0]]
    slopes = [
        shrinkage(made.z, x, made.origin, made.patients, how, rng).slope
        for made, x in ((test, predicted), (test, moved), (twin, twin.predictions[Z_HAT]))
    ]
    return {**readings, "slope": Reading(*slopes)}


def _axes(found: Targets) -> pd.DataFrame:
    """By predictor and k = 1 … D: variance along its own k-th axis, skill along z's, overlap of k axes with z's.

    z's axes are those of training patients; everything held against them is of test patients, z itself (the ceiling)
    included.
    """
    train, test = found.of("train"), found.of("test")
    of_z = spectrum(train.z)
    shown = {"z": test.z} | {name: test.predictions[name] for name in (Z_HAT, FROM_C, FROM_Z, PERSISTENCE)}
    tables = []
    for name, x in shown.items():
        own = spectrum(x)
        columns = {
            "k": np.arange(1, len(own.variances) + 1),
            "variance": own.variances,
            "skill": skill_by_axis(test.z, x, test.origin, of_z.axes),  # noise along the empty ones
            "overlap": overlaps(of_z.axes, own.axes),
        }
        tables.append(pd.DataFrame({"predictor": name, **columns}))
    return pd.concat(tables, ignore_index=True)


def subspace_size(D: int) -> int:
    """How many axes a claim about the leading ones takes."""
    return max(1, D // SUBSPACE_SHARE)


def _subspace(ours: Targets, twin: Targets, how: Inference, rng: np.random.Generator) -> tuple[Reading, pd.DataFrame]:
    """Overlap of z's leading axes with ẑ's, and the angles between them beside those of random subspaces."""
    k = subspace_size(ours.z.shape[1])

    def overlap(made: Targets) -> tuple[Spectrum, Estimate]:
        of_z, test = spectrum(made.of("train").z), made.of("test")
        return of_z, overlap_bootstrap(of_z.axes[:, :k], test.predictions[Z_HAT], test.patients, how, rng)

    of_z, found = overlap(ours)
    U, test = of_z.axes[:, :k], ours.of("test")
    random = [np.linalg.qr(rng.normal(size=U.shape))[0] for _ in range(200)]
    angles = {
        "angle": np.arange(1, k + 1),
        "ẑ": principal_angles(U, spectrum(test.predictions[Z_HAT]).axes[:, :k]),
        "z": principal_angles(U, spectrum(test.z).axes[:, :k]),
        "random": np.mean([principal_angles(U, V) for V in random], axis=0),
    }
    null = random_overlap(U, found.value, how.permutations, how.level, rng)
    return Reading(found, null, overlap(twin)[1]), pd.DataFrame(angles)


def measure_likeness(
    folder: Path, trained: Path, twin: Path, references: Path, statistics: params.Statistics, seed: int
) -> None:
    """The step that holds ẑ and its rivals against z by CKA: over rows, over different patients, less z's main axes.

    Leaves likeness.parquet (columns space, measure, value, low, high) and readings.json. Raises NotComputable for too
    few test patients.
    """
    how, rng = Inference(**statistics.model_dump()), np.random.default_rng(seed)
    found, untrained = load_targets(trained), load_targets(twin).of("test")
    test = found.of("test")
    linear = read_tensors(references / "predictions.safetensors")[FROM_C][found.split == "test"]
    spaces = {**test.predictions, FROM_C: linear}
    spaces[OTHER] = spaces[Z_HAT][permuted_rows(test.patients, 1, rng)[0]]
    drawn = paired_cka(test.z, spaces, test.patients, how, rng)
    theirs = paired_cka(untrained.z, untrained.predictions, untrained.patients, how, rng)
    axes = spectrum(found.of("train").z).axes[:, : subspace_size(test.z.shape[1])]
    rest = {name: without_axes(x, axes) for name, x in spaces.items()}
    removed = paired_cka(without_axes(test.z, axes), rest, test.patients, how, rng)
    tables = {"different patients": drawn, "different patients, less z's main axes": removed}
    rows = [
        {"space": name, "measure": measure, **estimate(value, how.level)._asdict()}
        for measure, table in tables.items()
        for name, value in table.items()
    ]
    rows.append(
        {"space": "untrained ẑ", "measure": "different patients", **estimate(theirs[Z_HAT], how.level)._asdict()}
    )
    for measure, function in (("all rows, biased", cka_biased), ("all rows, debiased", cka_debiased)):
        rows += [{"space": name, "measure": measure, "value": function(test.z, x)} for name, x in spaces.items()]
    write_table(folder / "likeness.parquet", pd.DataFrame(rows))
    gains = [difference(d[Z_HAT], d[PERSISTENCE]) for d in (drawn, theirs)]
    floor = difference(drawn[OTHER], drawn[PERSISTENCE])
    values = {
        "alike": (drawn[Z_HAT], drawn[OTHER], theirs[Z_HAT]),
        "alike_over_persistence": (gains[0], floor, gains[1]),
        "alike_less_axes": (removed[Z_HAT], removed[OTHER]),
    }
    save_readings(folder, {name: Reading(*(estimate(d, how.level) for d in parts)) for name, parts in values.items()})
