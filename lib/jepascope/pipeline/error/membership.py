"""Do a model's errors tell who trained it? Attacks on training patients, and on patients whom nobody trained on."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.error.membership import (
    Attack,
    attack,
    auroc_within,
    learned_attack,
    log_ratio,
    mean_by_patient,
    shortening,
    strata_of,
    summaries,
)
from jepascope.analysis.inference.stats import NULL_COLUMNS, Estimate, Inference, NotComputable, grouped_folds
from jepascope.analysis.predictor.prediction import squared_error
from jepascope.analysis.predictor.references import ridge_predictions
from jepascope.pipeline.error.parts import MODELS, Rows, load_rows
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.store import read_json, read_table, write_json, write_table

SIZE, OUTSIDER, TWIN, READ_E, READ_Z_HAT, RECORD = (
    "size of e", "beside an outsider's", "beside the twin's", "learnt from e", "learnt from ẑ", "the record alone",
)  # fmt: skip
# Whose membership is asked about, and the part of the cohort that is taken for members; the others are test patients.
TRAINED, CONTROL = "training patients", "validation patients"
ASKED = {TRAINED: "train", CONTROL: "validation"}
REFITS = 20
# Shares by which errors of patients whom nobody trained on are shortened, to see what an attack would see.
PLANTED = (0.0, 0.02, 0.05, 0.1, 0.2)
SHORTER = "shorter.json"
SEEN = 0.53  # an AUROC that some thousand patients tell from a coin
COLUMNS = [
    "asked",
    "model",
    "attack",
    *Estimate._fields,
    *NULL_COLUMNS,
    "caught",
    "caught_low",
    "caught_high",
    "reason",
]


class People(NamedTuple):
    """The B patients with a prediction."""

    codes: np.ndarray  # int [M], patient of each row
    split: np.ndarray  # str [B]
    strata: np.ndarray  # int [B], alike in record length and era
    record: np.ndarray  # float [B, 8], what the record alone gives an attacker


def infer_membership(folder: Path, trained: Path, twin: Path, statistics: params.Statistics, seed: int) -> None:
    """The step that attacks a model and its untrained twin, one score a patient.

    Members are training patients, the others test patients; as a control of the trained model's, validation patients
    are taken for members, though nobody trained on them. Leaves attacks.parquet (COLUMNS), planted.parquet (attack,
    share, auroc: what would be seen of a known memory), readings.json ("by_error", "beside_an_outsider", "learnt",
    "control") and, with an outsider, shorter.json (an Estimate). Raises NotComputable if training or test patients
    have no prediction.
    """
    how = Inference(**statistics.model_dump())
    rows = dict(zip(MODELS, map(load_rows, (trained, twin)), strict=True))
    people = describe(rows["trained"])
    scores = {model: fixed_scores(made, rows["untrained twin"], people, how, seed) for model, made in rows.items()}
    found: dict[tuple[str, str, str], Attack | str] = {}
    for asked, model in ((TRAINED, "trained"), (TRAINED, "untrained twin"), (CONTROL, "trained")):
        made, by_name = rows[model], dict(scores[model])
        learnt = {READ_E: summaries(made.e, people.codes), READ_Z_HAT: summaries(made.z_hat, people.codes)}
        if model == "trained":
            learnt[RECORD] = people.record
        else:
            del by_name[TWIN]  # it would be held against itself
        for name in (*by_name, *learnt):
            found[asked, model, name] = _try(people, ASKED[asked], by_name.get(name), learnt.get(name), how, seed)
    write_table(folder / "attacks.parquet", _table(found))
    write_table(folder / "planted.parquet", plant(scores["trained"], people))
    save_readings(folder, _readings(found))
    if OUTSIDER in scores["trained"] and not isinstance(found[TRAINED, "trained", OUTSIDER], str):
        here = np.isin(people.split, ("train", "test"))
        log_ratios, members = -scores["trained"][OUTSIDER][here], people.split[here] == "train"
        write_json(folder / SHORTER, shortening(log_ratios, members, how, np.random.default_rng(seed))._asdict())


def describe(rows: Rows) -> People:
    """Who the patients of the predicted encounters are, for comparing like with like."""
    _, first, codes, lengths = np.unique(rows.patients, return_index=True, return_inverse=True, return_counts=True)
    one = rows.index.iloc[first]
    era = one["anchor_year_group"].astype(str).to_numpy() if "anchor_year_group" in one else None
    told = np.column_stack([
        np.log1p(rows.index["gap_days"].fillna(0).clip(lower=0)), np.log1p(rows.index["n_tokens"]), rows.index["age"],
    ])  # fmt: skip
    record = np.column_stack([np.log(lengths), lengths, summaries(told, codes)])
    return People(codes, one["split"].to_numpy(), strata_of(lengths, era), record)


def fixed_scores(rows: Rows, twin: Rows, people: People, how: Inference, seed: int) -> dict[str, np.ndarray]:
    """Scores [B] of the attacks that learn nothing; the higher, the more like a member. The smaller the error, that is.

    An outsider is a linear prediction from the same inputs, of patients it was not fitted to.
    """
    size, of_twin = squared_error(rows.z, rows.z_hat), squared_error(twin.z, twin.z_hat)
    columns = {SIZE: size, TWIN: log_ratio(size, of_twin)}
    if (predicted := outsider(rows, people, how.folds, seed)) is not None:
        columns[OUTSIDER] = log_ratio(size, squared_error(rows.z, predicted))
    return {name: -mean_by_patient(column[:, None], people.codes)[:, 0] for name, column in columns.items()}


def outsider(rows: Rows, people: People, folds: int, seed: int) -> np.ndarray | None:
    """Predict everybody's z [M, D] by ridge regressions fitted to validation patients alone; None with too few.

    All patients, of every split, are dealt into folds, and a fold is predicted from the validation patients of the
    others: so it knows training, validation and test patients equally little.
    """
    of_patient = grouped_folds(np.arange(len(people.split)), folds, np.random.default_rng(seed))
    fold, known = of_patient[people.codes], (people.split == "validation")[people.codes]
    predicted = np.empty_like(rows.z)
    for f in range(folds):
        judged = known & (fold == (f + 1) % folds)
        fitted = known & (fold != f) & ~judged
        if fitted.sum() < 2 or not judged.any():
            return None
        predicted[fold == f] = ridge_predictions(rows.own, rows.z, fitted, judged).predicted[fold == f]
    return predicted


def plant(scores: Mapping[str, np.ndarray], people: People) -> pd.DataFrame:
    """AUROC of the attacks on validation patients, were their e shorter by a known share: what they can see at all.

    Training patients may be remembered already, and would start above a half.
    """
    here = np.isin(people.split, ("validation", "test"))
    members = people.split[here] == "validation"
    records = []
    for share in PLANTED:
        shorter = {SIZE: scores[SIZE] * (1 - share) ** 2}
        if OUTSIDER in scores:
            shorter[OUTSIDER] = scores[OUTSIDER] - 2 * np.log(1 - share)
        for name, moved in shorter.items():
            planted = np.where(members, moved[here], scores[name][here])
            with contextlib.suppress(NotComputable):  # of a handful of patients, none may be of like records
                told = auroc_within(planted, members, people.strata[here])(np.ones((1, len(members))))[0]
                records.append({"attack": name, "share": share, "auroc": float(told)})
    return pd.DataFrame(records, columns=["attack", "share", "auroc"])


def _try(
    people: People, split: str, scores: np.ndarray | None, X: np.ndarray | None, how: Inference, seed: int
) -> Attack | str:
    """One attack on the patients of a split, among test patients; or the reason why there is none."""
    here = np.isin(people.split, (split, "test"))
    members, strata, rng = people.split[here] == split, people.strata[here], np.random.default_rng(seed)
    try:
        if scores is not None:
            return attack(scores[here], members, strata, how, rng)
        assert X is not None
        return learned_attack(X[here], members, strata, how, rng, REFITS)
    except NotComputable as reason:
        return str(reason)


def _table(found: Mapping[tuple[str, str, str], Attack | str]) -> pd.DataFrame:
    records: list[dict[str, Any]] = []
    for (asked, model, name), told in found.items():
        about = {"asked": asked, "model": model, "attack": name}
        if isinstance(told, str):
            records.append({**about, "reason": told})
            continue
        numbers = {**told.auroc._asdict(), **told.null.columns()}
        caught = dict(zip(("caught", "caught_low", "caught_high"), told.caught, strict=False))
        records.append({**about, **numbers, **caught, "reason": ""})
    return pd.DataFrame(records).reindex(columns=COLUMNS)


def _readings(found: Mapping[tuple[str, str, str], Attack | str]) -> dict[str, Reading]:
    """What the claims rest on; an attack that could not be made leaves no reading."""
    asked = {
        "by_error": (TRAINED, SIZE), "beside_an_outsider": (TRAINED, OUTSIDER), "learnt": (TRAINED, READ_E),
        "control": (CONTROL, OUTSIDER),
    }  # fmt: skip
    told = {}
    for name, (whom, by) in asked.items():
        ours, twins = found.get((whom, "trained", by), ""), found.get((whom, "untrained twin", by), "")
        if not isinstance(ours, str):
            told[name] = Reading(ours.auroc, ours.null, None if isinstance(twins, str) else twins.auroc)
    return told


def load_caught(folder: Path, name: str = OUTSIDER) -> Estimate:
    """Share of training patients caught by an attack at few false alarms. Raises NotComputable with the reason."""
    row = read_table(folder / "attacks.parquet").set_index(["asked", "model", "attack"])
    key = (TRAINED, "trained", name)
    if key not in row.index or row.loc[key, "reason"]:
        raise NotComputable(str(row.loc[key, "reason"]) if key in row.index else "too few validation patients")
    found = row.loc[key]
    counts = int(found["n_rows"]), int(found["n_patients"])
    return Estimate(found["caught"], found["caught_low"], found["caught_high"], *counts)


def load_shorter(folder: Path) -> Estimate:
    """By which share training patients' errors are shorter, beside an outsider's. Raises NotComputable without it."""
    if not (folder / SHORTER).exists():
        raise NotComputable("too few patients for an outsider")
    return Estimate(**read_json(folder / SHORTER))


def least_seen(folder: Path, name: str = OUTSIDER, bound: float = SEEN) -> float:
    """The smallest planted shortening of errors that lifts an attack's AUROC to `bound`, by interpolation.

    Raises NotComputable where the largest does not, or where none is needed.
    """
    rows = read_table(folder / "planted.parquet").query("attack == @name")
    if rows.empty or rows["auroc"].max() < bound or rows["auroc"].min() > bound:
        raise NotComputable(f"no shortening that was planted lifts the attack to {bound}")
    return float(np.interp(bound, rows["auroc"], rows["share"]))
