"""The error against what the planted state foretells: simulated futures take the part of a predictor that knows all.

With m = E[z | state], the mean over all futures,

    ‖z − ẑ‖² = ‖z − m‖² + ‖m − ẑ‖² + 2 ⟨z − m, m − ẑ⟩      irreducible, reducible, cross term

and the cross term is nought on average, because z is a draw around m. Only M futures are simulated: their mean misses m
by a variance of s² / M, with s² the variance between futures. It is taken away again, so shares don't depend on M.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from jepascope.analysis.inference.bca import bca_of_sums
from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    Null,
    null_of,
    patient_codes,
    permuted_rows,
)

# A token that so few encounters have, come or expected, has no normal score.
MIN_CARRIERS = 20.0
# z varies by about one; less variance than this is rounding.
EMPTY = 1e-12


class ErrorParts(NamedTuple):
    """Squared error of n rows along Q directions; `irreducible`, `reducible` and `cross` add up to `total`."""

    total: np.ndarray  # [n, Q], (w · (z − ẑ))²
    irreducible: np.ndarray  # [n, Q], less what M futures leave uncertain; so single values can be negative
    reducible: np.ndarray  # [n, Q]
    cross: np.ndarray  # [n, Q], of mean nought
    spread: np.ndarray  # [n, Q], variance between futures: the irreducible part without looking at z
    perfect: np.ndarray  # [n, Q], what `reducible` is of one who knows the state: of mean nought


def split_error(z: np.ndarray, z_hat: np.ndarray, futures: np.ndarray, directions: np.ndarray) -> ErrorParts:
    """Split the squared error of ẑ into what nobody could foresee and what the state foretold, without bias by M.

    `perfect` puts the mean of half of the futures in the place of ẑ, and asks the other half; what either misses by
    being few is taken off.

    Args: z, z_hat [n, D]; futures [n, M, D], z of M simulated encounters in the place of each; directions [Q, D].
    """
    M = futures.shape[1]
    half = M // 2
    seen = futures @ directions.T  # [n, M, Q]
    m, spread = seen.mean(axis=1, dtype=float), seen.var(axis=1, ddof=1, dtype=float)
    surprise, fault = z @ directions.T - m, m - z_hat @ directions.T
    apart = seen[:, :half].mean(axis=1, dtype=float) - seen[:, half:].mean(axis=1, dtype=float)
    return ErrorParts(
        total=(surprise + fault) ** 2,
        irreducible=surprise**2 - spread / M,
        reducible=fault**2 - spread / M,
        cross=2 * surprise * fault + 2 * spread / M,
        spread=spread,
        perfect=apart**2 - spread * (1 / half + 1 / (M - half)),
    )


def part_shares(
    parts: ErrorParts, which: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Shares of the summed error along the directions `which` (bool [Q]), with BCa intervals by patient.

    Keys irreducible, reducible, cross, spread (the irreducible share by another way, as a check) and perfect (the null
    of the reducible share).
    patients [n]. Raises NotComputable under `how.min_patients` patients.
    """
    columns = np.stack([part[:, which].sum(axis=1) for part in parts], axis=1)
    statistics = {
        "irreducible": lambda s: s[:, 1] / s[:, 0],
        "reducible": lambda s: s[:, 2] / s[:, 0],
        "cross": lambda s: s[:, 3] / s[:, 0],
        "spread": lambda s: s[:, 4] / s[:, 0],
        "perfect": lambda s: s[:, 5] / s[:, 0],
    }
    return {
        name: bca_of_sums(statistic, columns, patients, how.bootstrap, how.level, rng, how.min_patients)
        for name, statistic in statistics.items()
    }


class Calibration(NamedTuple):
    """How far encounters lie from the mean of simulated futures, over how far a simulated one lies from it."""

    came: Estimate  # the encounter that came
    simulated: Estimate  # one of the futures in its place: one, but for chance
    stranger: Estimate  # an encounter of another patient in its place: what a wrong simulation would show


def calibrate(
    came: np.ndarray, futures: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Calibration:
    """Hold simulated futures against what came: nothing tells a right simulation's futures from the real one.

    Σ ‖x − m‖² / Σ (1 + 1/M) s², x what came and m, s² mean and variance over M futures. Wrong means push it over one,
    and a wrong spread off one either way. came [n, F], futures [n, M, F] (float or bool), patients [n].
    """
    strangers = permuted_rows(patients, 1, rng)[0]
    pairs = {
        "came": (came, futures),
        "simulated": (futures[:, 0], futures[:, 1:]),
        "stranger": (came[strangers], futures),
    }
    found = {}
    for name, (x, others) in pairs.items():
        m = others.mean(axis=1, dtype=np.float32)
        # Of truth values the variance follows from the mean, and needs no second pass over a large array.
        s2 = (
            (m - m**2) * (others.shape[1] / (others.shape[1] - 1)) if came.dtype == bool else others.var(axis=1, ddof=1)
        )
        off = np.square(x - m, dtype=float).sum(axis=1)
        columns = np.stack([off, (1 + 1 / others.shape[1]) * s2.sum(axis=1, dtype=float)], axis=1)
        found[name] = bca_of_sums(
            lambda s: s[:, 0] / s[:, 1], columns, patients, how.bootstrap, how.level, rng, how.min_patients
        )
    return Calibration(**found)


def mean_scores(came: np.ndarray, futures: np.ndarray, patients: np.ndarray) -> pd.DataFrame:
    """Compare the mean of each column of what came with the futures' mean, as a score that is normal if they agree.

    t = Σ_b d_b / √Σ_b d_b², d_b the summed difference of patient b's rows: patients are independent, rows are not.
    Columns came, expected (means over rows), t, and t_simulated, with the first future in the place of what came.
    NaN where fewer than 20 encounters carry a column. came [n, F], futures [n, M, F], patients [n].
    """
    codes, B = patient_codes(patients)
    of_patient = csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(B, len(codes)))

    def score(x: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        m = others.mean(axis=1, dtype=np.float32)  # [n, F]
        d = of_patient @ (x - m).astype(float)  # [B, F]
        carried = np.maximum(np.abs(x).sum(axis=0), np.abs(m).sum(axis=0)) >= MIN_CARRIERS
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(carried, d.sum(axis=0) / np.sqrt((d**2).sum(axis=0)), np.nan), m

    (t, m), (t_simulated, _) = score(came, futures), score(futures[:, 0], futures[:, 1:])
    return pd.DataFrame({"came": came.mean(axis=0), "expected": m.mean(axis=0), "t": t, "t_simulated": t_simulated})


def correlate_spots(
    one: np.ndarray,
    other: np.ndarray,
    variance: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    """Pearson r over directions between two maps of blind spots, Σ one / Σ variance and Σ other / Σ variance.

    one, other, variance [n, Q]; the interval is over patients, whose draws move both maps. BCa, as draws blur both maps
    and so pull r down. patients [n].
    """
    Q = one.shape[1]

    def r(s: np.ndarray) -> np.ndarray:
        x, y = (s[:, a : a + Q] / s[:, 2 * Q :] for a in (0, Q))
        x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
        return (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))

    columns = np.concatenate([one, other, variance], axis=1)
    return bca_of_sums(r, columns, patients, how.bootstrap, how.level, rng, how.min_patients)


class Agreement(NamedTuple):
    """An estimate of the predictor's avoidable error, held against the oracle's."""

    r2: Estimate  # share of the reducible error that the estimate gets right; can't reach one from records
    null: Null  # the estimate of another patient
    axes: float  # squared cosine of its leading axes with the oracle's
    axes_of_e: float  # the same of plain principal axes of e
    chance: float  # the same of random axes


def agree(
    estimated: np.ndarray,
    e: np.ndarray,
    z_hat: np.ndarray,
    futures: np.ndarray,
    patients: np.ndarray,
    axes: int,
    how: Inference,
    rng: np.random.Generator,
) -> Agreement:
    """Certify an estimated avoidable error against the oracle's, r = E[z | state] − ẑ, corrected for M futures.

    R² = 1 − Σ‖g − r‖² / Σ‖r‖². The state holds more than the records show, so even the best reader of records stays
    below one. Args: estimated g [n, D], e, z_hat [n, D], futures [n, M, D], patients [n].
    """
    M = futures.shape[1]
    m = futures.mean(axis=1, dtype=float)
    doubt = futures.var(axis=1, ddof=1, dtype=float).sum(axis=1) / M  # [n]
    r = m - z_hat
    size = np.square(r).sum(axis=1) - doubt

    def off(g: np.ndarray) -> np.ndarray:
        return np.square(g - r).sum(axis=1) - doubt

    def r2(s: np.ndarray) -> np.ndarray:
        return 1 - s[:, 0] / s[:, 1]

    columns = np.stack([off(estimated), size], axis=1)
    found = bca_of_sums(r2, columns, patients, how.bootstrap, how.level, rng, how.min_patients)
    moved = [1 - off(estimated[rows]).sum() / size.sum() for rows in permuted_rows(patients, how.permutations, rng)]
    within = (futures - m[:, None]).reshape(-1, m.shape[1]).astype(float)
    noise = within.T @ within / (len(m) * (M - 1) * M)  # [D, D], what M futures add to the covariance of r
    truth = leading_axes(np.cov(r.T) - noise, axes)
    squared = [np.square(leading_axes(np.cov(x.T), axes) @ truth.T).sum() / axes for x in (estimated, e)]
    # An estimate that is the same for all is a stranger's, too: rounding must not decide between them.
    null = null_of(np.round(moved, 12), round(found.value, 12), how.level)
    return Agreement(found, null, float(squared[0]), float(squared[1]), axes / m.shape[1])


def leading_axes(covariance: np.ndarray, n: int) -> np.ndarray:
    """The n leading principal axes of covariances [..., D, D], unit rows [..., n, D], largest first.

    Noughts where there is no variance: a reader that found nothing names no axis, and must not be given the first ones.
    """
    axes = np.swapaxes(np.linalg.eigh(covariance)[1][..., ::-1], -1, -2)[..., :n, :]
    return axes * (np.trace(covariance, axis1=-2, axis2=-1) > EMPTY)[..., None, None]
