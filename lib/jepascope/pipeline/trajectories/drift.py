"""Where steps lead: drift of test patients towards concept groups, and pictures of where they go."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable
from jepascope.analysis.trajectories import drift as drifts
from jepascope.analysis.trajectories.flow import Band, along, band, cells, field, matched_ends, plane
from jepascope.analysis.trajectories.paths import Walks, paths, shuffled, whole_paths
from jepascope.cohort.concepts import psychiatric_groups
from jepascope.objects import Objects, load_objects
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.pipeline.trajectories.paths import MONTH, SPACES, days, mean_step, spaces
from jepascope.store import read_table, write_table

RANDOM_CENTROIDS = 50  # of each concept
FLOW_SHUFFLES = 20  # of each patient's encounters, drawn
# A cell of the flow field, or a point of a band, with fewer patients shows persons.
MIN_SHOWN = 11
CELLS = 12  # of the flow field, on each side
LAST_K = 9  # of the bands


class Drifts(NamedTuple):
    """Drift of the M test steps of one space towards G groups' centroids, in mean steps of training patients."""

    groups: list[str]  # [G]
    towards: np.ndarray  # [G, M], δ
    beyond: np.ndarray  # [G, M], course: less the step walked back, and less random centroids
    masks: list[dict[str, np.ndarray]]  # of each group, by kind of step, bool [M]
    patients: np.ndarray  # [M]
    months: np.ndarray  # [M], that each step took


def follow_drift(folder: Path, trained: Path, twin: Path, statistics: params.Statistics, seed: int) -> None:
    """The step that measures where test patients' steps lead in c and z, of the model and of its twin.

    Leaves drift.parquet (a row a space, group and kind of step), course.parquet (a row a space and kind, over groups),
    readings.json (approach in c and in z), and of c flow.parquet and bands.parquet.
    Centroids, axes and units are those of training patients.
    """
    how = Inference(**statistics.model_dump())
    objects = load_objects(trained)
    by_group, over_groups, approach = [], [], {}
    for space, x in spaces(objects, load_objects(twin)):
        rng = np.random.default_rng(seed)  # the same random centroids and draws in every space
        found = _drifts(x, objects.index, rng)
        if found is None:
            continue
        by_group.append(_by_group(found, how, seed).assign(space=space))
        over_groups.append(_over_groups(found, how, seed).assign(space=space))
        try:
            approach[space] = drifts.approach(found.beyond, found.masks, found.patients, how, rng)
        except NotComputable:  # the reading is then missing, which says as much
            continue
    write_table(folder / "drift.parquet", _stacked(by_group, ["space", "group", "kind", "value"]))
    write_table(folder / "course.parquet", _stacked(over_groups, ["space", "kind", "what", *Estimate._fields]))
    readings = {}
    for space in SPACES:
        ours, theirs = approach.get(space), approach.get(f"untrained {space}")
        if ours is not None:
            readings[f"approach_{space}"] = Reading(ours.estimate, ours.null, theirs and theirs.estimate)
    save_readings(folder, readings)
    write_table(folder / "flow.parquet", _flow(objects, seed))
    write_table(folder / "bands.parquet", _bands(objects, how))


def load_drift(folder: Path, space: str) -> pd.DataFrame:
    """Drift by group and kind of step in one space. Raises NotComputable where no group has enough patients."""
    table = read_table(folder / "drift.parquet")
    shown = table[(table["space"] == space) & table["value"].notna()]
    if shown.empty:
        raise NotComputable("no concept group has enough patients with a step")
    return shown


def load_course(folder: Path) -> pd.DataFrame:
    """Means over groups by space and kind of step. Raises NotComputable where no group has enough patients."""
    table = read_table(folder / "course.parquet")
    if table.empty:
        raise NotComputable("no concept group has enough patients with a step")
    return table


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


def _drifts(x: np.ndarray, index: pd.DataFrame, rng: np.random.Generator) -> Drifts | None:
    """Drift of test patients' steps towards the groups that training patients have; None where they have none."""
    patients, groups = index["subject_id"].to_numpy(), psychiatric_groups(index)
    train, test = ((index["split"] == split).to_numpy() for split in ("train", "test"))
    groups = {name: member for name, member in groups.items() if member[train].any()}
    if not groups:
        return None
    members = np.stack(list(groups.values()))
    unit = mean_step(x[train], patients[train])
    steps, learnt = drifts.steps_of(x[test] / unit, patients[test]), x[train] / unit
    own = drifts.centroids(learnt, members[:, train], patients[train])
    beyond = drifts.course(steps, own).T
    for g, member in enumerate(members[:, train]):
        at_random = drifts.random_centroids(learnt, member, patients[train], RANDOM_CENTROIDS, rng)
        beyond[g] -= drifts.course(steps, at_random).mean(axis=1)
    masks = [drifts.kinds_of_step(member, patients[test], steps.rows) for member in members[:, test]]
    when = days(index)[test]
    months = (when[steps.rows + 1] - when[steps.rows]) / MONTH
    return Drifts(list(groups), drifts.drift(steps, own).T, beyond, masks, steps.patients, months)


def _by_group(found: Drifts, how: Inference, seed: int) -> pd.DataFrame:
    """A row a group and kind of step: drift, and in columns of prefix "excess " what it is beyond its nulls."""
    rows = []
    for (g, group), kind in product(enumerate(found.groups), drifts.KINDS):
        row: dict[str, object] = {"group": group, "kind": kind}
        try:
            mask = found.masks[g][kind]
            drift, excess = drifts.mean_drift(found.towards[g], found.beyond[g], mask, found.patients, how, seed)
            row |= drift._asdict() | {f"excess {name}": value for name, value in excess._asdict().items()}
        except NotComputable:
            row["value"] = np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def _over_groups(found: Drifts, how: Inference, seed: int) -> pd.DataFrame:
    """A row a kind of step and reading, means over groups; kinds of too few patients are left out."""
    once = np.ones(len(found.patients))
    readings = {
        "drift": (found.towards, once),
        "by step": (found.beyond, once),
        "by month": (found.beyond, found.months),
    }
    rows = []
    for kind, (what, (values, took)) in product(drifts.KINDS, readings.items()):
        masks = np.stack([mask[kind] for mask in found.masks])
        rng = np.random.default_rng([seed, 1])
        try:
            mean = drifts.mean_over_concepts(values, masks, took, found.patients, how, rng)
        except NotComputable:
            continue
        rows.append({"kind": kind, "what": what, **mean._asdict()})
    return pd.DataFrame(rows, columns=["kind", "what", *Estimate._fields])


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
    """Place of c between training patients without (0) and with (1) a group so far, by k, for test patients."""
    index, patients = objects.index, objects.index["subject_id"].to_numpy()
    k = index["k"].to_numpy()
    train, test = ((index["split"] == split).to_numpy() for split in ("train", "test"))
    rows = []
    for group, member in psychiatric_groups(index).items():
        so_far = drifts.so_far(member, patients)
        try:
            ends = matched_ends(objects.c[train], so_far[train], k[train])
        except NotComputable:
            continue
        for state, mask in (("never so far", test & ~so_far), ("coded so far", test & so_far)):
            found = band(along(objects.c[mask], *ends), k[mask], LAST_K, how.level, MIN_SHOWN)
            rows.append(pd.DataFrame({"group": group, "state": state, **found._asdict()}))
    return _stacked(rows, ["group", "state", *Band._fields])


def _stacked(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """Tables one under another; without any, an empty one of these columns."""
    shown = [table for table in tables if len(table)]
    return pd.concat(shown, ignore_index=True) if shown else pd.DataFrame(columns=columns)
