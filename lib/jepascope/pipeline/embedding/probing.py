"""Probes of z, c, their untrained twins and raw codes; and other arms."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.embedding.codes import principal_codes
from jepascope.analysis.inference.stats import Inference, NotComputable, permuted_rows
from jepascope.analysis.probes.aurocs import enough_carriers, joint_aurocs
from jepascope.analysis.probes.kinds import (
    OnlineCode,
    difference_of_means,
    difference_saved,
    online_code,
    share_saved,
)
from jepascope.analysis.probes.linear import probe_table
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.concepts import nuisances, psychiatric_groups
from jepascope.cohort.features import bag_of_codes
from jepascope.objects import load_objects
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.store import read_table, read_tensors, write_table, write_tensors

# The outcomes that are looked for, each on the encounters of which it is known.
OUTCOMES = {
    "readmission, 30 days": "label_30d_per_enc",
    "escalation": "label_escalation_per_enc",
    "psychiatric crisis": "label_psych_crisis_per_enc",
    "death, 365 days": "label_death_365d_per_enc",
}
# What everyone is probed in: contexts add fits, and the groups' own encounters are the same for all spaces.
BROAD = ("z", "untrained z", "raw codes")
# The row of a table that is the mean over its groups.
MEAN = "all groups, mean"


def lay_out_codes(folder: Path, encounters: Path, width: int, seed: int) -> None:
    """The step that leaves `width` principal axes of every encounter's codes, fitted on training patients."""
    cohort = cohort_encounters.load(encounters)
    train = (cohort.index["split"] == "train").to_numpy()
    write_tensors(folder / "codes.safetensors", {"axes": principal_codes(bag_of_codes(cohort), train, width, seed)})


def load_spaces(trained: Path, twin: Path, codes: Path) -> dict[str, np.ndarray]:
    """Name -> [N, D]: z and c, the twin's, and raw codes of `lay_out_codes`, all on the rows of the trained index."""
    ours, theirs = load_objects(trained), load_objects(twin)
    raw = read_tensors(codes / "codes.safetensors")["axes"]
    return {"z": ours.z, "c": ours.c, "untrained z": theirs.z, "untrained c": theirs.c, "raw codes": raw}


def probe_concepts(
    folder: Path, trained: Path, twin: Path, codes: Path, statistics: params.Statistics, seed: int
) -> None:
    """The step that probes the psychiatric groups within the F-code subset, in every space and by both readers.

    Leaves table.parquet, with AUROC and interval of the difference of means beside those of the probe, and scores.
    """
    index, spaces = load_objects(trained).index, load_spaces(trained, twin, codes)
    rows = index["f_code_so_far"].to_numpy(bool)
    _probe(folder, index, rows, spaces, {"psychiatric": psychiatric_groups(index)}, statistics, seed)
    table, arrays = read_table(folder / "table.parquet"), read_tensors(folder / "scores.safetensors")
    found = _by_means(index[rows], {name: x[rows] for name, x in spaces.items()}, table, arrays, statistics, seed)
    write_table(folder / "table.parquet", table.merge(found, on=["representation", "target"], how="left"))


def probe_everyone(
    folder: Path, trained: Path, twin: Path, codes: Path, statistics: params.Statistics, seed: int
) -> None:
    """The step that probes groups and nuisances in all encounters, and outcomes where they are known.

    Leaves table.parquet and scores of groups and nuisances, and outcomes.parquet.
    """
    index, spaces = load_objects(trained).index, load_spaces(trained, twin, codes)
    targets = {"psychiatric": psychiatric_groups(index), "nuisance": nuisances(index)}
    broad = {name: spaces[name] for name in BROAD}
    _probe(folder, index, np.ones(len(index), bool), broad, targets, statistics, seed)
    tables = []
    for name, column in OUTCOMES.items():
        known = index[column].notna().to_numpy()
        target = {"outcome": {name: index[column].to_numpy() == 1}}
        tables.append(_probe_rows(index, known, spaces, target, statistics, seed)[0])
    write_table(folder / "outcomes.parquet", pd.concat(tables, ignore_index=True))


def probe_arms(
    folder: Path, encounters: Path, twin: Path, statistics: params.Statistics, seed: int, *arms: str | Path
) -> None:
    """The step that probes z of several arms, given as name, objects, name, objects, …, and of the untrained twin."""
    named = dict(zip(arms[::2], arms[1::2], strict=True))
    spaces = {str(name): load_objects(Path(objects)).z for name, objects in named.items()}
    spaces["untrained z"] = load_objects(twin).z
    index = cohort_encounters.load(encounters).index
    targets = {"psychiatric": psychiatric_groups(index), "nuisance": nuisances(index)}
    _probe(folder, index, index["f_code_so_far"].to_numpy(bool), spaces, targets, statistics, seed)


def _probe(
    folder: Path,
    index: pd.DataFrame,
    rows: np.ndarray,
    spaces: dict[str, np.ndarray],
    targets: dict[str, dict[str, np.ndarray]],
    statistics: params.Statistics,
    seed: int,
) -> None:
    """Leave table.parquet and, for means over families, scores.safetensors."""
    table, arrays = _probe_rows(index, rows, spaces, targets, statistics, seed)
    write_table(folder / "table.parquet", table)
    write_tensors(folder / "scores.safetensors", arrays)


def _probe_rows(
    index: pd.DataFrame,
    rows: np.ndarray,
    spaces: dict[str, np.ndarray],
    targets: dict[str, dict[str, np.ndarray]],
    statistics: params.Statistics,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Probe the rows [N] (bool) in every space [N, D] for families of targets, [N] each.

    Who is in the F-code subset, an F code at ≤ k, doesn't depend on what comes later.
    """
    split, patients = index["split"].to_numpy()[rows], index["subject_id"].to_numpy()[rows]
    train, test = split == "train", split == "test"
    family = {name: kind for kind, members in targets.items() for name in members}
    labels = {name: member[rows] for members in targets.values() for name, member in members.items()}
    members = {name: space[rows] for name, space in spaces.items()}
    how, rng = Inference(**statistics.model_dump()), np.random.default_rng(seed)
    result = probe_table(members, labels, patients, train, test, how, rng)
    table = result.table.assign(
        family=result.table["target"].map(family),
        prevalence=result.table["target"].map({name: label[test].mean() for name, label in labels.items()}),
    )
    scores = {f"scores {name}": values.astype(np.float32) for name, values in result.scores.items()}
    return table, {**scores, "labels": np.stack(list(labels.values()), axis=1)[test], "patients": patients[test]}


def _by_means(
    index: pd.DataFrame,
    spaces: dict[str, np.ndarray],
    table: pd.DataFrame,
    arrays: dict[str, np.ndarray],
    statistics: params.Statistics,
    seed: int,
) -> pd.DataFrame:
    """AUROC by difference of means where there is a probe: representation, target, means, means_low, means_high."""
    train, test = ((index["split"] == part).to_numpy() for part in ("train", "test"))
    groups, computed = psychiatric_groups(index), list(dict.fromkeys(table.loc[table["value"].notna(), "target"]))
    columns = ["representation", "target", "means", "means_low", "means_high"]
    if not computed:
        return pd.DataFrame(columns=columns).astype({"representation": str, "target": str})
    scores = np.stack(
        [np.stack([difference_of_means(x, groups[q], train)[test] for q in computed], axis=1) for x in spaces.values()]
    )  # [S, N_test, Q]
    labels = np.stack([groups[q][test] for q in computed], axis=1)
    how, rng = Inference(**statistics.model_dump()), np.random.default_rng(seed)
    found = joint_aurocs(scores, labels, arrays["patients"], permuted_rows(arrays["patients"], 1, rng), how, rng)
    records = [
        (name, target, *found.combined(found.only(s, [q]))[0][:3])
        for s, name in enumerate(spaces)
        for q, target in enumerate(computed)
    ]
    return pd.DataFrame(records, columns=columns)


def send_labels(folder: Path, trained: Path, twin: Path, codes: Path, statistics: params.Statistics, seed: int) -> None:
    """The step that sends the groups of training patients within the F-code subset, given each space in turn.

    Leaves codes.parquet (a row a space and group, and one for their mean: the share of bits saved, with its interval)
    and the reading "shorter", what z saves beyond the untrained z; its null is the same on labels of other patients.
    """
    index, spaces = load_objects(trained).index, load_spaces(trained, twin, codes)
    rows = (index["f_code_so_far"] & (index["split"] == "train")).to_numpy()
    patients, how = index["subject_id"].to_numpy()[rows], Inference(**statistics.model_dump())
    groups = {name: member[rows] for name, member in psychiatric_groups(index).items()}
    sent = {name: label for name, label in groups.items() if enough_carriers(label, patients, how.min_carriers)}
    if not sent:
        raise NotComputable(f"no group is carried by {how.min_carriers} training patients")
    move = permuted_rows(patients, 1, np.random.default_rng(seed))[0]
    found, moved, records = {}, {}, []
    for name, space in spaces.items():
        x = space[rows]
        found[name] = [_code(x, label, patients, how, seed) for label in sent.values()]
        if name in ("z", "untrained z"):
            moved[name] = [_code(x, label[move], patients, how, seed) for label in sent.values()]
        for target, some in [*zip(sent, [[code] for code in found[name]], strict=True), (MEAN, found[name])]:
            saved = share_saved(some, patients, how, np.random.default_rng(seed))
            records.append({"representation": name, "target": target, **saved._asdict()})
    write_table(folder / "codes.parquet", pd.DataFrame(records))
    over, null = (
        difference_saved(kind["z"], kind["untrained z"], patients, how, np.random.default_rng(seed))
        for kind in (found, moved)
    )
    save_readings(folder, {"shorter": Reading(over, null)})


def _code(x: np.ndarray, label: np.ndarray, patients: np.ndarray, how: Inference, seed: int) -> OnlineCode:
    """The code of one label; the order of patients is the seed's, so the same for all."""
    return online_code(x, label, patients, how, np.random.default_rng(seed))


def load_computed(folder: Path, family: str | None = None, name: str = "table") -> pd.DataFrame:
    """The probes, of one family or of all, that could be computed. Raises NotComputable, with a reason, if none."""
    table = read_table(folder / f"{name}.parquet")
    wanted = table if family is None else table[table["family"] == family]
    computed = wanted[wanted["value"].notna()]
    if computed.empty:
        raise NotComputable(str(wanted["reason"].iloc[0]) if len(wanted) else "no target has enough patients")
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
