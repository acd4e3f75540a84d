"""Rollouts, steps and searches of several models side by side: the same rows, the same matching, the same draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, bootstrap_mean, permuted_rows
from jepascope.analysis.rollout.geometry import (
    Retrieval,
    Space,
    Steps,
    cosine_distances,
    displacement_null,
    displacement_ratio,
    draw_distractors,
    mean_so_far,
    nearest_other,
    percentile_among_past,
    ratio_of_means,
    retrieve,
    row_distances,
    strata,
)
from jepascope.analysis.rollout.rollouts import (
    Horizons,
    Matched,
    horizons,
    match_targets,
    skill_over_mean,
    skill_over_persistence,
)
from jepascope.pipeline.readings import Reading
from jepascope.pipeline.rollout.rollouts import WORSE, Codes, Rollouts

T = TypeVar("T")
Which = Literal["into", "before"]
# Encounters among which the nearest one is looked for: about as many as in jepa-ehr's published number.
POOL = 2000
NOT_THERE = "—"
NULL = "ẑ of another patient"
TOLD = ("headline", "untrained twin", NULL)
STEPS: tuple[Which, ...] = ("into", "before")


class Search(NamedTuple):
    """One query per target, and how well it finds it."""

    others: Retrieval  # among matched encounters of other patients
    past: np.ndarray  # [M], percentile among the patient's own earlier encounters
    patients: np.ndarray  # [M]
    own_cosine: np.ndarray  # [P], cosine distance of the query to its target, P ≤ `POOL` targets
    nearest: np.ndarray  # [P], and of that target to the nearest of another patient
    pool: np.ndarray  # [P], rows of [M]


def matched(rolled: Rollouts) -> Matched:
    """The targets of a model that every horizon reaches. Raises NotComputable when there are none."""
    patients = rolled.index["subject_id"].to_numpy()
    return match_targets(rolled.z, rolled.z_hat, rolled.index["k"].to_numpy(), patients, rolled.mean)


def static(rolled: Rollouts) -> Matched:
    """The same targets, each predicted by the mean of the patient's encounters ≤ j − h: an idea of who she is."""
    k = rolled.index["k"].to_numpy()
    H = len(rolled.z_hat)
    so_far = mean_so_far(rolled.z, k)
    rows = np.maximum(np.arange(len(k)) - np.arange(H)[:, None], 0)  # [H, N], j − h + 1
    return matched(rolled._replace(z_hat=so_far[rows]))


def all_horizons(targets: Mapping[str, Matched], how: Inference, rng: np.random.Generator) -> dict[str, Horizons]:
    """`horizons` of every model, on the same draws of patients. Raises NotComputable as it does."""
    return {name: horizons(found, how, fresh) for (name, found), fresh in _alike(targets, rng)}


def horizon_table(found: Mapping[str, Horizons]) -> pd.DataFrame:
    """One row a model: drift, share of persistence, skill and variance, at one step and at the last horizon."""
    rows = []
    for name, h in found.items():
        last = len(h.drift)
        ends = {"skill": h.over_mean, "variance": h.variance, "D / persistence": h.of_persistence}
        pairs = {f"{what}, h = {at}": estimates[at - 1] for what, estimates in ends.items() for at in (1, last)}
        rows.append({"predictions": name, "drift, %": h.drift[-1], **pairs})
    return pd.DataFrame(rows)


def steps(index: pd.DataFrame, space: Space, which: Which, rolled: params.Rollout) -> Steps:
    """Steps from one encounter to the next, with the escalation label of the encounter they leave or reach.

    "into": z_{k+1} − z_k with the label of k, so the step leads into the deterioration. "before": z_k − z_{k−1} with
    the label of k, so it is over when the deterioration begins. Matched on the step's own gap and on k, both known at
    its end. index and space [N rows] in order of (patient, k). Raises NotComputable when no step has a label.
    """
    targets = _targets(index)
    labels = index[WORSE].to_numpy(float)[targets - 1 if which == "into" else targets]
    rows, worse = targets[np.isfinite(labels)], labels[np.isfinite(labels)] > 0
    if not len(rows):
        raise NotComputable("no step has a known escalation label")
    return Steps(
        row_distances(space[rows], space[rows - 1]), worse, _strata(index, rows, rolled), _patients(index, rows)
    )


def displacement_table(
    spaces: Mapping[str, Space], index: pd.DataFrame, rolled: params.Rollout, how: Inference, rng: np.random.Generator
) -> pd.DataFrame:
    """Ratio of deteriorating to stable steps: a row a space and a kind of step, matched and unmatched estimates."""
    rows = []
    for (name, space), fresh in _alike(spaces, rng):
        for which in STEPS:
            taken = steps(index, space, which, rolled)
            apart = displacement_ratio(taken._replace(stratum=np.zeros(len(taken.length), int)), how, fresh)
            rows.append(
                {"space": name, "step": which, "matched": displacement_ratio(taken, how, fresh), "unmatched": apart}
            )
    return pd.DataFrame(rows)


def searches(
    rolled: Mapping[str, Rollouts], codes: Codes, matching: params.Rollout, rng: np.random.Generator
) -> dict[str, Search]:
    """Look for every encounter that has one before it, by each model's one-step ẑ, among the same distractors.

    Beside them, in the first model's space, the ẑ made for another patient; in the spaces of all models but the arms,
    the mean of the patient's encounters so far and persistence, which is the encounter before as a query; persistence
    in those of the codes, too. Raises NotComputable when no encounter has one before it.
    """
    headline, *_ = rolled.values()
    look = _searcher(headline.index, matching, rng)
    targets = _targets(headline.index)
    other = permuted_rows(_patients(headline.index, targets), 1, rng)[0]
    found = {f"ẑ, {name}": look(model.z_hat[0][targets], model.z) for name, model in rolled.items()}
    found[NULL] = look(headline.z_hat[0][targets][other], headline.z)
    own = {name: model.z for name, model in rolled.items() if not name.startswith("arm ")}
    for name, z in own.items():
        found[f"mean so far, {name}"] = look(mean_so_far(z, headline.index["k"].to_numpy())[targets], z)
    for name, z in {**own, "raw codes": codes.axes, "bag of codes": codes.bag}.items():
        # The encounter before is itself one of the patient's past.
        found[f"persistence, {name}"] = look(z[targets - 1], z)._replace(past=np.zeros(0))
    return found


def search_table(found: Mapping[str, Search], how: Inference, rng: np.random.Generator) -> pd.DataFrame:
    """One row a query: rank measures, distances over ambient ones, and the own past.

    Cells are estimates; a dash where there is none. Raises NotComputable under `how.min_patients`.
    """
    # Distractors are drawn with replacement, so a hit by chance has no rate that is known beforehand; a percentile has.
    chance: dict[str, Any] = {"query": "chance", "percentile": 0.5, "own past": 0.5}
    rows = [{"query": name, **_cells(search, how, fresh)} for (name, search), fresh in _alike(found, rng)]
    columns = dict.fromkeys(column for row in [*rows, chance] for column in row)
    return pd.DataFrame([chance, *rows], columns=list(columns)).fillna(NOT_THERE)


def rollout_readings(targets: Mapping[str, Matched], how: Inference, rng: np.random.Generator) -> dict[str, Reading]:
    """Skill of the longer rollouts over persistence (L1, pooled), and over the mean at the last horizon."""
    over_persistence, over_mean = {}, {}
    for (name, found), fresh in _alike({name: targets[name] for name in TOLD}, rng):
        over_persistence[name] = skill_over_persistence(found, how, fresh)
        over_mean[name] = skill_over_mean(found, how, fresh)
    return {"over_persistence": _reading(over_persistence), "over_mean": _reading(over_mean)}


def search_readings(found: Mapping[str, Search], how: Inference, rng: np.random.Generator) -> dict[str, Reading]:
    """Mean percentile of the true next encounter: among others, among the own past, and by how much two queries differ.

    The differences are for the same targets among the same distractors.
    """
    queries = {"headline": "ẑ, headline", "untrained twin": "ẑ, untrained twin", NULL: NULL}
    told: dict[str, dict[str, Estimate]] = {
        name: {} for name in ("among_others", "over_persistence", "over_mean_so_far", "among_own_past")
    }
    for (name, query), fresh in _alike(queries, rng):
        others, patients = found[query].others, found[query].others.patients
        told["among_others"][name] = _mean(others.percentile, patients, how, fresh)
        for reference in ("persistence", "mean so far"):
            space = name if name in TOLD[:2] else "headline"
            gain = others.percentile - found[f"{reference}, {space}"].others.percentile
            told[f"over_{reference.replace(' ', '_')}"][name] = _mean(gain, patients, how, fresh)
        told["among_own_past"][name] = _mean(found[query].past, found[query].patients, how, fresh)
    return {name: _reading(estimates) for name, estimates in told.items()}


def displacement_readings(
    displaced: pd.DataFrame, ours: Rollouts, matching: params.Rollout, how: Inference, rng: np.random.Generator
) -> dict[str, Reading]:
    """The matched ratios of z, into and before, with the null of z's steps and the ratio of the untrained twin's."""
    matched_ratio = displaced.set_index(["space", "step"])["matched"]
    told: dict[str, Reading] = {}
    for which in STEPS:
        null = displacement_null(steps(ours.index, ours.z, which, matching), how, rng)
        told[which] = Reading(matched_ratio[("z", which)], null, matched_ratio[("untrained z", which)])
    return told


def beside_published(
    found: Mapping[str, Horizons], displaced: pd.DataFrame, searched: pd.DataFrame, headline: str = "headline"
) -> pd.DataFrame:
    """The published marks, with ours beside them. Only the last row's formula is known to be the same.

    Clin-JEPA: abstract of arXiv:2605.10840. jepa-ehr: its repository's report of MIMIC-IV's development patients.
    """
    displacement = displaced.set_index(["space", "step"])["matched"]
    nearest = searched.set_index("query")["own / nearest"]
    marks = [
        ("Clin-JEPA, rollout drift", "−15.7 %", "others: +3 % to +4951 %", found[headline].drift[-1]),
        ("Clin-JEPA, displacement ratio", "4.83", "others: at most 2.62", displacement[("z", "into")]),
        ("jepa-ehr, own / nearest", "0.796", "ceiling 0.780, shuffled 1.615", nearest[f"ẑ, {headline}"]),
        ("jepa-ehr, persistence", "0.879", "", nearest[f"persistence, {headline}"]),
    ]
    return pd.DataFrame(marks, columns=["measure", "published", "beside it", "ours"])


def _reading(of: Mapping[str, Estimate]) -> Reading:
    return Reading(of["headline"], of[NULL], of["untrained twin"])


def _searcher(
    index: pd.DataFrame, matching: params.Rollout, rng: np.random.Generator
) -> Callable[[Space, Space], Search]:
    """Fix targets, distractors and pool once, so that queries differ in nothing but themselves."""
    targets, k = _targets(index), index["k"].to_numpy()
    patients = _patients(index, targets)
    distractors = draw_distractors(_strata(index, targets, matching), patients, matching.distractors, rng)
    drawn = np.sort(rng.permutation(len(targets))[:POOL])

    def look(query: Space, z: Space) -> Search:
        goal = z[targets]
        among = retrieve(query, goal, distractors, patients), percentile_among_past(query, z, k, targets)
        if issparse(z):  # cosines of whole pools are for embeddings
            return Search(*among, patients, np.zeros(0), np.zeros(0), drawn[:0])
        cosines = cosine_distances(query[drawn], goal[drawn]), nearest_other(goal[drawn], patients[drawn])
        return Search(*among, patients, *cosines, drawn)

    return look


def _cells(search: Search, how: Inference, rng: np.random.Generator) -> dict[str, object]:
    others = search.others
    ranks = {"percentile": others.percentile, "reciprocal rank": others.reciprocal_rank, "first": others.first}
    cells: dict[str, object] = {name: _mean(x, others.patients, how, rng) for name, x in ranks.items()}
    cells["own / matched"] = ratio_of_means(others.own, others.ambient, others.patients, how, rng)
    if len(search.pool):
        pool = search.patients[search.pool]
        cells["own / nearest"] = ratio_of_means(search.own_cosine, search.nearest, pool, how, rng)
    if len(search.past):
        cells["own past"] = _mean(search.past, search.patients, how, rng)
    return cells


def _mean(x: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator) -> Estimate:
    return bootstrap_mean(x, patients, how.bootstrap, how.level, rng, how.min_patients)


def _alike(named: Mapping[str, T], rng: np.random.Generator) -> Iterator[tuple[tuple[str, T], np.random.Generator]]:
    """Each item with a generator in the same state: all are estimated on the same draws of patients."""
    seed = int(rng.integers(2**32))
    return ((item, np.random.default_rng(seed)) for item in named.items())


def _targets(index: pd.DataFrame) -> np.ndarray:
    """Rows that have an encounter before them, int [M]."""
    targets = np.flatnonzero(index["k"].to_numpy() > 0)
    if not len(targets):
        raise NotComputable("no test patient has two encounters")
    return targets


def _patients(index: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    return index["subject_id"].to_numpy()[rows]


def _strata(index: pd.DataFrame, rows: np.ndarray, matching: params.Rollout) -> np.ndarray:
    gap, k = (index[name].to_numpy(float)[rows] for name in ("gap_days", "k"))
    return strata(gap, k, matching.gap_strata, matching.length_strata)
