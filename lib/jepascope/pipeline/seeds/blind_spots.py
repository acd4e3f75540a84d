"""Whether two seeds are blind to the same: their maps of what isn't foreseen, concept by concept, held together."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.error.blind_spots import concept_directions
from jepascope.analysis.inference.between_seeds import heterogeneity, rank_correlation
from jepascope.analysis.inference.stats import (
    Drawn,
    Inference,
    NotComputable,
    bootstrap_chunks,
    interval,
    null_of,
    patient_sums,
    q_values,
)
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.pipeline.error.concepts import concepts_of
from jepascope.pipeline.error.parts import MODELS, load_rows
from jepascope.pipeline.seeds.pairs import each_pair
from jepascope.store import write_table

CHUNK = 100  # draws of patients at a time
FEWEST = 5  # concepts to rank: the orders of four are 24, too few for a null
PLAIN, GIVEN = "the map", "the map, given the variance along each concept"


class Mapped(NamedTuple):
    """One model's map on test patients as they are, and in draws of them that all models share."""

    unforeseen: np.ndarray  # [1 + draws, Q], share of z along each concept's direction that was not foreseen
    variance: np.ndarray  # [1 + draws, Q], of z along the direction
    concepts: pd.DataFrame  # Q rows: concept, family
    n_rows: int
    n_patients: int


def compare_blind_spots(folder: Path, encounters: Path, statistics: params.Statistics, *seeds: int | Path) -> None:
    """The step that compares the seeds' blind-spot maps over the same draws of test patients.

    seeds: seed, objects, twin's objects, seed, objects, … Leaves agreement.parquet, a row a compared pair, model and
    reading: a, b, model, reading, value, low, high, n_rows, n_patients (Spearman's ρ of two seeds over concepts) and a
    null of concepts dealt anew; and concepts.parquet, a row a concept of the trained model: concept, family, what each
    seed leaves unforeseen, its mean, Q, p, I2, low, high, q, of all seeds. Thick directions of z are foreseen better
    than thin ones, whatever they say; the second reading takes the rank of z's variance along the concept out of both
    maps. Raises NotComputable under two seeds or `FEWEST` concepts.
    """
    names = [int(str(seed)) for seed in seeds[::3]]
    if len(names) < 2:
        raise NotComputable(f"{len(names)} seed: two are needed to be compared")
    how, cohort = Inference(**statistics.model_dump()), cohort_encounters.load(encounters)
    rows: list[dict[str, Any]] = []
    for model, at in zip(MODELS, (1, 2), strict=True):
        made = {n: _map(cohort, Path(str(o)), how) for n, o in zip(names, seeds[at::3], strict=True)}
        for a, b, ours, other in each_pair(names, made.__getitem__):
            for reading in (PLAIN, GIVEN):
                agreed = _agree(ours, other, reading == GIVEN, how, np.random.default_rng([a, b]))
                rows.append({"a": a, "b": b, "model": model, "reading": reading, **agreed})
        if model == MODELS[0]:
            write_table(folder / "concepts.parquet", _by_concept(made, how))
    write_table(folder / "agreement.parquet", pd.DataFrame(rows))


def _map(cohort: Encounters, objects: Path, how: Inference) -> Mapped:
    """The blind-spot map of one model, drawn: directions of training patients, errors of test patients."""
    rows = load_rows(objects)
    labels, concepts = concepts_of(cohort, rows, how.min_carriers)
    if len(concepts) < FEWEST:
        raise NotComputable(f"{len(concepts)} concepts, {FEWEST} needed to be ranked")
    directions = concept_directions(rows.z[rows.train], labels[rows.train])
    parts = [np.square(x[rows.test] @ directions.T) for x in (rows.e, rows.z - rows.mean)]
    patients = rows.patients[rows.test]
    sums = patient_sums(np.hstack([*parts, np.ones((len(patients), 1))]), patients, how.min_patients)  # [B, 2 Q + 1]
    # One seed for all models: the same draws of patients, so that what they share cancels.
    counts = [np.ones((1, len(sums))), *bootstrap_chunks(len(sums), how.bootstrap, CHUNK, np.random.default_rng(0))]
    drawn = np.concatenate([counted @ sums for counted in counts])
    over, under = np.split(drawn[:, :-1], 2, axis=1)
    return Mapped(over / under, under / drawn[:, -1:], concepts, len(patients), len(sums))


def _agree(ours: Mapped, other: Mapped, given: bool, how: Inference, rng: np.random.Generator) -> dict[str, float]:
    """Rank correlation of two maps, and of one with the concepts of the other dealt anew."""
    rho = rank_correlation(ours.unforeseen, other.unforeseen, (ours.variance, other.variance) if given else None)
    dealt = rng.permuted(np.tile(np.arange(len(ours.concepts)), (how.permutations, 1)), axis=1)
    still = [np.broadcast_to(x[:1], dealt.shape) for x in (ours.unforeseen, ours.variance)]
    moved = [x[0][dealt] for x in (other.unforeseen, other.variance)]
    null = null_of(rank_correlation(still[0], moved[0], (still[1], moved[1]) if given else None), rho[0], how.level)
    drawn = Drawn(float(rho[0]), rho[1:], ours.n_rows, ours.n_patients)
    return {**drawn.estimate(*interval(rho[1:], how.level))._asdict(), **null.columns()}


def _by_concept(made: dict[int, Mapped], how: Inference) -> pd.DataFrame:
    """Each concept's share in every seed, and whether the seeds are further apart than their common patients say."""
    values = np.stack([mapped.unforeseen for mapped in made.values()])  # [S, 1 + draws, Q]
    concepts = next(iter(made.values())).concepts
    made_of = (how.bootstrap, next(iter(made.values())).n_patients)
    found = [
        heterogeneity(values[:, 0, q], np.cov(values[:, 1:, q]), how.level, made_of)._asdict()
        for q in range(len(concepts))
    ]
    shares = {f"seed {seed}": share for seed, share in zip(made, values[:, 0], strict=True)}
    table = concepts.assign(**shares, mean=values[:, 0].mean(axis=0)).join(pd.DataFrame(found))
    table = table.assign(q=q_values(table["p"].to_numpy()))
    return table.sort_values("mean", ascending=False, ignore_index=True)
