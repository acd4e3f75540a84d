"""The bridge from a space to what the records name: how far labels reach by axes, by clusters and by features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from jepascope import params
from jepascope.analysis.bridge.axis_labels import (
    explained,
    explained_more,
    fit_labels,
    leading_axes,
    moved_rows,
    stable_labels,
)
from jepascope.analysis.bridge.cluster_labels import (
    Unlabelled,
    label_clusters,
    members,
    nearest_labels,
    partition,
    without_label,
)
from jepascope.analysis.embedding.cluster_stability import RECOVERED
from jepascope.analysis.embedding.maps import COMPONENTS
from jepascope.analysis.features.enrichment import found_in_nothing
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, Null, null_of
from jepascope.cohort import encounters as cohort_encounters
from jepascope.objects import load_objects
from jepascope.pipeline.bridge.labels import NAMES, Space, name_encounters, spaces_of
from jepascope.pipeline.readings import Reading, load_reading, save_readings
from jepascope.store import read_json, read_table, read_tensors, write_json, write_table

MODELS = ("trained", "untrained twin")
# Patients are given others' rows, and everything is fitted again, so many times; penalties are chosen in so many folds.
REFITS, FOLDS = 10, 3
# Leading axes of z whose labels are drawn again and again.
STABLE_AXES = 8
CLUSTERS, PARTITION = "clusters that come back", "k-means partition"
# Cohorts of nothing in which enriched pairs are counted.
COHORTS_OF_NOTHING = 3
AXES, RESIDUAL = "axes", "residual"


class Refitted(NamedTuple):
    """What a lasso of the labels leaves of test rows: fitted to training rows as they are, and to moved ones.

    `left` and `was` are squares, [1 + REFITS, n, Q]; from 1 on patients are given others' rows.
    """

    left: np.ndarray
    was: np.ndarray
    penalty: np.ndarray  # [Q], of the rows as they are

    @property
    def by_column(self) -> np.ndarray:
        """R² of every column [Q] as it is; 0 for a column that is constant."""
        return 1 - self.left[0].sum(axis=0) / np.maximum(self.was[0].sum(axis=0), 1e-12)

    @property
    def by_row(self) -> np.ndarray:
        """What is left and what there was, [n, 2], as of `axis_labels.squares`."""
        return np.column_stack([self.left[0].sum(axis=1), self.was[0].sum(axis=1)])

    @property
    def moved(self) -> np.ndarray:
        """R² over all columns where patients are given others' rows, [REFITS]."""
        return 1 - self.left[1:].sum(axis=(1, 2)) / self.was[1:].sum(axis=(1, 2))


class _Reached(NamedTuple):
    """Tier A of one space of one model, on test patients."""

    left: np.ndarray  # [n, 2], of `axis_labels.squares`
    moved: np.ndarray  # [REFITS], R² where patients are given others' rows
    by_axis: pd.DataFrame  # axis, variance, r2, penalty
    patients: np.ndarray  # [n]


def load_spaces(
    encounters: Path, trained: Path, twin: Path, names: Sequence[str] = NAMES
) -> tuple[pd.DataFrame, dict[str, dict[str, Space]]]:
    """The table of labels, and model → object (of `names`) → `Space`."""
    labels = name_encounters(cohort_encounters.load(encounters))
    folders = zip(MODELS, (trained, twin), strict=True)
    return labels.table, {model: spaces_of(load_objects(folder), labels, names) for model, folder in folders}


def reach_axes(
    folder: Path, encounters: Path, trained: Path, twin: Path, statistics: params.Statistics, seed: int
) -> None:
    """The step of tier A: each principal axis of each object as a sparse sum of labels, for the model and its twin.

    Fitted on training patients, read on test patients. Leaves explained.parquet (a row a model and object: axes, R²,
    null), axes.parquet, stable.parquet (leading axes of z: how often each label is taken up), labels.json (counts) and
    the readings "axes" (R² of z less the twin's) and "residual" (what labels leave of e, less of ẑ). Raises
    NotComputable with too few patients.
    """
    how = Inference(**statistics.model_dump())
    table, by_model = load_spaces(encounters, trained, twin)
    reached = {(model, name): _reach(s, seed) for model, spaces in by_model.items() for name, s in spaces.items()}
    rows, axes = [], []
    for (model, name), found in reached.items():
        estimate = explained(found.left, found.patients, how, np.random.default_rng(seed))
        about = {"model": model, "object": name, "axes": len(found.by_axis), **estimate._asdict()}
        rows.append(about | null_of(found.moved, estimate.value, how.level).columns())
        axes.append(found.by_axis.assign(model=model, object=name))
    write_table(folder / "explained.parquet", pd.DataFrame(rows))
    write_table(folder / "axes.parquet", pd.concat(axes, ignore_index=True))
    ours, theirs = ({name: reached[model, name] for name in by_model[model]} for model in MODELS)
    more, left = _less(ours["z"], theirs["z"], how, seed), _less(ours["ẑ"], ours["e"], how, seed)
    untrained = _less(theirs["ẑ"], theirs["e"], how, seed).estimate
    save_readings(folder, {AXES: more, RESIDUAL: left._replace(untrained=untrained)})
    stable, q = _stable(by_model[MODELS[0]]["z"], table, seed)
    write_table(folder / "stable.parquet", stable)
    counts = {"labels": len(table), "yes_no": int(table["yes_no"].sum()), "first": q}
    counts |= {family: int(n) for family, n in table["family"].value_counts().items()}
    write_json(folder / "labels.json", counts)


def refit(space: Space, y: np.ndarray, seed: int) -> Refitted:
    """Fit y [N, Q] to the space's labels and, beside it, REFITS copies in which each patient has another's rows.

    One problem for all: to move the rows instead of the labels is the same null, and leaves the labels' products as
    they are. y is taken about its training mean.
    """
    moves = moved_rows(space.patients, space.train, space.test, REFITS, np.random.default_rng(seed))
    train, test = (
        np.hstack([y[part], *(y[part][rows] for rows in moved)])
        for part, moved in ((space.train, moves.train), (space.test, moves.test))
    )
    labels, who = space.labels[space.train], space.patients[space.train]
    fit = fit_labels(labels, train, who, FOLDS, np.random.default_rng(seed))
    left, was = (
        np.stack(np.split(np.square(rows), 1 + REFITS, axis=1))
        for rows in (test - fit.predict(space.labels[space.test]), test)
    )
    return Refitted(left, was, fit.share[: y.shape[1]])


def _reach(space: Space, seed: int) -> _Reached:
    axes = leading_axes(space.x[space.train])
    found = refit(space, axes.place(space.x), seed)
    by_axis = {"axis": np.arange(1, len(axes.variance) + 1), "variance": axes.variance}
    by_axis |= {"r2": found.by_column, "penalty": found.penalty}
    return _Reached(found.by_row, found.moved, pd.DataFrame(by_axis), space.patients[space.test])


def _less(one: _Reached, other: _Reached, how: Inference, seed: int) -> Reading:
    """R² of one space less another's on the same rows, with the same where rows are moved."""
    found = explained_more(one.left, other.left, one.patients, how, np.random.default_rng(seed))
    return Reading(found, null_of(one.moved - other.moved, found.value, how.level))


def _stable(z: Space, table: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, float]:
    """Leading axes of z and the labels that half-samples take up: axis, label, family, frequency, the highest first."""
    x = z.x[z.train]
    y = leading_axes(x).place(x)[:, :STABLE_AXES]
    often, q = stable_labels(z.labels[z.train], y, z.patients[z.train], np.random.default_rng(seed))
    L, Q = often.shape
    pairs = {"axis": np.tile(np.arange(1, Q + 1), L), "label": np.repeat(table["label"].to_numpy(), Q)}
    found = pd.DataFrame({**pairs, "family": np.repeat(table["family"].to_numpy(), Q), "often": often.ravel()})
    found = found[found["often"] > 0]
    return found.sort_values(["axis", "often"], ascending=[True, False], kind="stable", ignore_index=True), q


def reach_clusters(
    folder: Path,
    encounters: Path,
    trained: Path,
    twin: Path,
    clusters: Path,
    statistics: params.Statistics,
    seed: int,
) -> None:
    """The step of tier B: parts of each object that have a label, by clusters that come back and by a partition.

    Clusters are those of z that `mapping.find_clusters` left in `clusters`; other rows belong where their nearest
    neighbour in its sample does. Labels are sought on training patients, shares read on test patients. Leaves
    reach.parquet: a row a model, object and search (parts, labelled, pairs, pairs in nothing, share of encounters and
    of patients without a label).
    """
    how, rows = Inference(**statistics.model_dump()), []
    _, by_model = load_spaces(encounters, trained, twin)
    for model, spaces in by_model.items():
        for name, space in spaces.items():
            x = leading_axes(space.x[space.train], 1.0).first(COMPONENTS).place(space.x)
            searches = {PARTITION: partition(x[space.train], x, seed)}
            if (model, name) == (MODELS[0], "z"):
                searches[CLUSTERS] = _recovered(clusters, x)
            for search, parts in searches.items():
                rows.append({"model": model, "object": name, "search": search, **_parted(space, parts, how, seed)})
    write_table(folder / "reach.parquet", pd.DataFrame(rows))


def _recovered(clusters: Path, x: np.ndarray) -> np.ndarray:
    """The cluster of each row of x [N, C], int [N], of those that came back in other draws of patients; −1: none."""
    arrays, table = read_tensors(clusters / "map.safetensors"), read_table(clusters / "clusters.parquet")
    mine = table[(table["search"] == "PCA") & (table["representation"] == "z")]
    back = mine.loc[mine["jaccard"] >= RECOVERED, "cluster"].to_numpy(int)
    renumbered = np.full(int(arrays["z"].max(initial=-1)) + 2, -1)  # the last place is that of −1
    renumbered[back] = np.arange(len(back))
    return nearest_labels(x[arrays["rows"]], renumbered[arrays["z"]], x) if len(back) else np.full(len(x), -1)


def _parted(space: Space, parts: np.ndarray, how: Inference, seed: int) -> dict[str, Any]:
    """What `reach_clusters` says of one partition; a space without parts has nobody inside a labelled one."""
    count = int(parts.max(initial=-1)) + 1
    on, train = members(parts, count), space.train
    labelled, pairs, nothing = np.zeros(count, bool), 0, np.nan
    if count:
        found = label_clusters(on[train], space.yes_no[train], space.patients[train]).found
        labelled, pairs = np.asarray(found.any(axis=1)), int(found.sum())
        given = (on[train], sparse.csr_matrix(space.yes_no[train].astype(np.float32)), space.patients[train])
        nothing = float(found_in_nothing(*given, COHORTS_OF_NOTHING, np.random.default_rng(seed)).mean())
    rng = np.random.default_rng(seed)
    out = without_label(on[space.test], labelled, space.patients[space.test], how, rng)
    told = {"parts": count, "labelled": int(labelled.sum()), "pairs": pairs, "pairs_in_nothing": nothing}
    return told | _spelled(out)


def _spelled(out: Unlabelled) -> dict[str, float]:
    mine = out.rows._asdict()
    return mine | {f"patients_{end}": getattr(out.patients, end) for end in ("value", "low", "high")}


def beside(results: Path, name: str) -> Path:
    """What another chapter's step left beside its results. Raises NotComputable where it could not be made."""
    folder = results.parent / name
    if not folder.is_dir():
        raise NotComputable(f"{name} were not computable")
    return folder


def load_explained(folder: Path) -> pd.DataFrame:
    """Tier A, a row a model and object: axes, value, low, high, …, null columns (NaN where none was run)."""
    return read_table(folder / "explained.parquet")


def load_axes(folder: Path) -> pd.DataFrame:
    """Tier A axis by axis: model, object, axis, variance, r2, penalty."""
    return read_table(folder / "axes.parquet")


def load_stable(folder: Path) -> pd.DataFrame:
    """How often half-samples take up each label, for leading axes of z: axis, label, family, often."""
    return read_table(folder / "stable.parquet")


def count_labels(folder: Path) -> dict[str, float]:
    """How many labels there are, by family; and how many a half-sample takes up first."""
    counts: dict[str, float] = read_json(folder / "labels.json")
    return counts


def load_less(folder: Path, name: str) -> Reading:
    """The reading AXES or RESIDUAL of `reach_axes`."""
    return load_reading(folder, name)


def of_axes(folder: Path, model: str, name: str) -> tuple[Estimate, Null]:
    """R² of one object with its null. Raises NotComputable where no null was run."""
    row = load_explained(folder).set_index(["model", "object"]).loc[(model, name)]
    if np.isnan(row["null"]):
        raise NotComputable(f"no null was run for {name} of the {model}")
    return Estimate(row["value"], row["low"], row["high"], int(row["n_rows"]), int(row["n_patients"])), Null.of_columns(
        row
    )


def load_reach(folder: Path) -> pd.DataFrame:
    """Tier B, a row a model, object and search."""
    return read_table(folder / "reach.parquet")
