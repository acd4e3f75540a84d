"""Probes of observable concepts on z: of the trained model, of its untrained twin, of other arms; and on raw codes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.codes import principal_codes
from jepascope.analysis.probes import probe_table
from jepascope.analysis.stats import Inference, NotComputable
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.concepts import nuisances, psychiatric_groups
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.features import bag_of_codes
from jepascope.objects import load_objects
from jepascope.store import read_table, read_tensors, write_table, write_tensors


def probe_concepts(
    folder: Path, encounters: Path, trained: Path, twin: Path, statistics: params.Statistics, seed: int
) -> None:
    """The step that probes z, the untrained twin's z and raw codes.

    Leaves table.parquet and, for means over families, scores.
    """
    cohort = cohort_encounters.load(encounters)
    z = load_objects(trained).z
    train = (cohort.index["split"] == "train").to_numpy()
    raw = principal_codes(bag_of_codes(cohort), train, z.shape[1], seed)
    _probe(folder, cohort, {"z": z, "untrained z": load_objects(twin).z, "raw codes": raw}, statistics, seed)


def probe_arms(
    folder: Path, encounters: Path, twin: Path, statistics: params.Statistics, seed: int, *arms: str | Path
) -> None:
    """The step that probes z of several arms, given as name, objects, name, objects, …, and of the untrained twin."""
    named = dict(zip(arms[::2], arms[1::2], strict=True))
    spaces = {str(name): load_objects(Path(objects)).z for name, objects in named.items()}
    spaces["untrained z"] = load_objects(twin).z
    _probe(folder, cohort_encounters.load(encounters), spaces, statistics, seed)


def _probe(
    folder: Path, cohort: Encounters, spaces: dict[str, np.ndarray], statistics: params.Statistics, seed: int
) -> None:
    """Probe encounters of the F-code subset in every space [N, D].

    The subset is "an F code at ≤ k", so who is in it at k doesn't depend on what comes later.
    """
    subset = cohort.index["f_code_so_far"].to_numpy(bool)
    split = cohort.index["split"].to_numpy()[subset]
    index = cohort.index[subset]
    groups, others = psychiatric_groups(index), nuisances(index)
    train, test = split == "train", split == "test"
    patients = index["subject_id"].to_numpy()
    how = Inference(**statistics.model_dump())
    members = {name: space[subset] for name, space in spaces.items()}
    result = probe_table(members, groups | others, patients, train, test, how, np.random.default_rng(seed))
    table = result.table.assign(family=lambda frame: np.where(frame["target"].isin(groups), "psychiatric", "nuisance"))
    write_table(folder / "table.parquet", table)
    labels = np.stack(list((groups | others).values()), axis=1)[test]
    scores = {f"scores {name}": values.astype(np.float32) for name, values in result.scores.items()}
    write_tensors(folder / "scores.safetensors", {**scores, "labels": labels, "patients": patients[test]})


def load_computed(folder: Path, family: str | None = None) -> pd.DataFrame:
    """The probes, of one family or of all, that could be computed. Raises NotComputable, with a reason, if none."""
    table = read_table(folder / "table.parquet")
    wanted = table if family is None else table[table["family"] == family]
    computed = wanted[wanted["value"].notna()]
    if computed.empty:
        raise NotComputable(str(wanted["reason"].iloc[0]))
    return computed


class Family(NamedTuple):
    """Held-out scores of one family of probes, for means over the family: the computable targets only."""

    scores: dict[str, np.ndarray]  # representation -> [N_test, Q]
    labels: np.ndarray  # bool [N_test, Q]
    patients: np.ndarray  # [N_test]


def load_family(folder: Path, family: str) -> Family:
    """Read the scores of a family's targets that every representation has. Raises NotComputable if there are none."""
    table, arrays = read_table(folder / "table.parquet"), read_tensors(folder / "scores.safetensors")
    found = load_computed(folder, family).groupby("target").size() == table["representation"].nunique()
    columns = [q for q, target in enumerate(dict.fromkeys(table["target"])) if found.get(target, False)]
    if not columns:
        raise NotComputable("no target could be computed on every representation")
    scores = {name.removeprefix("scores "): a[:, columns] for name, a in arrays.items() if name.startswith("scores ")}
    return Family(scores, arrays["labels"][:, columns].astype(bool), arrays["patients"])


def scores_of(family: Family, name: str, objects: Path) -> np.ndarray:
    """Held-out scores [N_test, Q] of one space; `objects` is what was probed, so that where it is missing this is."""
    return family.scores[name]
