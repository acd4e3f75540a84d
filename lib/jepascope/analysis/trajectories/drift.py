"""Drift: do steps lead towards where a concept is at home, and more so than towards anywhere else?

A point far out moves towards any centroid, because it moves towards the middle; and one that only wavers about its
place drifts towards whatever lies near. So drift is held against that of the same step walked back, and drift towards
a concept's centroid against that towards centroids of as many random rows: those of patients who were handed
another's labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    Null,
    bootstrap_of_sums,
    null_of,
    patient_codes,
    patient_sums,
    permuted_rows,
)

# Kinds of step t → t + 1 with respect to a concept. The first two are known at t; the others look at what came later.
KINDS = {
    "coded": "from an encounter with it",
    "free": "from an encounter before which, and at which, it was never coded",
    "before": "the step before the encounter that codes it first",
    "never yet": "a step, and the one after it, without it ever coded",
}


class Steps(NamedTuple):
    """M steps from row t to row t + 1 of one patient, in units of the caller's."""

    start: np.ndarray  # [M, D], x_t
    v: np.ndarray  # [M, D], x_{t+1} − x_t
    patients: np.ndarray  # [M]
    rows: np.ndarray  # int [M], t


class Approach(NamedTuple):
    """Drift before the first coding less drift while never yet coded, mean over concepts, and were time without way."""

    estimate: Estimate
    null: Null
    concepts: int


def steps_of(x: np.ndarray, patients: np.ndarray) -> Steps:
    """All steps of x [N, D]; patients [N], rows of each together, in order of k. Raises NotComputable without one."""
    rows = np.flatnonzero(patients[1:] == patients[:-1])
    if not len(rows):
        raise NotComputable("no patient has two encounters")
    return Steps(np.asarray(x[rows], float), np.asarray(x[rows + 1] - x[rows], float), patients[rows], rows)


def centroids(x: np.ndarray, members: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Mean over patients of each one's mean over her member rows: a mean over rows would be that of long records.

    x [N, D], members bool [G, N], patients [N]. Returns [G, D]; NaN where nobody is a member.
    """
    codes, n_patients = patient_codes(patients)
    means = np.empty((len(members), x.shape[1]))
    for g, member in enumerate(members):
        count = np.bincount(codes[member], minlength=n_patients)
        weight = member / np.maximum(count, 1)[codes]  # every patient who is in weighs one
        means[g] = (weight @ x) / count.astype(bool).sum() if member.any() else np.nan
    return means


def random_centroids(
    x: np.ndarray, member: np.ndarray, patients: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """`centroids` [draws, D] of rows that patients have whose labels are another's: as many, as sticky, unrelated.

    x [N, D], member bool [N], patients [N], rows of each in order of k.
    """
    return centroids(x, member[permuted_rows(patients, draws, rng)], patients)


def drift(steps: Steps, towards: np.ndarray) -> np.ndarray:
    """δ_t = ⟨v_t, (μ − x_t) / ‖μ − x_t‖⟩ [M, R] towards points μ [R, D], in the units of the steps.

    Positive when a step leads nearer; a step can't lead nearer than by its own length.
    """
    along = steps.v @ towards.T - np.einsum("md,md->m", steps.v, steps.start)[:, None]  # ⟨v, μ − x⟩
    squared = (
        np.sum(steps.start**2, axis=1)[:, None] - 2 * steps.start @ towards.T + np.sum(towards**2, axis=1)
    )  # ‖μ − x‖²
    return along / np.sqrt(np.maximum(squared, 1e-12))


def course(steps: Steps, towards: np.ndarray) -> np.ndarray:
    """What of the drift is due to the order of the two points: (δ_t − δ'_t) / 2 [M, R], δ' from x_{t+1} back to x_t.

    A point that wavers about its place leaves its own noise behind at every step: δ is positive towards any μ, and
    larger the nearer μ lies. Patients who always lay near a concept would thus seem to approach it. Walked back the
    same step drifts alike, so the difference is nought unless time has a direction. towards [R, D].
    """
    back = steps._replace(start=steps.start + steps.v, v=-steps.v)
    return (drift(steps, towards) - drift(back, towards)) / 2


def so_far(member: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Whether a concept was coded at the row or before it, bool [N]. Rows of a patient together, in order of k."""
    first = np.flatnonzero(np.r_[True, patients[1:] != patients[:-1]])
    total = np.cumsum(member)
    earlier = np.r_[0, total][first]  # members before the patient's first row
    return total > np.repeat(earlier, np.diff(np.r_[first, len(member)]))


def kinds_of_step(member: np.ndarray, patients: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Masks [M] over the steps from `rows` [M], by `KINDS`, for one concept coded at the rows `member` bool [N].

    "before" and "never yet" are told apart by the encounter after the step, which must exist: they describe what came
    before something, and warn nobody. Rows of a patient stand together, in order of k.
    """
    codes, _ = patient_codes(patients)
    ever = so_far(member, patients)
    after = np.minimum(rows + 2, len(codes) - 1)
    has_after = (rows + 2 < len(codes)) & (codes[after] == codes[rows])
    clear = has_after & ~ever[rows + 1]
    return {
        "coded": member[rows],
        "free": ~ever[rows],
        "before": clear & member[after],
        "never yet": clear & ~member[after],
    }


def mean_drift(
    drifted: np.ndarray, beyond: np.ndarray, mask: np.ndarray, patients: np.ndarray, how: Inference, seed: int
) -> tuple[Estimate, Estimate]:
    """Mean over the steps in `mask` [M] of `drift` [M], and of `course` beyond random centroids [M].

    Raises NotComputable under `how.min_patients` patients with such a step.
    """
    columns = np.stack([drifted, beyond, np.ones(len(beyond))], axis=1)[mask]

    def estimate(column: int) -> Estimate:
        return bootstrap_of_sums(
            lambda s: s[:, column] / s[:, 2], columns, patients[mask],
            how.bootstrap, how.level, np.random.default_rng(seed), how.min_patients,
        )  # fmt: skip

    return estimate(0), estimate(1)


def mean_over_concepts(
    values: np.ndarray, masks: np.ndarray, took: np.ndarray, patients: np.ndarray, how: Inference,
    rng: np.random.Generator,
) -> Estimate:  # fmt: skip
    """Σ values / Σ took over each concept's steps, then the mean over concepts: frequent ones don't speak for all.

    values [G, M], masks bool [G, M], took [M]: ones for a mean by step, or the days of each step; patients [M].
    Concepts with fewer than `how.min_patients` patients are left out; raises NotComputable when none is left.
    """
    enough = [g for g, mask in enumerate(masks) if len(np.unique(patients[mask])) >= how.min_patients]
    if not enough:
        raise NotComputable(f"no concept has {how.min_patients} patients with such a step")
    kept = masks[enough].T.astype(float)  # [M, G]
    columns = np.hstack([values[enough].T * kept, took[:, None] * kept])

    def mean(s: np.ndarray) -> np.ndarray:
        total, count = np.split(s, 2, axis=1)
        return np.mean(total / count, axis=1)

    found = bootstrap_of_sums(mean, columns, patients, how.bootstrap, how.level, rng, how.min_patients)
    used = kept.any(axis=1)
    return found._replace(n_rows=int(used.sum()), n_patients=len(np.unique(patients[used])))


def approach(
    beyond: np.ndarray, masks: list[dict[str, np.ndarray]], patients: np.ndarray, how: Inference,
    rng: np.random.Generator,
) -> Approach:  # fmt: skip
    """Does a step lead towards a concept's centroid when the next encounter codes it first, more than when it doesn't?

    Per concept, mean of `beyond` over "before" steps less that over "never yet" steps; then the mean over concepts, so
    that frequent ones don't speak for all. One bootstrap of patients. In the null a coin says for each patient whether
    her steps are walked as they were or back, which turns the sign of all her courses.

    Args: beyond [G, M], `course` towards each concept's centroid less its mean towards random ones; masks of
    `kinds_of_step` by concept, patients [M]. Concepts with fewer than `how.min_patients` patients before a first
    coding are left out; raises NotComputable when none is left.
    """
    enough = [g for g, mask in enumerate(masks) if len(np.unique(patients[mask["before"]])) >= how.min_patients]
    if not enough:
        raise NotComputable(f"no concept has {how.min_patients} patients with a step before its first coding")
    before = np.stack([masks[g]["before"] for g in enough], axis=1).astype(float)  # [M, G]
    never = np.stack([masks[g]["never yet"] for g in enough], axis=1).astype(float)
    excess = beyond[enough].T  # [M, G]

    def mean_difference(s: np.ndarray) -> np.ndarray:
        a, n_a, b, n_b = np.split(s, 4, axis=1)
        return np.mean(a / n_a - b / n_b, axis=1)

    columns = np.hstack([excess * before, before, excess * never, never])
    estimate = bootstrap_of_sums(mean_difference, columns, patients, how.bootstrap, how.level, rng, how.min_patients)
    a, n_a, b, n_b = np.split(patient_sums(columns, patients), 4, axis=1)  # [B, G] each
    signs = rng.integers(0, 2, (how.permutations, len(a))) * 2.0 - 1
    drawn = (signs @ a / n_a.sum(axis=0) - signs @ b / n_b.sum(axis=0)).mean(axis=1)  # [permutations]
    null = null_of(drawn, estimate.value, how.level)
    used = np.flatnonzero((before + never).any(axis=1))
    estimate = estimate._replace(n_rows=len(used), n_patients=len(np.unique(patients[used])))
    return Approach(estimate, null, len(enough))
