"""Is ẑ a prediction? Its skill over the mean, over persistence and over the untrained twin, before explaining it.

Each skill is 1 − SSE / reference SSE summed over rows and dimensions: 1 is perfect, 0 the reference, below 0 worse.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import Estimate, Inference, bootstrap_of_sums, permuted_rows


class Predictions(NamedTuple):
    """M predictions with what they are held against, aligned on the encounter that is predicted."""

    z: np.ndarray  # [M, D], the targets
    z_hat: np.ndarray  # [M, D]
    z_previous: np.ndarray  # [M, D], the encounter before each target
    mean: np.ndarray  # [D], of z over training patients
    patients: np.ndarray  # [M]


class PredictionSkill(NamedTuple):
    """Skill of ẑ against two references."""

    over_mean: Estimate
    over_persistence: Estimate


def squared_error(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distance per row [N] of x [N, D] to y [N, D] or [D]."""
    return np.square(np.asarray(x, float) - y).sum(axis=1)


def skill(
    z: np.ndarray,
    predicted: np.ndarray,
    origin: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    """1 − Σ‖z − predicted‖² / Σ‖z − origin‖²: [M, D] each, origin [D] or [M, D]. NotComputable under `min_patients`."""
    columns = np.stack([squared_error(z, predicted), squared_error(z, origin)], axis=1)
    return bootstrap_of_sums(
        lambda s: 1 - s[:, 0] / s[:, 1], columns, patients, how.bootstrap, how.level, rng, how.min_patients
    )


def prediction_skill(made: Predictions, how: Inference, rng: np.random.Generator) -> PredictionSkill:
    """Skill over the mean, 1 − ‖z − ẑ‖² / ‖z − μ‖², and over persistence, 1 − ‖z − ẑ‖² / ‖z − z_previous‖².

    μ comes from training patients: R² around the test mean would grant ẑ a free fit. Persistence is a reference because
    chronic patients repeat themselves, and copying scores well. Raises NotComputable under `how.min_patients`.
    """
    references = (made.mean, made.z_previous)
    return PredictionSkill(*(skill(made.z, made.z_hat, origin, made.patients, how, rng) for origin in references))


def of_another_patient(made: Predictions, rng: np.random.Generator) -> Predictions:
    """Exchange each ẑ for one made for *another* patient of like record length: the null of every skill.

    Shrinkage and record length score by themselves; what is left is what ẑ knows about this patient. Nobody keeps her
    own. Raises NotComputable for a single patient.
    """
    return made._replace(z_hat=made.z_hat[permuted_rows(made.patients, 1, rng)[0]])


def skill_over_twin(trained: Predictions, twin: Predictions, how: Inference, rng: np.random.Generator) -> Estimate:
    """Skill over the mean, trained minus untrained twin, paired by draw: a random encoder's ẑ has skill as well.

    Each in its own space, on the same target rows. Raises ValueError if the rows differ, NotComputable under
    `how.min_patients`.
    """
    if not np.array_equal(trained.patients, twin.patients):
        raise ValueError("trained and twin must hold the same target rows: take both from one set of encounters")
    # SSE and SST of the trained model, then of the twin: [M] each.
    columns = [squared_error(made.z, other) for made in (trained, twin) for other in (made.z_hat, made.mean)]
    return bootstrap_of_sums(
        # (1 − SSE/SST) − (1 − SSE'/SST')
        lambda s: s[:, 2] / s[:, 3] - s[:, 0] / s[:, 1],
        np.stack(columns, axis=1),
        trained.patients,
        how.bootstrap,
        how.level,
        rng,
        how.min_patients,
    )
