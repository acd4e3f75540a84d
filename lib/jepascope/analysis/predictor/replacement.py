"""How much of a layer's output a stand-in for the layer leaves unexplained, and the fewest inputs that the layer needs.

All shares are means over dimensions, so that one wide dimension can't hide the others.
"""

from __future__ import annotations

import numpy as np

from jepascope.analysis.inference.stats import Estimate, Inference, bootstrap_of_sums


def _parts(y: np.ndarray, stand_ins: list[np.ndarray]) -> np.ndarray:
    """Columns [N, D (stand-ins + 1)]: squared errors of each, then squared distances to the mean."""
    return np.hstack([*(np.square(y - y_hat) for y_hat in stand_ins), np.square(y - y.mean(axis=0))])


def unexplained(
    y: np.ndarray, y_hat: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """Mean over dimensions of SSE / SST of y_hat [N, D] for y [N, D] of held-out patients [N]. Raises NotComputable."""
    D = y.shape[1]
    common = (patients, how.bootstrap, how.level, rng, how.min_patients)
    return bootstrap_of_sums(lambda s: (s[:, :D] / s[:, D:]).mean(axis=1), _parts(y, [y_hat]), *common)


def explained_more(
    y: np.ndarray,
    ours: list[np.ndarray],
    theirs: list[np.ndarray],
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    """`unexplained` by theirs less that by ours, paired by draw; mean over pairs of stand-ins, each [N, D].

    Several pairs, such as one a budget of axes, ask the question without choosing the budget that suits the answer.
    """
    D, R = y.shape[1], len(ours)

    def gain(sums: np.ndarray) -> np.ndarray:
        shares = sums[:, :-D].reshape(len(sums), 2 * R, D) / sums[:, None, -D:]
        by_one = shares.mean(axis=2)  # [draws, 2 R]
        return (by_one[:, R:] - by_one[:, :R]).mean(axis=1)

    common = (patients, how.bootstrap, how.level, rng, how.min_patients)
    return bootstrap_of_sums(gain, _parts(y, [*ours, *theirs]), *common)
