"""What the choice made for last encounters, and MIMIC-IV's own inclusion rule, do to a rate and to a score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from jepascope import params
from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    bootstrap_mean,
    patient_bootstrap,
    require_carriers,
    weighted_auroc,
)
from jepascope.analysis.outcomes.baselines import logistic_on_counts
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.features import history_counts, structure
from jepascope.cohort.labels import last_encounter_policies
from jepascope.cohort.splits import uniform
from jepascope.store import write_table

OURS = "certain follow-up for both"
# Patients compared, at most: a table of all codes of all of MIMIC-IV would take an hour and tell the same.
MAX_PATIENTS = 50_000


def compare_policies(folder: Path, encounters: Path, statistics: params.Statistics) -> None:
    """The step that answers the 30-day question under each policy: table.parquet, a row per policy.

    Under a policy, one logistic regression on the history of clinical codes is fitted on training patients and scored
    on test patients, both with that policy's labels. The last row is our policy on encounters by which the patient has
    qualified for MIMIC-IV by themselves (`qualified_so_far`): a record that is in the source only for what came later
    is left out. Of more than `MAX_PATIENTS` patients a part is compared, chosen by keyed hash.
    """
    cohort = _some_patients(cohort_encounters.load(encounters))
    index = cohort.index
    counts, floor = history_counts(cohort, "clinical"), structure(index)
    policies = last_encounter_policies(index)
    qualified = index["qualified_so_far"].to_numpy(bool)
    policies[f"{OURS}, qualified by then"] = np.where(qualified, policies[OURS], np.nan)
    how = Inference(**statistics.model_dump())
    rows = []
    for name, labels in policies.items():
        rng = np.random.default_rng(list(name.encode()))
        rows.append(
            {"policy": name, **_rate(labels, index, how, rng), **_score(labels, index, counts, floor, how, rng)}
        )
    write_table(folder / "table.parquet", pd.DataFrame(rows))


def _some_patients(cohort: Encounters) -> Encounters:
    """Keep all encounters of at most about MAX_PATIENTS patients."""
    patients, rows = np.unique(cohort.index["subject_id"], return_inverse=True)
    kept = (uniform(patients, "policies") < MAX_PATIENTS / len(patients))[rows]  # [N]
    lengths = np.diff(cohort.offsets)
    return cohort._replace(
        index=cohort.index[kept].reset_index(drop=True),
        tokens=cohort.tokens[np.repeat(kept, lengths)],
        offsets=np.concatenate([[0], np.cumsum(lengths[kept])]),
    )


def _rate(labels: np.ndarray, index: pd.DataFrame, how: Inference, rng: np.random.Generator) -> dict[str, object]:
    known = np.isfinite(labels)
    patients = index["subject_id"].to_numpy()[known]
    found = {
        "encounters": int(known.sum()),
        "patients": len(np.unique(patients)),
        "positives": int(labels[known].sum()),
    }
    try:
        estimate = bootstrap_mean(labels[known], patients, how.bootstrap, how.level, rng, how.min_patients)
    except NotComputable as reason:
        return {**found, **_cells("rate", None), "reason": str(reason)}
    return {**found, **_cells("rate", estimate), "reason": ""}


def _score(
    labels: np.ndarray,
    index: pd.DataFrame,
    counts: csr_matrix,
    floor: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> dict[str, object]:
    train, test = ((index["split"] == name).to_numpy() for name in ("train", "test"))
    rows = test & np.isfinite(labels)
    patients = index["subject_id"].to_numpy()[rows]
    try:
        require_carriers(labels[rows] > 0, patients, how.min_carriers)
        scores = logistic_on_counts(counts, floor, labels, train)[rows]
        statistic = weighted_auroc(scores, labels[rows] > 0)
        estimate = patient_bootstrap(statistic, patients, how.bootstrap, how.level, rng, how.min_patients)
    except NotComputable as reason:
        return {**_cells("auroc", None), "auroc_reason": str(reason)}
    return {**_cells("auroc", estimate), "auroc_reason": ""}


def _cells(name: str, estimate: Estimate | None) -> dict[str, float]:
    values = (estimate.value, estimate.low, estimate.high) if estimate else (np.nan,) * 3
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
