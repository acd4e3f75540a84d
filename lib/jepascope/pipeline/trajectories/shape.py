"""The shape test on paths through the spaces of a model and its untrained twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.trajectories.paths import paths
from jepascope.analysis.trajectories.shape_test import FIRST_K, ShapeTest, length_features, shape_test, trajectory
from jepascope.objects import load_objects
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.pipeline.trajectories.paths import SPACES, days, spaces
from jepascope.store import write_table

REFITS = 100  # of the shape model, for each null


def try_shape(folder: Path, trained: Path, twin: Path, outcome: str, statistics: params.Statistics, seed: int) -> None:
    """The step that asks whether the shape of a path says more of `outcome` (a label column) than c where it ended.

    Leaves shape.parquet, a row a space with M0, M1, gain and order, and readings.json with gain and order of c and z.
    The paths are those in c or in z; the base model always has c of the same network, and the length of the record.
    Raises NotComputable where too few labelled patients have a path.
    """
    how = Inference(**statistics.model_dump())
    objects, untrained = load_objects(trained), load_objects(twin)
    found = {
        space: _shape(x, base.c, objects.index, outcome, how, seed)
        for (space, x), base in zip(spaces(objects, untrained), (objects, untrained, objects, untrained), strict=True)
    }
    rows = [
        {"space": space, "what": what, **getattr(one, what)._asdict(), **_null_row(one, what)}
        for space, one in found.items()
        for what in ("base", "full", "gain", "order")
    ]
    write_table(folder / "shape.parquet", pd.DataFrame(rows))
    save_readings(
        folder,
        {
            f"{what}_{space}": Reading(
                getattr(found[space], what),
                getattr(found[space], f"{what}_null"),
                getattr(found[f"untrained {space}"], what),
            )
            for space in SPACES
            for what in ("gain", "order")
        },
    )


def _shape(x: np.ndarray, c: np.ndarray, index: pd.DataFrame, outcome: str, how: Inference, seed: int) -> ShapeTest:
    """The shape test of one space: rows with the label at k ≥ FIRST_K, of training and test patients."""
    found = paths(x, index["subject_id"].to_numpy())
    split, label = index["split"].to_numpy(), index[outcome].to_numpy(float)
    rows = np.flatnonzero((found.k >= FIRST_K) & np.isfinite(label) & np.isin(split, ("train", "test")))
    if not len(rows):
        raise NotComputable(f"no labelled encounter at k ≥ {FIRST_K}")
    path = trajectory(found, rows, days(index))
    base = np.hstack([c[rows], length_features(found.k[rows], path.span, index["gap_days"].to_numpy()[rows])])
    train, test = split[rows] == "train", split[rows] == "test"
    patients = index["subject_id"].to_numpy()[rows]
    return shape_test(base, path, label[rows] > 0, patients, train, test, REFITS, how, np.random.default_rng(seed))


def _null_row(found: ShapeTest, what: str) -> dict[str, float]:
    """The null of a gain, under the names of the other tables; none for the AUROC of a single model."""
    null = getattr(found, f"{what}_null", None)
    return {} if null is None else null.columns()
