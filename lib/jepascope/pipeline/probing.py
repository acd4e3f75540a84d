"""Probes of observable concepts on z, the untrained twin's z and raw codes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jepascope import params
from jepascope.analysis.codes import bag_of_codes, principal_codes
from jepascope.analysis.probes import probe_table
from jepascope.analysis.stats import Inference, NotComputable
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.concepts import nuisances, psychiatric_groups
from jepascope.objects import load_objects
from jepascope.store import read_table, read_tensors, write_table, write_tensors


def probe_concepts(
    folder: Path, encounters: Path, trained: Path, twin: Path, statistics: params.Statistics, seed: int
) -> None:
    """The step that probes encounters of the F-code subset: table.parquet, and scores for means over families.

    The subset is "an F code at ≤ k", so who is in it at k doesn't depend on what comes later.
    """
    cohort = cohort_encounters.load(encounters)
    subset = cohort.index["f_code_so_far"].to_numpy(bool)
    split = cohort.index["split"].to_numpy()
    z = load_objects(trained).z
    bag = bag_of_codes(cohort.tokens, cohort.offsets, len(cohort.vocabulary))
    representations = {
        "z": z[subset],
        "untrained z": load_objects(twin).z[subset],
        "raw codes": principal_codes(bag, split == "train", z.shape[1], seed)[subset],
    }
    index = cohort.index[subset]
    groups, others = psychiatric_groups(index), nuisances(index)
    train, test = split[subset] == "train", split[subset] == "test"
    patients = index["subject_id"].to_numpy()
    how = Inference(**statistics.model_dump())
    result = probe_table(representations, groups | others, patients, train, test, how, np.random.default_rng(seed))
    table = result.table.assign(family=lambda frame: np.where(frame["target"].isin(groups), "psychiatric", "nuisance"))
    write_table(folder / "table.parquet", table)
    labels = np.stack(list((groups | others).values()), axis=1)[test]
    scores = {f"scores {name}": values.astype(np.float32) for name, values in result.scores.items()}
    write_tensors(folder / "scores.safetensors", {**scores, "labels": labels, "patients": patients[test]})


class Family(NamedTuple):
    """Held-out scores of one family of probes, for means over the family: the computable targets only."""

    scores: dict[str, np.ndarray]  # representation -> [N_test, Q]
    labels: np.ndarray  # bool [N_test, Q]
    patients: np.ndarray  # [N_test]


def load_family(folder: Path, family: str) -> Family:
    """Read a family's scores. Raises NotComputable when none of its targets could be computed."""
    table, arrays = read_table(folder / "table.parquet"), read_tensors(folder / "scores.safetensors")
    per_target = table.pivot(index="target", columns="representation", values="value")
    targets = list(dict.fromkeys(table["target"]))
    wanted = set(table.loc[table["family"] == family, "target"])
    columns = [q for q, target in enumerate(targets) if target in wanted and per_target.loc[target].notna().all()]
    if not columns:
        raise NotComputable(str(table.loc[table["family"] == family, "reason"].iloc[0]))
    scores = {name.removeprefix("scores "): a[:, columns] for name, a in arrays.items() if name.startswith("scores ")}
    return Family(scores, arrays["labels"][:, columns].astype(bool), arrays["patients"])
