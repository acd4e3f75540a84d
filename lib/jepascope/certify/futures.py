"""Simulated futures: what else could have come, by the planted state, in the words of the cohort's own extraction."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import NotComputable
from jepascope.certify.planted import KEY, TruthError
from jepascope.cohort import engine
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.extract import read
from jepascope.cohort.schema import TABLES
from jepascope.cohort.source import mimic_relations
from jepascope.cohort.synthetic.concepts import CONCEPTS, Driven, LongMemory
from jepascope.cohort.synthetic.dynamics import State
from jepascope.cohort.synthetic.futures import World, branch, relive, revisit, switched, write_arms, write_branches
from jepascope.cohort.synthetic.truth import read_truth, state_of
from jepascope.cohort.tokens import Fitted, fit_deciles


class Futures(NamedTuple):
    """M futures for each of n encounters, side by side: future j of encounter i is row i · M + j."""

    rows: np.ndarray  # int64 [n], rows of the index: the encounters that came
    tokens: np.ndarray  # int32 [T]
    offsets: np.ndarray  # int64 [n · M + 1]


def next_encounters(index: pd.DataFrame, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Pick rows of `index` with k >= 1 of test patients, whole patients in random order, at most `limit` rows.

    Whole patients, because whatever is read from the rows is read by patient. Returns int64 [n], ascending.
    Raises NotComputable if no patient fits.
    """
    rows = np.flatnonzero((index["split"] == "test").to_numpy() & (index["k"] >= 1).to_numpy())
    patients = index["subject_id"].to_numpy()[rows]
    names, codes, sizes = np.unique(patients, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    chosen = order[np.cumsum(sizes[order]) <= limit]
    if not len(chosen):
        raise NotComputable(f"no test patient with a next encounter within certification.rows ({limit})")
    return rows[np.isin(codes, chosen)]


def simulate(
    folder: Path,
    planted: Path,
    cohort: Encounters,
    source: params.Source,
    extraction: params.Extraction,
    certification: params.Certification,
    rng: np.random.Generator,
) -> Futures:
    """Draw futures of test encounters from the planted state before them, and tokenise them as the cohort was.

    The patient, the time of the next admission and the state at k are given; the state at k + 1 and its records are
    drawn. The vocabulary is the cohort's, and the deciles of laboratory values are those of its training patients.
    Files come and go in `folder`; `planted` is the tree that `synthesize` wrote.
    Raises TruthError when the tree is not what its parameters make, NotComputable when it has a leak.
    """
    rows = next_encounters(cohort.index, certification.rows, rng)
    world, table = _world(planted)
    admissions = pd.MultiIndex.from_arrays([world.subject_id, world.hadm_id])
    place = admissions.get_indexer(pd.MultiIndex.from_frame(cohort.index[KEY]))  # row of the world
    rows = rows[(place[rows] == place[rows - 1] + 1) & (place[rows - 1] >= 0)]
    moments = np.repeat(place[rows] - 1, certification.futures)
    state: State = state_of(table.iloc[moments])
    branches = branch(world, state, moments, rng)
    fitted = Fitted(cohort.vocabulary, cohort_deciles(folder / "deciles", planted, cohort.index, extraction))
    write_branches(folder / "records", world, moments, branches, rng)
    # A cap on patients would leave some of the futures out.
    whole = extraction.model_copy(update={"max_patients": None})
    read_again, _ = read(folder, folder / "records", source, whole, fitted)
    for scratch in ("deciles", "records", "work"):
        shutil.rmtree(folder / scratch)
    if len(read_again.index) != len(moments):
        raise TruthError(f"{len(moments)} futures were drawn and {len(read_again.index)} extracted: filters differ")
    return Futures(rows, read_again.tokens, read_again.offsets)


class Switches(NamedTuple):
    """1 + Q arms of n encounters k: as they were, then with one concept turned each. Arm, encounter, draw, in order."""

    rows: np.ndarray  # int64 [n], rows of the index: encounters k that another follows
    was_on: np.ndarray  # bool [n, Q], the concept's state at k as it was
    now_tokens: np.ndarray  # int32, of k itself, drawn again
    now_offsets: np.ndarray  # int64 [(1 + Q) · n · draws + 1]
    next_tokens: np.ndarray  # int32, of k + 1
    next_offsets: np.ndarray  # int64 [(1 + Q) · n · draws + 1]


def simulate_switches(
    folder: Path,
    planted: Path,
    cohort: Encounters,
    source: params.Source,
    extraction: params.Extraction,
    rows: np.ndarray,
    concepts: Sequence[str],
    draws: tuple[int, int],
    seed: int,
) -> Switches:
    """Turn each concept at encounters k (`rows` of the index) and draw what k, and what k + 1, would then have shown.

    All arms meet the same draws: what differs between them, the concept did. The state at k + 1 is drawn from the
    turned state at k, not from the records. `draws`: how many of k and of k + 1. Rows whose next encounter was filtered
    out are left out. Files come and go in `folder`. Raises as `simulate`.
    """
    world, table = _world(planted)
    admissions = pd.MultiIndex.from_arrays([world.subject_id, world.hadm_id])
    place = admissions.get_indexer(pd.MultiIndex.from_frame(cohort.index[KEY]))  # row of the world
    rows = rows[(place[rows] >= 0) & (place[rows + 1] == place[rows] + 1)]
    fitted = Fitted(cohort.vocabulary, cohort_deciles(folder / "deciles", planted, cohort.index, extraction))
    whole = extraction.model_copy(update={"max_patients": None})
    found: list[np.ndarray] = []
    for draw, times, stream in ((revisit, draws[0], 2 * seed), (branch, draws[1], 2 * seed + 1)):
        moments = np.repeat(place[rows], times)
        state = state_of(table.iloc[moments])
        turned = [state, *(switched(state, concept) for concept in concepts)]
        # One generator anew for each arm: all draw the same.
        arms = [draw(world, arm, moments, np.random.default_rng(stream)) for arm in turned]
        write_arms(folder / "records", world, moments, arms, stream)
        again, _ = read(folder, folder / "records", source, whole, fitted)
        if len(again.index) != len(arms) * len(moments):
            raise TruthError(
                f"{len(arms) * len(moments)} encounters drawn, {len(again.index)} extracted: filters differ"
            )
        found += [again.tokens, again.offsets]
        for scratch in ("records", "work"):
            shutil.rmtree(folder / scratch)
    shutil.rmtree(folder / "deciles")
    was_on = table.iloc[place[rows]][[f"concept_{name}" for name in concepts]].to_numpy(bool)
    return Switches(rows, was_on, *found)


def cohort_deciles(folder: Path, planted: Path, index: pd.DataFrame, extraction: params.Extraction) -> pd.DataFrame:
    """Fit the deciles of laboratory values again as the extraction did, because it keeps only what they made.

    Reads the values of the training encounters of `index`. Returns itemid, cuts.
    """
    encounters = index.reset_index(names="row_id")[["row_id", *KEY, "admittime", "dischtime", "split"]]
    with engine.connect(folder, extraction.memory_gb, extraction.threads) as connection:
        engine.set_variables(connection, {"min_patients_per_token": extraction.min_patients_per_token})
        engine.create(connection, "encounter", encounters[encounters["split"] == "train"])
        connection.execute(f"create view labevents as {mimic_relations(planted)['hosp/labevents'].select}")
        columns = ", ".join(f"{column} {kind}" for column, kind in TABLES["hosp/omr"].items())
        connection.execute(f"create table omr ({columns})")
        engine.run(connection, "labs")
        query = "select lab.*, subject_id, split from lab join encounter using (row_id)"
        engine.write(connection, query, folder / "lab.parquet")
        return fit_deciles(connection, folder / "lab.parquet")


def foretold(planted: Path, index: pd.DataFrame) -> pd.DataFrame:
    """What the planted state at each encounter says is due at the next one, and the last encounters don't show.

    Columns, bool [N] in the order of `index`: for a long-memory concept, that its echo is due; for a driven one, that
    its rule holds. Raises TruthError if an encounter has no truth.
    """
    table, _ = read_truth(planted)
    rows = pd.MultiIndex.from_frame(table[KEY]).get_indexer(pd.MultiIndex.from_frame(index[KEY]))
    if (rows < 0).any():
        raise TruthError(f"{int((rows < 0).sum())} encounters have no planted state: they are of another cohort")
    table, due = table.iloc[rows], {}
    for concept in CONCEPTS:
        match concept.dynamics:
            case LongMemory(of=of, lag=lag):
                shock = f"concept_{of}" if lag == 1 else f"echo_{concept.name}_{lag - 1}"
                due[concept.name] = table[shock].to_numpy(float) > 0
            case Driven(by=by, unless=unless):
                due[concept.name] = table[f"concept_{by}"].to_numpy(bool) & ~table[f"concept_{unless}"].to_numpy(bool)
    return pd.DataFrame(due)


def _world(planted: Path) -> tuple[World, pd.DataFrame]:
    """Live the cohort again and hold it against the truth that was written with it; returns both, rows aligned."""
    table, description = read_truth(planted)
    try:
        world = relive(params.Synthetic(**description["parameters"]))
    except ValueError as reason:
        raise NotComputable(str(reason)) from reason
    same = np.array_equal(table[KEY].to_numpy(), np.stack([world.subject_id, world.hadm_id], axis=1))
    if not same or not np.array_equal(state_of(table).on, world.histories.on):
        raise TruthError(f"{planted} is not what its own parameters make now: extract the cohort again")
    return world, table
