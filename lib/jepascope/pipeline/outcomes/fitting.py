"""Every model of the prediction chapter on identical rows: fitted on train, chosen on validation, saved for both.

Three kinds of step leave the same two files. `fit_baselines` needs the cohort alone, `fit_probes` a folder of objects
besides, `fit_supervised` trains its own network. fits.parquet has a row per task, model and share of training patients:
what was chosen, on which rows it predicted, or why there is nothing. predictions.parquet holds the probabilities.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, hstack
from scipy.special import expit

from jepascope import params
from jepascope.analysis.embedding.codes import principal_codes
from jepascope.analysis.inference.stats import Inference, NotComputable, require_carriers
from jepascope.analysis.outcomes.baselines import (
    boosted_trees,
    last_known_answer,
    logistic_on_counts,
    persistence,
    rate_by_state,
)
from jepascope.analysis.outcomes.tuning import Candidate, tune
from jepascope.analysis.probes.linear import fit_probe, probe_scores
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.features import bag_of_codes, history_counts, structure
from jepascope.cohort.questions import LABELS, OF_COLUMN
from jepascope.cohort.splits import uniform
from jepascope.objects import load_objects
from jepascope.store import StoreError, read_table, write_table
from jepascope.training.supervised import train_supervised

FITS, PREDICTIONS = "fits.parquet", "predictions.parquet"
FIT_COLUMNS = ["task", "model", "share", "setting", "validation_loss", "rows_hash", "rows", "patients", "train_rows",
               "train_patients", "reason"]  # fmt: skip
# Keeps the columns and their types where nothing could be computed.
_NO_PREDICTION = pd.DataFrame(
    {"row": np.zeros(0, np.int64), "probability": np.zeros(0, np.float32), "task": "", "model": "", "share": 1.0}
)
SPACES = ("z", "c", "(z, c)", "structure + (z, c)")  # probes standardise their columns on training rows
NO_ACUITY = 5  # a state of its own, above those of `cohort.labels`
READMISSION = "label_30d_per_enc"  # the task whose models are also fitted to fewer labels: ten times ten is too many
EFFICIENCY_KEY = "label_efficiency"  # of the hash that nests the shares of training patients
# Ends of what is tried, on a geometric grid: from next to no ridge to nearly nothing else.
STRENGTHS = (0.0001, 0.1)
PENALTIES = (10_000.0, 1.0)

Candidates = Callable[[str], Mapping[str, Candidate]]


class Predicted(NamedTuple):
    """What one model says of one task on n labelled rows of one split."""

    task: str
    model: str
    probability: np.ndarray  # [n]
    label: np.ndarray  # [n] in {0, 1}
    rows: np.ndarray  # int64 [n], rows of the index, ascending
    patients: np.ndarray  # [n]


def fit_baselines(
    folder: Path,
    encounters: Path,
    extraction: params.Extraction,
    prediction: params.Prediction,
    statistics: params.Statistics,
    width: int,
) -> None:
    """The step of all that needs no JEPA and no seed: counts, codes, structure, persistence, acuity and prevalence.

    Logistic regression and XGBoost read `history_counts` of the clinical and of the coded set, with `structure`; two
    probes read `width` principal codes, of encounter k alone (beside z) and of the record up to k (beside c), both
    coded. Persistence is the patient's latest answer that was settled at discharge of k; acuity that of k alone.
    """
    cohort = cohort_encounters.load(encounters)
    index = cohort.index
    how = Inference(**statistics.model_dump())
    floor, bare = structure(index), csr_matrix((len(index), 0), dtype=np.float32)
    always = {"prevalence": _states(np.zeros(len(index), int)), "structure": _logistic(bare, floor, prediction.budget)}
    for feature_set in ("clinical", "coded"):
        counts = history_counts(cohort, feature_set)
        always[f"logistic {feature_set}"] = _logistic(counts, floor, prediction.budget)
        always[f"xgboost {feature_set}"] = _boosted(counts, floor, prediction)
    patients, train = index["subject_id"].to_numpy(), (index["split"] == "train").to_numpy()
    for name, bag in {"codes of k": bag_of_codes(cohort), "codes so far": counts.log1p()}.items():
        # One row spans no axis; that there is nothing to fit, every task then says by itself.
        axes = principal_codes(bag, train, width, seed=0) if train.sum() > 1 else np.zeros((len(index), 1))
        always[f"principal {name}"] = _probe(axes, patients, how, prediction.budget)

    def candidates(task: str) -> dict[str, Candidate]:
        mine = {"persistence": Candidate([None], partial(_persistence, earlier_answers(index, task, extraction)))}
        if "escalation" in task:
            mine["acuity"] = _states(index["acuity"].fillna(NO_ACUITY).to_numpy().astype(int))
        return always | mine

    _fit_all(folder, index, candidates, prediction, how, {"logistic clinical", "xgboost clinical"})


def fit_probes(
    folder: Path,
    encounters: Path,
    objects: Path,
    name: str,
    prediction: params.Prediction,
    statistics: params.Statistics,
    *spaces: str,
) -> None:
    """The step that reads a frozen model's representations: a step per model, so that an arm more refits no other.

    `name` stands before each space in the tables ("JEPA z", "untrained (z, c)"). The spaces are those of SPACES, or all
    of them; the last puts the floor's columns beside (z, c), to ask whether a representation adds anything to them.
    Raises StoreError if the objects are of other encounters, KeyError on an unknown space.
    """
    cohort = cohort_encounters.load(encounters)
    made = load_objects(objects)
    if not np.array_equal(made.index["hadm_id"], cohort.index["hadm_id"]):
        raise StoreError(f"{objects} and {encounters} hold different encounters: run the chapter of training again")
    how = Inference(**statistics.model_dump())
    patients = cohort.index["subject_id"].to_numpy()
    both = np.hstack([made.z, made.c])
    floored = np.hstack([structure(cohort.index).astype(np.float32), both])
    columns = dict(zip(SPACES, (made.z, made.c, both, floored), strict=True))
    probes = {f"{name} {space}": _probe(columns[space], patients, how, prediction.budget) for space in spaces or SPACES}
    _fit_all(folder, cohort.index, lambda task: probes, prediction, how, {f"{name} (z, c)"})


def fit_supervised(
    folder: Path,
    encounters: Path,
    model: params.Model,
    training: params.Training,
    prediction: params.Prediction,
    statistics: params.Statistics,
    seed: int,
) -> None:
    """The step that trains the supervised transformer once for all tasks; its settings are epochs, chosen per task."""
    cohort = cohort_encounters.load(encounters)
    tasks = tasks_of(prediction)
    work = folder / "training"
    work.mkdir(exist_ok=True)
    labels = cohort.index[tasks].to_numpy(float)  # [N, Q]
    read = train_supervised(work, cohort, labels, model, training, prediction, seed)

    def candidates(task: str) -> dict[str, Candidate]:
        column = tasks.index(task)
        already = Candidate(list(read), lambda labels, train, epoch: read[epoch][:, column])
        return {"supervised transformer": already}

    _fit_all(folder, cohort.index, candidates, prediction, Inference(**statistics.model_dump()), set())
    (work / "checkpoint.safetensors").unlink(missing_ok=True)  # first: alone it would say that nothing is left to do
    shutil.rmtree(work)


def load_fits(folders: Sequence[Path]) -> pd.DataFrame:
    """The fits of several steps in one table: task, model, share, setting, validation_loss, rows_hash, rows, patients,
    train_rows, train_patients, reason.

    Raises StoreError if models of a task predicted different rows: their scores could not be compared.
    """
    fits = pd.concat([read_table(folder / FITS) for folder in folders], ignore_index=True)
    differ = fits[fits["reason"] == ""].groupby("task")["rows_hash"].nunique() > 1
    if differ.any():
        raise StoreError(f"the models of {', '.join(differ.index[differ])} predicted different rows: run them again")
    return fits


def load_predicted(
    folders: Sequence[Path], encounters: Path, split: str, share: float = 1.0, task: str | None = None
) -> list[Predicted]:
    """Read every (task, model), or those of one task, fitted on `share` of training patients: the rows of one split.

    Raises StoreError as `load_fits` does, and if the rows are not those of these encounters.
    """
    index = cohort_encounters.load(encounters).index
    fits = load_fits(folders)
    hashes = fits[fits["share"] == share].set_index(["task", "model"])["rows_hash"]
    table = pd.concat([read_table(folder / PREDICTIONS) for folder in folders])
    table = table[(table["share"] == share) & ((table["task"] == task) | (task is None))]
    found = []
    for (name, model), made in table.groupby(["task", "model"], sort=False, observed=True):
        rows = made["row"].to_numpy()
        if rows_of(index, name, rows) != hashes[name, model]:
            raise StoreError(f"{model!r} predicted {name} on rows of other encounters than {encounters}: run it again")
        here = (index["split"].to_numpy() == split)[rows]
        rows, probability = rows[here], made["probability"].to_numpy()[here]
        label, patients = index[name].to_numpy()[rows], index["subject_id"].to_numpy()[rows]
        found.append(Predicted(name, model, probability, label, rows, patients))
    return found


def tasks_of(prediction: params.Prediction) -> list[str]:
    """The label columns to predict. Raises ValueError naming those that no encounter has."""
    unknown = sorted(set(prediction.tasks) - set(LABELS))
    if unknown:
        raise ValueError(f"prediction.tasks: {', '.join(unknown)} unknown; the labels are {', '.join(LABELS)}")
    return prediction.tasks or list(LABELS)


def rows_hash(subject_id: np.ndarray, k: np.ndarray, label: np.ndarray) -> str:
    """Name a set of rows with their answers, [n] each: equal names are what "the same rows" means here."""
    columns = (subject_id.astype("<i8"), k.astype("<i8"), label.astype("<f8"))
    return hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()


def rows_of(index: pd.DataFrame, task: str, rows: np.ndarray) -> str:
    """The `rows_hash` of these rows of an Encounters index."""
    return rows_hash(*(index[name].to_numpy()[rows] for name in ("subject_id", "k", task)))


def earlier_answers(index: pd.DataFrame, task: str, extraction: params.Extraction) -> np.ndarray:
    """What a patient's earlier rows answered, as far as it was settled at discharge of k: [N], 1, 0 or NaN.

    Readmission is settled when the patient comes back; a long stay on its eighth day; the others on the day after
    their horizon, since something may still happen on its last day. An event inside the horizon counts no sooner.
    """
    end = index.groupby("subject_id")["dischtime"].cummax()  # labels count from the end of the episode so far
    day = (end.dt.normalize() - pd.Timestamp("1900-01-01")).dt.days.to_numpy(float)
    question = OF_COLUMN[task]
    if question.after_return is None:
        known_from = day + question.days(extraction) + 1
    else:
        known_from = day + index["days_to_next"].to_numpy() + question.after_return
    return last_known_answer(index[task].to_numpy(float), known_from, day, index["subject_id"].to_numpy())


def _fit_all(
    folder: Path,
    index: pd.DataFrame,
    candidates: Candidates,
    prediction: params.Prediction,
    how: Inference,
    at_shares: set[str],
) -> None:
    """Fit every candidate to every task, and write both files.

    Those of `at_shares` are fitted to READMISSION on fewer training patients, too.
    """
    patients, of_row = np.unique(index["subject_id"], return_inverse=True)
    u = uniform(patients, EFFICIENCY_KEY)[of_row]  # [N]; u < share nests the shares
    fits: list[dict[str, Any]] = []
    predictions = [_NO_PREDICTION]
    for task in tasks_of(prediction):
        for model, candidate in candidates(task).items():
            fewer = prediction.label_shares if model in at_shares and task == READMISSION else []
            for share in (1.0, *sorted(fewer, reverse=True)):
                fit = {"task": task, "model": model, "share": share, "reason": ""}
                try:
                    facts, probability = _fit(index, task, candidate, u < share, how)
                    fit |= facts
                    predictions.append(probability.assign(task=task, model=model, share=share))
                except NotComputable as reason:
                    fit["reason"] = str(reason)
                fits.append(fit)
    write_table(folder / FITS, pd.DataFrame(fits).reindex(columns=FIT_COLUMNS))
    table = pd.concat(predictions, ignore_index=True).astype({"task": "category", "model": "category"})
    write_table(folder / PREDICTIONS, table)


def _fit(
    index: pd.DataFrame, task: str, candidate: Candidate, given: np.ndarray, how: Inference
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Tune on the patients whose labels are `given` (bool [N]); predict all labelled validation and test rows."""
    labels, patients = index[task].to_numpy(float), index["subject_id"].to_numpy()
    known, split = np.isfinite(labels), index["split"].to_numpy()
    train = known & given & (split == "train")
    require_carriers(labels[train], patients[train], how.min_carriers)
    if not (known & (split == "test")).any():
        raise NotComputable("no test row has the label")
    tuned = tune(candidate, labels, train, split == "validation", patients)
    asked = known & np.isin(split, ["validation", "test"])
    rows = np.flatnonzero(asked & np.isfinite(tuned.probability))  # what was predicted, not what should have been
    facts = {
        "setting": "" if tuned.setting is None else f"{tuned.setting:.3g}",
        "validation_loss": float(tuned.losses.min()),
        "rows_hash": rows_of(index, task, rows),
        "rows": len(rows),
        "patients": len(np.unique(patients[rows])),
        "train_rows": int(train.sum()),
        "train_patients": len(np.unique(patients[train])),
    }
    return facts, pd.DataFrame({"row": rows, "probability": tuned.probability[rows].astype(np.float32)})


def _grid(ends: tuple[float, float], budget: int) -> list[float]:
    return np.geomspace(*ends, budget).tolist()


def _states(states: np.ndarray) -> Candidate:
    return Candidate([None], lambda labels, train, _: rate_by_state(states, labels, train))


def _persistence(earlier: np.ndarray, labels: np.ndarray, train: np.ndarray, _: None) -> np.ndarray:
    return persistence(earlier, labels, train)


def _logistic(counts: csr_matrix, floor: np.ndarray, budget: int) -> Candidate:
    return Candidate(
        _grid(STRENGTHS, budget),
        lambda labels, train, strength: expit(logistic_on_counts(counts, floor, labels, train, strength)),
    )


def _boosted(counts: csr_matrix, floor: np.ndarray, prediction: params.Prediction) -> Candidate:
    features = hstack([counts, csr_matrix(floor)], format="csr", dtype=np.float32)
    return Candidate(
        range(1, prediction.budget + 1),
        lambda labels, train, depth: boosted_trees(features, labels, train, depth, prediction.trees),
    )


def _probe(X: np.ndarray, patients: np.ndarray, how: Inference, budget: int) -> Candidate:
    # One penalty a call: nothing is left to choose inside, so no folds are drawn and the generator stays unused.
    unused = np.random.default_rng(0)
    return Candidate(
        _grid(PENALTIES, budget),
        lambda labels, train, penalty: expit(
            probe_scores(fit_probe(X, labels, patients, train, how, unused, (penalty,)), X)
        ),
    )
