"""Every model of the prediction chapters on the same test rows: scores, paired differences, and a null for each.

`score` and `compare` share a seed and so their draws of patients. A model that could not be fitted, or a task with too
few patients, keeps its row with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.joint import Joint, joint_bootstrap
from jepascope.analysis.inference.stats import (
    NULL_COLUMNS,
    Estimate,
    Inference,
    NotComputable,
    Null,
    null_of,
    permuted_auroc,
    permuted_rows,
    require_carriers,
    weighted_auroc,
)
from jepascope.analysis.outcomes.calibration import weighted_brier_skill
from jepascope.analysis.outcomes.discrimination import weighted_auprc
from jepascope.cohort import encounters as cohort_encounters
from jepascope.pipeline.outcomes.fitting import READMISSION, Predicted, load_fits, load_predicted, tasks_of
from jepascope.store import read_table, write_table

MAIN = (
    READMISSION, "label_escalation_per_enc", "label_psych_crisis_per_enc", "label_psych_crisis_28d_per_enc",
    "label_death_365d_per_enc", "label_long_stay_per_enc",
)  # fmt: skip
JEPA, TWIN, SUPERVISED, FLOOR = "JEPA (z, c)", "untrained (z, c)", "supervised transformer", "structure"
JEPA_ON_FLOOR, TWIN_ON_FLOOR = "JEPA structure + (z, c)", "untrained structure + (z, c)"
SHOWN = (
    FLOOR,
    "xgboost clinical",
    "xgboost coded",
    SUPERVISED,
    "JEPA z",
    "JEPA c",
    JEPA,
    JEPA_ON_FLOOR,
    TWIN,
    TWIN_ON_FLOOR,
)
MEASURES = ("auroc", "auprc", "brier_skill")
BEST = "best simple model"
SIMPLE = (
    "prevalence", "persistence", "acuity", FLOOR, "principal codes of k", "principal codes so far", "logistic clinical",
    "logistic coded", "xgboost clinical", "xgboost coded",
)  # fmt: skip
BEDSIDE = ("logistic clinical", "xgboost clinical")  # what could run before anything is billed
# Ours less theirs. Whoever reads z reads the billing codes of k as well: "xgboost coded" is the peer in information,
# "xgboost clinical" what could run at the bedside.
PAIRS = (
    *((model, FLOOR) for model in ("logistic clinical", "xgboost clinical", "xgboost coded")),
    *((model, FLOOR) for model in (JEPA_ON_FLOOR, TWIN_ON_FLOOR)),
    *((model, "acuity") for model in (JEPA, TWIN)),
    *((model, "xgboost clinical") for model in (JEPA, JEPA_ON_FLOOR)),
    *((model, BEST) for model in (JEPA, JEPA_ON_FLOOR, TWIN, TWIN_ON_FLOOR, SUPERVISED)),
    (JEPA, TWIN),
)
# What the chapter claims: task, ours, theirs, the twin's in place of ours. Less no model (None) is an AUROC itself.
CLAIMED: dict[str, tuple[str, str, str | None, str | None]] = {
    "reads_readmission": (READMISSION, JEPA, None, TWIN),
    "adds_to_floor": (READMISSION, JEPA_ON_FLOOR, FLOOR, TWIN_ON_FLOOR),
    "training_adds": (READMISSION, JEPA, TWIN, None),
    "training_adds_crisis": ("label_psych_crisis_28d_per_enc", JEPA, TWIN, None),
    "beats_best_simple": (READMISSION, JEPA_ON_FLOOR, BEST, TWIN_ON_FLOOR),
    "escalation_beyond_acuity": ("label_escalation_per_enc", JEPA, "acuity", TWIN),
}
SCORE_COLUMNS = ["task", "model", "metric", *Estimate._fields, "positives", *NULL_COLUMNS,
                 "reason"]  # fmt: skip
PAIR_COLUMNS = ["task", "ours", "theirs", "named", *Estimate._fields, *NULL_COLUMNS,
                "reason"]  # fmt: skip


class Reading(NamedTuple):
    """What a claim needs: the model's number, the same with labels of another patient, and the untrained twin's."""

    estimate: Estimate
    null: Null
    untrained: Estimate | None


def score(folder: Path, encounters: Path, statistics: params.Statistics, seed: int, *fits: Path) -> None:
    """The step that leaves scores.parquet: AUROC, AUPRC and Brier skill of every model on the test rows of every task.

    The Brier skill is over the event's rate among training patients. Beside each AUROC stands what it is when every
    patient's labels are another patient's.
    """
    how = Inference(**statistics.model_dump())
    index = cohort_encounters.load(encounters).index
    rate = index[index["split"] == "train"].filter(like="label_").mean()
    rows = _not_fitted(fits)
    for task, models in _by_task(load_predicted(fits, encounters, "test")):
        about = {"task": task, "positives": models[0].label.sum()}
        try:
            found, nulls = _measures(models, rate[task], how, seed), _null_aurocs(models, how, seed)
        except NotComputable as reason:
            rows += [
                {**about, "model": made.model, "metric": m, "reason": str(reason)} for made in models for m in MEASURES
            ]
            continue
        for made in models:
            for metric in MEASURES:
                null = _null(found, f"{made.model} auroc", nulls[made.model], how.level) if metric == "auroc" else {}
                numbers = _estimate(found, f"{made.model} {metric}")
                rows.append({**about, "model": made.model, "metric": metric, **numbers, **null})
    write_table(folder / "scores.parquet", pd.DataFrame(rows).reindex(columns=SCORE_COLUMNS))


def compare(
    folder: Path, encounters: Path, baselines: Path, statistics: params.Statistics, seed: int, *fits: Path
) -> None:
    """The step that leaves differences.parquet: AUROC of ours less theirs, for PAIRS, on the same draws of patients.

    The best simple model of a task is, among those of `baselines`, the one with the smallest loss on validation
    patients: the best on test patients would be one chosen by luck.
    """
    how = Inference(**statistics.model_dump())
    tried = load_fits([baselines, *fits]).query("share == 1")
    why = {(row.task, row.model): row.reason for row in tried.itertuples()}
    best = best_simple(load_fits([baselines]))
    predicted = dict(_by_task(load_predicted([baselines, *fits], encounters, "test")))
    rows: list[dict[str, Any]] = []
    for task in dict.fromkeys(tried["task"]):
        # Where no simple model could be fitted, ours could not either, and says why.
        named = [(a, b, best.get(task, a) if b == BEST else b) for a, b in PAIRS]
        pairs = [pair for pair in named if {(task, pair[0]), (task, pair[2])} <= why.keys()]
        reasons = [why[task, a] or why[task, b] for a, _, b in pairs]
        wanted = {name for a, _, b in pairs for name in (a, b)}
        models = [made for made in predicted.get(task, []) if made.model in wanted]
        rows += [{"task": task, **row} for row in _pairs(models, pairs, reasons, how, seed)]
    write_table(folder / "differences.parquet", pd.DataFrame(rows).reindex(columns=PAIR_COLUMNS))


def main_tasks(prediction: params.Prediction) -> list[str]:
    """Those of MAIN that are to be predicted."""
    return [task for task in MAIN if task in tasks_of(prediction)]


def name_of_best(baselines: Path, task: str = READMISSION) -> str:
    """The best simple model of a task, by `best_simple`. Raises NotComputable when none could be fitted."""
    best = best_simple(load_fits([baselines]))
    if task not in best:
        raise NotComputable("no simple model could be fitted")
    return best[task]


def best_simple(fits: pd.DataFrame) -> dict[str, str]:
    """Task → the model with the smallest validation loss, of a table as `load_fits` makes it."""
    fitted = fits[(fits["share"] == 1) & (fits["reason"] == "")]
    least = fitted.loc[fitted.groupby("task")["validation_loss"].idxmin()]
    return dict(zip(least["task"], least["model"], strict=True))


def side_by_side(
    folders: Sequence[Path], models: Sequence[str], metric: str = "auroc", tasks: Sequence[str] = MAIN
) -> pd.DataFrame:
    """Scores of several steps in one table, in the order of tasks and models. NotComputable if there is no number."""
    table = load_scores(folders).query("metric == @metric")
    order = pd.MultiIndex.from_product([tasks, models], names=["task", "model"])
    return _with_numbers(table.set_index(["task", "model"]).reindex(order).reset_index())


def against_best(folder: Path, tasks: Sequence[str] = MAIN) -> pd.DataFrame:
    """Each model less the best simple one of each task: task, model, value, low, high, … NotComputable if no number."""
    table = read_table(folder / "differences.parquet").query("theirs == @BEST and task in @tasks")
    return _with_numbers(table.rename(columns={"ours": "model"}))


def load_scores(folders: Sequence[Path]) -> pd.DataFrame:
    """Scores of several steps, one below the other."""
    return pd.concat([read_table(folder / "scores.parquet") for folder in folders], ignore_index=True)


def load_differences(folder: Path) -> pd.DataFrame:
    """What `compare` left. Raises NotComputable if no pair has a number."""
    return _with_numbers(read_table(folder / "differences.parquet"))


def reading(claim: str, scores: Path, differences: Path) -> Reading:
    """What one of CLAIMED rests on. Raises NotComputable with the recorded reason."""
    task, ours, theirs, twin = CLAIMED[claim]
    if theirs is None:
        return auroc_reading(scores, task, ours, twin)
    return difference_reading(differences, task, ours, theirs, twin)


def auroc_reading(scores: Path, task: str, model: str, untrained: str | None = None) -> Reading:
    """A model's AUROC with its null, and the untrained twin's. Raises NotComputable with the recorded reason."""
    table = read_table(scores / "scores.parquet").query("metric == 'auroc'").set_index(["task", "model"])
    return _reading(table, (task, model), None if untrained is None else (task, untrained))


def difference_reading(differences: Path, task: str, ours: str, theirs: str, untrained: str | None = None) -> Reading:
    """Ours less theirs with its null, and the untrained twin's less theirs. Raises NotComputable with the reason."""
    table = read_table(differences / "differences.parquet").set_index(["task", "ours", "theirs"])
    return _reading(table, (task, ours, theirs), None if untrained is None else (task, untrained, theirs))


def _reading(table: pd.DataFrame, ours: tuple[str, ...], untrained: tuple[str, ...] | None) -> Reading:
    if ours not in table.index:
        raise NotComputable(f"no model predicts {ours[0]} here")
    row = table.loc[ours]
    null = Null.of_columns(row)
    twin = None if untrained is None or untrained not in table.index else table.loc[untrained]
    return Reading(_told(row), null, None if twin is None or twin["reason"] else _told(twin))


def _told(row: pd.Series) -> Estimate:
    if row["reason"]:
        raise NotComputable(row["reason"])
    return Estimate(row["value"], row["low"], row["high"], int(row["n_rows"]), int(row["n_patients"]))


def _with_numbers(table: pd.DataFrame) -> pd.DataFrame:
    if not table["value"].notna().any():
        reasons = table["reason"].dropna()
        raise NotComputable(reasons.iloc[0] if len(reasons) else "no model predicts these outcomes here")
    return table


def _by_task(made: Sequence[Predicted]) -> Iterator[tuple[str, list[Predicted]]]:
    """Group by task. `load_fits` has made sure that the models of a task predicted the same rows."""
    for task in dict.fromkeys(one.task for one in made):
        yield task, [one for one in made if one.task == task]


def _not_fitted(fits: Sequence[Path]) -> list[dict[str, Any]]:
    table = load_fits(fits)
    failed = table[(table["share"] == 1) & (table["reason"] != "")]
    return [
        {**row, "metric": metric}
        for row in failed[["task", "model", "reason"]].to_dict("records")
        for metric in MEASURES
    ]


def _measures(models: Sequence[Predicted], rate: float, how: Inference, seed: int) -> Joint:
    """MEASURES of each model on shared draws; names are "model measure"."""
    label, patients = models[0].label, models[0].patients
    require_carriers(label, patients, how.min_carriers)
    statistics = [
        make
        for p in (made.probability.astype(float) for made in models)
        for make in (weighted_auroc(p, label), weighted_auprc(p, label), weighted_brier_skill(p, label, rate))
    ]
    names = [f"{made.model} {metric}" for made in models for metric in MEASURES]
    return joint_bootstrap(lambda w: np.column_stack([f(w) for f in statistics]), names, patients, how, seed)


def _aurocs(models: Sequence[Predicted], how: Inference, seed: int) -> Joint:
    """The AUROC of each model on shared draws; names are the models'."""
    label, patients = models[0].label, models[0].patients
    require_carriers(label, patients, how.min_carriers)
    statistics = [weighted_auroc(made.probability, label) for made in models]
    names = [made.model for made in models]
    return joint_bootstrap(lambda w: np.column_stack([f(w) for f in statistics]), names, patients, how, seed)


def _null_aurocs(models: Sequence[Predicted], how: Inference, seed: int) -> dict[str, np.ndarray]:
    """Each model's AUROC [draws] when whole patients' labels are moved, the same moves for all: so they are paired."""
    rows = permuted_rows(models[0].patients, how.permutations, np.random.default_rng(seed))
    return {made.model: permuted_auroc(made.probability, made.label)(rows) for made in models}


def _pairs(
    models: Sequence[Predicted],
    pairs: Sequence[tuple[str, str, str]],
    reasons: Sequence[str],
    how: Inference,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """One row a pair (ours, theirs, their name) of one task; `reasons`: why one of its models could not be fitted."""
    found, nulls, too_few = None, {}, ""
    if models:
        try:
            found, nulls = _aurocs(models, how, seed), _null_aurocs(models, how, seed)
        except NotComputable as why:
            too_few = str(why)
    for (ours, theirs, named), reason in zip(pairs, reasons, strict=True):
        about = {"ours": ours, "theirs": theirs, "named": named}
        if found is None or reason:
            yield {**about, "reason": reason or too_few}
        else:
            gap = _gap(found, ours, named)
            yield about | _estimate(gap, "gap") | _null(gap, "gap", nulls[ours] - nulls[named], how.level)


def _gap(found: Joint, ours: str, theirs: str) -> Joint:
    a, b = found.names.index(ours), found.names.index(theirs)
    value, drawn = found.value[[a]] - found.value[[b]], found.drawn[:, [a]] - found.drawn[:, [b]]
    return found._replace(names=("gap",), value=value, drawn=drawn)


def _estimate(found: Joint, name: str) -> dict[str, Any]:
    try:
        return {**found.estimate(name)._asdict(), "reason": ""}
    except NotComputable as reason:
        return {"n_rows": found.n_rows, "n_patients": found.n_patients, "reason": str(reason)}


def _null(found: Joint, name: str, moved: np.ndarray, level: float) -> dict[str, float]:
    return null_of(moved, float(found.value[found.names.index(name)]), level).columns()
