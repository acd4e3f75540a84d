"""Plain models on counts: what a representation has to beat, and a yardstick for choices made before any model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from jepascope.analysis.inference.stats import NotComputable

UNKNOWN = 2  # the state of a row without an earlier answer, beside 0 and 1


def logistic_on_counts(
    counts: csr_matrix, structure: np.ndarray, labels: np.ndarray, train: np.ndarray, strength: float = 0.01
) -> np.ndarray:
    """Log-odds of a label from log counts and structural columns: fitted on training rows, read on all.

    Counts enter as log(1 + n), because the tenth time of a code says less than the first. Ridge penalty 1/(2C) with
    C = `strength`; the structural columns are standardised on training rows.

    Args: counts [N, F]; structure [N, Q]; labels [N] in {0, 1} or NaN (not used); train bool [N].
    Returns: [N] float. Raises NotComputable if the training labels are constant.
    """
    rows = _both_classes(labels, train)
    scaled = StandardScaler().fit(structure[rows]).transform(structure)
    features = hstack([counts.log1p(), csr_matrix(scaled)], format="csr")
    model = LogisticRegression(C=strength, max_iter=1000).fit(features[rows], labels[rows])
    return model.decision_function(features)


def boosted_trees(features: csr_matrix, labels: np.ndarray, train: np.ndarray, depth: int, trees: int) -> np.ndarray:
    """Probability of a label by XGBoost: trees find by themselves the interactions that logistic regression lacks.

    Histogram trees at rate 0.1 on one thread, so that a fit is the same every time (Chen & Guestrin 2016). Depth 1 is
    a sum of thresholds. What is 0, and so absent from a sparse row, takes a split's default side, in training and
    prediction alike.

    Args: features [N, F]; labels [N] in {0, 1} or NaN (not used); train bool [N].
    Returns: [N] float. Raises NotComputable if the training labels are constant.
    """
    rows = _both_classes(labels, train)
    model = XGBClassifier(n_estimators=trees, max_depth=depth, learning_rate=0.1, tree_method="hist", n_jobs=1)
    return model.fit(features[rows], labels[rows]).predict_proba(features)[:, 1].astype(float)


def rate_by_state(states: np.ndarray, labels: np.ndarray, train: np.ndarray) -> np.ndarray:
    """The training rate of a label in each row's state: all there is to learn from a few classes of rows.

    (positives + rate of all) / (rows + 1), so that a state never seen has the rate of all, and no rate is 0 or 1.

    Args: states int [N], 0 and up; labels [N] in {0, 1} or NaN (not used); train bool [N]. Returns: [N] float.
    Raises NotComputable if the training labels are constant.
    """
    rows = _both_classes(labels, train)
    size = int(states.max()) + 1
    positives = np.bincount(states[rows], labels[rows], minlength=size)
    rates = (positives + labels[rows].mean()) / (np.bincount(states[rows], minlength=size) + 1)
    return rates[states]


def persistence(earlier: np.ndarray, labels: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Expect of a patient what was last known of that patient: the floor of any claim to foresee a change.

    A probability, not a copied answer: the training rate among rows whose earlier answer (`last_known_answer`, [N])
    is 1, 0 or not known. Other arguments, returns and errors are those of `rate_by_state`; NotComputable also where
    the earlier answers of training rows are all alike, as those of deaths are.
    """
    if len(np.unique(earlier[train & np.isfinite(earlier)])) < 2:
        raise NotComputable("what was known before is never 1, or never 0, on training rows")
    return rate_by_state(np.where(np.isfinite(earlier), earlier, UNKNOWN).astype(int), labels, train)


def last_known_answer(labels: np.ndarray, known_from: np.ndarray, day: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """The patient's latest earlier answer that was settled by each row: the label of k − 1 often lies after k.

    Args: labels [N] in {0, 1} or NaN; known_from [N], the day on which a row's own label is settled, later than its
    own `day`; day [N], on which the row is predicted, whole days on one scale per patient; patients [N]. Rows of a
    patient in order. Returns: [N] float, 1, 0 or NaN where no earlier answer is settled.
    Raises ValueError where a label would be known on its own day.
    """
    told = np.isfinite(labels) & np.isfinite(known_from)
    if (known_from[told] <= day[told]).any():
        raise ValueError("known_from must be later than day: an answer can't be known when its question is asked")
    asked = pd.DataFrame({"patient": patients, "day": np.asarray(day, float), "row": np.arange(len(day))})
    settled = pd.DataFrame({"patient": patients, "day": np.asarray(known_from, float), "answer": labels})[told]
    # The latest settlement not after the row's day, of the same patient.
    found = pd.merge_asof(
        asked.sort_values("day", kind="stable"), settled.sort_values("day", kind="stable"), on="day", by="patient"
    )
    return found.sort_values("row")["answer"].to_numpy(float)


def _both_classes(labels: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Training rows with a label, bool [N]. Raises NotComputable if the label is constant there."""
    rows = train & np.isfinite(labels)
    if len(np.unique(labels[rows])) < 2:
        raise NotComputable(f"the label is constant on {rows.sum()} training rows")
    return rows
