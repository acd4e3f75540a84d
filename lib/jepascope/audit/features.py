"""T7: a scan for a column that tells an outcome all by itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import csc_matrix, csr_matrix, hstack

from jepascope.audit.findings import Finding, judge, unverified
from jepascope.audit.perturbation import Inputs
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.questions import LABELS

LISTED, MOST = 0.80, 0.90
CARRIERS = 10  # patients with, and without, the outcome; fewer and an AUROC near one is luck


def scan(cohort: Encounters, inputs: Inputs, listed: float = LISTED) -> pd.DataFrame:
    """AUROC of each single column for each label, on training and validation patients, who can be looked at freely.

    Beside the inputs, what their shape tells: the number of words, and which of the index's numbers is missing. A
    column is as telling downwards as upwards: max(A, 1 − A). Rows of a patient are not independent, which moves no
    AUROC, only what it is worth: so a label needs CARRIERS patients with it and without.

    Returns feature, label, auroc, rows, patients; those above `listed` and the best of each label, highest first.
    """
    index = cohort.index
    here = (index["split"] != "test").to_numpy()
    values, names = _with_shape(cohort, inputs)
    rows = []
    for label in LABELS:
        asked = here & index[label].notna().to_numpy()
        y, patients = index[label].to_numpy(float)[asked] == 1, index["subject_id"].to_numpy()[asked]
        if min(len(np.unique(patients[y])), len(np.unique(patients[~y]))) < CARRIERS:
            continue
        found = _aurocs(csc_matrix(values[asked]), y)
        telling = np.maximum(found, 1 - found)
        for column in np.unique(np.r_[np.flatnonzero(telling > listed), telling.argmax()]):
            told = {"feature": names[column], "label": label, "auroc": float(telling[column])}
            rows.append({**told, "rows": int(asked.sum()), "patients": len(np.unique(patients))})
    table = pd.DataFrame(rows, columns=["feature", "label", "auroc", "rows", "patients"])
    return table.sort_values("auroc", ascending=False, ignore_index=True)


def no_feature_tells(scanned: pd.DataFrame, columns: int) -> Finding:
    """Judge a scan: above LISTED is worth a look, above MOST is a leak until somebody has looked."""
    if scanned.empty:
        return unverified("T7", "single features", f"no outcome that {CARRIERS} patients have, and {CARRIERS} lack")
    best = scanned.iloc[0]
    many = int((scanned["auroc"] > LISTED).sum())
    detail = f"{columns:,} columns; highest: {best.feature} for {best.label}; {many} pairs above {LISTED:.2f}"
    return judge("T7", "single features", best.auroc, MOST, detail, best.rows, best.patients)


def _with_shape(cohort: Encounters, inputs: Inputs) -> tuple[csr_matrix, list[str]]:
    missing = cohort.index[["age", "gap_days", "los_days"]].isna().add_prefix("missing ")
    shape = pd.concat([cohort.index[["age", "n_tokens"]], missing], axis=1)
    values = hstack([inputs.values, csr_matrix(shape.to_numpy(float))], format="csr")
    return values, [*inputs.names, *shape.columns]


def _aurocs(values: csc_matrix, y: np.ndarray) -> np.ndarray:
    """AUROC of every column [F] of values [n, F] for y bool [n], ties counted half, zeros never laid out.

    Wins of the positives over the negatives are counted among the nonzero entries, and zeros are one tie.
    """
    positives, negatives = y.sum(), (~y).sum()
    found = np.full(values.shape[1], 0.5)
    for column in np.flatnonzero(np.diff(values.indptr)):
        entries = slice(values.indptr[column], values.indptr[column + 1])
        x, on = values.data[entries], y[values.indices[entries]]
        up, down = np.sort(x[on]), np.sort(x[~on])
        zeros_up, zeros_down = positives - len(up), negatives - len(down)
        among = (np.searchsorted(down, up, "left") + np.searchsorted(down, up, "right")).sum() / 2
        over_zero = (up > 0).sum() * zeros_down + (down < 0).sum() * zeros_up
        found[column] = (among + over_zero + zeros_up * zeros_down / 2) / (positives * negatives)
    return found
