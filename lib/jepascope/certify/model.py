"""The certificate of one trained model and its untrained twin, on one cohort."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    patient_bootstrap,
    require_carriers,
    weighted_auroc,
)
from jepascope.certify.concepts import ConceptProbes, concept_probes, representations
from jepascope.certify.planted import KEY, Truth, TruthError
from jepascope.objects import Objects


class Certificate(NamedTuple):
    """What a model's objects tell of the truth, and what perfect knowledge of the state would tell of readmission."""

    probes: ConceptProbes
    oracle: Estimate


def require_same_rows(objects: Objects, twin: Objects) -> None:
    """Raise TruthError if the twin holds other rows than the model: each would be certified on its own patients."""
    if not np.array_equal(objects.index[KEY].to_numpy(), twin.index[KEY].to_numpy()):
        raise TruthError("model and twin were run on different encounters: embed both from one extraction")


def certify(objects: Objects, twin: Objects, truth: Truth, how: Inference, seed: int) -> Certificate:
    """Certify one trained model and its untrained twin on one cohort; truth aligned to objects.index.

    Raises TruthError as `require_same_rows` does.
    """
    require_same_rows(objects, twin)
    rng = np.random.default_rng(seed)
    rows = objects.target_rows  # [M], k >= 1
    targets = truth._replace(states=truth.states.iloc[rows], risk=truth.risk[rows])
    spaces = representations(objects) | representations(twin, "twin ")
    probes = concept_probes(spaces, {"z": ("z", "twin z")}, targets, objects.index.iloc[rows], how, rng)
    labels = objects.index["label_30d_per_enc"].to_numpy(float)
    oracle = oracle_auroc(truth.risk, labels, objects.index["subject_id"].to_numpy(), how, rng)
    return Certificate(probes, oracle)


def oracle_auroc(
    risk: np.ndarray, labels: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """AUROC of the true risk: the ceiling of any model, since the outcome is drawn from it.

    risk [N], labels [N] (NaN: not eligible, left out), patients [N]. Raises NotComputable.
    """
    # Rows without a label are not negatives: their follow-up ends too early to know.
    rows = np.isfinite(labels)
    require_carriers(labels[rows] > 0, patients[rows], how.min_carriers)
    statistic = weighted_auroc(risk[rows], labels[rows] > 0)
    return patient_bootstrap(statistic, patients[rows], how.bootstrap, how.level, rng, how.min_patients)
