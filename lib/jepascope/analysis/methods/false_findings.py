"""What each method finds where there is nothing, done by rows and done by patients, on the same cohorts.

The cohorts have no structure but one: rows of a patient are alike. Wherever a function can be asked, "by rows" is the
same function with every row called a patient of its own; else it is the textbook's row-level method. The same methods,
by patients, are then asked to find a factor that is there: a method that is never wrong because it never speaks has no
certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest, hypergeom

from jepascope.analysis.bridge.axis_labels import cross_fitted, explained, squares
from jepascope.analysis.bridge.cluster_labels import label_clusters
from jepascope.analysis.inference.families import moved_correlations, patient_max_t
from jepascope.analysis.inference.parallel import Axes, horn_axes, marchenko_pastur_axes, parallel_axes
from jepascope.analysis.inference.stats import Inference, q_values
from jepascope.analysis.methods.toy_cohorts import ToyCohort, toy_cohort
from jepascope.analysis.predictor.similarity import cka_debiased, patient_cka, patient_cka_bootstrap


class Finding(NamedTuple):
    """What one method found in one cohort, and whether, by its own rule, it would report it."""

    value: float
    alarm: bool


Finder = Callable[[ToyCohort, Inference, np.random.Generator], Finding]


class Method(NamedTuple):
    """One method, done two ways; `quantity` is what its values are."""

    quantity: str
    by_rows: Finder
    by_patients: Finder


def _axes(found: Axes) -> Finding:
    return Finding(found.n_axes, found.n_axes > 0)


def axes_of_sign_flips(cohort: ToyCohort, how: Inference, rng: np.random.Generator) -> Finding:
    """Principal axes of X above the edge of block sign-flips."""
    return _axes(parallel_axes(cohort.X, cohort.patients, how.permutations, rng, how.level))


def similarity(cohort: ToyCohort, how: Inference, rng: np.random.Generator, rows: bool = False) -> Finding:
    """CKA of X and Y, debiased over rows, or over different patients; an alarm is an interval above zero."""
    units = np.arange(len(cohort.patients)) if rows else cohort.patients
    value = cka_debiased(cohort.X, cohort.Y) if rows else patient_cka(cohort.X, cohort.Y, units)
    return Finding(value, patient_cka_bootstrap(cohort.X, cohort.Y, units, how, rng).low > 0)


def regression(cohort: ToyCohort, how: Inference, rng: np.random.Generator, rows: bool = False) -> Finding:
    """Nested lasso R² of the first axis of Y on X, by row or patient folds; an alarm is an interval above 0."""
    units, y = np.arange(len(cohort.patients)) if rows else cohort.patients, cohort.Y[:, :1]
    predicted = cross_fitted(cohort.X, y, units, how.folds, rng)
    found = explained(squares(y - y.mean(), predicted - y.mean()), units, how, rng)
    return Finding(found.value, found.low > 0)


def enrichment_of_rows(cohort: ToyCohort, how: Inference, rng: np.random.Generator) -> Finding:
    """Share of cluster-label pairs with a hypergeometric q < 1 − level."""
    inside, carrying = cohort.clusters.sum(axis=0)[:, None], cohort.labels.sum(axis=0)
    both = cohort.clusters.T.astype(int) @ cohort.labels  # [C, L]
    p = hypergeom.sf(both - 1, len(cohort.patients), carrying, inside)
    share = float(np.mean(q_values(p) < 1 - how.level))
    return Finding(share, share > 0)


def enrichment_of_patients(cohort: ToyCohort, how: Inference, rng: np.random.Generator) -> Finding:
    """Share of cluster-label pairs enriched by patient max-T of r."""
    statistic = moved_correlations(cohort.clusters, cohort.labels)
    family = patient_max_t(statistic, cohort.patients, how.permutations, rng, how.level)
    share = float(np.mean(family.adjusted <= 1 - how.level))
    return Finding(share, share > 0)


def enrichment_by_score(cohort: ToyCohort, how: Inference, rng: np.random.Generator) -> Finding:
    """Share of cluster-label pairs enriched by the patient-clustered score, BH, and an odds ratio above two."""
    share = float(label_clusters(cohort.clusters, cohort.labels, cohort.patients).found.mean())
    return Finding(share, share > 0)


def correlation(cohort: ToyCohort, how: Inference, rng: np.random.Generator, rows: bool = False) -> Finding:
    """How far the largest |r| of F features with a label lies above the max-T threshold of moved rows or patients."""
    signed = moved_correlations(cohort.features, cohort.labels[:, :1])
    units = np.arange(len(cohort.patients)) if rows else cohort.patients
    family = patient_max_t(lambda moved: np.abs(signed(moved)), units, how.permutations, rng, how.level)
    excess = float(np.nanmax(family.observed)) - family.threshold
    return Finding(excess, excess > 0)


# Enough to see an alarm of one in twenty; five cohorts then take some ten seconds of one core.
FEW_DRAWS = Inference(bootstrap=200, permutations=200)

METHODS = {
    "Marchenko–Pastur edge": Method(
        "axes", lambda cohort, how, rng: _axes(marchenko_pastur_axes(cohort.X)), axes_of_sign_flips
    ),
    "Horn's permutation": Method(
        "axes",
        lambda cohort, how, rng: _axes(horn_axes(cohort.X, how.permutations, rng, how.level)),
        axes_of_sign_flips,
    ),
    "debiased CKA": Method("CKA", partial(similarity, rows=True), similarity),
    "lasso, cross-validated": Method("R²", partial(regression, rows=True), regression),
    "hypergeometric test, BH": Method("share of pairs", enrichment_of_rows, enrichment_of_patients),
    "largest correlation": Method("|r| above its null", partial(correlation, rows=True), correlation),
}
# The patient-exact methods by their own names: what a certificate is given to.
CERTIFIED = {
    "block sign-flips": METHODS["Horn's permutation"],
    "CKA between patients": METHODS["debiased CKA"],
    "nested lasso by patient": METHODS["lasso, cross-validated"],
    "enrichment by patient max-T": METHODS["hypergeometric test, BH"],
    "enrichment by patient score": Method("share of pairs", enrichment_of_rows, enrichment_by_score),
    "search over features by patient max-T": METHODS["largest correlation"],
}


def false_findings(
    rng: np.random.Generator, how: Inference = FEW_DRAWS, cohorts: int = 5, lengths: np.ndarray | None = None
) -> pd.DataFrame:
    """Run every method on `cohorts` cohorts of nothing, by rows and by patients: a table of what isn't there.

    One row a method: method, quantity (what its numbers are), by_rows and by_patients (means over cohorts), their
    smallest and largest values (…_low, …_high), alarms_rows and alarms_patients (share of cohorts in which the method
    would have reported a finding), cohorts. By patients, alarms should be near or below 1 − level. `lengths` [B] are
    the records' (`toy_cohort`). Raises ValueError under one cohort.
    """
    _at_least_one(cohorts)
    found: dict[str, list[tuple[Finding, Finding]]] = {name: [] for name in METHODS}
    for cohort in (toy_cohort(rng, lengths=lengths) for _ in range(cohorts)):
        for name, method in METHODS.items():
            found[name].append((method.by_rows(cohort, how, rng), method.by_patients(cohort, how, rng)))
    return pd.DataFrame([_record(name, METHODS[name].quantity, findings) for name, findings in found.items()])


def alarms(
    rng: np.random.Generator,
    shared: Sequence[float],
    cohorts: Sequence[int],
    how: Inference = FEW_DRAWS,
    lengths: np.ndarray | None = None,
) -> pd.DataFrame:
    """How often each patient-exact method reports something, by how strong the shared factor is: at 0, type I error.

    `shared` in [0, 1), `cohorts` of them each. Columns method, quantity, shared, cohorts, value (mean over cohorts),
    largest (|value| over cohorts), alarms (share), low, high (Wilson's interval of it). Raises ValueError as above.
    """
    records = []
    for strength, number in zip(shared, cohorts, strict=True):
        _at_least_one(number)
        found: dict[str, list[Finding]] = {name: [] for name in CERTIFIED}
        for cohort in (toy_cohort(rng, strength, lengths=lengths) for _ in range(number)):
            for name, method in CERTIFIED.items():
                found[name].append(method.by_patients(cohort, how, rng))
        for name, findings in found.items():
            values, alarmed = np.array([f.value for f in findings]), sum(f.alarm for f in findings)
            low, high = binomtest(alarmed, number).proportion_ci(how.level, "wilson")
            record = {"method": name, "quantity": CERTIFIED[name].quantity, "shared": strength, "cohorts": number}
            record |= {"value": values.mean(), "largest": np.abs(values).max()}
            records.append(record | {"alarms": alarmed / number, "low": low, "high": high})
    return pd.DataFrame(records)


def _at_least_one(cohorts: int) -> None:
    if cohorts < 1:
        raise ValueError(f"{cohorts} cohorts: ask for at least one")


def _record(name: str, quantity: str, findings: list[tuple[Finding, Finding]]) -> dict[str, object]:
    """One row of the table."""
    record: dict[str, object] = {"method": name, "quantity": quantity}
    for way, found in zip(("rows", "patients"), zip(*findings, strict=True), strict=True):
        values = [finding.value for finding in found]
        record |= {f"by_{way}": np.mean(values), f"by_{way}_low": min(values), f"by_{way}_high": max(values)}
        record[f"alarms_{way}"] = float(np.mean([finding.alarm for finding in found]))
    return record | {"cohorts": len(findings)}
