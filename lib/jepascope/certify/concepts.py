"""What each space tells of the planted concepts, and what training added to it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope.analysis.probes import (
    mean_auroc,
    mean_auroc_difference,
    mean_auroc_difference_null,
    mean_auroc_null,
    probe_table,
)
from jepascope.analysis.stats import Estimate, Inference, NotComputable
from jepascope.certify.planted import Truth
from jepascope.objects import Objects


class ConceptProbes(NamedTuple):
    """What each space says about each concept, and each family of concepts with a joint interval.

    `gains`: what training added, family by family, as paired differences to the untrained twin.
    """

    concepts: pd.DataFrame  # concept, dynamics, representation, value, low, high, null, ...
    families: pd.DataFrame  # dynamics, representation, concepts, value, low, high, null, null_low, null_high, ...
    gains: pd.DataFrame  # dynamics, name, value, low, high, null, ...


def representations(objects: Objects, prefix: str = "") -> dict[str, np.ndarray]:
    """z, ẑ and e on the rows where all three exist (k >= 1): on other rows they'd be compared on other patients."""
    target_z = objects.z[objects.target_rows]  # [M, D]
    return {f"{prefix}z": target_z, f"{prefix}z_hat": objects.z_hat, f"{prefix}e": objects.e}


def concept_probes(
    spaces: dict[str, np.ndarray],
    pairs: dict[str, tuple[str, str]],
    truth: Truth,
    index: pd.DataFrame,
    how: Inference,
    rng: np.random.Generator,
) -> ConceptProbes:
    """Probe every planted concept in every space, fitted on train and read on test patients.

    spaces: name -> [M, D]; truth and index hold the same M rows. Families are means over the concepts of one dynamics
    that are computable in all spaces; gains are the differences of `pairs`. Concepts too rare to compute keep their
    row, with the reason.
    """
    patients = index["subject_id"].to_numpy()
    train, test = ((index["split"] == name).to_numpy() for name in ("train", "test"))
    targets = {name: truth.states[name].to_numpy() for name in truth.concepts["name"]}
    found = probe_table(spaces, targets, patients, train, test, how, rng)
    dynamics = truth.concepts.set_index("name")["dynamics"]
    table = found.table.rename(columns={"target": "concept"})
    table.insert(1, "dynamics", table["concept"].map(dynamics))
    labels = truth.states[list(targets)].to_numpy()[test]
    told = (labels, dynamics[list(targets)].to_numpy(), patients[test], how, rng)
    return ConceptProbes(table, family_means(found.scores, *told), training_gains(found.scores, pairs, *told))


def certify_arms(
    arms: dict[str, Objects], twin: Objects, truth: Truth, how: Inference, rng: np.random.Generator
) -> ConceptProbes:
    """What each arm's z tells of the planted concepts, and adds to what the twin's tells, on rows with k >= 1."""
    rows = twin.target_rows
    spaces = {name: objects.z[rows] for name, objects in arms.items()} | {"untrained": twin.z[rows]}
    pairs = {name: (name, "untrained") for name in arms}
    targets = truth._replace(states=truth.states.iloc[rows], risk=truth.risk[rows])
    return concept_probes(spaces, pairs, targets, twin.index.iloc[rows], how, rng)


def family_means(
    scores: dict[str, np.ndarray],
    labels: np.ndarray,
    dynamics: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Mean AUROC by dynamics and space with joint patient-bootstrap intervals and the permutation null.

    scores: space -> [N, C], NaN where not computable; labels [N, C], dynamics [C], patients [N] of test rows.
    The same draws serve all spaces, so that rows of the table can be compared.
    """
    # A concept that one space could not be probed for is left out of all: else families differ in membership.
    computable = np.all([np.isfinite(s).all(axis=0) for s in scores.values()], axis=0)  # [C]
    seed = int(rng.integers(2**63))
    records = []
    for family in pd.unique(dynamics):
        mine = computable & (dynamics == family)
        for space, s in scores.items():
            record = {"dynamics": family, "representation": space, "concepts": int(mine.sum())}
            try:
                arguments = (s[:, mine], labels[:, mine], patients, how)
                estimate = mean_auroc(*arguments, np.random.default_rng(seed))
                null = mean_auroc_null(*arguments, np.random.default_rng(seed))
            except NotComputable as reason:
                records.append(record | {"value": np.nan, "reason": str(reason)})
                continue
            nulls = {"null": null.value, "null_low": null.low, "null_high": null.high, "p": null.p}
            records.append(record | estimate._asdict() | nulls | {"reason": ""})
    columns = [
        "dynamics",
        "representation",
        "concepts",
        *Estimate._fields,
        "null",
        "null_low",
        "null_high",
        "p",
        "reason",
    ]
    return pd.DataFrame(records).reindex(columns=columns)


def training_gains(
    scores: dict[str, np.ndarray],
    pairs: dict[str, tuple[str, str]],
    labels: np.ndarray,
    dynamics: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Mean AUROC on one space minus that on another, by dynamics: being read is no finding where the twin reads it too.

    Arguments as in `family_means`, and pairs: name -> (space, space to subtract). Columns dynamics, name, value, low,
    high, null, ...; the same draws serve all pairs.
    """
    seed = int(rng.integers(2**63))
    records = []
    for name, (one, other) in pairs.items():
        ours, theirs = scores[one], scores[other]
        computable = np.isfinite(ours).all(axis=0) & np.isfinite(theirs).all(axis=0)  # [C]
        for family in pd.unique(dynamics):
            mine = computable & (dynamics == family)
            arguments = (ours[:, mine], theirs[:, mine], labels[:, mine], patients, how)
            try:
                estimate = mean_auroc_difference(*arguments, np.random.default_rng(seed))
                null = mean_auroc_difference_null(*arguments, np.random.default_rng(seed))
            except NotComputable as reason:
                records.append({"dynamics": family, "name": name, "value": np.nan, "reason": str(reason)})
                continue
            nulls = {"null": null.value, "null_low": null.low, "null_high": null.high, "p": null.p}
            records.append({"dynamics": family, "name": name, **estimate._asdict(), **nulls, "reason": ""})
    columns = ["dynamics", "name", *Estimate._fields, "null", "null_low", "null_high", "p", "reason"]
    return pd.DataFrame(records).reindex(columns=columns)
