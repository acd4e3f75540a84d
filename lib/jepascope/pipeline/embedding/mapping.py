"""The map of z, its clusters, and the same search in the untrained twin, in raw codes, and where there is nothing."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.embedding.cluster_stability import density_validity, patient_effect_only, stability
from jepascope.analysis.embedding.maps import (
    Clusters,
    cluster,
    lay_out,
    neighbourhoods,
    patient_density,
    principal_axes,
    sample_patients,
)
from jepascope.analysis.inference.stats import Estimate, Inference, bootstrap_mean
from jepascope.cohort.concepts import psychiatric_groups
from jepascope.objects import load_objects
from jepascope.pipeline.embedding.probing import BROAD, load_spaces
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.steps import SIDECAR
from jepascope.store import read_json, read_tensors, write_table, write_tensors

SHOWN = 3
# Clouds of patients without structure that are searched for clusters as z is.
CLOUDS = 4
FIVE = 5
NOTHING = "nothing but patients"


class Picture(NamedTuple):
    """M rows of the map: places, cluster (-1: none), and membership in the most frequent psychiatric groups.

    Where places could be persons, `density` is instead what may be shown: patients per cell, in all and by group.
    """

    xy: np.ndarray | None  # [M, 2]
    cluster: np.ndarray  # int [M]
    groups: dict[str, np.ndarray]  # bool [M] each
    density: dict[str, np.ndarray] | None  # [cells, cells] each, NaN for few patients


class _Found(NamedTuple):
    """What one search found."""

    clusters: Clusters
    recovered: np.ndarray  # bool [C]
    jaccard: np.ndarray  # [C], NaN where it was not asked
    rand: float
    validity: float


def find_clusters(
    folder: Path,
    trained: Path,
    twin: Path,
    codes: Path,
    map_: params.Map,
    statistics: params.Statistics,
    seed: int,
) -> None:
    """The step that draws a map of training patients and looks for clusters, in every space and where there is none.

    Leaves map.safetensors (sampled rows, their places and cluster), searches.parquet (a row a space and a search:
    counts, share of rows in recovered clusters, validity, stability), clusters.parquet (a row a cluster) and the
    reading "come_back", the share of z's encounters in recovered clusters. Raises NotComputable with too few patients.
    """
    index, how = load_objects(trained).index, Inference(**statistics.model_dump())
    train = np.flatnonzero(index["split"] == "train")
    patients = index["subject_id"].to_numpy()[train]
    sample = sample_patients(patients, map_.max_rows, np.random.default_rng(seed))
    rows, patients = train[sample], patients[sample]
    spaces = {name: x[rows] for name, x in load_spaces(trained, twin, codes).items() if name in BROAD}
    clouds = [patient_effect_only(spaces["z"], patients, np.random.default_rng([seed, n])) for n in range(CLOUDS)]
    searched = [*spaces.items(), *((NOTHING, cloud) for cloud in clouds)]
    axes = [(name, principal_axes(x)) for name, x in searched]
    found = [("PCA", name, _search(x, patients, map_, seed)) for name, x in axes]
    graph = neighbourhoods(axes[0][1], map_.neighbours)
    places = [(name, _five(x, map_, seed)) for name, x in axes[: len(spaces) + 1]]
    found += [("UMAP", name, _once(x, patients, map_)) for name, x in places]
    _save_searches(folder, found, patients, how, seed)
    xy = lay_out(axes[0][1], graph, 2, seed)
    write_tensors(folder / "map.safetensors", {"rows": rows, "xy": xy, "z": found[0][2].clusters.labels})


def _five(x: np.ndarray, map_: params.Map, seed: int) -> np.ndarray:
    return lay_out(x, neighbourhoods(x, map_.neighbours), FIVE, seed)


def _search(x: np.ndarray, patients: np.ndarray, map_: params.Map, seed: int) -> _Found:
    """Clusters of x [N, C] and whether they come back; where none is found there is nothing to draw again."""
    found = cluster(x, patients, map_.min_cluster_patients)
    if not found.kept:
        return _Found(found, np.zeros(0, bool), np.zeros(0), np.nan, np.nan)
    again = stability(x, patients, found, map_.min_cluster_patients, map_.resamples, np.random.default_rng(seed))
    return _Found(found, again.recovered, again.jaccard, float(again.rand.mean()), density_validity(x, found.labels))


def _once(x: np.ndarray, patients: np.ndarray, map_: params.Map) -> _Found:
    """Clusters in five dimensions of UMAP, which are counted and not drawn again: a layout a draw is too dear."""
    found = cluster(x, patients, map_.min_cluster_patients)
    validity = density_validity(x, found.labels) if found.kept else np.nan
    return _Found(found, np.zeros(found.kept, bool), np.full(found.kept, np.nan), np.nan, validity)


def _save_searches(
    folder: Path, found: list[tuple[str, str, _Found]], patients: np.ndarray, how: Inference, seed: int
) -> None:
    searches: list[dict[str, object]] = []
    clusters, shares = [], dict[str, Estimate]()
    for number, (search, name, one) in enumerate(found):
        kept = one.clusters.kept
        stays = np.append(one.recovered, False)[one.clusters.labels]  # −1, noise, reads the appended
        share = bootstrap_mean(stays, patients, how.bootstrap, how.level, np.random.default_rng(seed), how.min_patients)
        if search == "PCA":
            shares.setdefault(name, share)
        counts = {"kept": kept, "refused": one.clusters.refused, "recovered": int(one.recovered.sum())}
        of = {"search": search, "representation": name, "number": number}
        inside = float((one.clusters.labels >= 0).mean())
        searches.append({**of, **counts, "inside": inside, **share._asdict(), "rand": one.rand, "dbcv": one.validity})
        for c in range(kept):
            own = np.unique(patients[one.clusters.labels == c], return_counts=True)[1]
            sizes = {"patients": len(own), "rows": int(own.sum()), "top_share": own.max() / own.sum()}
            clusters.append({**of, "cluster": c, **sizes, "jaccard": one.jaccard[c]})
    write_table(folder / "searches.parquet", pd.DataFrame(searches))
    names = ["search", "representation", "number", "cluster", "patients", "rows", "top_share", "jaccard"]
    write_table(folder / "clusters.parquet", pd.DataFrame(clusters, columns=names))
    nothing = _worst([row for row in searches if (row["search"], row["representation"]) == ("PCA", NOTHING)])
    save_readings(folder, {"come_back": Reading(shares["z"], nothing, shares["untrained z"])})


def _worst(rows: list[dict[str, object]]) -> Estimate:
    """Of several clouds of nothing, the one with the most in recovered clusters."""
    worst = max(rows, key=lambda row: float(row["value"]))  # type: ignore[arg-type]
    return Estimate(**{field: worst[field] for field in Estimate._fields})  # type: ignore[arg-type]


def load_map(folder: Path, trained: Path) -> Picture:
    """Read the picture that `find_clusters` left; of credentialed records, densities alone and no places."""
    arrays, index = read_tensors(folder / "map.safetensors"), load_objects(trained).index
    rows = arrays["rows"]
    members = {name: member[rows] for name, member in psychiatric_groups(index).items()}
    frequent = sorted(members, key=lambda name: -members[name].mean())[:SHOWN]
    groups = {name: members[name] for name in frequent}
    if read_json(folder / SIDECAR)["tier"] != "credentialed":
        return Picture(arrays["xy"], arrays["z"], groups, None)
    patients = index["subject_id"].to_numpy()[rows]
    density = {"all": patient_density(arrays["xy"], patients)}
    density |= {name: patient_density(arrays["xy"], patients, member) for name, member in groups.items()}
    return Picture(None, arrays["z"], groups, density)
