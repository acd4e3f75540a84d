"""The error concept by concept: the blind-spot map, and what a linear reader finds in z, in ẑ and in e."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from jepascope import params
from jepascope.analysis.error.blind_spots import (
    BlindSpots,
    blind_spots,
    concept_directions,
    mean_differences,
    random_directions,
)
from jepascope.analysis.error.relative_spectrum import along
from jepascope.analysis.inference.stats import Inference, NotComputable, q_values
from jepascope.analysis.probes.linear import probe_table
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.concepts import nuisances, psychiatric_groups
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.features import bag_of_codes
from jepascope.cohort.titles import title
from jepascope.pipeline.error.parts import MODELS, Rows, load_parts, load_rows
from jepascope.store import read_json, read_table, write_json, write_table

# The commonest diagnosis categories of training patients, beside the psychiatric groups.
DIAGNOSES = 15
# Share of false alarms among the concepts that the map tells from random directions.
FALSE_DISCOVERIES = 0.05
# Titles of a source can be lines long, and this step reads no records.
NO_DICTIONARIES: dict[str, dict[str, str]] = {"ICD": {}, "PROC": {}, "LAB": {}}


def concepts_of(cohort: Encounters, rows: Rows, min_carriers: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Labels bool [M, Q] that enough training and test patients carry and lack, and a row each: concept, family.

    Psychiatric groups, nuisances, and the commonest diagnosis categories, all of the predicted encounter itself; a
    category has the words of its range, as its code says nothing to most. Raises NotComputable if none is left.
    """
    words = cohort.vocabulary[cohort.vocabulary["kind"] == "diagnosis"]
    common = words.sort_values("train_patients", ascending=False, kind="stable").head(DIAGNOSES)
    coded = bag_of_codes(cohort)[rows.at][:, common.index.to_numpy()].toarray() > 0
    families = {
        "psychiatric": psychiatric_groups(rows.index),
        "nuisance": nuisances(rows.index),
        "diagnosis": dict(zip([title(token, NO_DICTIONARIES) for token in common["token"]], coded.T, strict=True)),
    }
    kept = [
        (family, name, label)
        for family, labels in families.items()
        for name, label in labels.items()
        if all(carried(label[part], rows.patients[part], min_carriers) for part in (rows.train, rows.test))
    ]
    if not kept:
        raise NotComputable(f"no concept with {min_carriers} patients who carry it and as many who don't")
    table = pd.DataFrame([(name.replace("_", " "), family) for family, name, _ in kept], columns=["concept", "family"])
    return np.stack([label for *_, label in kept], axis=1), table


def carried(label: np.ndarray, patients: np.ndarray, need: int) -> bool:
    """Whether `need` patients have the label (bool [N]) on some row, and as many lack it on some."""
    return all(len(np.unique(patients[label == state])) >= need for state in (True, False))


def map_blind_spots(
    folder: Path, encounters: Path, trained: Path, twin: Path, parts: Path, statistics: params.Statistics, seed: int
) -> None:
    """The step that measures the error along each concept's direction in z, for the model and its untrained twin.

    Directions, of concepts and at random, are fitted to training patients, errors read on test patients. Leaves
    map.parquet, a row a model and concept with its encounters and its patients (`carriers`), and directions.json: how
    well the map agrees with that along plain differences of means. `parts` is the folder of `error.take_apart`. Raises
    NotComputable if no concept has enough carriers.
    """
    how = Inference(**statistics.model_dump())
    cohort = cohort_encounters.load(encounters)
    tables = []
    for model, objects in zip(MODELS, (trained, twin), strict=True):
        rows = load_rows(objects)
        labels, concepts = concepts_of(cohort, rows, how.min_carriers)
        train, test = rows.train, rows.test
        own, past = (load_parts(parts, model, reader) for reader in ("own", "past"))
        own, past = (type(p)(*(part[test] for part in p)) for p in (own, past))
        held = (rows.e[test], rows.z[test], rows.mean)
        z, who, rng = rows.z[train], rows.patients[test], np.random.default_rng(seed)
        directions = concept_directions(z, labels[train]), random_directions(z, rng)
        found = blind_spots(*directions, *held, own, past, who, how, rng)
        carriers = [len(np.unique(who[label])) for label in labels[test].T]
        counts = {"encounters": labels[test].sum(axis=0), "carriers": carriers}
        tables.append(_table(found, concepts).assign(model=model, **counts))
        if model == MODELS[0]:
            plain = mean_differences(z, labels[train])
            along_plain = along(plain, *held, who, how, np.random.default_rng(seed)).value
            rank = float(spearmanr(along_plain, found.unforeseen.value).statistic) if len(plain) > 2 else float("nan")
            write_json(folder / "directions.json", {"rank_correlation": rank if np.isfinite(rank) else None})
    write_table(folder / "map.parquet", pd.concat(tables, ignore_index=True))


def _table(found: BlindSpots, concepts: pd.DataFrame) -> pd.DataFrame:
    columns = {
        f"{name}{end}": getattr(getattr(found, name), part)
        for name in ("unforeseen", "systematic", "lost")
        for part, end in (("value", ""), ("low", "_low"), ("high", "_high"))
    }
    counted = {"n_rows": found.unforeseen.n_rows, "n_patients": found.unforeseen.n_patients}
    band = {"band_low": found.band[:, 0], "band_high": found.band[:, 1], "p": found.p, "q": q_values(found.p)}
    return concepts.assign(**columns, **band, **counted)


def load_map(folder: Path, model: str) -> pd.DataFrame:
    """One model's blind-spot map, the least foreseen concept first; "foreseen", worse, better or like random ones."""
    table = read_table(folder / "map.parquet")
    found = table[table["model"] == model].sort_values("unforeseen", ascending=False, ignore_index=True)
    apart = found["q"] < FALSE_DISCOVERIES
    worse, better = found["unforeseen"] > found["band_high"], found["unforeseen"] < found["band_low"]
    return found.assign(foreseen=np.select([apart & worse, apart & better], ["worse", "better"], "like"))


def count_foreseen(folder: Path, how: str) -> int:
    """Concepts of the trained model's map that are foreseen worse than, better than or like random directions."""
    return int((load_map(folder, MODELS[0])["foreseen"] == how).sum())


def one_concept(folder: Path, place: int) -> dict[str, Any]:
    """A row of the trained model's map: 0 is the least foreseen concept, −1 the best foreseen."""
    return load_map(folder, MODELS[0]).iloc[place].to_dict()


def direction_agreement(folder: Path) -> float:
    """Rank correlation of the map with that along differences of means. Raises NotComputable under three concepts."""
    rank = read_json(folder / "directions.json")["rank_correlation"]
    if rank is None:
        raise NotComputable("too few concepts to rank")
    return float(rank)


def probe_errors(folder: Path, trained: Path, twin: Path, statistics: params.Statistics, seed: int) -> None:
    """The step that probes psychiatric groups on z, ẑ and e of the predicted encounters, and on the twin's e.

    Rows are those of patients with a psychiatric code so far. Leaves table.parquet, as `probes.probe_table` makes it.
    """
    rows = load_rows(trained)
    subset = rows.index["f_code_so_far"].to_numpy(bool)
    spaces = {"z": rows.z, "ẑ": rows.z_hat, "e": rows.e, "untrained e": load_rows(twin).e}
    result = probe_table(
        {name: space[subset] for name, space in spaces.items()},
        {name: label[subset] for name, label in psychiatric_groups(rows.index).items()},
        rows.patients[subset], rows.train[subset], rows.test[subset],
        Inference(**statistics.model_dump()), np.random.default_rng(seed),
    )  # fmt: skip
    write_table(folder / "table.parquet", result.table.assign(family="psychiatric"))


def load_probes(folder: Path) -> pd.DataFrame:
    """The probes of `probe_errors`, of groups that could be computed on every space. Raises NotComputable if none."""
    table = read_table(folder / "table.parquet")
    complete = table.groupby("target")["value"].transform("count") == table["representation"].nunique()
    if not complete.any():
        raise NotComputable(str(table["reason"].iloc[0]))
    return table[complete]
