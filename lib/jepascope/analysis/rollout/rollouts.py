"""Rollouts: how much of the true encounter is left in ẑ when predictions feed on themselves, horizon by horizon.

Every horizon is measured on the same targets. Otherwise long horizons, which only long records have, would be compared
with short ones of all patients. So what differs between h and h + 1 is only how old the last true encounter is, and a
predictor that uses what it reads can't do better with the older one: its drift is at least 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, bootstrap_of_sums, permuted_rows
from jepascope.analysis.predictor.prediction import squared_error


class Matched(NamedTuple):
    """M targets, each predicted from 1, …, H encounters before it."""

    z: np.ndarray  # [M, D], the targets z_j
    z_hat: np.ndarray  # [H, M, D], ẑ_{j|j−h}
    z_start: np.ndarray  # [H, M, D], z_{j−h}: what persistence copies
    mean: np.ndarray  # [D], of z over training patients
    patients: np.ndarray  # [M]


class Horizons(NamedTuple):
    """What is left at each horizon: tuples of H estimates, for h = 1, …, H, all on the same targets."""

    distance: tuple[Estimate, ...]  # D(h) = mean ‖ẑ_{j|j−h} − z_j‖₁
    drift: tuple[Estimate, ...]  # 100 · (D(h) − D(1)) / D(1), per cent
    of_persistence: tuple[Estimate, ...]  # D(h) / mean ‖z_{j−h} − z_j‖₁
    over_mean: tuple[Estimate, ...]  # 1 − Σ ‖ẑ_{j|j−h} − z_j‖² / Σ ‖μ − z_j‖²
    variance: tuple[Estimate, ...]  # tr Cov[ẑ_{·|·−h}] / tr Cov[z]


def match_targets(z: np.ndarray, z_hat: np.ndarray, k: np.ndarray, patients: np.ndarray, mean: np.ndarray) -> Matched:
    """Keep the targets that every horizon reaches, k ≥ H, because other rows would change with the horizon.

    z [N, D] and z_hat [H, N, D] (NaN where k < h), k and patients [N], rows in order of (patient, k); mean [D].
    Raises NotComputable when no encounter has H before it, ValueError when a kept prediction is missing.
    """
    H = len(z_hat)
    rows = np.flatnonzero(k >= H)
    if not len(rows):
        raise NotComputable(f"no encounter has {H} before it")
    if not np.isfinite(z_hat[:, rows]).all():
        raise ValueError(f"z_hat must be finite wherever k >= {H}: roll the same encounters out that z is of")
    z_start = np.stack([z[rows - h] for h in range(1, H + 1)])
    return Matched(z[rows], z_hat[:, rows], z_start, mean, patients[rows])


def of_another_patient(matched: Matched, rng: np.random.Generator) -> Matched:
    """Exchange all of a target's predictions for those made for another patient: the null at every horizon.

    Shrinkage towards the mean has a drift and a skill of its own, which this keeps.
    """
    return matched._replace(z_hat=matched.z_hat[:, permuted_rows(matched.patients, 1, rng)[0]])


def horizons(matched: Matched, how: Inference, rng: np.random.Generator) -> Horizons:
    """Distance, drift, share of persistence, skill over the mean and variance of ẑ at h = 1, …, H.

    Distances alone can't be read: a ẑ that falls back to the mean comes closer to a target it knows nothing of. That
    shows as skill and variance that go to 0. Definitions are ours. Raises NotComputable under `how.min_patients`.
    """
    H = len(matched.z_hat)
    D = _l1(matched.z_hat, matched.z)  # [M, H]
    persistence = _l1(matched.z_start, matched.z)  # [M, H]
    to_mean = squared_error(matched.z, matched.mean)  # [M]
    found: dict[str, list[Estimate]] = {name: [] for name in Horizons._fields}
    for h in range(H):
        z_hat = matched.z_hat[h]
        pairs = {
            "distance": (D[:, h], np.ones(len(D))),
            "drift": (D[:, h], D[:, 0]),
            "of_persistence": (D[:, h], persistence[:, h]),
            "over_mean": (squared_error(matched.z, z_hat), to_mean),
        }
        for name, pair in pairs.items():
            found[name].append(_ratio(name, *pair, matched.patients, how, rng))
        found["variance"].append(_variance_share(z_hat, matched, how, rng))
    return Horizons(**{name: tuple(estimates) for name, estimates in found.items()})


def skill_over_persistence(matched: Matched, how: Inference, rng: np.random.Generator) -> Estimate:
    """How much nearer than the last true encounter a rollout of two steps or more comes, all of them together.

    1 − Σ_h Σ_j ‖ẑ_{j|j−h} − z_j‖₁ / Σ_h Σ_j ‖z_{j−h} − z_j‖₁, h = 2, …, H. Raises NotComputable under
    `how.min_patients`.
    """
    error = _l1(matched.z_hat[1:], matched.z).sum(axis=1)
    reference = _l1(matched.z_start[1:], matched.z).sum(axis=1)
    return _ratio("over_persistence", error, reference, matched.patients, how, rng)


def skill_over_mean(matched: Matched, how: Inference, rng: np.random.Generator) -> Estimate:
    """Skill over the training mean at the last horizon, 1 − Σ ‖ẑ_{j|j−H} − z_j‖² / Σ ‖μ − z_j‖².

    Persistence is no bar where z is noisy, as the mean of everybody is nearer than a copy. Raises NotComputable under
    `how.min_patients`.
    """
    error, reference = squared_error(matched.z, matched.z_hat[-1]), squared_error(matched.z, matched.mean)
    return _ratio("over_mean", error, reference, matched.patients, how, rng)


def _l1(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """L1 distances [M, H] of x [H, M, D] to z [M, D]."""
    return np.abs(np.asarray(x, float) - z).sum(axis=2).T


def _ratio(
    name: str, over: np.ndarray, under: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """A ratio of sums, as a drift in per cent, as a skill, or as it is."""

    def statistic(s: np.ndarray) -> np.ndarray:
        ratio = s[:, 0] / s[:, 1]
        return 100 * (ratio - 1) if name == "drift" else 1 - ratio if name.startswith("over") else ratio

    columns = np.stack([over, under], axis=1)  # [M, 2]
    return bootstrap_of_sums(statistic, columns, patients, how.bootstrap, how.level, rng, how.min_patients)


def _variance_share(z_hat: np.ndarray, matched: Matched, how: Inference, rng: np.random.Generator) -> Estimate:
    blocks = []
    for x in (z_hat - matched.mean, matched.z - matched.mean):  # centred: sums stay small
        blocks += [x, np.square(x).sum(axis=1, keepdims=True)]
    columns = np.concatenate([*blocks, np.ones((len(z_hat), 1))], axis=1)  # [M, 2 (D + 1) + 1]

    def share(s: np.ndarray) -> np.ndarray:
        mine, theirs = np.split(s[:, :-1] / s[:, -1:], 2, axis=1)  # [draws, D + 1] each: means of x and of ‖x‖²
        # tr Cov[x] = E ‖x‖² − ‖E x‖²
        trace, of_z = (half[:, -1] - np.square(half[:, :-1]).sum(axis=1) for half in (mine, theirs))
        return trace / of_z

    return bootstrap_of_sums(share, columns, matched.patients, how.bootstrap, how.level, rng, how.min_patients)
