"""Latent geometry: do steps into trouble go further, and does ẑ point at the encounter that really comes next?

Both are comparisons between encounters, and encounters differ by when they happen and by how long the record is. So
both are made within strata of gap and record length. Distances are Euclidean, within one space: ratios and ranks of
them have no unit and can be set side by side across spaces.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from scipy.sparse import csr_matrix, issparse

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    Null,
    bootstrap_of_sums,
    patient_codes,
    permutation_null,
    permuted_rows,
    require_carriers,
)

# Pairs of rows whose distance is computed at a time: 64 dimensions of them are 26 MB.
CHUNK_PAIRS = 100_000

Space: TypeAlias = np.ndarray | csr_matrix


class Steps(NamedTuple):
    """N steps from one encounter to the next."""

    length: np.ndarray  # [N], ‖z_{k+1} − z_k‖
    worse: np.ndarray  # bool [N], the deteriorating ones
    stratum: np.ndarray  # int [N], steps are compared within
    patients: np.ndarray  # [N]


class Retrieval(NamedTuple):
    """M searches for the true next encounter among m others; chance of the percentile is one half."""

    percentile: np.ndarray  # [M], share of the others that are further from the query
    reciprocal_rank: np.ndarray  # [M], 1 / (1 + others that are nearer)
    first: np.ndarray  # [M], nearest of all
    own: np.ndarray  # [M], distance to the true one
    ambient: np.ndarray  # [M], mean distance of the true one to the others
    patients: np.ndarray  # [M]


def row_distances(x: Space, y: Space) -> np.ndarray:
    """Euclidean distance of each row of x to the same row of y, [N, D] both, dense or sparse."""
    if issparse(x):
        sparse = csr_matrix(x - y)
        return np.sqrt(np.asarray(sparse.multiply(sparse).sum(axis=1)).ravel())
    difference = np.asarray(x - y)
    return np.sqrt(np.einsum("nd,nd->n", difference, difference, dtype=float))


def strata(gap: np.ndarray, k: np.ndarray, gap_bins: int, length_bins: int) -> np.ndarray:
    """Cross quantiles of the gap with quantiles of the record's length: int [N], equal where both are alike.

    gap (days) and k [N]. Cuts that coincide, as those of small k do, give fewer bins.
    """
    cells = np.zeros(len(gap), int)
    for values, bins in ((gap, gap_bins), (k, length_bins)):
        cuts = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
        cells = cells * bins + np.searchsorted(cuts, values, side="right")
    return np.unique(cells, return_inverse=True)[1]


def displacement_ratio(steps: Steps, how: Inference, rng: np.random.Generator) -> Estimate:
    """How many times further deteriorating steps go than stable ones *of the same strata*: alike in gap and length.

    R = Σ_s n_s a_s / Σ_s n_s b_s, where n_s counts the deteriorating steps of stratum s, and a_s and b_s are the mean
    lengths of its deteriorating and of its stable steps; strata without one of them are left out. It is the ratio of
    means after stable steps are weighted to the deteriorating ones' strata (standardisation), here a function of sums,
    so that weights are made anew in every draw of patients. With one stratum it is the unmatched ratio.

    Raises NotComputable under `how.min_carriers` patients with either kind, or if no stratum has both.
    """
    require_carriers(steps.worse, steps.patients, how.min_carriers)
    S = int(steps.stratum.max()) + 1
    inside = np.arange(S) == steps.stratum[:, None]  # [N, S]
    kinds = [inside & steps.worse[:, None], inside & ~steps.worse[:, None]]
    columns = np.concatenate(
        [kind * weight[:, None] for weight in (np.ones(len(inside)), steps.length) for kind in kinds], 1
    )
    return bootstrap_of_sums(
        lambda sums: _standardised(*np.split(sums, 4, axis=1)),
        columns,  # [N, 4 S]
        steps.patients,
        how.bootstrap,
        how.level,
        rng,
        how.min_patients,
    )


def displacement_null(steps: Steps, how: Inference, rng: np.random.Generator) -> Null:
    """The ratio when each patient's labels are another's: steps, gaps and strata stay, who deteriorates moves."""
    require_carriers(steps.worse, steps.patients, how.min_carriers)
    N, S = len(steps.length), int(steps.stratum.max()) + 1

    def statistic(rows: np.ndarray) -> np.ndarray:
        worse = steps.worse[rows]  # [draws, N]
        cells = np.arange(len(rows))[:, None] * S + steps.stratum
        sums = []
        for weight in (np.ones(N), steps.length):
            for kind in (worse, ~worse):
                sums.append(np.bincount(cells.ravel(), (kind * weight).ravel(), len(rows) * S).reshape(-1, S))
        with np.errstate(divide="ignore", invalid="ignore"):
            return _standardised(*sums)

    return permutation_null(statistic, permuted_rows(steps.patients, how.permutations, rng), how.level)


def _standardised(n_worse: np.ndarray, n_stable: np.ndarray, worse: np.ndarray, stable: np.ndarray) -> np.ndarray:
    """R [draws] from counts and summed lengths by stratum, [draws, S] each."""
    both = (n_worse > 0) & (n_stable > 0)
    return np.where(both, worse, 0).sum(axis=1) / np.where(both, n_worse * stable / n_stable, 0).sum(axis=1)


def draw_distractors(stratum: np.ndarray, patients: np.ndarray, m: int, rng: np.random.Generator) -> np.ndarray:
    """Draw, for each row, m rows of other patients in its stratum: int [N, m], −1 where the stratum has none.

    With replacement, so that a small stratum needs no rule of its own. stratum and patients [N].
    """
    codes, _ = patient_codes(patients)
    order = np.lexsort((codes, stratum))  # a patient's rows lie together inside each stratum
    place = np.argsort(order)
    by_stratum, by_patient = stratum[order], codes[order]
    opens = np.r_[True, by_stratum[1:] != by_stratum[:-1]]
    mine = opens | np.r_[True, by_patient[1:] != by_patient[:-1]]
    begin, size = _blocks(opens)
    own_begin, own_size = _blocks(mine)
    others = size - own_size
    picks = rng.integers(0, np.maximum(others, 1)[:, None], (len(order), m))
    picks += (picks >= (own_begin - begin)[:, None]) * own_size[:, None]  # step over the patient's own rows
    drawn = np.where(others[:, None] > 0, order[np.minimum(begin[:, None] + picks, len(order) - 1)], -1)
    return drawn[place]


def retrieve(query: Space, z: Space, distractors: np.ndarray, patients: np.ndarray) -> Retrieval:
    """Rank each target among its matched distractors by distance to the query made for it.

    query and z [N, D], aligned: row j of the query is meant for row j of z. distractors int [N, m] of
    `draw_distractors`; rows without any are left out. Ties count half, and share the first place.
    """
    rows = np.flatnonzero(distractors[:, 0] >= 0)
    m = distractors.shape[1]
    own = row_distances(query[rows], z[rows])
    others, ambient = (_pair_distances(x, z, np.repeat(rows, m), distractors[rows].ravel(), m) for x in (query, z))
    nearer, equal = ((compare(others, own[:, None])).sum(axis=1) for compare in (np.less, np.equal))
    return Retrieval(
        percentile=1 - (nearer + equal / 2) / m,
        reciprocal_rank=1 / (1 + nearer + equal / 2),
        first=(nearer == 0) / (1 + equal),
        own=own,
        ambient=ambient.mean(axis=1),
        patients=patients[rows],
    )


def percentile_among_past(query: Space, z: Space, k: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Share of the patient's own earlier encounters that are further from the query than the next one: float [M].

    Knowing who the patient is helps nothing here. query [M, D] is meant for z[rows]; z [N, D] and k [N] in order of
    (patient, k); rows int [M], each with k ≥ 1. Ties count half.
    """
    past = k[rows].astype(int)
    ends = np.cumsum(past)
    search = np.repeat(np.arange(len(rows)), past)
    earlier = (rows - past)[search] + np.arange(len(search)) - (ends - past)[search]
    own = row_distances(query, z[rows])[search]
    others = _pair_distances(query, z, search, earlier, 1)[:, 0]
    return np.bincount(search, (others > own) + (others == own) / 2, len(rows)) / past


def mean_so_far(z: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Mean of the patient's encounters before each, float [N, D]: what a static idea of the patient would predict.

    z [N, D] and k [N] in order of (patient, k); NaN at k = 0.
    """
    sums = np.concatenate([np.zeros((1, z.shape[1])), np.cumsum(z, axis=0, dtype=float)])
    rows = np.arange(len(z))
    with np.errstate(invalid="ignore"):
        return (sums[rows] - sums[rows - k]) / k[:, None]


def cosine_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 − cos of each row of x with the same row of y, [N, D] both, float [N]."""
    return 1 - np.einsum("nd,nd->n", _unit(x), _unit(y), dtype=float)


def nearest_other(z: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Cosine distance of each encounter of z [N, D] to the nearest one of another patient, float [N].

    All pairs: N is the caller's to bound, and ours to state, as more rows have a nearer one. Infinite where there is no
    other patient. The denominator of jepa-ehr's ratio, by its public code.
    """
    unit = _unit(z)
    similarity = unit @ unit.T  # [N, N]
    similarity[patients[:, None] == patients] = -np.inf
    return 1 - similarity.max(axis=1).astype(float)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def ratio_of_means(
    over: np.ndarray, under: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """mean(over) / mean(under), [N] each, paired by draw. Raises NotComputable under `how.min_patients`."""
    columns = np.stack([over, under], axis=1)
    return bootstrap_of_sums(
        lambda s: s[:, 0] / s[:, 1], columns, patients, how.bootstrap, how.level, rng, how.min_patients
    )


def _blocks(opens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Begin and size [N] of the block each row is in, from bool [N]: a new block opens here."""
    begins = np.flatnonzero(opens)
    which = np.cumsum(opens) - 1
    return begins[which], np.diff(np.r_[begins, len(opens)])[which]


def _pair_distances(x: Space, y: Space, rows: np.ndarray, others: np.ndarray, m: int) -> np.ndarray:
    """Distances of x[rows] to y[others], a chunk at a time, as [len(rows) / m, m]."""
    parts = [
        row_distances(x[rows[a : a + CHUNK_PAIRS]], y[others[a : a + CHUNK_PAIRS]])
        for a in range(0, len(rows), CHUNK_PAIRS)
    ]
    return np.concatenate(parts or [np.zeros(0)]).reshape(-1, m)
