"""Can one tell from a model's errors who trained it? Attacks on membership, one score a patient.

A patient is a member, not an encounter: her rows hang together, and whoever asks wants to know whether *she* was there.
Members and others are compared among patients of like records, so that nothing but training can tell them apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    Null,
    RowsStatistic,
    WeightedStatistic,
    grouped_folds,
    null_of,
    patient_bootstrap,
    patient_sums,
    permutation_null,
    require_carriers,
    weighted_auroc,
)
from jepascope.analysis.probes.logistic import held_out_fits, logistic_ridge

FALSE_ALARMS = 0.01
# First lengths (predicted encounters) of the classes within which patients are compared.
LENGTHS = (2, 3, 5)
# Ridge weight of the learned attack: some hundred columns, a few thousand patients.
PENALTY = 100.0
LEAST = 1e-12


class Attack(NamedTuple):
    """How well a score tells members from others; B rows, one a patient."""

    auroc: Estimate  # P(a member scores above another patient of her stratum), 0.5 for a coin
    null: Null  # the same with members drawn anew within the strata
    caught: Estimate  # share of members found where FALSE_ALARMS of the others are accused; that share for a coin


def mean_by_patient(columns: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Average columns [M, Q] over the rows of each patient: [B, Q], patients in ascending order."""
    sums = patient_sums(np.column_stack([columns, np.ones(len(columns))]), patients)
    return sums[:, :-1] / sums[:, -1:]


def summaries(x: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Means and log mean squares, by dimension, of a patient's vectors x [M, D]: what a learner is given, [B, 2D]."""
    x = np.asarray(x, float)
    return np.hstack([mean_by_patient(x, patients), np.log(mean_by_patient(x**2, patients) + LEAST)])


def log_ratio(error: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """log(error / reference) of squared errors [M]: a large error may be a hard encounter and no sign of a stranger.

    The reference is what somebody who was not trained on any of these patients makes of the same encounter. That takes
    the difficulty out, as the models without the patient do in the likelihood ratio of Carlini et al. 2022.
    """
    return np.log(np.asarray(error, float) + LEAST) - np.log(np.asarray(reference, float) + LEAST)


def strata_of(lengths: np.ndarray, era: np.ndarray | None = None) -> np.ndarray:
    """Number the classes of patients alike in record length [B] and, where it is known, in era [B]: int [B]."""
    classes = np.digitize(lengths, LENGTHS)
    eras = np.zeros(len(classes), int) if era is None else np.unique(np.asarray(era, str), return_inverse=True)[1]
    return np.unique(eras * (len(LENGTHS) + 1) + classes, return_inverse=True)[1]


def auroc_within(scores: np.ndarray, members: np.ndarray, strata: np.ndarray) -> WeightedStatistic:
    """AUROC over pairs of one stratum, Σ_s wins_s / Σ_s pairs_s: pairs of unlike records would tell records apart.

    scores [B], members bool [B], strata int [B] -> a function of weights [draws, B]. Raises NotComputable if no stratum
    holds both kinds.
    """
    parts = []
    for stratum in np.unique(strata):
        here = np.flatnonzero(strata == stratum)
        on = members[here]
        if on.any() and not on.all():
            parts.append((here, on, weighted_auroc(scores[here], on)))
    if not parts:
        raise NotComputable("no members and others of like records")

    def statistic(weights: np.ndarray) -> np.ndarray:
        wins, pairs = np.zeros(len(weights)), np.zeros(len(weights))
        for here, on, of_stratum in parts:
            w = weights[:, here]  # [draws, b]
            size = w[:, on].sum(axis=1) * w[:, ~on].sum(axis=1)
            wins += np.where(size > 0, size * of_stratum(w), 0)  # without pairs a stratum has no AUROC and no say
            pairs += size
        with np.errstate(invalid="ignore"):
            return wins / pairs

    return statistic


def weighted_caught(scores: np.ndarray, members: np.ndarray, false_alarms: float) -> WeightedStatistic:
    """Share of members above the score that `false_alarms` of the others reach: an AUROC hides the few who are exposed.

    The true positive rate at a low false positive rate of Carlini et al. 2022 ("Membership inference attacks from first
    principles"): one patient who is surely recognised is a breach, if all others are not. The threshold is found anew
    in each draw; of a tie in which it falls, the part that fits counts. Without skill it is `false_alarms`.

    scores [B], members bool [B], false_alarms in (0, 1) -> a function of weights [draws, B].
    """
    order = np.argsort(-scores, kind="stable")
    on = np.asarray(members, float)[order]
    begin, end = (np.searchsorted(-scores[order], -scores[order], side) for side in ("left", "right"))

    def statistic(weights: np.ndarray) -> np.ndarray:
        hits, alarms = (np.zeros((len(weights), len(order) + 1)) for _ in range(2))
        np.cumsum(weights[:, order] * on, axis=1, out=hits[:, 1:])
        np.cumsum(weights[:, order] * (1 - on), axis=1, out=alarms[:, 1:])
        allowed = false_alarms * alarms[:, -1]
        last = (alarms[:, 1:-1] < allowed[:, None]).sum(axis=1)  # the patient with whom the allowance runs out
        draw, low, high = np.arange(len(weights)), begin[last], end[last]
        with np.errstate(invalid="ignore", divide="ignore"):
            part = (allowed - alarms[draw, low]) / (alarms[draw, high] - alarms[draw, low])
            return (hits[draw, low] + part * (hits[draw, high] - hits[draw, low])) / hits[:, -1]

    return statistic


def permuted_members(strata: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Rows [draws, B] that shuffle who is a member within each stratum [B]; how many there are stays."""
    stands = np.argsort(strata, kind="stable")
    rows = np.empty((draws, len(strata)), np.int32)
    for draw in range(draws):
        rows[draw, stands] = np.argsort(strata + rng.random(len(strata)))  # a fraction shuffles, strata stay
    return rows


def attack(
    scores: np.ndarray, members: np.ndarray, strata: np.ndarray, how: Inference, rng: np.random.Generator
) -> Attack:
    """Measure one attack: scores [B], higher for whom it takes for a member; members bool [B]; strata int [B].

    Raises NotComputable under `how.min_patients`, or under `how.min_carriers` of either kind.
    """
    who = np.arange(len(scores))
    require_carriers(members, who, how.min_carriers)
    draws = (who, how.bootstrap, how.level, rng, how.min_patients)
    told = patient_bootstrap(auroc_within(scores, members, strata), *draws)
    null = permutation_null(
        _auroc_moved(scores, members, strata), permuted_members(strata, how.permutations, rng), how.level
    )
    return Attack(told, null, patient_bootstrap(weighted_caught(scores, members, FALSE_ALARMS), *draws))


def shortening(log_ratios: np.ndarray, members: np.ndarray, how: Inference, rng: np.random.Generator) -> Estimate:
    """By which share members' errors are shorter than others', each beside its reference: an AUROC has no unit.

    1 − exp(Δ / 2), Δ the difference of mean log ratios of squared errors. log_ratios [B], members bool [B]. Raises
    NotComputable as `attack`.
    """
    who = np.arange(len(log_ratios))
    require_carriers(members, who, how.min_carriers)

    def statistic(weights: np.ndarray) -> np.ndarray:
        ours, theirs = weights * members, weights * ~members  # [draws, B]
        with np.errstate(invalid="ignore"):
            gap = ours @ log_ratios / ours.sum(axis=1) - theirs @ log_ratios / theirs.sum(axis=1)
        return 1 - np.exp(gap / 2)

    return patient_bootstrap(statistic, who, how.bootstrap, how.level, rng, how.min_patients)


def _auroc_moved(scores: np.ndarray, members: np.ndarray, strata: np.ndarray) -> RowsStatistic:
    """`auroc_within` of members [B] moved by rows [draws, B] within strata, by rank sums."""
    ranks, least, pairs = np.empty(len(scores)), 0.0, 0.0
    for stratum in np.unique(strata):
        here = strata == stratum
        ranks[here] = rankdata(scores[here])
        on = members[here].sum()
        least, pairs = least + on * (on + 1) / 2, pairs + on * (here.sum() - on)
    return lambda rows: (members[rows].astype(float) @ ranks - least) / pairs


def learned_scores(X: np.ndarray, members: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Let the attacker learn what members look like, from other patients than the one he is asked about: scores [B].

    He is granted much: to know of all others whether they are members. A ridge-logistic fit per fold of patients; X
    [B, F] is standardised over all of them, without their membership. Scores are ranks within a fold, as fits differ in
    their intercept. Raises NotComputable under `folds` patients, or if a fit has members, or others, alone.
    """
    fold = grouped_folds(np.arange(len(X)), folds, rng)
    order = np.argsort(fold, kind="stable")
    scale = X.std(axis=0)
    standard = (X - X.mean(axis=0)) / np.where(scale < 1e-8, 1.0, scale)
    rows = np.column_stack([standard, np.ones(len(X))])[order].astype(np.float32)  # twice as fast, and exact enough
    y, edges = members[order].astype(float), np.searchsorted(fold[order], np.arange(folds + 1))
    fits, fitted = held_out_fits(rows, y, PENALTY, edges, logistic_ridge(rows, y, PENALTY))
    if not fitted.all():
        raise NotComputable("a fold's fit has members, or others, alone")
    scores = np.empty(len(X))
    for f in range(folds):
        inside = slice(edges[f], edges[f + 1])
        scores[order[inside]] = rankdata(rows[inside] @ fits[:, f]) / (edges[f + 1] - edges[f])
    return scores


def learned_attack(
    X: np.ndarray, members: np.ndarray, strata: np.ndarray, how: Inference, rng: np.random.Generator, refits: int
) -> Attack:
    """`attack` by `learned_scores`; for the null, everything is learned again of members drawn within the strata."""
    found = attack(learned_scores(X, members, how.folds, rng), members, strata, how, rng)
    moved = []
    for rows in permuted_members(strata, refits, rng):
        drawn = members[rows]
        moved.append(float(auroc_within(learned_scores(X, drawn, how.folds, rng), drawn, strata)(_once(drawn))[0]))
    return found._replace(null=null_of(np.array(moved), found.auroc.value, how.level))


def _once(members: np.ndarray) -> np.ndarray:
    return np.ones((1, len(members)))
