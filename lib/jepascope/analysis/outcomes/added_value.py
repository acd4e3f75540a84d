"""Does a measure say something of an outcome that less did not: the AUROC that it adds, on other patients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    Null,
    auroc,
    auroc_difference,
    null_of,
    patient_bootstrap,
    permuted_rows,
    require_carriers,
    weighted_auroc,
)
from jepascope.analysis.probes.linear import fit_probe, probe_scores


class Added(NamedTuple):
    """What columns add to a base model."""

    base: Estimate  # AUROC
    gain: Estimate  # AUROC with the columns minus AUROC without
    null: Null  # of the gain
    positives: int


def added_auroc(
    base: np.ndarray,
    columns: np.ndarray,
    y: np.ndarray,
    patients: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    refits: int,
    how: Inference,
    rng: np.random.Generator,
) -> Added:
    """Fit with and without the columns on training patients, compare on test patients, paired by draw.

    The null gives each patient the columns of another with a record of like length, in training and in test apart, and
    fits again: a few useless columns cost a little AUROC, so that nothing is not exactly 0.

    Args: base [N, F], columns [N, G], y [N] in {0, 1}, patients [N], train and test bool [N] without a shared patient.
    Raises NotComputable under `how.min_carriers` patients with or without y in either part, or `how.min_patients`.
    """
    if not (train.any() and test.any()):
        raise NotComputable(f"{train.sum()} training and {test.sum()} test rows with a label, 1 of each needed")
    y = np.asarray(y, bool)
    require_carriers(y[test], patients[test], how.min_carriers)
    seed = int(rng.integers(2**63))

    def held_out(X: np.ndarray) -> np.ndarray:
        # One seed: the same folds choose the penalty with and without the columns.
        probe = fit_probe(X, y, patients, train, how, np.random.default_rng(seed))
        return probe_scores(probe, X[test])

    without, with_them = held_out(base), held_out(np.hstack([base, columns]))
    given = (patients[test], how.bootstrap, how.level, rng, how.min_patients)
    gain = patient_bootstrap(auroc_difference(with_them, without, y[test]), *given)
    floor = auroc(without, y[test])
    drawn = np.empty(refits)
    for draw in range(refits):
        moved = np.array(columns)
        for part in (np.flatnonzero(train), np.flatnonzero(test)):
            moved[part] = columns[part][permuted_rows(patients[part], 1, rng)[0]]
        drawn[draw] = auroc(held_out(np.hstack([base, moved])), y[test]) - floor
    null = null_of(drawn, gain.value, how.level)
    return Added(patient_bootstrap(weighted_auroc(without, y[test]), *given), gain, null, int(y[test].sum()))
