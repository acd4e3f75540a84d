"""Is a large error at k a sign of what comes after k? e_k is made of z_k, so only later outcomes may be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import NULL_COLUMNS, Estimate, Inference, NotComputable, Null
from jepascope.analysis.outcomes.added_value import Added, added_auroc
from jepascope.cohort.features import structure
from jepascope.objects import load_objects
from jepascope.pipeline.error.parts import MODELS, load_parts, load_rows
from jepascope.store import read_table, write_table

# Outcomes after k, in words.
OUTCOMES = {
    "label_30d_per_enc": "unplanned readmission, 30 days",
    "label_escalation_per_enc": "next episode more acute",
    "label_psych_crisis_per_enc": "psychiatric crisis",
    "label_death_365d_per_enc": "death, 365 days",
}
REFITS = 20
# Keeps the logarithm of a part that is nil finite.
LEAST = 1e-6


def norms(x: np.ndarray) -> np.ndarray:
    """log ‖x‖ of each row of x [M, D], [M, 1]: lengths vary by factors."""
    return np.log(np.linalg.norm(np.asarray(x, float), axis=1) + LEAST)[:, None]


def norms_against_outcomes(
    folder: Path, trained: Path, twin: Path, parts: Path, statistics: params.Statistics, seed: int
) -> None:
    """The step that asks what ‖e_k‖ and the lengths of its parts add to outcomes after k.

    The base knows the structure of the record at k (`cohort.features.structure`), how many tokens k has, and ‖z_k‖:
    a long encounter has a long z and much to be wrong about. Leaves table.parquet, a row a model, outcome and measure.
    `parts` is the folder of `error.take_apart`.
    """
    how = Inference(**statistics.model_dump())
    records: list[dict[str, Any]] = []
    for model, objects in zip(MODELS, (trained, twin), strict=True):
        rows = load_rows(objects)
        base = base_of(load_objects(objects).index, rows.at, rows.z)
        taken = load_parts(parts, model, "past")
        measures = {"‖e‖": norms(rows.e), "its parts": np.hstack([norms(taken.systematic), norms(taken.innovation)])}
        for label, words in OUTCOMES.items():
            y = rows.index[label].to_numpy(float) if label in rows.index else np.full(len(rows.at), np.nan)
            known = np.isfinite(y)
            for measure, columns in measures.items():
                told = {"model": model, "outcome": words, "measure": measure}
                try:
                    added = added_auroc(
                        base[known], columns[known], y[known], rows.patients[known], rows.train[known],
                        rows.test[known], REFITS, how, np.random.default_rng(seed),
                    )  # fmt: skip
                except NotComputable as reason:
                    records.append({**told, "reason": str(reason)})
                else:
                    records.append({**told, **_record(added), "reason": ""})
    columns_of = ["base", *Estimate._fields, *NULL_COLUMNS, "positives", "reason"]
    table = pd.DataFrame(records).reindex(columns=["model", "outcome", "measure", *columns_of])
    write_table(folder / "table.parquet", table)


def base_of(index: pd.DataFrame, at: np.ndarray, z: np.ndarray) -> np.ndarray:
    """What is known at discharge of each predicted encounter without its error, float [M, 7].

    index: all N encounters; at int [M], the predicted ones; z [M, D].
    """
    tokens = np.log1p(index["n_tokens"].to_numpy(float)[at])[:, None]
    return np.hstack([structure(index)[at], tokens, norms(z)])


def _record(added: Added) -> dict[str, float]:
    return {"base": added.base.value, **added.gain._asdict(), **added.null.columns(), "positives": added.positives}


class Gain(NamedTuple):
    """The AUROC that a measure adds."""

    estimate: Estimate
    null: Null


def load_gain(folder: Path, model: str, outcome: str = "label_30d_per_enc", measure: str = "‖e‖") -> Gain:
    """What a measure adds to an outcome. Raises NotComputable with the reason where there is none."""
    row = (
        read_table(folder / "table.parquet")
        .set_index(["model", "outcome", "measure"])
        .loc[(model, OUTCOMES[outcome], measure)]
    )
    if row["reason"]:
        raise NotComputable(row["reason"])
    estimate = Estimate(row["value"], row["low"], row["high"], int(row["n_rows"]), int(row["n_patients"]))
    return Gain(estimate, Null.of_columns(row))


def load_gains(folder: Path) -> pd.DataFrame:
    """All gains, with the reason where there is none."""
    return read_table(folder / "table.parquet")
