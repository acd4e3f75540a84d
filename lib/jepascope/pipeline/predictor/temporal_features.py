"""The bridge to Temporal Feature Analysis: what an analysis of z alone calls predictable and novel, and ẑ and e."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Drawn, Estimate, Inference, NotComputable, permuted_rows
from jepascope.analysis.predictor.code_likeness import (
    Pair,
    correlation_gains,
    correlations,
    mean_correlations,
)
from jepascope.analysis.predictor.exchange import exchanged
from jepascope.analysis.predictor.likeness import difference, estimate
from jepascope.analysis.predictor.prediction import skill
from jepascope.analysis.predictor.references import ridge_predictions
from jepascope.analysis.predictor.temporal_codes import (
    TemporalCodes,
    TemporalDictionary,
    decoded,
    fit_temporal,
    said,
    temporal_codes,
)
from jepascope.analysis.probes.aurocs import enough_carriers
from jepascope.analysis.rollout.geometry import mean_so_far
from jepascope.analysis.sae import Settings
from jepascope.objects import load_objects
from jepascope.pipeline.predictor.comparison import OTHER, PERSISTENCE, Z_HAT, Targets, load_targets
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.store import write_table, write_tensors

PREDICTABLE, NOVEL = "predictable code", "novel code"
ERROR, Z = "e", "z"
# What each code is claimed to go with, and what it is held against: the same encounter's z has e inside.
CLAIMED = {"predictable_codes": (PREDICTABLE, Z_HAT, PERSISTENCE), "novel_codes": (NOVEL, ERROR, Z)}


class Split(NamedTuple):
    """The test targets of one model, split after the fact: by codes, and by a line."""

    test: Targets
    dictionary: TemporalDictionary
    codes: TemporalCodes  # [M, F] of these targets
    line: np.ndarray  # [M, D], what a ridge predicts from z before, the mean so far and the gap
    kept: np.ndarray  # bool [F], features whose novel code is on, and off, in enough patients


def split_in_time(
    folder: Path, trained: Path, twin: Path, statistics: params.Statistics, sae: params.Sae, seed: int
) -> None:
    """The step that splits z after the fact, into codes of what its past predicts and of what is novel, by `split`.

    Held against ẑ and e, feature by feature. Leaves temporal.safetensors (the dictionary's weights), codes.parquet (a
    row a feature: r of each code with each reading), agreement.parquet (their means), shares.parquet (variance
    explained) and readings.json. Raises NotComputable for too few patients, or too few that carry a feature.
    """
    how, rng = Inference(**statistics.model_dump()), np.random.default_rng(seed)
    ours, theirs = (split(objects, how, Settings(**sae.model_dump()), seed) for objects in (trained, twin))
    write_tensors(folder / "temporal.safetensors", {k: v.numpy() for k, v in ours.dictionary.weights._asdict().items()})
    write_table(folder / "shares.parquet", _shares(ours, how, rng))
    agreed, agreed_twin = (_agreement(made, how, rng) for made in (ours, theirs))
    rows = [{"code": c, "reading": r, **estimate(d, how.level)._asdict()} for (c, r), d in agreed.items()]
    write_table(folder / "agreement.parquet", pd.DataFrame(rows))
    write_table(folder / "codes.parquet", _by_feature(ours))
    readings = {"predictable": _line_reading(ours, theirs, how, rng)}
    for name, (code, own, rival) in CLAIMED.items():
        gain, untrained = (_gain(found, code, own, rival, how.level) for found in (agreed, agreed_twin))
        said_by = _readings(ours)
        gains = correlation_gains(_codes(ours)[code], said_by[own], said_by[rival])
        readings[name] = Reading(gain, exchanged(gains, ours.test.patients, how, rng).null, untrained)
    save_readings(folder, readings)


def split(objects: Path, how: Inference, settings: Settings, seed: int) -> Split:
    """Fit both splits on a model's training patients and read them on its test targets. Raises NotComputable."""
    found, made = load_objects(objects), load_targets(objects)
    patients, train = found.index["subject_id"].to_numpy(), (found.index["split"] == "train").to_numpy()
    gap = np.zeros(len(found.z), np.float32)  # that of a first encounter is not read
    gap[made.rows] = made.past[:, -1]
    dictionary = fit_temporal(found.z[train], gap[train], patients[train], settings, seed)
    test = made.split == "test"
    codes = TemporalCodes(*(code[made.rows[test]] for code in temporal_codes(dictionary, found.z, gap, patients)))
    on = (codes.novel > 0).T
    kept = np.array([enough_carriers(column, made.patients[test], how.min_carriers) for column in on])
    if not kept.any():
        raise NotComputable(f"no novel code of {len(kept)} is on, and off, in {how.min_carriers} test patients")
    return Split(made.of("test"), dictionary, codes, predictable_line(objects)[test], kept)


def predictable_line(objects: Path) -> np.ndarray:
    """What is predictable by a line from z before, the mean of z so far and the gap, [M, D] of all targets."""
    made, found = load_targets(objects), load_objects(objects)
    so_far = mean_so_far(found.z, found.index["k"].to_numpy())[made.rows]
    X = np.concatenate([found.z[made.rows - 1], so_far, made.past[:, -1:]], axis=1)
    return ridge_predictions(X, made.z, made.split == "train", made.split == "validation").predicted


def _codes(made: Split) -> dict[str, np.ndarray]:
    return {PREDICTABLE: made.codes.predictable[:, made.kept], NOVEL: made.codes.novel[:, made.kept]}


def _readings(made: Split) -> dict[str, np.ndarray]:
    """What the features' own encoder says of ẑ, of e and of their rivals, [M, F'] each."""
    z, predictions = made.test.z, made.test.predictions
    spaces = {Z_HAT: predictions[Z_HAT], PERSISTENCE: predictions[PERSISTENCE], ERROR: z - predictions[Z_HAT], Z: z}
    return {name: said(made.dictionary, x)[:, made.kept] for name, x in spaces.items()}


def _agreement(made: Split, how: Inference, rng: np.random.Generator) -> dict[Pair, Drawn]:
    """Mean r of each code with each reading, and with ẑ of another patient."""
    readings = _readings(made)
    readings[OTHER] = readings[Z_HAT][permuted_rows(made.test.patients, 1, rng)[0]]
    return mean_correlations(_codes(made), readings, made.test.patients, how, rng)


def _gain(agreed: dict[Pair, Drawn], code: str, own: str, rival: str, level: float) -> Estimate:
    return estimate(difference(agreed[code, own], agreed[code, rival]), level)


def _by_feature(made: Split) -> pd.DataFrame:
    """A row a feature: its number, and r of each code with each reading."""
    found = correlations(_codes(made), _readings(made))
    return pd.DataFrame(
        {"feature": np.flatnonzero(made.kept), **{f"{c}, {r}": values for (c, r), values in found.items()}}
    )


def _shares(made: Split, how: Inference, rng: np.random.Generator) -> pd.DataFrame:
    """What each part explains, of z and of what the JEPA makes of it: 1 − Σ‖x − part‖² / Σ‖x‖², x from μ."""
    z, z_hat, origin = made.test.z, made.test.predictions[Z_HAT], made.test.origin
    p, n = (decoded(made.dictionary, code) for code in made.codes)
    rows = {
        ("both codes", Z): (z - origin, p + n),
        (PREDICTABLE, Z): (z - origin, p),
        (PREDICTABLE, Z_HAT): (z_hat - origin, p),
        ("a line's prediction", Z): (z - origin, made.line - origin),
        ("a line's prediction", Z_HAT): (z_hat - origin, made.line - origin),
        (NOVEL, ERROR): (z - z_hat, n),
    }
    none = np.zeros_like(origin)
    return pd.DataFrame(
        {"part": part, "of": of, **skill(x, held, none, made.test.patients, how, rng)._asdict()}
        for (part, of), (x, held) in rows.items()
    )


def _line_reading(ours: Split, theirs: Split, how: Inference, rng: np.random.Generator) -> Reading:
    """Share of ẑ that the line's prediction holds, that of another patient's, and the twin's."""
    moved = ours.line[permuted_rows(ours.test.patients, 1, rng)[0]]
    found = [
        skill(made.test.predictions[Z_HAT], line, made.test.origin, made.test.patients, how, rng)
        for made, line in ((ours, ours.line), (ours, moved), (theirs, theirs.line))
    ]
    return Reading(*found)
