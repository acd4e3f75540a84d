"""The map of z."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jepascope import params
from jepascope.analysis.maps import patient_map
from jepascope.cohort.concepts import psychiatric_groups
from jepascope.objects import load_objects
from jepascope.store import read_tensors, write_tensors

SHOWN = 3


class Picture(NamedTuple):
    """M rows of the map: places, cluster (-1: none), and membership in the most frequent psychiatric groups."""

    xy: np.ndarray  # [M, 2]
    cluster: np.ndarray  # int [M]
    groups: dict[str, np.ndarray]  # bool [M] each


def lay_out(folder: Path, trained: Path, map_: params.Map, seed: int) -> None:
    """The step that draws the map of a sample of patients. Raises NotComputable when there are too few."""
    objects = load_objects(trained)
    patients = objects.index["subject_id"].to_numpy()
    found = patient_map(objects.z, patients, map_.max_rows, map_.neighbours, map_.min_cluster_patients, seed)
    members = {name: member[found.rows] for name, member in psychiatric_groups(objects.index).items()}
    frequent = sorted(members, key=lambda name: -members[name].mean())[:SHOWN]
    groups = {f"group {name}": members[name] for name in frequent}
    write_tensors(folder / "map.safetensors", {"xy": found.xy, "cluster": found.clusters.labels, **groups})


def load_map(folder: Path) -> Picture:
    """Read what `lay_out` left."""
    arrays = read_tensors(folder / "map.safetensors")
    groups = {name.removeprefix("group "): array for name, array in arrays.items() if name.startswith("group ")}
    return Picture(arrays["xy"], arrays["cluster"], groups)
