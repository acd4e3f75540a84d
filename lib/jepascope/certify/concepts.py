"""What each space tells of the planted concepts, and what training added to it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jepascope.analysis.inference.stats import NULL_COLUMNS, Estimate, Inference, NotComputable
from jepascope.analysis.probes.aurocs import Aurocs
from jepascope.analysis.probes.linear import probe_table
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
    dynamics = truth.concepts.set_index("name")["dynamics"][list(targets)]
    table = found.table.rename(columns={"target": "concept"})
    table.insert(1, "dynamics", table["concept"].map(dynamics))
    told = (found.aurocs, list(spaces), dynamics.to_numpy())
    return ConceptProbes(table, family_means(*told), training_gains(*told, pairs))


def certify_arms(
    arms: dict[str, Objects], twin: Objects, truth: Truth, how: Inference, rng: np.random.Generator
) -> ConceptProbes:
    """What each arm's z tells of the planted concepts, and adds to what the twin's tells, on rows with k >= 1."""
    rows = twin.target_rows
    spaces = {name: objects.z[rows] for name, objects in arms.items()} | {"untrained": twin.z[rows]}
    pairs = {name: (name, "untrained") for name in arms}
    targets = truth._replace(states=truth.states.iloc[rows], risk=truth.risk[rows])
    return concept_probes(spaces, pairs, targets, twin.index.iloc[rows], how, rng)


def family_means(aurocs: Aurocs, spaces: list[str], dynamics: np.ndarray) -> pd.DataFrame:
    """Mean AUROC by dynamics and space with joint patient-bootstrap intervals and the permutation null.

    aurocs: of S spaces, named in order, and C concepts; dynamics [C]. All share their draws, so rows can be compared.
    """
    # A concept that one space could not be probed for is left out of all: else families differ in membership.
    computable = np.isfinite(aurocs.value).all(axis=0)  # [C]
    records = []
    for family in pd.unique(dynamics):
        mine = computable & (dynamics == family)
        for s, space in enumerate(spaces):
            about = {"dynamics": family, "representation": space, "concepts": int(mine.sum())}
            records.append(about | _spelled(aurocs, aurocs.only(s, mine)))
    columns = ["dynamics", "representation", "concepts", *Estimate._fields, *NULL_COLUMNS, "reason"]
    return pd.DataFrame(records).reindex(columns=columns)


def training_gains(
    aurocs: Aurocs, spaces: list[str], dynamics: np.ndarray, pairs: dict[str, tuple[str, str]]
) -> pd.DataFrame:
    """Mean AUROC on one space minus that on another, by dynamics: being read is no finding where the twin reads it too.

    Arguments as in `family_means`, and pairs: name -> (space, space to subtract). Columns dynamics, name, value, low,
    high, null, ...
    """
    records = []
    for name, pair in pairs.items():
        one, other = (spaces.index(space) for space in pair)
        computable = np.isfinite(aurocs.value[[one, other]]).all(axis=0)  # [C]
        for family in pd.unique(dynamics):
            mine = computable & (dynamics == family)
            weights = aurocs.only(one, mine) - aurocs.only(other, mine)
            records.append({"dynamics": family, "name": name} | _spelled(aurocs, weights))
    return pd.DataFrame(records).reindex(columns=["dynamics", "name", *Estimate._fields, *NULL_COLUMNS, "reason"])


def _spelled(aurocs: Aurocs, weights: np.ndarray) -> dict[str, Any]:
    try:
        estimate, null = aurocs.combined(weights)
    except NotComputable as reason:
        return {"value": np.nan, "reason": str(reason)}
    return estimate._asdict() | null.columns() | {"reason": ""}
