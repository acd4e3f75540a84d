"""The planted truth beside the records. Only `jepascope.certify` may read it: a model that could would be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.cohort.synthetic import dynamics, utilisation
from jepascope.cohort.synthetic.background import UNLABELLED_DRUGS, UNLABELLED_PATTERN
from jepascope.cohort.synthetic.concepts import CONCEPTS, CONFOUNDER, NAMES, Concept, kind
from jepascope.cohort.synthetic.utilisation import Histories
from jepascope.store import read_json, read_table, write_json, write_table

MADE_BY = "jepascope.cohort.synthetic"


class Truth(NamedTuple):
    """What was planted. `table` has a row per admission, sorted by subject_id and admittime."""

    table: pd.DataFrame  # subject_id, hadm_id, k, concept_<name>, latents, traits, frailty, turbulence, risk_30d, …
    meta: dict[str, Any]  # concepts, parameters, oracle, confounders


def read_truth(root: Path) -> Truth:
    """Read the truth of the records under `root`, for certification alone; nothing else may import this.

    Raises StoreError where `root` was not made by `synthesize`.
    """
    return Truth(read_table(root / "truth" / "truth.parquet"), read_json(root / "truth" / "truth.json"))


def state_of(table: pd.DataFrame) -> dynamics.State:
    """Rebuild the planted state of rows of `Truth.table`, so that `dynamics.step` can sample their futures."""
    return dynamics.State(
        on=table[[f"concept_{name}" for name in NAMES]].to_numpy(bool),
        latent=table[list(dynamics.LATENTS)].to_numpy(np.float32),
        traits=table[[f"trait_{name}" for name in dynamics.TRAITS]].to_numpy(np.float32),
    )


def write_truth(
    root: Path, histories: Histories, subject_id: np.ndarray, hadm_id: np.ndarray, synthetic: params.Synthetic
) -> None:
    """Write truth.parquet and truth.json. `subject_id` and `hadm_id` are int64 [N], as in the tables."""
    columns = {"subject_id": subject_id, "hadm_id": hadm_id, "k": histories.k.astype(np.int32)}
    columns |= {f"concept_{name}": histories.on[:, c] for c, name in enumerate(NAMES)}
    columns |= {name: histories.latent[:, m] for m, name in enumerate(dynamics.LATENTS)}
    columns |= {f"trait_{name}": histories.traits[:, t] for t, name in enumerate(dynamics.TRAITS)}
    columns |= {name: getattr(histories, name) for name in ("frailty", "severity", "turbulence", "risk_30d")}
    columns |= {"observed_days": histories.observed_days, "died": histories.died}
    returned = utilisation.returned_30d(histories)
    columns["returned_30d"] = returned
    write_table(root / "truth" / "truth.parquet", pd.DataFrame(columns))
    write_json(root / "truth" / "truth.json", _meta(histories, returned, synthetic))


def auroc(risk: np.ndarray, label: np.ndarray) -> float | None:
    """Area under the ROC curve by ranks (Mann–Whitney), ties at half; None without both classes."""
    positives, negatives = int(label.sum()), int((~label).sum())
    if not positives or not negatives:
        return None
    ranks = pd.Series(risk).rank().to_numpy()
    return float((ranks[label].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _meta(histories: Histories, returned: np.ndarray, synthetic: params.Synthetic) -> dict[str, Any]:
    settled = ~np.isnan(returned)
    risk, label = histories.risk_30d[settled], returned[settled] > 0
    prevalence = histories.on.mean(axis=0)
    return {
        "made_by": MADE_BY,
        "parameters": synthetic.model_dump(),
        "concepts": [_describe(concept, float(prevalence[c])) for c, concept in enumerate(CONCEPTS)],
        "oracle": {
            # Best possible by anyone who knows the state and the frailty; a model knows only the records.
            "readmission_30d": auroc(risk, label),
            "readmission_30d_rate": float(label.mean()) if len(label) else None,
            "readmission_30d_mean_risk": float(risk.mean()) if len(risk) else None,
            "rows": len(label),
        },
        "confounders": {
            "concept": CONFOUNDER,
            "encounter_length": "stays lengthen with severity, which shares concepts with the risk; no effect",
            "turbulent_patient": "trait_restlessness speeds episodes up; alone it has no effect on the outcome",
        },
        "shape": {
            "effect": synthetic.shape_effect,
            "turbulence": "mean concept changes per encounter up to k, shrunk to the usual and standardised",
        },
        "transfers": utilisation.TRANSFER,
    }


def _describe(concept: Concept, prevalence: float) -> dict[str, Any]:
    """One concept of truth.json; `codes` is empty where no code is its own."""
    pattern = {} if concept.labelled else {"codes": dict(UNLABELLED_PATTERN), "drugs": dict(UNLABELLED_DRUGS)}
    return {
        "name": concept.name,
        "dynamics": kind(concept.dynamics),
        "prevalence": prevalence,
        "parent": concept.parent,
        "companion": concept.companion[0] if concept.companion else None,
        "codes": [code for pair in concept.codes for code in (pair.icd10, pair.icd9)],
        "loadings": [code.loading for code in concept.codes],
        "drugs": dict(concept.drugs),
        "labs": dict(concept.labs),
        "labelled": concept.labelled,
        "family": concept.family,
        "risk": concept.risk,
        "severity": concept.severity,
        "rule": concept.dynamics._asdict(),
        "pattern": pattern,
    }
