"""Ways of finding features of z, each held against the planted concepts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, Null
from jepascope.analysis.sae import Dictionary, densify, encode
from jepascope.analysis.sae.baselines import NAMES
from jepascope.certify.features import RECOVERED as RECOVERED
from jepascope.certify.features import feature_recovery
from jepascope.certify.model import require_same_rows
from jepascope.certify.planted import load_truth
from jepascope.objects import load_objects
from jepascope.pipeline.dictionary.dictionaries import load_consensus, load_dictionary
from jepascope.pipeline.readings import Reading
from jepascope.store import read_json, read_table, write_json, write_table

CONSENSUS, TWIN = "consensus", "twin"
# Methods in the order of tables, as pages call them.
METHODS = {CONSENSUS: "SAE, voted", "single": "SAE, one fit", **NAMES, TWIN: "untrained twin's SAE"}
MEASURES = {
    "mean r": "r of the best feature, mean",
    "MCC": "r of partners, mean (MCC)",
    "recall": "recall",
    "precision": "precision",
}


def recover_concepts(
    folder: Path,
    records: Path,
    trained: Path,
    twin: Path,
    dictionaries: Path,
    votes: Path,
    baselines: Path,
    statistics: params.Statistics,
    seed: int,
) -> None:
    """The step that asks of every dictionary which planted concepts have a feature of their own, on test patients.

    Dictionaries are those that the dictionary chapter left: the single fit, the features kept by the vote, and the
    baselines, the twin's read on the twin's z. Leaves concepts, methods and differences.parquet of
    `features.feature_recovery`, and left_out.json: why a method isn't there. Raises TruthError, StoreError.
    """
    objects, untrained = load_objects(trained), load_objects(twin)
    require_same_rows(objects, untrained)
    truth = load_truth(records / "planted", objects.index)
    asked: dict[str, Callable[[], Dictionary]] = {
        CONSENSUS: lambda: load_consensus(votes),
        "single": lambda: load_dictionary(dictionaries),
    }
    features, left_out = {}, {}
    for name in METHODS:
        try:
            dictionary = asked[name]() if name in asked else load_dictionary(baselines, name)
        except NotComputable as reason:
            left_out[name] = str(reason)
        else:
            features[name] = densify(encode(dictionary, untrained.z if name == TWIN else objects.z))
    how, rng = Inference(**statistics.model_dump()), np.random.default_rng(seed)
    found = feature_recovery(features, (CONSENSUS, TWIN), truth, objects.index, how, rng)
    for name, table in found._asdict().items():
        write_table(folder / f"{name}.parquet", table)
    write_json(folder / "left_out.json", left_out)


def measured(folder: Path) -> pd.DataFrame:
    """Every method on every measure, for the figure: task (the measure), model, value, low, high."""
    table = read_table(folder / "methods.parquet").query("measure in @MEASURES")
    return table.assign(task=table["measure"].map(MEASURES), model=table["method"].map(METHODS))


def counted(folder: Path) -> pd.DataFrame:
    """Every method in numbers: living features, concepts found one to one, and the measures with their nulls."""
    table, rows = read_table(folder / "methods.parquet"), []
    for method, mine in table.groupby("method", sort=False):
        found = mine.set_index("measure")
        n_features, n_concepts = (int(mine[name].iloc[0]) for name in ("features", "concepts"))
        hits = round(found.loc["recall", "value"] * n_concepts)
        row = {"directions": METHODS[str(method)], "features": n_features, "with a concept": f"{hits} of {n_concepts}"}
        row |= {title: _spelled(found.loc[measure].to_dict()) for measure, title in MEASURES.items()}
        row |= {"others' states": f"{found.loc['mean r', 'null']:.3f}"}
        rows.append(row | {"encounters": int(mine["n_rows"].iloc[0]), "patients": int(mine["n_patients"].iloc[0])})
    return pd.DataFrame(rows)


def by_dynamics(folder: Path) -> pd.DataFrame:
    """Mean r of the best features by how concepts behave in time: a row a method, a column a kind of concept."""
    table = read_table(folder / "methods.parquet").query("measure not in @MEASURES")
    return pd.DataFrame(
        {"directions": METHODS[str(method)]}
        | {str(row["measure"]).replace("_", " "): _spelled(row) for row in mine.to_dict("records")}
        for method, mine in table.groupby("method", sort=False)
    )


def compared(folder: Path) -> pd.DataFrame:
    """The voted features less every other method, paired by patient. Raises NotComputable if the vote kept too few."""
    table = read_table(folder / "differences.parquet").query("reference == @CONSENSUS and measure in @MEASURES")
    if table.empty:
        raise NotComputable(_reason(folder))
    wide = [
        {"the vote, less": METHODS[str(method)]}
        | {MEASURES[str(row["measure"])]: _spelled(row) for row in mine.to_dict("records")}
        for method, mine in table.groupby("method", sort=False)
    ]
    return pd.DataFrame(wide)


def advantage(folder: Path, method: str) -> Reading:
    """Mean r of the voted features' best less that of another method, and what the untrained twin's SAE has over it.

    Raises NotComputable if the vote kept too few.
    """
    table = read_table(folder / "differences.parquet").query("measure == 'mean r'").set_index(["reference", "method"])
    if (CONSENSUS, method) not in table.index:
        raise NotComputable(_reason(folder))
    row = table.loc[(CONSENSUS, method)]
    twin = None if method == TWIN else _estimate(table.loc[(TWIN, method)])
    return Reading(_estimate(row), Null.of_columns(row), twin)


def mean_r(folder: Path, method: str) -> Estimate:
    """Mean r of one method's best features. Raises NotComputable if the method isn't there."""
    table = read_table(folder / "methods.parquet").query("measure == 'mean r'").set_index("method")
    if method not in table.index:
        raise NotComputable(_reason(folder))
    return _estimate(table.loc[method])


def _reason(folder: Path) -> str:
    return str(read_json(folder / "left_out.json")[CONSENSUS])


def _estimate(row: pd.Series) -> Estimate:
    return Estimate(row["value"], row["low"], row["high"], int(row["n_rows"]), int(row["n_patients"]))


def _spelled(row: Mapping[Hashable, float]) -> str:
    return f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
