"""What the records name about an encounter, in one table; and which encounter's names a row of z, c, ẑ or e answers to.

Named are states (diagnoses and psychiatric groups) and circumstances (who, when, how admitted). Laboratory values,
drugs and procedures are left out: they say what was measured or done, and nobody wrote down what it means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope.analysis.features.enrichment import MIN_CELL
from jepascope.analysis.inference.stats import NotComputable
from jepascope.cohort.concepts import nuisances, psychiatric_groups
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.features import bag_of_codes
from jepascope.objects import Objects
from jepascope.pipeline.error.concepts import carried

# A diagnosis category is a label where this share of training patients have it; circumstances are listed by kind.
COMMON = 0.01
CIRCUMSTANCES = ("age", "sex", "admission", "icu", "service")
# Families whose labels last: of these c may know what was named before.
LASTING = ("psychiatric", "diagnosis")
NAMES = ("z", "c", "ẑ", "e")


class Labels(NamedTuple):
    """L labels of N encounters."""

    values: np.ndarray  # float32 [N, L], 0 and 1 but for quantities
    table: pd.DataFrame  # L rows: label, family, token (of the vocabulary, or −1), yes_no


class Space(NamedTuple):
    """One object's rows with the labels that they answer to."""

    x: np.ndarray  # [n, D]
    at: np.ndarray  # int [n], the encounters whose labels these are
    labels: np.ndarray  # [n, P], for a regression
    yes_no: np.ndarray  # [n, L'], 0 and 1, for counting
    patients: np.ndarray  # [n]
    train: np.ndarray  # bool [n]
    test: np.ndarray  # bool [n]


def name_encounters(cohort: Encounters) -> Labels:
    """The table of labels: those that MIN_CELL training patients carry and as many lack. Raises NotComputable if none.

    What is kept is decided on training patients. A quantity (position, gap, length, tokens, age) counts as a label of a
    regression only.
    """
    index, words = cohort.index, cohort.vocabulary
    train = (index["split"] == "train").to_numpy()
    patients = index["subject_id"].to_numpy()
    common = (words["kind"] == "diagnosis") & (words["train_patients"] >= COMMON * len(np.unique(patients[train])))
    tokens = np.flatnonzero(common | words["kind"].isin(CIRCUMSTANCES))
    coded = bag_of_codes(cohort)[:, tokens].toarray() > 0
    columns = [("psychiatric", name.replace("_", " "), -1, on) for name, on in psychiatric_groups(index).items()]
    columns += [("circumstance", name, -1, on) for name, on in nuisances(index).items()]
    for token, on in zip(tokens, coded.T, strict=True):
        kind = str(words["kind"].iloc[token])
        family = kind if kind == "diagnosis" else "circumstance"
        columns.append((family, str(words["token"].iloc[token]).replace("//", " "), int(token), on))
    kept = [column for column in columns if carried(column[3][train], patients[train], MIN_CELL)]
    if not kept:
        raise NotComputable(f"no label that {MIN_CELL} training patients carry and {MIN_CELL} lack")
    rows = [(name, family, token, True) for family, name, token, _ in kept]
    measured = quantities(index)
    rows += [(name, "circumstance", -1, False) for name in measured]
    values = np.column_stack([*(on for *_, on in kept), *measured.values()]).astype(np.float32)
    return Labels(values, pd.DataFrame(rows, columns=["label", "family", "token", "yes_no"]))


def quantities(index: pd.DataFrame) -> dict[str, np.ndarray]:
    """Circumstances that are numbers, float [N]: place in the record, gap, length of stay, tokens, age."""
    logs = {
        "position": index["k"],
        "gap": index["gap_days"].fillna(0).clip(lower=0),
        "length of stay": index["los_days"],
    }
    logs |= {"number of tokens": index["n_tokens"]}
    found = {f"log {name}": np.log1p(values.to_numpy(float)) for name, values in logs.items()}
    return found | {"age": index["age"].to_numpy(float)}


def spaces_of(objects: Objects, labels: Labels, names: Sequence[str] = NAMES) -> dict[str, Space]:
    """z answers to the labels of its encounter, c also to those so far, ẑ and e to the predicted encounter's.

    Of NAMES those asked for. Nothing at k answers to what is named later, but ẑ, which is about it.
    """
    index, yes_no = objects.index, labels.table["yes_no"].to_numpy(bool)
    k, patients, split = index["k"].to_numpy(), index["subject_id"].to_numpy(), index["split"].to_numpy()
    now, every = labels.values > 0, np.arange(len(k))
    given = {
        "z": (objects.z, every, labels.values, now),
        "ẑ": (objects.z_hat, objects.target_rows, labels.values, now),
        "e": (objects.e, objects.target_rows, labels.values, now),
    }
    if "c" in names:
        lasting = labels.table["family"].isin(LASTING).to_numpy()
        share, ever = so_far(labels.values[:, lasting], k), now.copy()
        ever[:, lasting] = share > 0
        given["c"] = (objects.c, every, np.hstack([labels.values, share]), ever)
    return {
        name: Space(x, at, y[at], on[at][:, yes_no], patients[at], split[at] == "train", split[at] == "test")
        for name, (x, at, y, on) in ((name, given[name]) for name in names)
    }


def so_far(values: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Mean of the patient's encounters up to and with k, [N, L]; values [N, L] and k [N] in order of (patient, k)."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=float)])
    rows = np.arange(len(values))
    return (sums[rows + 1] - sums[rows - k]) / (k + 1)[:, None]
