"""A toy cohort with a known property: a patient's topics stick, so the next encounter is partly predictable."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.cohort.encounters import Encounters

TINY_MODEL = params.Model(width=16, heads=2, encoder_layers=1, context_layers=1, predictor_hidden=16)


def toy_encounters(
    patients: int = 200, mean_encounters: float = 3.0, mean_tokens: float = 12.0, vocabulary: int = 120, seed: int = 0
) -> Encounters:
    """Patients draw most tokens from two lasting topics and one topic of the day; topics own disjoint tokens."""
    rng = np.random.default_rng(seed)
    topics = np.array_split(np.arange(1, vocabulary), 12)
    rows, pieces = [], []
    for patient in range(patients):
        lasting = rng.choice(len(topics), 2, replace=False)
        age = rng.uniform(20, 80)
        for k in range(rng.geometric(1 / mean_encounters)):
            gap = float(rng.exponential(120)) if k else float("nan")
            age += (gap if k else 0) / 365.25
            mix = np.r_[lasting, lasting, rng.integers(len(topics))]
            size = rng.poisson(mean_tokens - 1) + 1
            tokens = [rng.choice(topics[rng.choice(mix)]) for _ in range(size)]
            pieces.append(np.unique(tokens))
            rows.append((1000 + patient, 10 * len(rows) + 7, k, age, gap, len(pieces[-1])))
    index = pd.DataFrame(rows, columns=["subject_id", "hadm_id", "k", "age", "gap_days", "n_tokens"])
    index["admittime"] = pd.Timestamp("2150-01-01").as_unit("s")
    index["dischtime"] = pd.Timestamp("2150-01-03").as_unit("s")
    split = rng.permutation(np.array(["train", "train", "train", "validation", "test"])[np.arange(patients) % 5])
    index["split"] = split[index["subject_id"] - 1000]
    return Encounters(
        index=index.astype({"k": "int32", "n_tokens": "int32"}),
        tokens=np.concatenate(pieces).astype(np.int32),
        offsets=np.r_[0, index["n_tokens"].cumsum()].astype(np.int64),
        vocabulary=pd.DataFrame({"token": ["[CLS]", *(f"t{i}" for i in range(1, vocabulary))], "kind": "toy"}).assign(
            train_patients=0
        ),
        attrition=pd.DataFrame({"step": ["toy"], "rule": ["all"], "patients": [patients], "encounters": [len(index)]}),
        tables=pd.DataFrame({"table": ["toy"], "read": [True], "rows": [len(index)], "published": [float("nan")]}),
        map_kinds=pd.DataFrame({"icd_version": [10], "map_kind": ["native"], "rows": [len(index)]}),
        data_end="toy",
        tier="synthetic",
    )
