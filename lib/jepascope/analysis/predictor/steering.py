"""Steering: what a prediction does when a representation is moved along a direction, on target and off it.

An edit adds amount · u to a row x, u a unit direction. With s_q the score of concept q that a linear reader finds in ẑ,
in standard deviations, and α the size of the edit (1: as far as rows with the concept lie from rows without),

    on(α) = sign(α) · (s_q(ẑ') − s_q(ẑ))        off(α) = mean over other concepts j of |s_j(ẑ') − s_j(ẑ)|

and the area of each over the range of α is one number a row. Area on less area off is the selectivity. Any direction
fitted to any label has some of both, so only what exceeds random labels and random directions counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope.analysis.inference.stats import (
    Drawn,
    Estimate,
    Inference,
    Null,
    bootstrap_counts,
    interval,
    null_of,
    patient_sums,
)

GRID = (-1.0, 1.0, 2.0)  # sizes α of an edit that are run; at 0 nothing moves
# Labels that go together more than this (|φ| on training rows) are not each other's "off target".
RELATED = 0.3
# Edits of all rows that are predicted at a time.
CHUNK = 64
REGIMES = ("steerable", "entangled", "not beyond chance")

Respond = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Scored(NamedTuple):
    """What E edits of n rows did to the predictions."""

    on: np.ndarray  # float32 [n, E], change of the score that was meant, in standard deviations
    off: np.ndarray  # float32 [n, E], mean absolute change of the scores that were not


class Areas(NamedTuple):
    """Areas of n rows for Q concepts, and the same of R random labels and of R random directions."""

    on: np.ndarray  # [n, Q]
    selective: np.ndarray  # [n, Q], area on less area off
    labels_on: np.ndarray  # [R, n, Q]
    labels_selective: np.ndarray  # [R, n, Q]
    random_on: np.ndarray  # [R, n, Q]
    random_selective: np.ndarray  # [R, n, Q]


def score_edits(
    respond: Respond, u: np.ndarray, amounts: np.ndarray, own: np.ndarray, others: np.ndarray, still: np.ndarray
) -> Scored:
    """Run edits and read them, chunk by chunk: predictions of all edits at once would be gigabytes.

    Args: respond maps u [E, D] and amounts [n, E] to predictions [n, E, D]; own [E, D] and others [J, D] the readers,
    in standard deviations of their score; still [n, D], the predictions without an edit.
    """
    on, off = [], []
    for a in range(0, len(u), CHUNK):
        moved = respond(u[a : a + CHUNK], amounts[:, a : a + CHUNK]) - still[:, None]  # [n, e, D]
        on.append(np.einsum("ned,ed->ne", moved, own[a : a + CHUNK], optimize=True))
        off.append(np.abs(moved @ others.T.astype(np.float32)).mean(axis=2))
    return Scored(np.concatenate(on, axis=1), np.concatenate(off, axis=1))


def areas(scored: Scored) -> tuple[np.ndarray, np.ndarray]:
    """Area on, and area on less area off, over the range of α, by the trapezoid rule: each [n, E / len(GRID)].

    Edits stand direction by direction, those of one direction in the order of `GRID`.
    """
    at = np.sort([*GRID, 0.0])
    weights = np.array([np.trapezoid(at == alpha, at) for alpha in GRID]) / (at[-1] - at[0])
    on, off = (x.reshape(len(x), -1, len(GRID)) for x in scored)
    signed = on * np.sign(GRID)
    return signed @ weights, (signed - off) @ weights


def unrelated(labels: np.ndarray) -> np.ndarray:
    """Which concepts are off target of which, bool [Q, Q]: |φ| under `RELATED`, and never a concept of its own.

    labels bool [N, Q] of training rows.
    """
    with np.errstate(invalid="ignore"):
        phi = np.nan_to_num(
            np.abs(np.corrcoef(np.asarray(labels, float), rowvar=False)).reshape(2 * (labels.shape[1],))
        )
    return (phi < RELATED) & ~np.eye(len(phi), dtype=bool)


def random_units(x: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Unit directions [draws, D] that are as likely to point where x [N, D] varies as x is.

    Isotropic ones would mostly point where no row ever lies, and be too easy to beat.
    """
    centred = x - x.mean(axis=0)
    drawn = rng.standard_normal((draws, len(x))) @ centred  # of covariance N · Cov(x)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def row_space(jacobians: np.ndarray, share: float) -> np.ndarray:
    """The directions of the input that the prediction answers to, orthonormal rows [K, D]; the rest is its null space.

    Leading eigenvectors of Σ JᵀJ over rows, as many as hold `share` of its trace. jacobians [n, D_out, D]: one a row,
    because the map is not linear and what one row ignores another may not.
    """
    values, vectors = np.linalg.eigh(np.einsum("noi,noj->ij", jacobians, jacobians, dtype=float, optimize=True))
    held = np.cumsum(values[::-1]) / values.sum()
    return vectors[:, ::-1][:, : int(np.searchsorted(held, share)) + 1].T


def _reference(draws: np.ndarray) -> np.ndarray:
    """Mean over the draws of a null, [n, Q]."""
    return draws.mean(axis=0)


def _bootstrap(columns: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator) -> np.ndarray:
    """Means over rows of columns [n, C], first as they are and then in draws of patients: [1 + draws, C]."""
    sums = patient_sums(np.column_stack([columns, np.ones(len(columns))]), patients, how.min_patients)
    counts = np.concatenate([np.ones((1, len(sums))), bootstrap_counts(len(sums), how.bootstrap, rng)])
    drawn = counts @ sums
    return drawn[:, :-1] / drawn[:, -1:]


def regimes(found: Areas, patients: np.ndarray, how: Inference, rng: np.random.Generator) -> pd.DataFrame:
    """Which concepts can be steered, a row a concept: by interval *and* by rank among the draws of both nulls.

    An interval over patients alone would find something in every direction: the direction, and its reader, are the same
    for all patients, and their luck is in no patient. So an effect counts if its excess over the mean of the draws has
    an interval above nought and it exceeds all but the `1 − level` share of the draws, of random labels and of random
    directions both. Steerable: area on and selectivity count. Entangled: only the area on. Else: not beyond chance
    (others call this "not encoded", which such a test can't show).

    Columns: on, selective (values with _low and _high: of the excess over random labels `_over_labels`, over random
    directions `_over_random`), p_on, p_selective (the larger of both nulls'), regime. patients [n].
    """
    Q, alpha = found.on.shape[1], 1 - how.level
    table: dict[str, np.ndarray] = {}
    counts = {}
    for name in ("on", "selective"):
        real, p, passes = getattr(found, name), np.zeros(Q), np.ones(Q, bool)
        table[name] = real.mean(axis=0)
        for null in ("labels", "random"):
            draws = getattr(found, f"{null}_{name}")
            drawn = _bootstrap(real - _reference(draws), patients, how, np.random.default_rng(rng.integers(2**63)))
            table[f"{name}_over_{null}"] = drawn[0]
            ends = np.array([interval(column, how.level) for column in drawn[1:].T])
            table[f"{name}_over_{null}_low"], table[f"{name}_over_{null}_high"] = ends.T
            seen = draws.mean(axis=1)  # [R, Q]
            each = [null_of(seen[:, q], float(table[name][q]), how.level).p for q in range(Q)]
            p, passes = np.maximum(p, each), passes & (ends[:, 0] > 0)
        table[f"p_{name}"] = p
        counts[name] = passes & (p <= alpha + 1e-9)
    chosen = np.where(counts["on"], np.where(counts["selective"], 0, 1), 2)
    return pd.DataFrame(table).assign(regime=np.array(REGIMES)[chosen])


def pooled(
    found: Areas, name: str, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> tuple[Estimate, Null]:
    """Mean over concepts of the excess over random labels, and what it is of one draw over the mean of the others.

    name: "on" or "selective". Raises NotComputable under `how.min_patients`.
    """
    real, draws = getattr(found, name).mean(axis=1), getattr(found, f"labels_{name}").mean(axis=2)  # [n], [R, n]
    drawn = _bootstrap((real - _reference(draws))[:, None], patients, how, rng)[:, 0]
    R, seen = len(draws), draws.mean(axis=1)
    null = (seen - seen.mean()) * R / (R - 1)  # a draw less the mean of the others
    value = _drawn(drawn, patients)
    return value.estimate(*interval(value.values, how.level)), null_of(null, value.value, how.level)


def share_steerable(
    found: Areas, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> tuple[Estimate, Null]:
    """Share of concepts whose area on and selectivity exceed all draws of random labels and of random directions.

    In draws of patients, concept and null moved together. The null: one draw of the labels in the concepts' place, held
    against the other draws. Raises NotComputable under `how.min_patients`.
    """
    n, Q = found.on.shape
    flat = [found.on, found.selective]
    for draws in found[2:]:
        flat.append(draws.transpose(1, 0, 2).reshape(n, -1))  # [n, R · Q]
    means = _bootstrap(np.concatenate(flat, axis=1), patients, how, rng)  # [1 + draws, C]
    parts = np.split(means, np.cumsum([x.shape[1] for x in flat])[:-1], axis=1)
    on, selective, *nulls = (x.reshape(len(means), -1, Q) for x in parts)
    beaten = [real > null.max(axis=1, keepdims=True) for real, null in zip((on, selective) * 2, nulls, strict=True)]
    drawn = np.all(beaten, axis=0).mean(axis=(1, 2))
    value = _drawn(drawn, patients)
    by_chance = []
    labels, random = [x[0] for x in nulls[:2]], [x[0] for x in nulls[2:]]  # [R, Q] each
    for r in range(len(labels[0])):
        rest = [np.delete(x, r, axis=0) for x in labels]
        wins = [x[r] > others.max(axis=0) for x, others in zip(labels * 2, (*rest, *random), strict=True)]
        by_chance.append(np.all(wins, axis=0).mean())
    return value.estimate(*interval(value.values, how.level)), null_of(np.array(by_chance), value.value, how.level)


def upper_end(null: Null) -> Null:
    """The null for a claim about directions, which is to clear what the luckier draws reach, and not their mean.

    Which way a direction points is the same for all patients: an interval over patients that clears the mean of the
    draws clears half of the draws, however little there is to find.
    """
    return null._replace(value=null.high)


def _drawn(values: np.ndarray, patients: np.ndarray) -> Drawn:
    return Drawn(float(values[0]), values[1:], len(patients), len(np.unique(patients)))


def part_effects(on: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator) -> pd.DataFrame:
    """On-target change by the whole edit, its row-space part and its null-space part, with intervals. on [n, Q, 3].

    `illusion`: the whole edit moves its target, and the part to which the prediction should not answer does half of it
    or more, or neither part alone does (Makelov, Lange & Nanda 2023). A row a concept.
    """
    n, Q, _ = on.shape
    drawn = _bootstrap(on.reshape(n, -1), patients, how, rng)
    value = drawn[0].reshape(Q, 3)
    low, high = np.array([interval(column, how.level) for column in drawn[1:].T]).reshape(Q, 3, 2).transpose(2, 0, 1)
    columns = {
        f"{part}{end}": x[:, i]
        for i, part in enumerate(("whole", "row_part", "null_part"))
        for x, end in ((value, ""), (low, "_low"), (high, "_high"))
    }
    moves = low[:, 0] > 0
    illusion = moves & ((value[:, 2] >= value[:, 0] / 2) | (value[:, 1] < value[:, 0] / 2))
    return pd.DataFrame(columns).assign(moves=moves, illusion=illusion)
