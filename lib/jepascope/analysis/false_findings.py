"""What each method finds where there is nothing, done by rows and done by patients, on the same cohorts.

The cohorts have no structure but one: rows of a patient are alike. Wherever a function can be asked, "by rows" is the
same function with every row called a patient of its own; else it is the textbook's row-level method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import hypergeom
from sklearn.linear_model import Lasso

from jepascope.analysis.families import moved_correlations, patient_max_t
from jepascope.analysis.nested import Predictor, nested_cv, r_squared
from jepascope.analysis.parallel import horn_axes, marchenko_pastur_axes, parallel_axes
from jepascope.analysis.similarity import cka_debiased, patient_cka, patient_cka_bootstrap
from jepascope.analysis.stats import Inference, bootstrap_of_sums, q_values

# Shares of the smallest L1 penalty that leaves no coefficient: from almost none to many.
LASSO_SETTINGS = (0.9, 0.5, 0.25, 0.1)


class Nothing(NamedTuple):
    """A cohort of N encounters of B patients whose columns, all of them, are independent of each other."""

    patients: np.ndarray  # int [N]
    X: np.ndarray  # [N, D], a representation
    Y: np.ndarray  # [N, D], another one
    features: np.ndarray  # [N, F]
    labels: np.ndarray  # bool [N, L]
    clusters: np.ndarray  # bool [N, C], one per row


class Finding(NamedTuple):
    """What one method found in one cohort of nothing."""

    by_rows: float
    by_patients: float
    alarm_rows: bool  # by its own rule the method would report something
    alarm_patients: bool


def cohort_of_nothing(
    rng: np.random.Generator,
    patients: int = 150,
    encounters: float = 7,
    effect: float = 0.8,
    D: int = 64,
    F: int = 1024,
    L: int = 20,
    C: int = 15,
) -> Nothing:
    """Draw x = √effect · u_patient + √(1 − effect) · ε, all normal, for every column apart.

    Records have 1 + Poisson(encounters − 1) rows; `effect` in [0, 1) is the correlation between rows of one patient.
    Labels are columns above their 80 % quantile, clusters the largest of C columns, so both persist within patients.
    """
    codes = np.repeat(np.arange(patients), 1 + rng.poisson(encounters - 1, patients))

    def columns(width: int) -> np.ndarray:
        own, new = rng.normal(size=(patients, width))[codes], rng.normal(size=(len(codes), width))
        return np.sqrt(effect) * own + np.sqrt(1 - effect) * new

    labels = columns(L)
    clusters = np.argmax(columns(C), axis=1)[:, None] == np.arange(C)
    return Nothing(codes, columns(D), columns(D), columns(F), labels > np.quantile(labels, 0.8, axis=0), clusters)


def axes_over_marchenko_pastur(cohort: Nothing, how: Inference, rng: np.random.Generator) -> Finding:
    """Principal axes of X above the Marchenko–Pastur edge, and above that of block sign-flips."""
    rows = marchenko_pastur_axes(cohort.X).n_axes
    ours = parallel_axes(cohort.X, cohort.patients, how.permutations, rng, how.level).n_axes
    return Finding(rows, ours, rows > 0, ours > 0)


def axes_over_horn(cohort: Nothing, how: Inference, rng: np.random.Generator) -> Finding:
    """Principal axes of X above Horn's permutation of entries, and above the edge of block sign-flips."""
    rows = horn_axes(cohort.X, how.permutations, rng, how.level).n_axes
    ours = parallel_axes(cohort.X, cohort.patients, how.permutations, rng, how.level).n_axes
    return Finding(rows, ours, rows > 0, ours > 0)


def similarity_of_strangers(cohort: Nothing, how: Inference, rng: np.random.Generator) -> Finding:
    """CKA of X and Y, debiased over rows, and over different patients; an alarm is an interval above zero."""
    X, Y, patients = cohort.X, cohort.Y, cohort.patients
    low_rows, low = (patient_cka_bootstrap(X, Y, units, how, rng).low for units in (np.arange(len(patients)), patients))
    return Finding(cka_debiased(X, Y), patient_cka(X, Y, patients), low_rows > 0, low > 0)


def regression_on_strangers(cohort: Nothing, how: Inference, rng: np.random.Generator) -> Finding:
    """Nested lasso R² of the first axis of Y on X, by row and patient folds; an alarm is an interval above 0."""
    y = cohort.Y[:, 0]
    found = []
    for units in (np.arange(len(y)), cohort.patients):
        predicted = nested_cv(cohort.X, y, units, LASSO_SETTINGS, fit_lasso, r_squared, how.folds, rng).predicted
        columns = np.stack([(y - predicted) ** 2, (y - y.mean()) ** 2], axis=1)
        found.append(bootstrap_of_sums(lambda s: 1 - s[:, 0] / s[:, 1], columns, units, how.bootstrap, how.level, rng))
    rows, ours = found
    return Finding(rows.value, ours.value, rows.low > 0, ours.low > 0)


def clusters_of_labels(cohort: Nothing, how: Inference, rng: np.random.Generator) -> Finding:
    """Share of cluster-label pairs enriched: hypergeometric test with q < 1 − level, and patient max-T of r."""
    alpha = 1 - how.level
    inside, carrying = cohort.clusters.sum(axis=0)[:, None], cohort.labels.sum(axis=0)
    both = cohort.clusters.T.astype(int) @ cohort.labels  # [C, L]
    p = hypergeom.sf(both - 1, len(cohort.patients), carrying, inside)
    rows = float(np.mean(q_values(p) < alpha))
    family = patient_max_t(
        moved_correlations(cohort.clusters, cohort.labels), cohort.patients, how.permutations, rng, how.level
    )
    ours = float(np.mean(family.adjusted <= alpha))
    return Finding(rows, ours, rows > 0, ours > 0)


def correlations_of_features(cohort: Nothing, how: Inference, rng: np.random.Generator) -> Finding:
    """How far the largest |r| of F features with a label lies above the max-T threshold of moved rows, of patients."""
    signed = moved_correlations(cohort.features, cohort.labels[:, :1])
    excess = []
    for units in (np.arange(len(cohort.patients)), cohort.patients):
        family = patient_max_t(lambda moved: np.abs(signed(moved)), units, how.permutations, rng, how.level)
        excess.append(float(np.nanmax(family.observed)) - family.threshold)
    rows, ours = excess
    return Finding(rows, ours, rows > 0, ours > 0)


def fit_lasso(X: np.ndarray, y: np.ndarray, setting: float) -> Predictor:
    """Lasso of y [n] on standardised X [n, F]; setting in (0, 1] is the share of the penalty that leaves nothing."""
    mean, scale = X.mean(axis=0), np.maximum(X.std(axis=0), 1e-9)
    standard = (X - mean) / scale
    most = np.abs(standard.T @ (y - y.mean())).max() / len(y)
    model = Lasso(alpha=setting * most).fit(standard, y)
    return lambda rows: model.predict((rows - mean) / scale)


# Enough to see an alarm of one in twenty; five cohorts then take some ten seconds of one core.
FEW_DRAWS = Inference(bootstrap=200, permutations=200)

# Method -> what its numbers are, and how it is done.
METHODS: dict[str, tuple[str, Callable[[Nothing, Inference, np.random.Generator], Finding]]] = {
    "Marchenko–Pastur edge": ("axes", axes_over_marchenko_pastur),
    "Horn's permutation": ("axes", axes_over_horn),
    "debiased CKA": ("CKA", similarity_of_strangers),
    "lasso, cross-validated": ("R²", regression_on_strangers),
    "hypergeometric test, BH": ("share of pairs", clusters_of_labels),
    "largest correlation": ("|r| above its null", correlations_of_features),
}


def false_findings(rng: np.random.Generator, how: Inference = FEW_DRAWS, cohorts: int = 5) -> pd.DataFrame:
    """Run every method on `cohorts` cohorts of nothing, by rows and by patients: a table of what isn't there.

    One row a method: method, quantity (what its numbers are), by_rows and by_patients (means over cohorts), their
    smallest and largest values (…_low, …_high), alarms_rows and alarms_patients (share of cohorts in which the method
    would have reported a finding), cohorts. By patients, alarms should be near or below 1 − level.
    Raises ValueError under one cohort.
    """
    if cohorts < 1:
        raise ValueError(f"{cohorts} cohorts: ask for at least one")
    found: dict[str, list[Finding]] = {method: [] for method in METHODS}
    for cohort in (cohort_of_nothing(rng) for _ in range(cohorts)):
        for method, (_, run) in METHODS.items():
            found[method].append(run(cohort, how, rng))
    return pd.DataFrame([_record(method, METHODS[method][0], findings) for method, findings in found.items()])


def _record(method: str, quantity: str, findings: list[Finding]) -> dict[str, object]:
    """One row of the table."""
    record: dict[str, object] = {"method": method, "quantity": quantity}
    for field, values in zip(Finding._fields[:2], zip(*findings, strict=True), strict=False):
        record |= {field: np.mean(values), f"{field}_low": min(values), f"{field}_high": max(values)}
    record["alarms_rows"] = float(np.mean([finding.alarm_rows for finding in findings]))
    record["alarms_patients"] = float(np.mean([finding.alarm_patients for finding in findings]))
    return record | {"cohorts": len(findings)}
