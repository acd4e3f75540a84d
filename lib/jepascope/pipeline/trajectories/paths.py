"""Paths of patients through the spaces of a model and its untrained twin: how they are walked, and in what order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, Inference
from jepascope.analysis.trajectories.drift import steps_of
from jepascope.analysis.trajectories.order import (
    Excess,
    Measure,
    Order,
    angle,
    curvature,
    excess_beyond,
    measure_order,
    order_excess,
    pace,
    speed,
    step_length,
    straightness,
    turning,
)
from jepascope.analysis.trajectories.paths import paths, whole_paths
from jepascope.objects import Objects, load_objects
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.store import write_table

# What a path must have for an order to be lost: two points can only be walked to and fro.
ENCOUNTERS = 3
SHUFFLES = 200  # of each patient's encounters
MONTH = 30.0  # days: rates are per month, as those of a day are all noughts
DAY = np.timedelta64(1, "D")
SPACES = ("c", "z")


def trace_paths(folder: Path, trained: Path, twin: Path, statistics: params.Statistics, seed: int) -> None:
    """The step that measures how test patients' paths in c and z are walked, of the model and of its twin.

    Leaves order.parquet (a row a space and measure), beyond.parquet (a row a trained space and measure: its excess
    less the twin's), pace.parquet, and readings.json (turning and straightness, each of c and of z).
    Lengths are in mean steps of training patients, so that spaces compare. Raises NotComputable where too few test
    patients have a path.
    """
    how = Inference(**statistics.model_dump())
    objects = load_objects(trained)
    train, test = ((objects.index["split"] == split).to_numpy() for split in ("train", "test"))
    index, learnt = objects.index[test], objects.index["subject_id"].to_numpy()[train]
    fresh = partial(np.random.default_rng, [seed, 1])  # the same draws of patients for every space and measure
    found: dict[str, dict[str, Order]] = {}
    excess: dict[str, dict[str, Excess]] = {}
    paces = []
    for space, x in spaces(objects, load_objects(twin)):
        found[space] = _orders(x[test] / mean_step(x[train], learnt), index, seed)
        excess[space] = {name: order_excess(one, how, fresh()) for name, one in found[space].items()}
        patients = index["subject_id"].to_numpy()
        slope = pace(paths(x[test], patients), days(index), patients, how, fresh())
        paces.append({"space": space, **slope._asdict()})
    beyond = []
    for space, name in product(SPACES, found[SPACES[0]]):
        over = excess_beyond(found[space][name], found[f"untrained {space}"][name], how, fresh())
        beyond.append({"space": space, "measure": name, **over._asdict()})
    order = [{"space": s, "measure": m, **_row(one)} for s, measures in excess.items() for m, one in measures.items()]
    write_table(folder / "order.parquet", pd.DataFrame(order))
    write_table(folder / "beyond.parquet", pd.DataFrame(beyond))
    write_table(folder / "pace.parquet", pd.DataFrame(paces))
    readings = {
        f"{name}_{space}": Reading(ours.excess, ours.null, excess[f"untrained {space}"][name].excess)
        for space in SPACES
        for name, ours in excess[space].items()
        if name in ("turning", "straightness")
    }
    save_readings(folder, readings)


def spaces(objects: Objects, twin: Objects) -> Iterator[tuple[str, np.ndarray]]:
    """c and z of a model, each followed by the twin's: name and vectors [N, D]."""
    for name in SPACES:
        yield name, getattr(objects, name)
        yield f"untrained {name}", getattr(twin, name)


def days(index: pd.DataFrame) -> np.ndarray:
    """Days [N] of admission, from an origin of no meaning."""
    time = index["admittime"].to_numpy()
    return (time - time.min()) / DAY


def mean_step(x: np.ndarray, patients: np.ndarray) -> float:
    """Mean length of a step of x [N, D]: the unit of a space, whose own has no meaning."""
    return float(np.linalg.norm(steps_of(x, patients).v, axis=1).mean())


def measures(when: np.ndarray) -> dict[str, Measure]:
    """What is measured of a walk, by encounter and by month; when [N], days of the rows."""
    by_encounter = {"turning": turning, "straightness": straightness, "step": step_length, "angle": angle}
    return {**by_encounter, "speed": speed(when / MONTH), "curvature": curvature(when / MONTH)}


def _orders(x: np.ndarray, index: pd.DataFrame, seed: int) -> dict[str, Order]:
    """Every measure, on the same shuffles, which are those of every other space, too."""
    found = paths(x, index["subject_id"].to_numpy())
    walked = whole_paths(found, ENCOUNTERS)
    return {
        name: measure_order(found, walked, measure, SHUFFLES, np.random.default_rng(seed))
        for name, measure in measures(days(index)).items()
    }


def _row(found: Excess) -> dict[str, object]:
    null = {"null_low": found.null.low, "null_high": found.null.high, "p": found.null.p}
    parts: dict[str, Estimate] = {"observed": found.observed, "excess": found.excess}
    cells = {f"{part} {name}": value for part, one in parts.items() for name, value in one._asdict().items()}
    return {**cells, "shuffled": found.shuffled, **null}
