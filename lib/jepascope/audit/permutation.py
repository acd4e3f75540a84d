"""T9 and T10: labels that can't be known are learnt and predicted, many times over, and the AUROC has to be a half."""

from __future__ import annotations

import hashlib

import numpy as np
from scipy.stats import norm, rankdata, t

from jepascope.analysis.inference.stats import NotComputable, interval, patient_bootstrap, weighted_auroc
from jepascope.audit.findings import ALARM_ERRORS, ALARM_LEVEL, Finding, judge, unverified
from jepascope.audit.perturbation import Inputs, ReadInputs
from jepascope.cohort.encounters import Encounters
from jepascope.pipeline.outcomes.fitting import READMISSION

DRAWS = 40
RIDGE = 30.0
STRATA = 8  # k from here on is one stratum
READABLE = 1500  # columns at most that are read: the commonest, as the fit grows with their cube


def permuted_labels_are_at_chance(
    cohort: Encounters, read: ReadInputs, rng: np.random.Generator, draws: int = DRAWS
) -> list[Finding]:
    """Permute the labels of all rows, make the inputs anew, fit on training rows and predict test rows: `draws` times.

    Rows and not patients are permuted: whatever ties a label to a row has to go, and then the mean AUROC is a half
    exactly. Within strata of k, labels keep what the position says, and only pairs of one stratum are compared.
    Inputs are made from the permuted table, since a column that was encoded by the labels of all rows leaks there.
    """
    index = cohort.index
    labels = index[READMISSION].to_numpy(float)
    known = np.flatnonzero(np.isfinite(labels))
    strata = np.minimum(index["k"].to_numpy()[known], STRATA)
    usual = read(cohort)
    found = []
    for name, groups in (("all rows", np.zeros(len(known), int)), ("within strata of k", strata)):
        aurocs: list[float] = []
        for _ in range(draws):
            moved = _permuted(labels[known], groups, rng)
            relabelled = labels.copy()
            relabelled[known] = moved
            inputs = read(cohort._replace(index=index.assign(**{READMISSION: relabelled})))
            if inputs.values.shape == usual.values.shape and (inputs.values != usual.values).nnz == 0:
                # They read no label: all draws then share one matrix.
                aurocs = _all_draws(cohort, usual, labels, known, groups, rng, draws).tolist()
                break
            aurocs += _predict(cohort, inputs, known, moved[:, None], groups).tolist()
        found.append(_at_chance("T9", f"permuted labels, {name}", np.array(aurocs), cohort, known))
    return found


def meaningless_labels_are_at_chance(cohort: Encounters, inputs: Inputs) -> Finding:
    """Predict the parity of a keyed hash of the patient's id, by DRAWS keys: to know it is to have met the patient."""
    patients, of_row = np.unique(cohort.index["subject_id"], return_inverse=True)
    parity = np.array([[_parity(f"{key}/{patient}") for key in range(DRAWS)] for patient in patients], float)
    rows = np.arange(len(of_row))
    aurocs = _predict(cohort, inputs, rows, parity[of_row], np.zeros(len(rows), int))
    return _at_chance("T10", "parity of a hash of the id", aurocs, cohort, rows)


def order_of_rows_tells_nothing(cohort: Encounters, rng: np.random.Generator) -> Finding:
    """Let a patient's place in the table predict readmission: cases first and controls after would make it one."""
    index = cohort.index
    labels = index[READMISSION].to_numpy(float)
    known = np.isfinite(labels)
    place, patients = index["subject_id"].rank(method="dense").to_numpy()[known], index["subject_id"].to_numpy()[known]
    try:
        told = patient_bootstrap(weighted_auroc(place, labels[known]), patients, 400, 0.95, rng)
    except NotComputable as reason:
        return unverified("T10", "order of patients", str(reason))
    error = (told.high - told.low) / (2 * norm.ppf(0.975))
    detail = f"AUROC {told.value:.3f} for readmission; standard errors from a half"
    off = abs(told.value - 0.5) / error
    return judge("T10", "order of patients", off, ALARM_ERRORS, detail, told.n_rows, told.n_patients)


def _permuted(values: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle values [n] within groups [n]."""
    moved = np.empty_like(values)
    moved[np.argsort(groups, kind="stable")] = values[np.lexsort((rng.random(len(values)), groups))]
    return moved


def _all_draws(
    cohort: Encounters,
    inputs: Inputs,
    labels: np.ndarray,
    known: np.ndarray,
    groups: np.ndarray,
    rng: np.random.Generator,
    draws: int,
) -> np.ndarray:
    moved = np.column_stack([_permuted(labels[known], groups, rng) for _ in range(draws)])  # [n, draws]
    return _predict(cohort, inputs, known, moved, groups)


def _predict(cohort: Encounters, inputs: Inputs, rows: np.ndarray, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """AUROC on test rows [R] of one ridge regression for each label y [n, R]: one matrix serves all labels.

    Pairs are compared within groups [n]. NaN where a label has one class only.
    """
    train, test = ((cohort.index["split"].to_numpy() == name)[rows] for name in ("train", "test"))
    values = inputs.values[rows]
    often = np.argsort(-np.diff(values.tocsc().indptr), kind="stable")[:READABLE]
    x = values[:, np.sort(often)].toarray().astype(float)
    spread = x[train].std(axis=0)
    x = (x - x[train].mean(axis=0)) / np.where(spread < 1e-8, 1.0, spread)
    gram = x[train].T @ x[train] + RIDGE * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x[train].T @ (y[train] - y[train].mean(axis=0)))
    return np.array([_within(x[test] @ w, y[test][:, r], groups[test]) for r, w in enumerate(weights.T)])


def _within(scores: np.ndarray, y: np.ndarray, groups: np.ndarray) -> float:
    """P(positive above negative), over pairs of one group."""
    wins = pairs = 0.0
    for group in np.unique(groups):
        here = groups == group
        on = y[here] == 1
        positives, negatives = on.sum(), (~on).sum()
        wins += rankdata(scores[here])[on].sum() - positives * (positives + 1) / 2
        pairs += positives * negatives
    return wins / pairs if pairs else np.nan


def _at_chance(check: str, part: str, aurocs: np.ndarray, cohort: Encounters, rows: np.ndarray) -> Finding:
    aurocs = aurocs[np.isfinite(aurocs)]
    if len(aurocs) < 3:
        return unverified(check, part, "too few test rows with either answer")
    error = aurocs.std(ddof=1) / np.sqrt(len(aurocs))
    low, high = interval(aurocs, 0.95)
    detail = (
        f"mean AUROC {aurocs.mean():.3f}, draws {low:.3f} to {high:.3f}; standard errors from a half, {ALARM_LEVEL:.1%}"
    )
    test = (cohort.index["split"].to_numpy() == "test")[rows]
    patients = cohort.index["subject_id"].to_numpy()[rows][test]
    off = abs(aurocs.mean() - 0.5) / error
    # The error is estimated from these few draws, too: a normal's bound would ring twice as often as it says.
    bound = t.ppf((1 + ALARM_LEVEL) / 2, len(aurocs) - 1)
    return judge(check, part, off, bound, detail, test.sum(), len(np.unique(patients)))


def _parity(text: str) -> int:
    return hashlib.blake2b(text.encode(), digest_size=1).digest()[0] & 1
