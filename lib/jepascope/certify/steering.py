"""Steering against the truth: a concept turned in the generator, beside the same concept edited into the model.

Doing is not seeing. The generator turns the concept at encounter k and leaves all else; what then changes at k + 1 is
what the concept does. A model has only seen: where a concept is a sign of something that lasts, it expects the sign to
return, and an edit moves its prediction although turning the concept would move nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    Null,
    bootstrap_of_sums,
    null_of,
)

# Concepts that are turned, by dynamics, the commonest first: some that act on the next encounter and some that don't.
QUOTA = {"chronic": 4, "episodic": 4, "drift": 1, "shock": 3}
# Their state at k + 1 is drawn from their own state at k; of all others from hidden numbers, from others, or from none.
ACTING = ("chronic", "episodic")


class Turned(NamedTuple):
    """What turning Q concepts on did to n encounters, oriented so that "on" less "off" stands everywhere."""

    effect: np.ndarray  # [n, Q, D], mean over draws of the change of z
    doubt: np.ndarray  # [n, Q], squared length that few draws add to it


def concepts_to_turn(concepts: pd.DataFrame) -> pd.DataFrame:
    """The concepts to turn, of `Truth.concepts`: such as leave a state that a patient can be in. Rows name, dynamics.

    One with a parent can't be on without it, and a parent can't go while the other is on: it would take that along at
    the next encounter, and turning one concept would be turning two. Raises NotComputable if none can be turned.
    """
    free = concepts[concepts["parent"].isna() & ~concepts["name"].isin(concepts["parent"])]
    chosen = [free[free["dynamics"] == kind].nlargest(most, "prevalence") for kind, most in QUOTA.items()]
    found = pd.concat(chosen, ignore_index=True)[["name", "dynamics"]]
    if found.empty:
        raise NotComputable("no planted concept can be turned")
    return found


def turned(z: np.ndarray, was_on: np.ndarray) -> Turned:
    """Mean effect of each concept from arms z [1 + Q, n, M, D], the first as it was; was_on bool [n, Q].

    Arms share their draws, so that the difference is taken draw by draw, and its spread over draws is the doubt.
    """
    M, sign = z.shape[2], np.where(was_on, -1.0, 1.0).T[:, :, None, None]  # [Q, n, 1, 1]
    apart = (z[1:] - z[:1]).astype(float) * sign  # [Q, n, M, D]
    doubt = apart.var(axis=2, ddof=1).sum(axis=2) / M if M > 1 else np.zeros(apart.shape[:2])
    return Turned(apart.mean(axis=2).transpose(1, 0, 2), doubt.T)


class Agreement(NamedTuple):
    """Predicted against true effects, over all rows and axes of some concepts."""

    slope: Estimate  # of true on predicted, through nought: 1 is right, less is an effect that is overstated
    cosine: Estimate  # of true and predicted, with the doubt of few draws taken off


def agree(
    true: Turned, predicted: Turned, which: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Agreement:
    """Slope Σ⟨t, p⟩ / Σ‖p‖² and cosine Σ⟨t, p⟩ / √(Σ‖t‖² Σ‖p‖²), sums over rows and the concepts `which` (bool [Q]).

    Regressing the true effect, which holds the noise of few draws, on the predicted one keeps that noise out of the
    slope. patients [n]. Raises NotComputable under `how.min_patients`, or where nothing is predicted.
    """
    columns = np.stack([x[:, which].sum(axis=1) for x in _products(true, predicted)], axis=1)
    seed = int(rng.integers(2**63))
    found = [
        bootstrap_of_sums(f, columns, patients, how.bootstrap, how.level, np.random.default_rng(seed), how.min_patients)
        for f in (_slope, _cosine)
    ]
    return Agreement(*found)


def agree_by_chance(
    true: Turned, predicted: np.ndarray, which: np.ndarray, found: Agreement, level: float
) -> tuple[Null, Null]:
    """Slope and cosine of edits that mean nothing: predicted effects [R, n, Q, D]. Nulls of slope and of cosine."""
    none, draws = np.zeros(true.doubt.shape), []
    for effect in predicted:
        products = _products(true, Turned(effect, none))
        sums = np.array([[x[:, which].sum() for x in products]])
        draws.append((_slope(sums)[0], _cosine(sums)[0]))
    slopes, cosines = np.array(draws).T
    return null_of(slopes, found.slope.value, level), null_of(cosines, found.cosine.value, level)


def agree_with_others(
    true: Turned, predicted: Turned, which: np.ndarray, found: Agreement, draws: int, level: float,
    rng: np.random.Generator,
) -> Null:  # fmt: skip
    """Cosine of the same predicted effects with the true ones of other concepts among `which`, dealt at random.

    What all turned concepts do alike, such as a longer stay, would be in the cosine of any of them. Edits of records
    have no length or direction that could be drawn at random: these are theirs. Raises NotComputable under two.
    """
    at = np.flatnonzero(which)
    if len(at) < 2:
        raise NotComputable(f"{len(at)} concepts that act, 2 needed to exchange their effects")
    cosines = np.empty(draws)
    for draw in range(draws):
        ring = rng.permutation(at)
        dealt = predicted.effect[:, np.roll(ring, 1)], predicted.doubt[:, np.roll(ring, 1)]
        products = _products(Turned(true.effect[:, ring], true.doubt[:, ring]), Turned(*dealt))
        cosines[draw] = _cosine(np.array([[x.sum() for x in products]]))[0]
    return null_of(cosines, found.cosine.value, level)


def _products(true: Turned, predicted: Turned) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """⟨t, p⟩, ‖p‖² and ‖t‖² of each row and concept, [n, Q] each, squares without what few draws add."""
    t, p = true.effect, predicted.effect
    return (
        np.einsum("nqd,nqd->nq", t, p),
        np.einsum("nqd,nqd->nq", p, p) - predicted.doubt,
        np.einsum("nqd,nqd->nq", t, t) - true.doubt,
    )


def _slope(s: np.ndarray) -> np.ndarray:
    return s[:, 0] / s[:, 1]


def _cosine(s: np.ndarray) -> np.ndarray:
    return s[:, 0] / np.sqrt(s[:, 1] * s[:, 2])


def displacements(z: np.ndarray, states: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """How far apart z [N, D] lies, along each concept's direction [Q, D], with and without it (states [N, Q]). [Q]."""
    on, at = np.asarray(states, float), z @ directions.T  # [N, Q]
    return (on * at).sum(axis=0) / on.sum(axis=0) - ((1 - on) * at).sum(axis=0) / (1 - on).sum(axis=0)


def carried_over(effect: np.ndarray, directions: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The share of a concept's displacement of z that is there at k + 1: 1 is a concept that stays, 0 one that is gone.

    effect [..., n, Q, D] along the concept's direction [Q, D], over how far z lies apart with and without it, sizes
    [Q]. Returns [..., n, Q].
    """
    return np.einsum("...nqd,qd->...nq", effect, directions, optimize=True) / sizes


def mean_shares(shares: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator) -> list[Estimate]:
    """The mean of each concept's shares [n, Q] over rows, all in the same draws of patients."""
    seed, ones = int(rng.integers(2**63)), np.ones(len(shares))
    return [
        bootstrap_of_sums(
            lambda s: s[:, 0] / s[:, 1], np.stack([x, ones], axis=1), patients, how.bootstrap, how.level,
            np.random.default_rng(seed), how.min_patients,
        )
        for x in shares.T
    ]  # fmt: skip


def correlate_concepts(
    true: np.ndarray, predicted: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Agreement:
    """Slope and Pearson r over concepts of mean shares carried over, true on predicted, [n, Q] each.

    With a dozen concepts the interval, over patients, is that of these concepts and not of others.
    """
    Q, seed = true.shape[1], int(rng.integers(2**63))
    columns = np.concatenate([true, predicted], axis=1)

    def drawn(statistic: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Estimate:
        return bootstrap_of_sums(
            lambda s: statistic(s[:, :Q], s[:, Q:]), columns, patients, how.bootstrap, how.level,
            np.random.default_rng(seed), how.min_patients,
        )  # fmt: skip

    return Agreement(drawn(_slope_of_means), drawn(_r_of_means))


def _slope_of_means(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return (t * p).sum(axis=1) / (p * p).sum(axis=1)


def _r_of_means(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    t, p = (x - x.mean(axis=1, keepdims=True) for x in (t, p))
    return (t * p).sum(axis=1) / np.sqrt((t**2).sum(axis=1) * (p**2).sum(axis=1))


def correlate_by_chance(true: np.ndarray, predicted: np.ndarray, found: Agreement, level: float) -> tuple[Null, Null]:
    """Slope and r over concepts of edits that mean nothing: shares [R, n, Q]."""
    t, p = np.broadcast_to(true.sum(axis=0), (len(predicted), true.shape[1])), predicted.sum(axis=1)
    return (
        null_of(_slope_of_means(t, p), found.slope.value, level),
        null_of(_r_of_means(t, p), found.cosine.value, level),
    )
