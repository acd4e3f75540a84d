"""The bridge against the planted truth: the concept that no label names must be in what labels leave, and only that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.sae import densify, encode
from jepascope.certify.bridge import LEFT, TOLD, TWIN_LEFT, Parts, beyond_labelled, concepts_in_parts, part_by_labels
from jepascope.certify.features import feature_recovery
from jepascope.certify.planted import load_truth
from jepascope.objects import load_objects
from jepascope.pipeline.bridge.labels import Space
from jepascope.pipeline.bridge.tiers import MODELS, load_spaces
from jepascope.pipeline.dictionary.dictionaries import load_consensus
from jepascope.pipeline.readings import Reading, load_reading, save_readings
from jepascope.store import read_table, write_table

# Draws of patients and moves of states for forty concepts in three parts.
DRAWS = 200
# What was settled before the truth was opened, and what else is shown.
READINGS = {
    "any": (None, True, False),  # beyond the largest of the labelled
    "mean": (None, False, False),  # beyond their mean
    "names": (None, True, True),  # beyond the largest of the names in the records
    "apart_any": (TOLD, True, False),  # as a difference to the part that labels tell
    "apart_mean": (TOLD, False, False),
}
FEATURES, LEFT_FEATURES = "kept features", "what labels leave of them"


def certify_residual(
    folder: Path, encounters: Path, records: Path, trained: Path, twin: Path, statistics: params.Statistics, seed: int
) -> None:
    """The step that looks for every planted concept in what labels tell of z and in what they leave.

    Leaves concepts.parquet, names.parquet (the same of the names in the records) and READINGS. Raises NotComputable
    where the concept without a label has too few carriers.
    """
    how = _capped(statistics)
    table, by_model = load_spaces(encounters, trained, twin, ("z",))
    index = load_objects(trained).index
    truth = load_truth(records / "planted", index)
    written = pd.DataFrame(by_model[MODELS[0]]["z"].yes_no, columns=table.loc[table["yes_no"], "label"])
    parts: dict[str, np.ndarray] = {}
    for model, names in zip(MODELS, ((TOLD, LEFT), (None, TWIN_LEFT)), strict=True):
        space = by_model[model]["z"]
        found_parts = _parted(space.x, space, how, seed)
        parts |= {name: part for name, part in zip(names, found_parts, strict=True) if name}
    found = concepts_in_parts(parts, truth, written, index, how, np.random.default_rng(seed))
    write_table(folder / "concepts.parquet", found.table())
    write_table(folder / "names.parquet", found.table(recorded=True))
    readings = {}
    for name, (less, largest, recorded) in READINGS.items():
        estimate, null = beyond_labelled(found, LEFT, less, largest, how.level, recorded)
        untrained = None if less else beyond_labelled(found, TWIN_LEFT, None, largest, how.level, recorded)[0]
        readings[name] = Reading(estimate, null, untrained)
    save_readings(folder, readings)


def certify_residual_features(
    folder: Path,
    encounters: Path,
    records: Path,
    trained: Path,
    twin: Path,
    votes: Path,
    statistics: params.Statistics,
    seed: int,
) -> None:
    """The step that holds single kept features, and what labels leave of their codes, against planted concepts.

    Leaves features.parquet: method, concept, dynamics, labelled, r of the feature chosen on training patients. Raises
    NotComputable under two kept features.
    """
    how = _capped(statistics)
    _, by_model = load_spaces(encounters, trained, twin, ("z",))
    space, index = by_model[MODELS[0]]["z"], load_objects(trained).index
    truth = load_truth(records / "planted", index)
    f = densify(encode(load_consensus(votes), space.x.astype(np.float32)))
    features = {FEATURES: f, LEFT_FEATURES: _parted(f, space, how, seed).left}
    found = feature_recovery(features, (), truth, index, how, np.random.default_rng(seed)).concepts
    labelled = truth.concepts.set_index("name")["labelled"]
    write_table(folder / "features.parquet", found.assign(labelled=found["concept"].map(labelled).to_numpy(bool)))


def _parted(x: np.ndarray, space: Space, how: Inference, seed: int) -> Parts:
    return part_by_labels(x, space.labels, space.train, space.patients, how.folds, np.random.default_rng(seed))


def _capped(statistics: params.Statistics) -> Inference:
    how = Inference(**statistics.model_dump())
    return how._replace(bootstrap=min(how.bootstrap, DRAWS), permutations=min(how.permutations, DRAWS))


def load_concepts(folder: Path) -> pd.DataFrame:
    """AUROC of every concept that could be computed, by part: concept, dynamics, labelled, part, value, low, high."""
    return read_table(folder / "concepts.parquet")


def best_name(folder: Path) -> float:
    """The largest AUROC that any name in the records has in what labels leave."""
    return float(read_table(folder / "names.parquet").query("part == @LEFT")["value"].max())


def load_contrast(folder: Path, name: str) -> Reading:
    """One of READINGS."""
    return load_reading(folder, name)


def place_of_unlabelled(folder: Path) -> tuple[int, int]:
    """The place of the concept without a label by AUROC in what labels leave, 1 being the best; and of how many."""
    mine = load_concepts(folder).query("part == @LEFT").sort_values("value", ascending=False, kind="stable")
    places = np.flatnonzero(~mine["labelled"].to_numpy(bool))
    if not len(places):
        raise NotComputable("no concept without a label")
    return int(places[0]) + 1, len(mine)


def load_features(folder: Path) -> pd.DataFrame:
    """r of the feature that goes best with each concept, whole and in what labels leave; best of the latter first."""
    table = read_table(folder / "features.parquet").dropna(subset=["r"])
    wide = table.pivot_table(index=["concept", "dynamics", "labelled"], columns="method", values="r").reset_index()
    return wide.sort_values(LEFT_FEATURES, ascending=False, ignore_index=True)
