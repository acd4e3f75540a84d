"""Certificates of one seed's model against the planted truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import NULL_COLUMNS, Estimate, Inference, NotComputable, Null
from jepascope.analysis.outcomes.ceiling import CEILING, contrast, shares_of_ceiling, without_effect
from jepascope.certify.concepts import certify_arms
from jepascope.certify.model import certify
from jepascope.certify.planted import CERTAIN, Truth, TruthError, load_truth
from jepascope.cohort import encounters as cohort_encounters
from jepascope.objects import load_objects
from jepascope.pipeline.outcomes.fitting import READMISSION, Predicted, load_predicted
from jepascope.pipeline.readings import Reading
from jepascope.store import read_json, read_table, write_json, write_table

HEADLINE, TWIN = "JEPA (z, c)", "untrained (z, c)"
BLAMERS = (HEADLINE, TWIN, "xgboost clinical")  # models asked whether they blame the confounder
TRAP_COLUMNS = ["concept", "effect", "quantity", *Estimate._fields, *NULL_COLUMNS]
OBJECT = {"z": "z", "z_hat": "ẑ", "e": "e", "twin z": "untrained z"}


def planted_records(extraction: Path) -> Path:
    """Find the planted cohort beside an extraction. Raises NotComputable when the records are real: no known truth."""
    records = extraction.parent / "records"
    if read_json(extraction / "tier.json")["tier"] != "synthetic" or not records.is_dir():
        raise NotComputable("only the synthetic cohort has a planted truth")
    return records


def certify_seed(
    folder: Path, records: Path, trained: Path, twin: Path, statistics: params.Statistics, seed: int
) -> None:
    """The step that probes a model and its twin for what was planted.

    Leaves concepts, families and gains.parquet, and oracle.json.
    """
    objects = load_objects(trained)
    truth = load_truth(records / "planted", objects.index)
    certificate = certify(objects, load_objects(twin), truth, Inference(**statistics.model_dump()), seed)
    for name, table in certificate.probes._asdict().items():
        write_table(folder / f"{name}.parquet", table)
    write_json(folder / "oracle.json", certificate.oracle._asdict())


def certify_arms_of_seed(
    folder: Path, records: Path, twin: Path, statistics: params.Statistics, seed: int, *arms: str | Path
) -> None:
    """The step that holds several arms' z against the truth; arms are given as name, objects, name, objects, …."""
    untrained = load_objects(twin)
    named = {str(name): load_objects(Path(objects)) for name, objects in zip(arms[::2], arms[1::2], strict=True)}
    truth = load_truth(records / "planted", untrained.index)
    found = certify_arms(named, untrained, truth, Inference(**statistics.model_dump()), np.random.default_rng(seed))
    write_table(folder / "gains.parquet", found.gains)
    write_table(folder / "families.parquet", found.families)


def certify_outcome(
    folder: Path, records: Path, encounters: Path, statistics: params.Statistics, seed: int, *fits: Path
) -> None:
    """The step that holds every readmission model against the planted risk, and springs the planted confounder's trap.

    Leaves ceiling.parquet (`ceiling.shares_of_ceiling` on test rows) and trap.parquet. Raises NotComputable where no
    readmission model could be fitted, TruthError where models were asked of different encounters.
    """
    how = Inference(**statistics.model_dump())
    index = cohort_encounters.load(encounters).index
    truth = load_truth(records / "planted", index)
    made = load_predicted(fits, encounters, "test", task=READMISSION)
    if not made:
        raise NotComputable("no readmission model could be fitted")
    rows, label, patients = made[0].rows, made[0].label, made[0].patients
    apart = [one.model for one in made if not np.array_equal(one.rows, rows)]
    if apart:
        raise TruthError(f"{', '.join(apart)} and {made[0].model} were asked of different encounters: run both again")
    probabilities = {one.model: one.probability for one in made}
    ceiling = shares_of_ceiling(probabilities, truth.risk[rows], label, patients, how, seed)
    write_table(folder / "ceiling.parquet", ceiling)
    write_table(folder / "trap.parquet", spring_trap(truth, index, made, how, seed))


def spring_trap(
    truth: Truth, index: pd.DataFrame, made: Sequence[Predicted], how: Inference, seed: int
) -> pd.DataFrame:
    """Hold the confounder beside the cause it travels with: what goes with readmission, what acts, what is predicted.

    Per concept: `observed`, the rate of readmission with less without; `own effect`, the same of the outcome less the
    risk from all other causes; and what models predict, with less without. Outcomes are those of all labelled rows,
    as nothing is fitted; predictions those of test rows. Returns TRAP_COLUMNS. Raises NotComputable without a
    confounder, or where too few patients have it.
    """
    if not truth.confounder:
        raise NotComputable("no confounder was planted")
    concepts = truth.concepts.set_index("name")
    labels = index[READMISSION].to_numpy(float)
    known = np.isfinite(labels)
    label, risk, patients = labels[known], truth.risk[known], index["subject_id"].to_numpy()
    rows = []
    for concept in (truth.confounder, str(concepts.loc[truth.confounder, "companion"])):
        state, effect = truth.states[concept].to_numpy(bool), float(concepts.loc[concept, "risk"])
        others = without_effect(risk, state[known], effect, CERTAIN)
        asked = {"observed": (label, known), "own effect": (label - others, known)}
        asked |= {f"predicted, {one.model}": (one.probability, one.rows) for one in made if one.model in BLAMERS}
        for quantity, (x, where) in asked.items():
            found = contrast(x, state[where], patients[where], how, np.random.default_rng(seed))
            rows.append([concept, effect, quantity, *found.estimate, *found.null])
    return pd.DataFrame(rows, columns=TRAP_COLUMNS)


def load_ceiling(folder: Path) -> pd.DataFrame:
    """Every readmission model: model, kind (auroc, share, excess), value, low, high, …, nulls of excesses."""
    return read_table(folder / "ceiling.parquet")


def nearest_to_ceiling(folder: Path) -> Reading:
    """How far the worst of all models lies above the true risk (AUROC): the one whose interval reaches highest.

    It is chosen on the test rows: if its interval lies below 0 so do all. Raises NotComputable without the twin's.
    """
    table = load_ceiling(folder).query("kind == 'excess' and model != @CEILING").set_index("model")
    return Reading(*_estimate_and_null(table.loc[table["high"].idxmax()]), _estimate_and_null(_row(table, TWIN))[0])


def load_trap(folder: Path) -> pd.DataFrame:
    """What `spring_trap` found."""
    return read_table(folder / "trap.parquet")


def outcome_reading(folder: Path, claim: str) -> Reading:
    """What a claim about the planted outcome rests on: `nearest_to_ceiling` or `blame`."""
    return {"no_model_beats_the_risk": nearest_to_ceiling, "confounder_is_blamed": blame}[claim](folder)


def shares(ceiling: pd.DataFrame) -> pd.DataFrame:
    """The shares of `load_ceiling`, for the figure: task, model, value, low, high; not the risk itself."""
    mine = ceiling[(ceiling["kind"] == "share") & (ceiling["model"] != CEILING)]
    return mine.assign(task="readmission, 30 days")


def name_of_confounder(trap: pd.DataFrame) -> str:
    """The planted confounder's name: the first of `spring_trap`."""
    return str(trap["concept"].iloc[0]).replace("_", " ")


def trap_interval(trap: pd.DataFrame, quantity: str) -> str:
    """One quantity of the confounder with its interval, in percentage points."""
    row = trap[trap["concept"] == trap["concept"].iloc[0]].set_index("quantity").loc[quantity]
    return f"{100 * row['value']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def blame(folder: Path) -> Reading:
    """How much more risk the headline gives encounters with the confounder than those without, and the twin does.

    Raises NotComputable without either model.
    """
    trap = load_trap(folder)
    mine = trap[trap["concept"] == trap["concept"].iloc[0]].set_index("quantity")
    found, twin = (_estimate_and_null(_row(mine, f"predicted, {model}")) for model in (HEADLINE, TWIN))
    return Reading(*found, twin[0])


def arm_gains(folder: Path) -> pd.DataFrame:
    """What training adds to the untrained z by arm and dynamics: arm, dynamics, value, low, high."""
    return read_table(folder / "gains.parquet").rename(columns={"name": "arm"}).dropna(subset=["value"])


def load_oracle(folder: Path) -> Estimate:
    """The AUROC of the planted risk."""
    return Estimate(**read_json(folder / "oracle.json"))


def families(folder: Path) -> pd.DataFrame:
    """Family means for the figure: dynamics, object, value, low, high."""
    table = read_table(folder / "families.parquet")
    return table.assign(object=table["representation"].map(OBJECT)).dropna(subset=["object", "value"])


def reading(folder: Path, dynamics: str, representation: str) -> Reading:
    """One family on one object. Raises NotComputable with the recorded reason."""
    table = read_table(folder / "families.parquet").set_index(["dynamics", "representation"])
    found, twin = table.loc[(dynamics, representation)], table.loc[(dynamics, f"twin {representation}")]
    return Reading(*_estimate_and_null(found), _estimate_and_null(twin)[0])


def gain(folder: Path, dynamics: str) -> Reading:
    """What training added to z for one family. Raises NotComputable with the recorded reason."""
    found = read_table(folder / "gains.parquet").set_index("dynamics").loc[dynamics]
    return Reading(*_estimate_and_null(found))


def _row(table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table.index:
        raise NotComputable(f"{name}: no such model was fitted")
    return table.loc[name]


def _estimate_and_null(row: pd.Series) -> tuple[Estimate, Null]:
    if np.isnan(row["value"]):
        raise NotComputable(row["reason"])
    estimate = Estimate(row["value"], row["low"], row["high"], int(row["n_rows"]), int(row["n_patients"]))
    return estimate, Null.of_columns(row)
