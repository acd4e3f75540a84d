"""Do codes that were found in z alone say the same as ẑ and e do, feature by feature?

A code is held against what its own feature reads elsewhere, so that a match can't come of choosing among features.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jepascope.analysis.inference.stats import Drawn, Inference, bootstrap_counts, patient_codes

Pair = tuple[str, str]


def standard(x: np.ndarray) -> np.ndarray:
    """Columns of x [N, F] at mean nought and variance one; a column that never changes is nought, and r with it too."""
    centred = np.asarray(x, float) - np.mean(x, axis=0, dtype=float)
    spread = centred.std(axis=0)
    return np.where(spread > 1e-9, centred / np.where(spread > 0, spread, 1.0), 0.0)


def correlations(codes: Mapping[str, np.ndarray], readings: Mapping[str, np.ndarray]) -> dict[Pair, np.ndarray]:
    """Pearson r [F] of each code with each reading of the same features, [N, F] all; nought where one is constant."""
    made = {name: standard(x) for name, x in {**codes, **readings}.items()}
    return {(c, r): np.mean(made[c] * made[r], axis=0) for c in codes for r in readings}


def mean_correlations(
    codes: Mapping[str, np.ndarray],
    readings: Mapping[str, np.ndarray],
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> dict[Pair, Drawn]:
    """Mean of `correlations` over features, with shared draws of patients [N], so that two may be subtracted.

    Sums of x, x² and xy per patient make each draw exact. Raises NotComputable under `how.min_patients`.
    """
    index, B = patient_codes(patients, how.min_patients)
    counts = np.concatenate([np.ones((1, B)), bootstrap_counts(B, how.bootstrap, rng)])  # [1 + draws, B]
    rows = counts @ np.bincount(index)  # [1 + draws]
    made = {name: standard(x) for name, x in {**codes, **readings}.items()}

    def mean(x: np.ndarray) -> np.ndarray:
        sums = np.stack([np.bincount(index, column, B) for column in x.T], axis=1)
        return (counts @ sums) / rows[:, None]  # [1 + draws, F]

    means = {name: mean(x) for name, x in made.items()}
    variances = {name: mean(x * x) - means[name] ** 2 for name, x in made.items()}
    found = {}
    for pair in ((c, r) for c in codes for r in readings):
        (m, n), spread = (means[name] for name in pair), variances[pair[0]] * variances[pair[1]]
        shared = mean(made[pair[0]] * made[pair[1]]) - m * n
        r = np.where(spread > 1e-12, shared / np.sqrt(np.maximum(spread, 1e-12)), 0.0).mean(axis=1)
        found[pair] = Drawn(float(r[0]), r[1:], len(index), B)
    return found


def correlation_gains(code: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """By row and feature [N, F]: what it adds to r of the code with ours, less that with theirs; sums are differences.

    With all standardised, x (y − y′) − r̄ (y² − y′²) / 2, r̄ the mean of both r. The second term has sum nought: it is
    what a row adds to the spread that r is divided by. All [N, F]. For `exchange.exchanged`.
    """
    x, y, other = (standard(part) for part in (code, ours, theirs))
    r = np.mean(x * (y + other), axis=0) / 2  # [F]
    return (x * (y - other) - r * (y**2 - other**2) / 2) / len(x)
