"""Plain models on counts: what a representation has to beat, and a yardstick for choices made before any model."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from jepascope.analysis.stats import NotComputable


def logistic_on_counts(
    counts: csr_matrix, structure: np.ndarray, labels: np.ndarray, train: np.ndarray, strength: float = 0.01
) -> np.ndarray:
    """Log-odds of a label from log counts and structural columns: fitted on training rows, read on all.

    Counts enter as log(1 + n), because the tenth time of a code says less than the first. Ridge penalty 1/(2C) with
    C = `strength`; the structural columns are standardised on training rows.

    Args: counts [N, F]; structure [N, Q]; labels [N] in {0, 1} or NaN (not used); train bool [N].
    Returns: [N] float. Raises NotComputable if the training labels are constant.
    """
    rows = train & np.isfinite(labels)
    if len(np.unique(labels[rows])) < 2:
        raise NotComputable(f"the label is constant on {rows.sum()} training rows")
    scaled = StandardScaler().fit(structure[rows]).transform(structure)
    features = hstack([counts.log1p(), csr_matrix(scaled)], format="csr")
    model = LogisticRegression(C=strength, max_iter=1000).fit(features[rows], labels[rows])
    return model.decision_function(features)
