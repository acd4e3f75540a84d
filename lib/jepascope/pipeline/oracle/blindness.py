"""Two trials of the blind-spot map: blindness that was put in must be found, and blindness that is cured must go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.error.blind_spots import concept_directions
from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    auroc_difference,
    patient_bootstrap,
    permuted_rows,
)
from jepascope.certify.blind import Rows, find_blind, inject, mean_recovery, random_basis
from jepascope.certify.falsification import Foreseen, effects, foreseen
from jepascope.certify.futures import foretold
from jepascope.certify.planted import load_truth
from jepascope.cohort import encounters as cohort_encounters
from jepascope.objects import load_objects
from jepascope.pipeline.error.concepts import carried
from jepascope.pipeline.error.parts import load_rows
from jepascope.pipeline.oracle.futures import load_estimate
from jepascope.store import read_table, write_table
from jepascope.training.batches import pack, patients_of
from jepascope.training.frozen import retrain

# Random subspaces of each size, and the commonest concepts whose own direction is taken away.
RANDOM, SIZES, CONCEPTS = 2, (1, 2, 3), 2
# Context and predictor are trained anew on the finished z. On validation patients, a predictor that is told nothing is
# best after about so many epochs: with four it isn't yet, and with 25 it knows the training patients by heart.
EPOCHS = 8


def inject_blind_spots(folder: Path, records: Path, objects: Path, statistics: params.Statistics, seed: int) -> None:
    """The step that takes known subspaces out of a model's predictions and looks for them in its error.

    Leaves injections.parquet (subspace, axes, what blind axes and plain axes of e recover, with it and without it) and
    means.parquet ("injected" and "nothing injected" with intervals, "axes of e", "random axes"). Raises NotComputable
    with too few patients.
    """
    how, loaded, o = Inference(**statistics.model_dump()), load_rows(objects), load_objects(objects)
    rows = Rows(loaded.z, loaded.z_hat, loaded.own, loaded.patients)
    patients, D = loaded.patients[loaded.test], loaded.z.shape[1]
    truth, train = load_truth(records / "planted", o.index), (o.index["split"] == "train").to_numpy()
    states = truth.states.to_numpy(bool)
    commonest = np.argsort(-states[train].mean(axis=0))[:CONCEPTS]
    directions = effects(o.z[train], states[train][:, commonest])
    rng = np.random.default_rng(seed)
    bases = {f"random {chr(97 + j)}": random_basis(D, n, rng) for j, n in enumerate(SIZES * RANDOM)}
    bases |= {truth.states.columns[q]: direction[None] for q, direction in zip(commonest, directions, strict=True)}
    given, every = (loaded.train, loaded.test), list(bases.values())
    # One seed throughout: recoveries share their draws of patients.
    found = [
        find_blind(rows._replace(z_hat=inject(rows.z_hat, basis)), *given, [basis], how, np.random.default_rng(seed))[0]
        for basis in every
    ]
    untouched = find_blind(rows, *given, every, how, np.random.default_rng(seed))
    table = pd.DataFrame({"subspace": list(bases), "axes": [len(basis) for basis in bases.values()]})
    table["blind axes"] = [one.blind.value for one in found]
    table["axes of e"] = [one.plain for one in found]
    table["blind axes, nothing injected"] = [one.blind.value for one in untouched]
    write_table(folder / "injections.parquet", table)
    means = {
        name: mean_recovery([one.blind for one in each], patients, how.level)._asdict()
        for name, each in (("injected", found), ("nothing injected", untouched))
    }
    means |= {"axes of e": {"value": table["axes of e"].mean()}, "random axes": {"value": table["axes"].mean() / D}}
    write_table(folder / "means.parquet", pd.DataFrame([{"name": n, **e} for n, e in means.items()]))


def load_injections(folder: Path) -> pd.DataFrame:
    """Each injected subspace and what recovered it."""
    return read_table(folder / "injections.parquet")


def load_mean(folder: Path, name: str) -> Estimate:
    """Mean recovery over all subspaces: "injected", or with "nothing injected"."""
    return load_estimate(folder / "means.parquet", name)


def load_plain(folder: Path) -> float:
    """Mean recovery of the injected subspaces by as many plain principal axes of e, for comparison."""
    return float(read_table(folder / "means.parquet").set_index("name").loc["axes of e", "value"])


def falsify(
    folder: Path,
    encounters: Path,
    records: Path,
    objects: Path,
    model: params.Model,
    training: params.Training,
    statistics: params.Statistics,
    seed: int,
    trials: str,
) -> None:
    """The step that gives a predictor what it lacked, trains it again on the same z, and sees what it now foresees.

    Four predictors from the same start: told nothing; told which echoes are due (long-memory concepts); told the same
    of another patient ("placebo"); told where the "rules" of driven concepts hold. `trials` names which of the
    last three are wanted, apart by blanks. Leaves changes.parquet (trial, concept, dynamics, target, before: the share
    foreseen by who is told nothing, and its change: value, low, high, family-wise), pooled.parquet (mean changes
    "<trial>, targets" and ", others"; ", furthest": the most moved of the others; ", before" and ", after": mean shares
    of the targets), skill.parquet and aurocs.parquet. Raises NotComputable where no target has enough carriers.
    """
    how, cohort, o = Inference(**statistics.model_dump()), cohort_encounters.load(encounters), load_objects(objects)
    truth, due = load_truth(records / "planted", o.index), foretold(records / "planted", o.index)
    dynamics = truth.concepts.set_index("name")["dynamics"]
    echoes, rules = (due[[c for c in due if dynamics[c] == kind]] for kind in ("long_memory", "driven"))
    patients = o.index["subject_id"].to_numpy()
    stranger = permuted_rows(patients, 1, np.random.default_rng(seed))[0]
    bits = {"nothing": echoes.to_numpy()[:, :0], "echoes": echoes, "placebo": echoes.iloc[stranger], "rules": rules}
    split = o.index["split"].to_numpy()
    test = split[o.target_rows] == "test"
    at = o.target_rows[test]
    states = truth.states.to_numpy(bool)
    kept = [carried(column, patients[at], how.min_carriers) for column in states[at].T]
    names = truth.states.columns[np.array(kept) & (np.ptp(states[split == "train"].astype(int), axis=0) > 0)]
    targets = {trial: list(rules if trial == "rules" else echoes) for trial in trials.split()}
    for wanted in targets.values():
        if not np.isin(names, wanted).any():
            raise NotComputable(f"too few test patients have {' or '.join(wanted)}")
    packed, train = pack(cohort), patients_of(cohort, "train")
    predicted = {}
    for name in ("nothing", *targets):
        given = np.asarray(bits[name], float)
        z_hat = retrain(o.z, packed, given, train, model, training, EPOCHS, seed)
        predicted[name] = _finish(z_hat, o.z[o.target_rows], given[o.target_rows - 1], split[o.target_rows] == "train")
    write_table(folder / "skill.parquet", _skills(o.z, split, at, {"model": o.z_hat, **predicted}, test))
    states = truth.states[names].to_numpy(bool)
    directions = concept_directions(o.z[split == "train"], states[split == "train"])
    changed, pooled, read = [], [], []
    for trial, wanted in targets.items():
        told = (predicted["nothing"][test], predicted[trial][test])
        target = np.isin(names, wanted)
        of_test = (o.z[at], directions, states[at], patients[at], how)
        # One seed for all: the same draws of patients.
        before, after, change = (foreseen(x, *of_test, np.random.default_rng(seed)) for x in (*told, told[1] - told[0]))
        changed.append(_change_table(before, change, trial, names, dynamics, target))
        pooled += _pool(trial, before, after, change, target, how.level)
        read += _aurocs(trial, told, directions, states[at], names, target, patients[at], how, seed)
    write_table(folder / "changes.parquet", pd.concat(changed, ignore_index=True))
    write_table(folder / "pooled.parquet", pd.DataFrame(pooled))
    write_table(folder / "aurocs.parquet", pd.DataFrame(read))


def _finish(z_hat: np.ndarray, z: np.ndarray, told: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Let a predictor make all that it can, linearly, of what it was told: ẑ + Bᵀ told + b, least squares on `train`.

    Few encounters have a bit set, and in a short training what it means is hardly learnt: a predictor that was told
    would look as blind as one that wasn't. z_hat, z [M, D]; told [M, P] before each of them; train bool [M].
    """
    inputs = np.column_stack([told, np.ones(len(told))])
    return z_hat + inputs @ np.linalg.lstsq(inputs[train], (z - z_hat)[train], rcond=None)[0]


def _skills(
    z: np.ndarray, split: np.ndarray, at: np.ndarray, predicted: dict[str, np.ndarray], test: np.ndarray
) -> pd.DataFrame:
    """Skill over the mean of each predictor, on test rows."""
    size = np.sum((z[at] - z[split == "train"].mean(axis=0)) ** 2)
    skills = [1 - np.sum((z[at] - z_hat[test]) ** 2) / size for z_hat in predicted.values()]
    return pd.DataFrame({"predictor": list(predicted), "skill": np.array(skills, float)})


def _change_table(
    before: Foreseen, change: Foreseen, trial: str, names: pd.Index, dynamics: pd.Series, target: np.ndarray
) -> pd.DataFrame:
    columns = {"trial": trial, "concept": names, "dynamics": dynamics[names].to_numpy(), "target": target}
    found = {"before": before.value, "value": change.value, "low": change.low, "high": change.high}
    return pd.DataFrame({**columns, **found}).dropna(subset="value")


def _pool(
    trial: str, before: Foreseen, after: Foreseen, change: Foreseen, target: np.ndarray, level: float
) -> list[dict[str, Any]]:
    """What a trial did to its targets, and to all others."""
    found = {
        "targets": change.pooled(target, level),
        "others": change.pooled(~target, level),
        "furthest": change.furthest(~target),
        "before": before.pooled(target, level),
        "after": after.pooled(target, level),
    }
    return [{"name": f"{trial}, {name}", **estimate._asdict()} for name, estimate in found.items()]


def _aurocs(
    trial: str,
    told: tuple[np.ndarray, np.ndarray],
    directions: np.ndarray,
    states: np.ndarray,
    names: pd.Index,
    target: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    seed: int,
) -> list[dict[str, Any]]:
    """AUROC of each target from ẑ along its direction: told, less untold, on the same draws of patients."""
    rows = []
    for q in np.flatnonzero(target):
        before, after = (z_hat @ directions[q] for z_hat in told)
        rng = np.random.default_rng(seed)
        gain = patient_bootstrap(
            auroc_difference(after, before, states[:, q]), patients, how.bootstrap, how.level, rng, how.min_patients
        )
        rows.append({"trial": trial, "concept": names[q], **gain._asdict()})
    return rows


def load_skill(folder: Path, predictor: str) -> float:
    """Skill over the mean, on test rows: of the "model", or of a predictor trained anew on its z ("nothing", …)."""
    return float(read_table(folder / "skill.parquet").set_index("predictor").loc[predictor, "skill"])


def load_changes(folder: Path) -> pd.DataFrame:
    """What each trial changed, concept by concept, with family-wise intervals."""
    return read_table(folder / "changes.parquet")


def load_pooled(folder: Path, name: str) -> Estimate:
    """Mean change over the "<trial>, targets" or all "<trial>, others"; see `falsify` for the other names."""
    return load_estimate(folder / "pooled.parquet", name)
