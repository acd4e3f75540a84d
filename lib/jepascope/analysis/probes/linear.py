"""Linear probes: what a representation lets a linear reader say about patients it has not seen.

Decoding shows that something is *there*, not that it was learnt or is used: a random encoder can keep more than a
trained one. So each AUROC stands beside its permutation null and its control task, and the caller puts the untrained
twin beside it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope.analysis.inference.stats import (
    NULL_COLUMNS,
    Estimate,
    Inference,
    NotComputable,
    Null,
    auroc,
    grouped_folds,
    patient_bootstrap,
    patient_codes,
    permutation_null,
    permuted_auroc,
    permuted_rows,
    require_carriers,
    weighted_auroc,
)
from jepascope.analysis.probes.aurocs import Aurocs, joint_aurocs
from jepascope.analysis.probes.logistic import choose_penalty, logistic_ridge

# Ridge weights on standardised features, beside a log-loss summed over rows: from hardly any to dominant.
PENALTIES = (1000.0, 30.0, 1.0)
CONTROLS = 3
RESULT_FIELDS = (*NULL_COLUMNS, "control", "selectivity", "positives", "penalty", "reason")


class Probe(NamedTuple):
    """A fitted reader: logit = ((x − mean) / scale) · w + b."""

    w: np.ndarray  # [D]
    b: float
    penalty: float
    mean: np.ndarray  # [D], of the training rows
    scale: np.ndarray  # [D]


class ProbeTable(NamedTuple):
    """Probes of every target on every representation, and what means over families are made of."""

    table: pd.DataFrame  # a row a representation and target; selectivity = value − control (Hewitt & Liang 2019)
    scores: dict[str, np.ndarray]  # representation -> [N_test, Q]; NaN where a target was not computable
    aurocs: Aurocs  # of the scores, in the order of representations and targets


def _standardised(X: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    columns = (np.asarray(X, np.float32) - mean.astype(np.float32)) / scale.astype(np.float32)
    return np.hstack([columns, np.ones((len(columns), 1))]).astype(np.float32)  # [N, D + 1]


class Rows(NamedTuple):
    """A space as its readers see it: standardised by its training rows, once for all targets."""

    train: np.ndarray  # float32 [N_train, D + 1], the last column is one
    test: np.ndarray  # float32 [N_test, D + 1]
    mean: np.ndarray  # [D]
    scale: np.ndarray  # [D]


def standardised_rows(X: np.ndarray, train: np.ndarray, test: np.ndarray) -> Rows:
    """Standardise X [N, D] by the mean and spread of the rows `train` [N] (bool) alone."""
    mean, scale = np.asarray(X[train], float).mean(axis=0), np.asarray(X[train], float).std(axis=0)
    scale[scale < 1e-8] = 1.0  # a constant dimension says nothing, and must not divide by zero
    return Rows(_standardised(X[train], mean, scale), _standardised(X[test], mean, scale), mean, scale)


def _fit(rows: Rows, y: np.ndarray, fold: np.ndarray | None, penalties: tuple[float, ...]) -> Probe:
    """Fit y float32 [N_train]; with several penalties, choose one by the folds [N_train]."""
    fits: dict[float, np.ndarray] = {}
    beta = None
    for penalty in sorted(penalties, reverse=True):  # from stiff to loose, each a warm start of the next
        beta = fits[penalty] = logistic_ridge(rows.train, y, penalty, beta)
    best = penalties[0] if fold is None else choose_penalty(rows.train, y, fold, fits)
    return Probe(fits[best][:-1], float(fits[best][-1]), best, rows.mean, rows.scale)


def fit_probe(
    X: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    train: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
    penalties: tuple[float, ...] = PENALTIES,
) -> Probe:
    """Ridge-logistic probe of y [N] on X [N, D], fitted on the rows `train` [N] (bool) alone, scaling included.

    The penalty is chosen by patient-grouped folds inside train. Raises NotComputable if fewer than
    `how.min_carriers` training patients carry the label, or lack it.
    """
    y = np.asarray(y, np.float32)[train]
    require_carriers(y, patients[train], how.min_carriers)
    fold = grouped_folds(patients[train], how.folds, rng) if len(penalties) > 1 else None
    return _fit(standardised_rows(X, train, np.zeros(len(X), bool)), y, fold, penalties)


def probe_scores(probe: Probe, X: np.ndarray) -> np.ndarray:
    """Logits [N] of rows X [N, D]."""
    return ((np.asarray(X, float) - probe.mean) / probe.scale) @ probe.w + probe.b


def control_auroc(rows: Rows, in_train: np.ndarray, in_test: np.ndarray, penalty: float) -> float:
    """Held-out AUROC of the same reader on control tasks: a label of other patients, as rare and as sticky.

    in_train [C, N_train] and in_test [C, N_test]: the label moved between training patients and, apart, between test
    patients (`permuted_rows`); the mean over C tasks.
    """
    fits = [logistic_ridge(rows.train, y.astype(np.float32), penalty) for y in in_train]
    return float(np.mean([auroc(rows.test @ beta, y) for beta, y in zip(fits, in_test, strict=True)]))


def probe_table(
    representations: dict[str, np.ndarray],
    targets: dict[str, np.ndarray],
    patients: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> ProbeTable:
    """Every target on every representation: fitted on train, read on test, with interval, null and control task.

    All meet the same rows, folds, draws, moves and control labels: else rows of the table differ, not spaces.

    representations: name -> [N, D]; targets: name -> [N]; all aligned with patients, train, test [N], the latter bool
    without a shared patient. A target that can't be computed keeps its row, with NaN and the reason. Raises ValueError
    on misaligned arrays or a shared patient, NotComputable for one test patient.
    """
    lengths = {name: len(array) for name, array in (representations | targets).items() if len(array) != len(patients)}
    if lengths:
        raise ValueError(f"arrays must have the {len(patients)} rows of `patients`; these don't: {lengths}")
    if np.intersect1d(patients[train], patients[test]).size:
        raise ValueError("a patient is in train and in test: split by patient")
    labels = np.stack([np.asarray(y, bool) for y in targets.values()], axis=1)  # [N, Q]
    reasons = [_why_not(y, patients, train, test, how) for y in labels.T]
    moves = permuted_rows(patients[test], how.permutations, rng)  # [draws, N_test]
    fold = None if all(reasons) else grouped_folds(patients[train], how.folds, rng)
    spaces = {name: standardised_rows(X, train, test) for name, X in representations.items()}
    fits = {
        (name, q): _fit(rows, labels[train, q].astype(np.float32), fold, PENALTIES)
        for name, rows in spaces.items()
        for q in range(len(reasons))
        if not reasons[q]
    }
    scores = {name: np.full((int(test.sum()), len(targets)), np.nan) for name in representations}
    for (name, q), probe in fits.items():
        scores[name][:, q] = probe_scores(probe, representations[name][test])
    found = joint_aurocs(np.stack(list(scores.values())), labels[test], patients[test], moves, how, rng)
    control = [permuted_rows(patients[part], CONTROLS, rng) for part in (train, test)]  # [C, N_train], [C, N_test]
    controls = {
        (name, q): control_auroc(spaces[name], *_moved(labels[:, q], control, train, test), probe.penalty)
        for (name, q), probe in fits.items()
    }
    return ProbeTable(_table(list(spaces), list(targets), fits, found, controls, labels[test], reasons), scores, found)


def _moved(
    y: np.ndarray, moves: list[np.ndarray], train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return y[train][moves[0]], y[test][moves[1]]


def _why_not(y: np.ndarray, patients: np.ndarray, train: np.ndarray, test: np.ndarray, how: Inference) -> str:
    """Why y [N] can't be probed here; empty where it can."""
    try:
        patient_codes(patients[test], how.min_patients)
        patient_codes(patients[train], how.folds)
        for part in (test, train):
            require_carriers(y[part], patients[part], how.min_carriers)
    except NotComputable as reason:
        return str(reason)
    return ""


def _table(
    spaces: list[str],
    targets: list[str],
    fits: dict[tuple[str, int], Probe],
    found: Aurocs,
    controls: dict[tuple[str, int], float],
    labels: np.ndarray,
    reasons: list[str],
) -> pd.DataFrame:
    records = []
    for s, name in enumerate(spaces):
        for q, target in enumerate(targets):
            records.append({"representation": name, "target": target, "value": np.nan, "reason": reasons[q]})
            if reasons[q]:
                continue
            try:
                estimate, null = found.combined(found.only(s, [q]))
            except NotComputable as reason:
                records[-1]["reason"] = str(reason)
                continue
            control, penalty = controls[name, q], fits[name, q].penalty
            records[-1] |= {**estimate._asdict(), **null.columns()}
            records[-1] |= {"control": control, "selectivity": estimate.value - control}
            records[-1] |= {"positives": int(labels[:, q].sum()), "penalty": penalty}
    # All columns, also when no target could be computed.
    return pd.DataFrame(records).reindex(columns=["representation", "target", *Estimate._fields, *RESULT_FIELDS])


def mean_auroc(
    scores: np.ndarray, labels: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """Mean AUROC of a family of targets with one joint bootstrap: targets share patients, so intervals don't average.

    scores [N, Q], labels [N, Q], patients [N]. Raises NotComputable if a label is constant or Q is 0.
    """
    each = _family(weighted_auroc, scores, labels)
    return patient_bootstrap(
        lambda weights: np.mean([f(weights) for f in each], axis=0),
        patients, how.bootstrap, how.level, rng, how.min_patients,
    )  # fmt: skip


def mean_auroc_null(
    scores: np.ndarray, labels: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Null:
    """The null of `mean_auroc`: all labels of a patient move together, so their correlations stay."""
    each = _family(permuted_auroc, scores, labels)
    moves = permuted_rows(patients, how.permutations, rng)
    return permutation_null(lambda rows: np.mean([f(rows) for f in each], axis=0), moves, how.level)


def mean_auroc_difference(
    scores: np.ndarray,
    others: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    """`mean_auroc` of scores minus that of others [N, Q each], paired by draw."""
    ours, theirs = _family(weighted_auroc, scores, labels), _family(weighted_auroc, others, labels)
    return patient_bootstrap(
        lambda weights: np.mean([f(weights) - g(weights) for f, g in zip(ours, theirs, strict=True)], axis=0),
        patients, how.bootstrap, how.level, rng, how.min_patients,
    )  # fmt: skip


def mean_auroc_difference_null(
    scores: np.ndarray,
    others: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Null:
    """The null of `mean_auroc_difference`: labels move, both sets of scores stay."""
    ours, theirs = _family(permuted_auroc, scores, labels), _family(permuted_auroc, others, labels)
    moves = permuted_rows(patients, how.permutations, rng)
    return permutation_null(
        lambda rows: np.mean([f(rows) - g(rows) for f, g in zip(ours, theirs, strict=True)], axis=0), moves, how.level
    )


def _family(build, scores: np.ndarray, labels: np.ndarray) -> list:  # type: ignore[no-untyped-def]
    """One AUROC statistic a target."""
    if not scores.shape[1]:
        raise NotComputable("0 targets, 1 needed")
    return [build(scores[:, q], labels[:, q]) for q in range(scores.shape[1])]
