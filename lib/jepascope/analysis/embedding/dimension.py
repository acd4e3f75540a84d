"""How many directions a cloud of patients has, and whether its distances hang together: the shape of a space.

All of it takes one row a patient. Rows of one patient lie near each other whatever the space, so their nearest
neighbours measure how long records are.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata
from sklearn.neighbors import NearestNeighbors

from jepascope.analysis.inference.stats import (
    CHUNK_CELLS,
    Estimate,
    Inference,
    NotComputable,
    Null,
    bootstrap_chunks,
    bootstrap_of_sums,
    interval,
    null_of,
    patient_codes,
)

ROTATIONS = 10


def one_row_each(patients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Row numbers [B] of one random row a patient, in order of name; patients [N]."""
    shuffled = rng.permutation(len(patients))
    _, first = np.unique(patients[shuffled], return_index=True)
    return shuffled[first]


def log_ratios(x: np.ndarray) -> np.ndarray:
    """log(r₂ / r₁) of each row of x [N, D], distances of its two nearest rows, [N]; NaN where it has an equal.

    Raises NotComputable under four rows, or if over half of them have an equal.
    """
    if len(x) < 4:
        raise NotComputable(f"{len(x)} rows, 4 needed")
    r = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(x).kneighbors(x)[0]  # [N, 3]; the first is itself
    apart = r[:, 1] > 1e-6 * np.median(r[:, 2])  # float32 distances of equal rows are not quite nought
    if apart.mean() < 0.5:
        raise NotComputable(f"{np.count_nonzero(~apart)} of {len(x)} rows have an equal: distances say nothing")
    return np.log(np.where(apart, r[:, 2], np.nan) / np.where(apart, r[:, 1], 1.0))


def two_nn(ratios: np.ndarray, how: Inference, rng: np.random.Generator) -> Estimate:
    """Intrinsic dimension from the two nearest neighbours: needs no scale, and curved sheets count as what they are.

    d = N / Σ log μ, μ = r₂ / r₁ (Facco et al. 2017; this estimator Denti et al. 2022). It falls short where d is large
    for N, so it is to be compared at equal N. ratios [N] of `log_ratios`, a row a patient. Draws of patients keep each
    one's neighbours: a patient drawn twice would be her own. Raises NotComputable under `how.min_patients`.
    """
    return _of_ratios(lambda s: s[:, 0] / s[:, 1], ratios[:, None], how, rng)


def two_nn_excess(ratios: np.ndarray, references: np.ndarray, how: Inference, rng: np.random.Generator) -> Estimate:
    """Dimension of reference clouds minus that of this one; positive: the cloud fills less than its covariance would.

    ratios [N]; references [N, R], of R clouds of N rows, pooled. The clouds are independent of each other, so that
    pairing their rows in the draws changes nothing.
    """
    return _of_ratios(
        lambda s: s[:, 2::2].sum(axis=1) / s[:, 3::2].sum(axis=1) - s[:, 0] / s[:, 1],
        np.column_stack([ratios, references]), how, rng,
    )  # fmt: skip


def _of_ratios(statistic, ratios: np.ndarray, how: Inference, rng: np.random.Generator) -> Estimate:  # type: ignore[no-untyped-def]
    """Bootstrap a function of, for each column, the rows counted and their Σ log μ, which stand in pairs."""
    there = np.isfinite(ratios)
    pairs = np.stack([there.astype(float), np.where(there, ratios, 0.0)], axis=2)  # [N, columns, 2]
    columns = pairs.reshape(len(ratios), -1)
    return bootstrap_of_sums(
        statistic, columns, np.arange(len(ratios)), how.bootstrap, how.level, rng, how.min_patients
    )


def participation_ratio(x: np.ndarray, how: Inference, rng: np.random.Generator) -> Estimate:
    """How many directions share the variance: (tr Σ)² / tr Σ², between 1 and D (Gao et al. 2017).

    Both sums run over pairs of different patients, Σ w_i w_j |x_i|² |x_j|² over Σ w_i w_j ⟨x_i, x_j⟩²: with patients
    paired with themselves N rows look flatter than they are spread, and a draw with repeats flatter still.

    x [N, D], a row a patient, is taken about its mean. Raises NotComputable under `how.min_patients`.
    """
    patient_codes(np.arange(len(x)), how.min_patients)
    x = np.asarray(x, float) - x.mean(axis=0)
    size = np.sum(x**2, axis=1)
    upper = np.triu_indices(x.shape[1])
    twice = np.where(upper[0] == upper[1], 1.0, 2.0)  # an entry off the diagonal stands for two
    products = (x[:, upper[0]] * x[:, upper[1]]).astype(np.float32)  # [N, D (D + 1) / 2]

    def ratio(counts: np.ndarray) -> np.ndarray:
        own = counts**2 @ size**2
        moments = (counts.astype(np.float32) @ products).astype(float)
        return ((counts @ size) ** 2 - own) / (moments**2 @ twice - own)

    chunk = max(1, CHUNK_CELLS // len(x))
    drawn = [ratio(counts) for counts in bootstrap_chunks(len(x), how.bootstrap, chunk, rng)]
    value = float(ratio(np.ones((1, len(x))))[0])
    return Estimate(value, *interval(np.concatenate(drawn), how.level), len(x), len(x))


def halves(x: np.ndarray, rng: np.random.Generator, rotations: int = ROTATIONS) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of dissimilarity in two halves of the dimensions, after each of some random rotations: [R, B, B] twice.

    Dissimilarity is 1 − cos about the mean, and ranks run over pairs of different rows from −1 to 1. x [B, D].
    """
    x = np.asarray(x - x.mean(axis=0), np.float32)
    first, second = (np.zeros((rotations, len(x), len(x)), np.float32) for _ in range(2))
    for r in range(rotations):
        turned = x @ np.linalg.qr(rng.standard_normal((x.shape[1], x.shape[1])))[0].astype(np.float32)
        for ranks, half in ((first, turned[:, ::2]), (second, turned[:, 1::2])):
            ranks[r] = _ranks(half)
    return first, second


def _ranks(x: np.ndarray) -> np.ndarray:
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    pairs = np.tril_indices(len(x), -1)
    ranked = rankdata(-(unit @ unit.T)[pairs])
    square = np.zeros((len(x), len(x)), np.float32)
    square[pairs] = 2 * (ranked - 1) / (len(ranked) - 1) - 1
    return square + square.T


def split_half_draws(first: np.ndarray, second: np.ndarray, how: Inference, rng: np.random.Generator) -> np.ndarray:
    """Do two halves of a space order patients alike? Mean over rotations of Spearman's r between `halves` [R, B, B].

    The split-half correlation of dissimilarity matrices is Shesha's (Raju 2026). Shesha splits the dimensions as they
    stand, and so depends on axes that mean nothing in z; the mean over random rotations is ours.

    Returns [1 + draws]: the value, then draws of patients, which weigh pairs of different patients and keep the ranks
    of all. Spaces measured with equal generators share their draws. Raises NotComputable under `how.min_patients`.
    """
    B = first.shape[1]
    patient_codes(np.arange(B), how.min_patients)
    drawn = np.vstack([np.ones((1, B)), *bootstrap_chunks(B, how.bootstrap, how.bootstrap, rng)]).astype(np.float32)
    n = drawn.sum(axis=1) ** 2 - (drawn**2).sum(axis=1)  # pairs of different patients, by weight
    values = np.zeros(len(drawn))
    for a, b in zip(first, second, strict=True):
        mean_a, mean_b, ab, aa, bb = (np.einsum("sb,sb->s", drawn @ m, drawn) / n for m in (a, b, a * b, a * a, b * b))
        spread = np.sqrt((aa - mean_a**2) * (bb - mean_b**2))
        values += (ab - mean_a * mean_b) / spread / len(first)
    return values


def of_draws(values: np.ndarray, patients: int, level: float) -> Estimate:
    """The estimate in `split_half_draws`, or in a difference of them, of so many patients with a row each."""
    return Estimate(float(values[0]), *interval(values[1:], level), patients, patients)


def permuted_stability(
    first: np.ndarray, second: np.ndarray, draws: int, level: float, rng: np.random.Generator
) -> Null:
    """The null of `split_half_draws`: the second half's patients are shuffled, a rotation a draw."""
    B, pairs = first.shape[1], np.tril_indices(first.shape[1], -1)
    spread = first[0][pairs].std() ** 2
    values = np.empty(draws)
    for draw in range(draws):
        order, r = rng.permutation(B), draw % len(first)
        values[draw] = np.mean(first[r][pairs] * second[r][order[pairs[0]], order[pairs[1]]]) / spread
    observed = np.mean([np.mean(a[pairs] * b[pairs]) for a, b in zip(first, second, strict=True)]) / spread
    return null_of(values, float(observed), level)
