"""All measures of one model's predictions at once, overall and by subgroup, and their differences to another model's.

A row of the table is one measure of one group. What can't be computed keeps its row, with the reason; a group that is
too small is named and not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd

from jepascope.analysis.inference.joint import Joint, difference, joint_bootstrap
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, require_carriers, weighted_auroc
from jepascope.analysis.outcomes.calibration import (
    weighted_brier_skill,
    weighted_calibration_in_the_large,
    weighted_ece,
    weighted_recalibration,
)
from jepascope.analysis.outcomes.discrimination import weighted_auprc, weighted_flagged

METRICS = (
    "auroc", "auprc", "sensitivity_of_flagged", "ppv_of_flagged", "brier_skill", "calibration_in_the_large",
    "calibration_intercept", "calibration_slope", "ece", "event_rate",
)  # fmt: skip
# Of all rows, those with the highest probabilities are flagged.
FLAGGED = 0.05
WHOLE = "all"
FIELDS = ("grouping", "group", "metric", *Estimate._fields, "positives", "reason")


def measure(
    probabilities: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    prevalence: float,
    how: Inference,
    seed: int,
    flagged: float = FLAGGED,
) -> Joint:
    """All of METRICS on the same draws of patients; `joint.difference` of two models' measures is then paired.

    Args: probabilities [N] in [0, 1]; labels [N], each 0 or 1; patients [N]; prevalence of the event among training
    patients, the reference of the Brier skill; flagged, the share of rows that the two `…_of_flagged` are about.
    Raises ValueError on missing or impossible values, NotComputable under `how.min_patients` or where fewer than
    `how.min_carriers` patients have, or lack, the event.
    """
    check(probabilities, labels, patients)
    probabilities, labels = np.asarray(probabilities, float), np.asarray(labels, float)
    require_carriers(labels, patients, how.min_carriers)
    statistics = (
        weighted_auroc(probabilities, labels),
        weighted_auprc(probabilities, labels),
        weighted_flagged(probabilities, labels, flagged),
        weighted_brier_skill(probabilities, labels, prevalence),
        weighted_calibration_in_the_large(probabilities, labels),
        weighted_recalibration(probabilities, labels),
        weighted_ece(probabilities, labels),
        lambda weights: weights @ labels / weights.sum(axis=1),
    )
    # [draws, Q]; two of them give two columns each
    return joint_bootstrap(lambda w: np.column_stack([f(w) for f in statistics]), METRICS, patients, how, seed)


def metrics_table(
    probabilities: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    prevalence: float,
    how: Inference,
    seed: int,
    groups: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """METRICS with patient-bootstrap intervals, of all rows (grouping and group "all") and of each group's rows.

    Args: as `measure`; groups: grouping -> the group's name per row [N]; rows named "" are in none.
    Returns FIELDS, a row a metric and group. Too small a group has NaN for its counts, too. Raises ValueError as
    `measure`.
    """
    check(probabilities, labels, patients)

    def one(inside: np.ndarray) -> Joint:
        return measure(probabilities[inside], labels[inside], patients[inside], prevalence, how, seed)

    return _by_group(one, labels, groups, how)


def differences_table(
    probabilities: np.ndarray,
    others: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    prevalence: float,
    how: Inference,
    seed: int,
    groups: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """`metrics_table` of probabilities minus that of others [N], each metric and group paired by draw."""
    for made in (probabilities, others):
        check(made, labels, patients)

    def one(inside: np.ndarray) -> Joint:
        ours, theirs = (
            measure(made[inside], labels[inside], patients[inside], prevalence, how, seed)
            for made in (probabilities, others)
        )
        return difference(ours, theirs)

    return _by_group(one, labels, groups, how)


def estimates(found: Joint) -> Iterator[dict[str, object]]:
    """The rows of a metrics table for one set of measures: metric, the fields of an Estimate, reason."""
    for name in found.names:
        try:
            estimate, reason = found.estimate(name), ""
        except NotComputable as why:
            q = found.names.index(name)
            estimate, reason = Estimate(found.value[q], np.nan, np.nan, found.n_rows, found.n_patients), str(why)
        yield {"metric": name, **estimate._asdict(), "reason": reason}


def estimate_of(table: pd.DataFrame, metric: str, grouping: str = WHOLE, group: str = WHOLE) -> Estimate:
    """One entry of a metrics table. Raises NotComputable with the entry's reason, KeyError if there is none."""
    asked = (table["metric"] == metric) & (table["grouping"] == grouping) & (table["group"] == group)
    if not asked.any():
        raise KeyError(f"no {metric} of {grouping} = {group} in this table")
    row = table[asked].iloc[0]
    if row["reason"]:
        raise NotComputable(row["reason"])
    return Estimate(row["value"], row["low"], row["high"], int(row["n_rows"]), int(row["n_patients"]))


def check(probabilities: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> None:
    """Raise ValueError unless probabilities [N] are in [0, 1] and labels [N] are 0 or 1, for every patient's row."""
    if not len(probabilities) == len(labels) == len(patients):
        raise ValueError(f"{len(probabilities)} probabilities, {len(labels)} labels, {len(patients)} patients' rows")
    for name, bad, wanted in (
        ("labels", ~np.isin(labels, (0, 1)), "0 or 1: keep the rows whose label is known"),
        ("probabilities", ~((probabilities >= 0) & (probabilities <= 1)), "between 0 and 1"),
    ):
        if bad.any():
            raise ValueError(f"{int(bad.sum())} of {len(bad)} {name} are missing or not {wanted}")


def _by_group(
    one: Callable[[np.ndarray], Joint], labels: np.ndarray, groups: Mapping[str, np.ndarray] | None, how: Inference
) -> pd.DataFrame:
    rows = []
    for grouping, names in {WHOLE: np.full(len(labels), WHOLE), **(groups or {})}.items():
        for group in sorted(set(names) - {""}):
            inside = np.asarray(names) == group
            about = {"grouping": grouping, "group": group}
            try:
                rows += [{**about, **row, "positives": labels[inside].sum()} for row in estimates(one(inside))]
            except NotComputable:
                # How few they are is not said: a small cell can point at a patient.
                reason = f"under {how.min_patients} patients, or under {how.min_carriers} with or without the event"
                rows += [{**about, "metric": name, "reason": reason} for name in METRICS]
    return pd.DataFrame(rows, columns=list(FIELDS))
