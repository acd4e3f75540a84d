"""One model of readmission under the glass: by subgroup, calibrated or not, worth acting on or not, from few labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    patient_bootstrap,
    require_carriers,
    weighted_auroc,
)
from jepascope.analysis.outcomes.calibration import calibrated_ece, calibration_curve
from jepascope.analysis.outcomes.decision import decision_curve
from jepascope.analysis.outcomes.metrics import metrics_table
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.subgroups import had_event_before, settled_by_next_episode, subgroups
from jepascope.pipeline.outcomes.fitting import READMISSION, Predicted, load_fits, load_predicted
from jepascope.pipeline.outcomes.meds_predictions import write_predictions
from jepascope.store import read_json, read_table, read_tensors, write_json, write_table, write_tensors

READMISSION_DAYS = 30
REASON = "reason.json"


class InFull(NamedTuple):
    """All that is said of one model on one task."""

    metrics: pd.DataFrame  # `metrics.FIELDS`; of all rows, `null` beside the ECE is that of a perfect model
    calibration: pd.DataFrame
    decision: pd.DataFrame
    probability: np.ndarray  # [n] test rows


def examine(folder: Path, encounters: Path, fits: Path, model: str, statistics: params.Statistics, seed: int) -> None:
    """The step that examines one model on readmission: all metrics by subgroup, calibration and decision curve.

    Groups are those of `cohort.subgroups`, and whether the patient is known to have been readmitted before. Where
    there are no predictions, or too few patients have, or lack, the event, reason.json has why.
    """
    how = Inference(**statistics.model_dump())
    index = cohort_encounters.load(encounters).index
    try:
        made = only(encounters, fits, model, READMISSION)
        require_carriers(made.label, made.patients, how.min_carriers)
        given = (made.probability.astype(float), made.label, made.patients)
        calibration = calibration_curve(*given, how, np.random.default_rng(seed))
        decision = decision_curve(*given, how, seed)
    except NotComputable as reason:
        write_json(folder / REASON, {"reason": str(reason)})
        return
    rate = float(index.loc[index["split"] == "train", READMISSION].mean())
    metrics = metrics_table(*given, rate, how, seed, _groups(index, made.rows))
    perfect = calibrated_ece(*given[:2], how.permutations, how.level, np.random.default_rng(seed))
    whole = (metrics["metric"] == "ece") & (metrics["grouping"] == "all")
    write_table(folder / "metrics.parquet", metrics.assign(null=np.where(whole, perfect.value, np.nan)))
    write_table(folder / "calibration.parquet", calibration)
    write_table(folder / "decision.parquet", decision)
    write_tensors(folder / "probability.safetensors", {"probability": given[0]})


def _groups(index: pd.DataFrame, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Grouping → the group's name of each of these rows [n] of the index."""
    settled = settled_by_next_episode(index, READMISSION_DAYS)
    again = had_event_before(index, index[READMISSION].to_numpy(), settled)
    groups = subgroups(index, READMISSION_DAYS) | {"event before": np.where(again, "repeated", "none known")}
    return {name: members[rows] for name, members in groups.items()}


def export_predictions(folder: Path, encounters: Path, fits: Path, model: str) -> None:
    """The step that writes a model's test predictions in the prediction schema of MEDS, a file a task.

    Raises NotComputable when there are none.
    """
    index = cohort_encounters.load(encounters).index
    mine = [made for made in load_predicted([fits], encounters, "test") if made.model == model]
    if not mine:
        raise NotComputable(f"{model} could be fitted to no task")
    for made in mine:
        probability, label = (np.full(len(index), np.nan) for _ in range(2))
        probability[made.rows], label[made.rows] = made.probability, made.label
        write_predictions(folder, index, probability, label, made.task)


def count_files(folder: Path) -> int:
    """How many outcomes `export_predictions` wrote."""
    return len(list(folder.glob("label_*.parquet")))


def load_in_full(folder: Path) -> InFull:
    """Read what `examine` left. Raises NotComputable with the reason when there was nothing to examine."""
    if (folder / REASON).exists():
        raise NotComputable(read_json(folder / REASON)["reason"])
    metrics, calibration, decision = (read_table(folder / f"{name}.parquet") for name in InFull._fields[:3])
    return InFull(metrics, calibration, decision, read_tensors(folder / "probability.safetensors")["probability"])


def only(encounters: Path, fits: Path, model: str, task: str) -> Predicted:
    """One model's predictions of one task on test rows. Raises NotComputable with the reason when there are none."""
    for made in load_predicted([fits], encounters, "test", task=task):
        if made.model == model:
            return made
    why = load_fits([fits]).query("model == @model and task == @task and share == 1")["reason"]
    raise NotComputable(why.iloc[0] if len(why) else f"{task} is not among prediction.tasks")


def learn_from_few(folder: Path, encounters: Path, statistics: params.Statistics, seed: int, *fits: Path) -> None:
    """The step that leaves efficiency.parquet: AUROC for readmission by the share of training patients with labels.

    Columns model, share, the fields of an Estimate, train_patients, reason; only models that were fitted to fewer.
    """
    how = Inference(**statistics.model_dump())
    table = load_fits(fits)
    table = table[table["task"] == READMISSION]
    table = table[table["model"].isin(table.loc[table["share"] < 1, "model"])].set_index(["model", "share"])
    rows: list[dict[str, Any]] = []
    for share in sorted(set(table.index.get_level_values("share"))):
        for made in load_predicted(fits, encounters, "test", share, READMISSION):
            if (made.model, share) in table.index:
                about = {"model": made.model, "share": share, "reason": ""}
                rows.append(
                    about
                    | _auroc(made, how, seed)
                    | {"train_patients": table.loc[(made.model, share)]["train_patients"]}
                )
    columns = ["model", "share", *Estimate._fields, "train_patients", "reason"]
    write_table(folder / "efficiency.parquet", pd.DataFrame(rows).reindex(columns=columns))


def load_efficiency(folder: Path) -> pd.DataFrame:
    """What `learn_from_few` left. Raises NotComputable when no model has a number."""
    table = read_table(folder / "efficiency.parquet")
    if not table["value"].notna().any():
        raise NotComputable("no model could be fitted to a part of the training patients and scored")
    return table


def _auroc(made: Predicted, how: Inference, seed: int) -> dict[str, Any]:
    try:
        require_carriers(made.label, made.patients, how.min_carriers)
        statistic, rng = weighted_auroc(made.probability, made.label), np.random.default_rng(seed)
        return patient_bootstrap(statistic, made.patients, how.bootstrap, how.level, rng, how.min_patients)._asdict()
    except NotComputable as reason:
        return {"reason": str(reason)}
