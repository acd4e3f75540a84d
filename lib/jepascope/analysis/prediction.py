"""Is ẑ a prediction? Its skill over the mean, over persistence and over the untrained twin, before explaining it.

Each skill is 1 − SSE / reference SSE summed over rows and dimensions: 1 is perfect, 0 the reference, below 0 worse.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.stats import Estimate, Inference, bootstrap_of_sums, permuted_rows


class PredictionSkill(NamedTuple):
    """Skill of ẑ against three references, and what ẑ of another patient would score over the mean."""

    over_mean: Estimate
    over_persistence: Estimate
    shuffled: Estimate  # the null of over_mean


def squared_error(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distance per row [N] of x [N, D] to y [N, D] or [D]."""
    return np.square(np.asarray(x, float) - y).sum(axis=1)


def _skill(
    error: np.ndarray, reference: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    columns = np.stack([error, reference], axis=1)  # [M, 2]
    return bootstrap_of_sums(
        lambda s: 1 - s[:, 0] / s[:, 1], columns, patients, how.bootstrap, how.level, rng, how.min_patients
    )


def skill_over_mean(
    z: np.ndarray, z_hat: np.ndarray, mean: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """1 − ‖z − ẑ‖² / ‖z − μ‖², μ [D] from training patients: R² around the test mean would grant ẑ a free fit.

    z, z_hat [M, D] on the same target rows, patients [M]. Raises NotComputable under `how.min_patients`.
    """
    return _skill(squared_error(z, z_hat), squared_error(z, mean), patients, how, rng)


def skill_over_persistence(
    z: np.ndarray,
    z_hat: np.ndarray,
    z_previous: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    """1 − ‖z − ẑ‖² / ‖z − z_previous‖²: chronic patients repeat themselves, and copying scores well over the mean.

    z_previous [M, D] is z of the encounter before each target. Raises NotComputable under `how.min_patients`.
    """
    return _skill(squared_error(z, z_hat), squared_error(z, z_previous), patients, how, rng)


def shuffled_skill(
    z: np.ndarray, z_hat: np.ndarray, mean: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """Skill over the mean of ẑ from *another* patient of like record length: shrinkage and record length score alone.

    One shuffle, in which nobody keeps her own. Raises NotComputable under `how.min_patients`.
    """
    rows = permuted_rows(patients, 1, rng)[0]
    return skill_over_mean(z, z_hat[rows], mean, patients, how, rng)


def prediction_skill(
    z: np.ndarray,
    z_hat: np.ndarray,
    z_previous: np.ndarray,
    mean: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> PredictionSkill:
    """All of the above on one set of rows: z, z_hat, z_previous [M, D] aligned on the target, mean [D]."""
    return PredictionSkill(
        skill_over_mean(z, z_hat, mean, patients, how, rng),
        skill_over_persistence(z, z_hat, z_previous, patients, how, rng),
        shuffled_skill(z, z_hat, mean, patients, how, rng),
    )


def skill_over_twin(
    trained: tuple[np.ndarray, np.ndarray, np.ndarray],
    twin: tuple[np.ndarray, np.ndarray, np.ndarray],
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    """Skill over the mean, trained minus untrained twin, paired by draw: a random encoder's ẑ has skill as well.

    trained and twin are (z, z_hat, mean) each in its own space, on the same target rows; patients [M].
    Raises ValueError if the rows differ in number, NotComputable under `how.min_patients`.
    """
    if len({len(array) for array in (*trained[:2], *twin[:2], patients)}) > 1:
        raise ValueError("trained and twin must hold the same target rows: take both from one set of encounters")
    # SSE and SST of the trained model, then of the twin: [M] each.
    columns = [squared_error(z, other) for z, z_hat, mean in (trained, twin) for other in (z_hat, mean)]
    return bootstrap_of_sums(
        # (1 − SSE/SST) − (1 − SSE'/SST')
        lambda s: s[:, 2] / s[:, 3] - s[:, 0] / s[:, 1],
        np.stack(columns, axis=1),
        patients,
        how.bootstrap,
        how.level,
        rng,
        how.min_patients,
    )
