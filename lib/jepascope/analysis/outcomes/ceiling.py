"""Outcomes whose true risk is known: how much of what can be foreseen a model foresees, and what a confounder pretends.

Arrays only: who may read the true risk is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope.analysis.inference.joint import joint_bootstrap
from jepascope.analysis.inference.stats import (
    NULL_COLUMNS,
    Estimate,
    Inference,
    Null,
    RowsStatistic,
    bootstrap_of_sums,
    patient_permutation,
    permutation_null,
    permuted_auroc,
    permuted_rows,
    require_carriers,
    weighted_auroc,
)

CEILING = "true risk"
KINDS = ("auroc", "share", "excess")
COLUMNS = ("model", "kind", *Estimate._fields, *NULL_COLUMNS)


class Contrast(NamedTuple):
    """A mean among rows with a state less the mean among rows without it, and the same with other patients' states."""

    estimate: Estimate
    null: Null


def shares_of_ceiling(
    probabilities: Mapping[str, np.ndarray],
    risk: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    seed: int,
) -> pd.DataFrame:
    """How near each model comes to the true risk, paired by draw: an AUROC alone doesn't say what was there to reach.

    Of the risk r and a model's p: `share` (AUROC(p) − 0.5) / (AUROC(r) − 0.5), and `excess` AUROC(p) − AUROC(r), which
    is below 0 unless p knows the outcome itself. The null of an excess moves whole patients' labels to others.

    Args: probabilities, model -> [N]; risk, labels in {0, 1} and patients [N]. Returns COLUMNS, a row a kind and model,
    the risk itself included. Raises NotComputable under `how.min_patients` or `how.min_carriers`.
    """
    require_carriers(labels, patients, how.min_carriers)
    made = {**probabilities, CEILING: risk}  # the risk comes last
    aurocs = [weighted_auroc(np.asarray(p, float), labels) for p in made.values()]

    def statistic(weights: np.ndarray) -> np.ndarray:
        found = np.column_stack([f(weights) for f in aurocs])  # [draws, models]
        ceiling = found[:, -1:]
        return np.hstack([found, (found - 0.5) / (ceiling - 0.5), found - ceiling])

    names = [f"{kind} {model}" for kind in KINDS for model in made]
    drawn = joint_bootstrap(statistic, names, patients, how, seed)
    moves = permuted_rows(patients, how.permutations, np.random.default_rng(seed))
    best = permuted_auroc(risk, labels)
    rows = []
    for model, p in made.items():
        null = permutation_null(_less(permuted_auroc(p, labels), best), moves, how.level)
        for kind in KINDS:
            row = {"model": model, "kind": kind, **drawn.estimate(f"{kind} {model}")._asdict()}
            rows.append(row | (null.columns() if kind == "excess" else {}))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def contrast(
    x: np.ndarray, state: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Contrast:
    """mean(x | state) − mean(x | no state), with patient-exact interval and null: the plainest form of "goes with".

    With x the outcome it is what a table of rates shows. With x the outcome less the risk that everything *else*
    gives, it is the state's own effect, in the same unit: 0 for what only travels with a cause.

    Args: x [N], state bool [N], patients [N]. Raises NotComputable where too few patients have, or lack, the state.
    """
    require_carriers(state, patients, how.min_carriers)
    on = np.asarray(state, float)
    columns = np.stack([on, on * x, 1 - on, (1 - on) * x], axis=1)
    estimate = bootstrap_of_sums(
        _difference_of_means, columns, patients, how.bootstrap, how.level, rng, how.min_patients
    )

    def moved(rows: np.ndarray) -> np.ndarray:
        there = on[rows]  # [draws, N]
        sums = [there.sum(axis=1), there @ x, (1 - there).sum(axis=1), (1 - there) @ x]
        return _difference_of_means(np.stack(sums, axis=1))

    return Contrast(estimate, patient_permutation(moved, patients, how.permutations, rng, how.level))


def without_effect(risk: np.ndarray, state: np.ndarray, effect: float, certain: float) -> np.ndarray:
    """The risk [N] that would be left had a state no effect on the log-hazard: all causes but this one.

    risk = certain · (1 − exp(−H)), H multiplied by exp(effect) where the state is on; `certain` is the risk of an
    endless hazard. An effect of 0 leaves the risk alone. Raises ValueError on a risk that no hazard gives.
    """
    if not (risk.min() >= 0 and risk.max() < certain):
        raise ValueError(f"risks lie between {risk.min():.3g} and {risk.max():.3g}; give 0 to under {certain:.3g}")
    hazard = -np.log1p(-risk / certain)
    return -certain * np.expm1(-hazard * np.exp(-effect * np.asarray(state, float)))


def _less(ours: RowsStatistic, theirs: RowsStatistic) -> RowsStatistic:
    return lambda rows: ours(rows) - theirs(rows)


def _difference_of_means(sums: np.ndarray) -> np.ndarray:
    """From sums [draws, 4]: rows with the state, x over them, rows without, x over them."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[:, 1] / sums[:, 0] - sums[:, 3] / sums[:, 2]
