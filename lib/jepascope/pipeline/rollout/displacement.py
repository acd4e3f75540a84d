"""Drift and displacement as published, beside what patients and the planted truth make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import (
    NULL_COLUMNS,
    Estimate,
    Inference,
    NotComputable,
    bootstrap_of_sums,
)
from jepascope.analysis.rollout.geometry import Steps, displacement_null, displacement_ratio, row_distances, strata
from jepascope.analysis.rollout.onsets import changes, onset_auroc, onset_gain, onsets, turbulence_correlation
from jepascope.analysis.rollout.rollouts import Matched, of_another_patient
from jepascope.certify.planted import load_truth
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.features import bag_of_codes
from jepascope.objects import load_objects
from jepascope.pipeline.dictionary.comparison import TABLE_DRAWS
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.pipeline.rollout.geometry import matched
from jepascope.pipeline.rollout.rollouts import Rollouts, load_rollouts
from jepascope.store import write_table

ANY, CODES = "any concept", "raw codes"
# What a step's length may be measured in: displacement of z, and the distance from what was predicted.
Z, TWIN, SURPRISE, TWIN_SURPRISE = "‖Δz‖", "untrained ‖Δz‖", "‖e‖", "untrained ‖e‖"
COLUMNS = ["dynamics", "length", *Estimate._fields, *NULL_COLUMNS, "reason"]


def measure_displacement(
    folder: Path,
    records: Path,
    encounters: Path,
    trained: Path,
    twin: Path,
    rolled: params.Rollout,
    statistics: params.Statistics,
    seed: int,
) -> None:
    """The step that asks what the length of a step tells of what was planted, on test patients.

    Leaves onsets.parquet (AUROC of each length for each kind of onset), ratios.parquet (as published, and matched on
    gap and record length), and readings.json: onset, over_codes, turbulence. Raises TruthError, NotComputable.
    """
    objects, how = load_objects(trained), Inference(**statistics.model_dump())
    index, truth = objects.index, load_truth(records / "planted", objects.index)
    rows = objects.target_rows[(index["split"] == "test").to_numpy()[objects.target_rows]]
    patients = index["subject_id"].to_numpy()[rows]
    states = truth.states.to_numpy(bool)
    begun, dynamics = onsets(states, rows), truth.concepts["dynamics"].to_numpy()
    kinds: dict[str, np.ndarray] = {ANY: np.asarray(begun.any(axis=1))}
    kinds |= {str(kind): np.asarray(begun[:, dynamics == kind].any(axis=1)) for kind in pd.unique(dynamics)}
    found = lengths(trained, twin, encounters, rows)
    write_table(folder / "onsets.parquet", onset_table(found, kinds, patients, how, seed))
    gap, k = (index[name].to_numpy(float)[rows] for name in ("gap_days", "k"))
    stratum = strata(gap, k, rolled.gap_strata, rolled.length_strata)
    write_table(folder / "ratios.parquet", ratio_table(found, kinds, stratum, patients, how, seed))
    save_readings(folder, readings(found, kinds[ANY], changes(states, rows), patients, how, seed))


def lengths(trained: Path, twin: Path, encounters: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Lengths [M] of the steps into `rows`, by what they are measured in."""
    found = {}
    for objects, moved, missed in ((load_objects(trained), Z, SURPRISE), (load_objects(twin), TWIN, TWIN_SURPRISE)):
        at = np.searchsorted(objects.target_rows, rows)
        found[moved] = row_distances(objects.z[rows], objects.z[rows - 1])
        found[missed] = np.linalg.norm(objects.e[at], axis=1)
    bag = bag_of_codes(cohort_encounters.load(encounters))
    return found | {CODES: row_distances(bag[rows], bag[rows - 1])}


def onset_table(
    found: dict[str, np.ndarray], kinds: dict[str, np.ndarray], patients: np.ndarray, how: Inference, seed: int
) -> pd.DataFrame:
    """`COLUMNS`, a row a kind of onset and length; a kind that too few patients have keeps its row, with the reason."""
    few = how._replace(bootstrap=min(how.bootstrap, TABLE_DRAWS), permutations=min(how.permutations, TABLE_DRAWS))
    records: list[dict[str, Any]] = []
    for kind, begun in kinds.items():
        for name, length in found.items():
            about: dict[str, Any] = {"dynamics": kind, "length": name}
            try:
                told = onset_auroc(length, begun, patients, few, np.random.default_rng(seed))
            except NotComputable as reason:
                records.append(about | {"reason": str(reason)})
            else:
                records.append(about | told.estimate._asdict() | told.null.columns() | {"reason": ""})
    return pd.DataFrame(records).reindex(columns=COLUMNS)


def ratio_table(
    found: dict[str, np.ndarray],
    kinds: dict[str, np.ndarray],
    stratum: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    seed: int,
) -> pd.DataFrame:
    """Mean length with an onset over that without: as published, and within strata of gap and record length."""
    records = []
    for name, length in found.items():
        steps = Steps(length, kinds[ANY], stratum, patients)
        alone = steps._replace(stratum=np.zeros(len(length), int))
        null = displacement_null(steps, how._replace(permutations=min(how.permutations, TABLE_DRAWS)), _rng(seed))
        records.append(
            {"length": name}
            | {f"plain_{key}": value for key, value in displacement_ratio(alone, how, _rng(seed))._asdict().items()}
            | displacement_ratio(steps, how, _rng(seed))._asdict()
            | null.columns()
        )
    return pd.DataFrame(records)


def readings(
    found: dict[str, np.ndarray],
    begun: np.ndarray,
    changed: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    seed: int,
) -> dict[str, Reading]:
    """For the claims: onsets told by ‖Δz‖, what it tells beyond the codes' distance, and turbulence of patients."""
    told, twin = (onset_auroc(found[name], begun, patients, how, _rng(seed)) for name in (Z, TWIN))
    over, twin_over = (onset_gain(found[name], found[CODES], begun, patients, how, _rng(seed)) for name in (Z, TWIN))
    turbulent, of_twin = (turbulence_correlation(found[name], changed, patients, how, _rng(seed)) for name in (Z, TWIN))
    return {
        "onset": Reading(told.estimate, told.null, twin.estimate),
        "over_codes": Reading(over.estimate, over.null, twin_over.estimate),
        "turbulence": Reading(turbulent.estimate, turbulent.null, of_twin.estimate),
    }


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def measure_drift(folder: Path, ours: Path, twin: Path, statistics: params.Statistics, seed: int) -> None:
    """The step that leaves drift.parquet: rollouts' drift on the same targets, and on targets that change with h.

    `ours` and `twin` are of `rollouts.roll_out`. Rows: the model, its predictions made for another patient, the twin.
    Raises NotComputable when no encounter is far enough from its record's beginning.
    """
    how, records = Inference(**statistics.model_dump()), []
    rolled = {"ẑ": load_rollouts(ours), "untrained ẑ": load_rollouts(twin)}
    fixed = {name: matched(one) for name, one in rolled.items()}
    fixed["ẑ of another patient"] = of_another_patient(fixed["ẑ"], _rng(seed))
    for name, targets in fixed.items():
        same = drift_of(targets, how, seed)
        found = {f"same_{key}": value for key, value in same._asdict().items()}
        if name in rolled:
            changing = drift_of_changing(rolled[name], how, seed)
            found |= {f"changing_{key}": value for key, value in changing._asdict().items()}
        records.append({"predictions": name, "horizon": len(targets.z_hat), **found})
    write_table(folder / "drift.parquet", pd.DataFrame(records))


def drift_of(targets: Matched, how: Inference, seed: int) -> Estimate:
    """100 (D(H) − D(1)) / D(1), per cent, D(h) = mean ‖ẑ_{j|j−h} − z_j‖₁ over targets that every horizon reaches."""
    first, last = (np.abs(targets.z_hat[h].astype(float) - targets.z).sum(axis=1) for h in (0, -1))
    return _drift(first, last, targets.patients, how, seed)


def drift_of_changing(rolled: Rollouts, how: Inference, seed: int) -> Estimate:
    """The same when each horizon is measured on all targets that it reaches: early encounters count at h = 1 alone."""
    far, reached = len(rolled.z_hat), rolled.index["k"].to_numpy() >= 1
    k, z, z_hat = rolled.index["k"].to_numpy()[reached], rolled.z[reached], rolled.z_hat[:, reached]
    first, last = (
        np.where(k >= h, np.abs(np.nan_to_num(z_hat[h - 1]).astype(float) - z).sum(axis=1), 0.0) for h in (1, far)
    )
    patients = rolled.index["subject_id"].to_numpy()[reached]
    return _drift(first, last, patients, how, seed, k >= 1, k >= far)


def _drift(
    first: np.ndarray,
    last: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    seed: int,
    in_first: np.ndarray | None = None,
    in_last: np.ndarray | None = None,
) -> Estimate:
    """Per cent by which the mean of `last` exceeds that of `first`, [M] each, over the rows that are in either."""
    counted = (np.ones(len(first)) if rows is None else rows for rows in (in_first, in_last))
    columns = np.stack([first, last, *counted], axis=1)
    return bootstrap_of_sums(
        lambda s: 100 * ((s[:, 1] / s[:, 3]) / (s[:, 0] / s[:, 2]) - 1),
        columns, patients, how.bootstrap, how.level, _rng(seed), how.min_patients,
    )  # fmt: skip
