"""Paths of patients through the spaces of a model and its untrained twin: their order, their drift, their shape."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable
from jepascope.analysis.trajectories import drift as drifts
from jepascope.analysis.trajectories.flow import Band, along, band, cells, field, plane
from jepascope.analysis.trajectories.paths import (
    Excess,
    Walks,
    order_excess,
    pace,
    paths,
    shuffled,
    straightness,
    turning,
    whole_paths,
)
from jepascope.analysis.trajectories.shape_test import FIRST_K, ShapeTest, length_features, shape_test, trajectory
from jepascope.cohort.concepts import psychiatric_groups
from jepascope.objects import Objects, load_objects
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.store import read_table, write_table

# What a path must have for an order to be lost: two points can only be walked to and fro.
ENCOUNTERS = 3
SHUFFLES, FLOW_SHUFFLES = 200, 20  # of each patient's encounters, measured and drawn
RANDOM_CENTROIDS = 50  # of each concept
REFITS = 100  # of the shape model, for each null
# A cell of the flow field, or a point of a band, with fewer patients shows persons.
MIN_SHOWN = 11
CELLS = 12  # of the flow field, on each side
LAST_K = 9  # of the bands
ORDER = {"turning": turning, "straightness": straightness}
DAY = np.timedelta64(1, "D")


def trace_paths(folder: Path, trained: Path, twin: Path, statistics: params.Statistics, seed: int) -> None:
    """The step that measures test patients' paths in c and z, of the model and of its twin.

    Leaves order.parquet (a row a space and measure), pace.parquet, drift.parquet (a row a space, group and kind of
    step), readings.json (turning, straightness and approach, each of c and of z), and of c flow.parquet, bands.parquet.
    Centroids, axes and units are those of training patients. Raises NotComputable where too few test patients have a
    path.
    """
    how = Inference(**statistics.model_dump())
    objects = load_objects(trained)
    index = objects.index
    test = (index["split"] == "test").to_numpy()
    order, paces, drifting, readings = [], [], [], {}
    measured: dict[str, Excess | drifts.Approach] = {}
    for space, x in _spaces(objects, load_objects(twin)):
        fresh = np.random.default_rng(seed)  # the same shuffles and draws in every space
        for name, excess in _order(x[test], index[test], how, fresh).items():
            measured[f"{name} {space}"] = excess
            order.append({"space": space, "measure": name, **_order_row(excess)})
        paces.append({"space": space, **_pace(x, index, test, how, fresh)})
        table, found = _drift(x, index, how, seed)
        drifting.append(table.assign(space=space))
        if found is not None:
            measured[f"approach {space}"] = found
    for space in ("c", "z"):
        for name in ("turning", "straightness", "approach"):
            ours, theirs = (measured.get(f"{name} {which}") for which in (space, f"untrained {space}"))
            if ours is not None:
                readings[f"{name}_{space}"] = Reading(
                    _estimate(ours), ours.null, None if theirs is None else _estimate(theirs)
                )
    write_table(folder / "order.parquet", pd.DataFrame(order))
    write_table(folder / "pace.parquet", pd.DataFrame(paces))
    write_table(folder / "drift.parquet", pd.concat(drifting, ignore_index=True))
    save_readings(folder, readings)
    write_table(folder / "flow.parquet", _flow(objects, seed))
    write_table(folder / "bands.parquet", _bands(objects, how))


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
        for (space, x), base in zip(_spaces(objects, untrained), (objects, untrained, objects, untrained), strict=True)
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
            for space in ("c", "z")
            for what in ("gain", "order")
        },
    )


def load_order(folder: Path) -> pd.DataFrame:
    """Turning and straightness by space."""
    return read_table(folder / "order.parquet")


def load_pace(folder: Path) -> pd.DataFrame:
    """Speeds by space."""
    return read_table(folder / "pace.parquet")


def load_shape(folder: Path) -> pd.DataFrame:
    """The shape test by space and reading."""
    return read_table(folder / "shape.parquet")


def load_drift(folder: Path, space: str) -> pd.DataFrame:
    """Drift by group and kind of step in one space. Raises NotComputable where no group has enough patients."""
    table = read_table(folder / "drift.parquet")
    shown = table[(table["space"] == space) & table["value"].notna()]
    if shown.empty:
        raise NotComputable("no concept group has enough patients with a step")
    return shown


def load_bands(folder: Path) -> pd.DataFrame:
    """c along each group's direction by k, with and without the group so far. Raises NotComputable if empty."""
    table = read_table(folder / "bands.parquet")
    if table.empty:
        raise NotComputable(f"no concept group is coded in {MIN_SHOWN} test patients at one k")
    return table


def load_flow(folder: Path) -> pd.DataFrame:
    """Mean step by cell of the first two axes of c, as walked and shuffled. Raises NotComputable if no cell is full."""
    table = read_table(folder / "flow.parquet")
    if table.empty:
        raise NotComputable(f"no cell of the plane holds steps of {MIN_SHOWN} test patients")
    return table


def _spaces(objects: Objects, twin: Objects) -> Iterator[tuple[str, np.ndarray]]:
    for name in ("c", "z"):
        yield name, getattr(objects, name)
        yield f"untrained {name}", getattr(twin, name)


def _estimate(found: Excess | drifts.Approach) -> Estimate:
    return found.excess if isinstance(found, Excess) else found.estimate


def _days(index: pd.DataFrame) -> np.ndarray:
    """Days [N] of admission, from an origin of no meaning."""
    time = index["admittime"].to_numpy()
    return (time - time.min()) / DAY


def _order(x: np.ndarray, index: pd.DataFrame, how: Inference, rng: np.random.Generator) -> dict[str, Excess]:
    found = paths(x, index["subject_id"].to_numpy())
    walked = whole_paths(found, ENCOUNTERS)
    return {name: order_excess(found, walked, measure, SHUFFLES, how, rng) for name, measure in ORDER.items()}


def _order_row(found: Excess) -> dict[str, object]:
    null = {"null_low": found.null.low, "null_high": found.null.high, "p": found.null.p}
    parts = {"observed": found.observed, "excess": found.excess}
    cells = {f"{part} {name}": value for part, one in parts.items() for name, value in one._asdict().items()}
    return {**cells, "shuffled": found.shuffled, **null}


def _pace(
    x: np.ndarray, index: pd.DataFrame, test: np.ndarray, how: Inference, rng: np.random.Generator
) -> dict[str, object]:
    """Mean step length and mean length per day of test patients' steps, and the slope of length on days."""
    patients = index["subject_id"].to_numpy()[test]
    found, days = paths(x[test], patients), np.diff(_days(index)[test], prepend=np.nan)
    days[found.k == 0] = np.nan
    later = found.k > 0
    length = np.linalg.norm(np.diff(x[test], axis=0, prepend=np.nan), axis=1)[later]
    per_day = np.median(length / np.maximum(days[later], 1))
    slope = pace(found, days, patients, how, rng)
    return {"step": float(length.mean()), "median per day": float(per_day), **slope._asdict()}


def _drift(
    x: np.ndarray, index: pd.DataFrame, how: Inference, seed: int
) -> tuple[pd.DataFrame, drifts.Approach | None]:
    """Drift of test patients' steps towards every group's centroid, in mean steps of training patients.

    Beyond random centroids and beyond the same steps walked back stands in columns of prefix "excess ".
    """
    patients, groups = index["subject_id"].to_numpy(), psychiatric_groups(index)
    train, test = ((index["split"] == split).to_numpy() for split in ("train", "test"))
    groups = {name: member for name, member in groups.items() if member[train].any()}
    if not groups:
        return pd.DataFrame(columns=["group", "kind", "value"]), None
    unit = np.linalg.norm(drifts.steps_of(x[train], patients[train]).v, axis=1).mean()
    steps, learnt = drifts.steps_of(x[test] / unit, patients[test]), x[train] / unit
    rng = np.random.default_rng(seed)
    members = np.stack(list(groups.values()))
    own = drifts.centroids(learnt, members[:, train], patients[train])
    drifted, beyond = drifts.drift(steps, own).T, drifts.course(steps, own).T  # [G, M] each
    for g, member in enumerate(members[:, train]):
        at_random = drifts.random_centroids(learnt, member, patients[train], RANDOM_CENTROIDS, rng)
        beyond[g] -= drifts.course(steps, at_random).mean(axis=1)
    masks = [drifts.kinds_of_step(member, patients[test], steps.rows) for member in members[:, test]]
    rows = []
    for g, group in enumerate(groups):
        for kind in drifts.KINDS:
            row: dict[str, object] = {"group": group, "kind": kind}
            try:
                drift, excess = drifts.mean_drift(drifted[g], beyond[g], masks[g][kind], steps.patients, how, seed)
                row |= drift._asdict() | {f"excess {name}": value for name, value in excess._asdict().items()}
            except NotComputable:
                row["value"] = np.nan
            rows.append(row)
    try:
        found = drifts.approach(beyond, masks, steps.patients, how, rng)
    except NotComputable:
        found = None
    return pd.DataFrame(rows), found


def _flow(objects: Objects, seed: int) -> pd.DataFrame:
    """Mean step of c by cell of training patients' first two axes: of test patients as they went, and shuffled."""
    index, patients = objects.index, objects.index["subject_id"].to_numpy()
    train, test = ((index["split"] == split).to_numpy() for split in ("train", "test"))
    mean, axes = plane(objects.c[train])
    at = (objects.c[test] - mean) @ axes
    borders, mine = cells((objects.c[train] - mean) @ axes, CELLS), patients[test]
    walked = whole_paths(paths(at, mine), 2)
    rng = np.random.default_rng(seed)
    orders = {"as it was": [walked], "shuffled": [shuffled(walked, rng) for _ in range(FLOW_SHUFFLES)]}
    rows = []
    for name, walks in orders.items():
        visited = np.concatenate([_visited(one) for one in walks], axis=1)  # rows of test, [2, M]
        found = field(at[visited[0]], at[visited[1]] - at[visited[0]], mine[visited[0]], borders, MIN_SHOWN)
        columns = {"x": found.at[:, 0], "y": found.at[:, 1], "dx": found.step[:, 0], "dy": found.step[:, 1]}
        rows.append(pd.DataFrame({"order": name, **columns, "patients": found.patients}))
    return pd.concat(rows, ignore_index=True)


def _visited(walked: Walks) -> np.ndarray:
    """Row left and row reached by each step of walks over whole paths: int [2, M]."""
    row = walked.rows[walked.owner] - (np.bincount(walked.owner) - 1)[walked.owner] + walked.place
    inside = walked.owner[1:] == walked.owner[:-1]
    return np.stack([row[:-1][inside], row[1:][inside]])


def _bands(objects: Objects, how: Inference) -> pd.DataFrame:
    """Position of c between training centroids without (0) and with (1) a group so far, by k, for test patients."""
    index, patients = objects.index, objects.index["subject_id"].to_numpy()
    k = index["k"].to_numpy()
    train, test = ((index["split"] == split).to_numpy() for split in ("train", "test"))
    rows = []
    for group, member in psychiatric_groups(index).items():
        so_far = drifts.so_far(member, patients)
        if not so_far[train].any():
            continue
        ends = drifts.centroids(objects.c[train], np.stack([~so_far, so_far])[:, train], patients[train])
        for state, mask in (("never so far", test & ~so_far), ("coded so far", test & so_far)):
            found = band(along(objects.c[mask], ends[0], ends[1]), k[mask], LAST_K, how.level, MIN_SHOWN)
            rows.append(pd.DataFrame({"group": group, "state": state, **found._asdict()}))
    shown = [table for table in rows if len(table)]
    return pd.concat(shown, ignore_index=True) if shown else pd.DataFrame(columns=["group", "state", *Band._fields])


def _shape(x: np.ndarray, c: np.ndarray, index: pd.DataFrame, outcome: str, how: Inference, seed: int) -> ShapeTest:
    """The shape test of one space: rows with the label at k ≥ FIRST_K, of training and test patients."""
    found = paths(x, index["subject_id"].to_numpy())
    split, label = index["split"].to_numpy(), index[outcome].to_numpy(float)
    rows = np.flatnonzero((found.k >= FIRST_K) & np.isfinite(label) & np.isin(split, ("train", "test")))
    if not len(rows):
        raise NotComputable(f"no labelled encounter at k ≥ {FIRST_K}")
    path = trajectory(found, rows, _days(index))
    base = np.hstack([c[rows], length_features(found.k[rows], path.span, index["gap_days"].to_numpy()[rows])])
    train, test = split[rows] == "train", split[rows] == "test"
    patients = index["subject_id"].to_numpy()[rows]
    return shape_test(base, path, label[rows] > 0, patients, train, test, REFITS, how, np.random.default_rng(seed))


def _null_row(found: ShapeTest, what: str) -> dict[str, float]:
    """The null of a gain, under the names of the other tables; none for the AUROC of a single model."""
    null = getattr(found, f"{what}_null", None)
    return {} if null is None else null.columns()
