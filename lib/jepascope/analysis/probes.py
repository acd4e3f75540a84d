"""Linear probes: what a representation lets a linear reader say about patients it has not seen.

Decoding shows that something is *there*, not that it was learnt or is used: a random encoder can keep more than a
trained one. So each AUROC stands beside its permutation null and its control task, and the caller puts the untrained
twin beside it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from jepascope.analysis.stats import (
    Estimate,
    Inference,
    NotComputable,
    Null,
    auroc,
    grouped_folds,
    patient_bootstrap,
    permutation_null,
    permuted_auroc,
    permuted_rows,
    require_carriers,
    weighted_auroc,
)

# Ridge weights on standardised features, beside a log-loss summed over rows: from hardly any to dominant.
PENALTIES = (1000.0, 30.0, 1.0)
CONTROLS = 3
MAX_NEWTON = 30
RESULT_FIELDS = ("null", "null_low", "null_high", "p", "control", "selectivity", "positives", "penalty", "reason")
TOLERANCE = 1e-5


class Probe(NamedTuple):
    """A fitted reader: logit = ((x − mean) / scale) · w + b."""

    w: np.ndarray  # [D]
    b: float
    penalty: float
    mean: np.ndarray  # [D], of the training rows
    scale: np.ndarray  # [D]


class ProbeResult(NamedTuple):
    """One probe on held-out patients; selectivity = estimate.value − control (Hewitt & Liang 2019)."""

    probe: Probe
    scores: np.ndarray  # [N_test]
    estimate: Estimate
    null: Null
    control: float
    positives: int

    @property
    def selectivity(self) -> float:
        """AUROC beyond that of a probe fitted to another patient's labels."""
        return self.estimate.value - self.control


class ProbeTable(NamedTuple):
    """Probes of every target on every representation, and the scores for means over families."""

    table: pd.DataFrame
    scores: dict[str, np.ndarray]  # representation -> [N_test, Q]; NaN where a target was not computable


def logistic_ridge(X: np.ndarray, y: np.ndarray, penalty: float, start: np.ndarray | None = None) -> np.ndarray:
    """Newton with step halving: D is small, so a Hessian is cheap and warm-started fits take a step or two.

    Minimises Σ log(1 + exp(−±logit)) + penalty/2 ‖w‖² over β = (w, b) [D + 1]; the last column of X [N, D + 1] is
    one and its weight b is free. y [N] in {0, 1}; a warm start saves steps and doesn't move the optimum.
    """
    beta = np.zeros(X.shape[1]) if start is None else start
    # A breath of ridge on the intercept keeps the Hessian regular when all rows agree.
    ridge = np.append(np.full(X.shape[1] - 1, penalty), 1e-6)

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        logit = X @ beta.astype(X.dtype)
        return float((np.logaddexp(0, logit) - y * logit).sum(dtype=float) + ridge @ beta**2 / 2), logit

    value, logit = loss(beta)
    for _ in range(MAX_NEWTON):
        p = expit(logit)  # [N]
        gradient = X.T @ (p - y) + ridge * beta
        # rootᵀ root is one symmetric product: half the work of Xᵀ diag(p (1 − p)) X.
        root = X * np.sqrt(p * (1 - p))[:, None]  # [N, D + 1]
        step = np.linalg.solve((root.T @ root).astype(float) + np.diag(ridge), gradient)
        size, (new_value, logit) = 1.0, loss(beta - step)
        while new_value > value and size > 1e-3:
            size /= 2
            new_value, logit = loss(beta - size * step)
        beta, value = beta - size * step, new_value
        if gradient @ step < TOLERANCE * value:  # convergence is quadratic: the step just taken was the last of use
            break
    return beta


def _standardised(X: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    columns = (np.asarray(X, np.float32) - mean.astype(np.float32)) / scale.astype(np.float32)
    return np.hstack([columns, np.ones((len(columns), 1))]).astype(np.float32)  # [N, D + 1]


def choose_penalty(X: np.ndarray, y: np.ndarray, fold: np.ndarray, starts: dict[float, np.ndarray]) -> float:
    """The penalty with the smallest held-out log-loss over patient-grouped folds: row folds would favour memorising.

    X [N, D + 1] standardised, fold [N], starts: penalty -> β fitted to all rows (warm starts only).
    """
    loss = dict.fromkeys(starts, 0.0)
    for f in np.unique(fold):
        inside, outside = fold != f, fold == f
        # Without both classes there is no fit to judge; the other folds decide.
        if y[inside].min() == y[inside].max():
            continue
        X_in, y_in, X_out, y_out = X[inside], y[inside], X[outside], y[outside]
        for penalty, start in starts.items():
            logit = X_out @ logistic_ridge(X_in, y_in, penalty, start).astype(X.dtype)
            loss[penalty] += float((np.logaddexp(0, logit) - y_out * logit).sum(dtype=float))
    return min(loss, key=lambda penalty: loss[penalty])


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
    mean = np.asarray(X[train], float).mean(axis=0)
    scale = np.asarray(X[train], float).std(axis=0)
    scale[scale < 1e-8] = 1.0  # a constant dimension says nothing, and must not divide by zero
    rows = _standardised(X[train], mean, scale)
    fits: dict[float, np.ndarray] = {}
    beta = None
    for penalty in sorted(penalties, reverse=True):  # from stiff to loose, each a warm start of the next
        beta = fits[penalty] = logistic_ridge(rows, y, penalty, beta)
    best = penalties[0]
    if len(penalties) > 1:
        best = choose_penalty(rows, y, grouped_folds(patients[train], how.folds, rng), fits)
    return Probe(fits[best][:-1], float(fits[best][-1]), best, mean, scale)


def probe_scores(probe: Probe, X: np.ndarray) -> np.ndarray:
    """Logits [N] of rows X [N, D]."""
    return ((np.asarray(X, float) - probe.mean) / probe.scale) @ probe.w + probe.b


def control_auroc(
    X: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    probe: Probe,
    rng: np.random.Generator,
) -> float:
    """Held-out AUROC of the same reader on control tasks: y of other patients, as rare and as sticky.

    Labels move between training patients and, apart, between test patients (`permuted_rows`); mean over `CONTROLS`.
    """
    rows = _standardised(X, probe.mean, probe.scale)
    values = []
    for _ in range(CONTROLS):
        in_train, in_test = (y[part][permuted_rows(patients[part], 1, rng)[0]] for part in (train, test))
        beta = logistic_ridge(rows[train], in_train.astype(np.float32), probe.penalty)
        values.append(auroc(rows[test] @ beta, in_test))
    return float(np.mean(values))


def probe_auroc(
    X: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
    moves: np.ndarray | None = None,
) -> ProbeResult:
    """Fit on train, read on test: AUROC with patient bootstrap, patient-permutation null and control task.

    X [N, D], y [N], patients [N], train and test [N] bool without a shared patient (else ValueError). `moves`
    [draws, N_test] from `permuted_rows` can be shared by many probes. Raises NotComputable as `fit_probe` does.
    """
    if np.intersect1d(patients[train], patients[test]).size:
        raise ValueError("a patient is in train and in test: split by patient")
    y = np.asarray(y, bool)
    require_carriers(y[test], patients[test], how.min_carriers)
    probe = fit_probe(X, y, patients, train, how, rng)
    scores = probe_scores(probe, X[test])
    estimate = patient_bootstrap(
        weighted_auroc(scores, y[test]), patients[test], how.bootstrap, how.level, rng, how.min_patients
    )
    if moves is None:
        moves = permuted_rows(patients[test], how.permutations, rng)
    null = permutation_null(permuted_auroc(scores, y[test]), moves, how.level)
    control = control_auroc(X, y, patients, train, test, probe, rng)
    return ProbeResult(probe, scores, estimate, null, control, int(y[test].sum()))


def _row(result: ProbeResult) -> dict[str, object]:
    return {
        **result.estimate._asdict(),
        "null": result.null.value,
        "null_low": result.null.low,
        "null_high": result.null.high,
        "p": result.null.p,
        "control": result.control,
        "selectivity": result.selectivity,
        "positives": result.positives,
        "penalty": result.probe.penalty,
        "reason": "",
    }


def probe_table(
    representations: dict[str, np.ndarray],
    targets: dict[str, np.ndarray],
    patients: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> ProbeTable:
    """Every target on every representation, on identical rows, folds and draws: else rows differ, not spaces.

    representations: name -> [N, D]; targets: name -> [N]; all aligned with patients, train, test [N].
    A target that can't be computed keeps its row, with NaN and the reason. Raises ValueError on misaligned arrays.
    """
    lengths = {name: len(array) for name, array in (representations | targets).items() if len(array) != len(patients)}
    if lengths:
        raise ValueError(f"arrays must have the {len(patients)} rows of `patients`; these don't: {lengths}")
    moves = permuted_rows(patients[test], how.permutations, rng)  # [draws, N_test]
    # One seed for all: each probe then meets the same folds, draws and control labels.
    seed = int(rng.integers(2**63))
    records = []
    scores = {name: np.full((int(test.sum()), len(targets)), np.nan) for name in representations}
    for name, X in representations.items():
        for q, (target, y) in enumerate(targets.items()):
            try:
                result = probe_auroc(X, y, patients, train, test, how, np.random.default_rng(seed), moves)
            except NotComputable as reason:
                found: dict[str, object] = {"value": np.nan, "reason": str(reason)}
            else:
                found, scores[name][:, q] = _row(result), result.scores
            records.append({"representation": name, "target": target, **found})
    # All columns, also when no target could be computed.
    columns = ["representation", "target", *Estimate._fields, *RESULT_FIELDS]
    return ProbeTable(pd.DataFrame(records).reindex(columns=columns), scores)


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
