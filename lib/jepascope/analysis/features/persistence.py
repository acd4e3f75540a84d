"""How a feature comes and goes along a record: how long it stays on, and whether it comes back.

A feature that is on in most of a patient's encounters is on twice running whatever its dynamics. So each number stands
beside what the same patients' encounters give in any order, computed exactly over all orders and not drawn.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import Inference, bootstrap_chunks, patient_codes, patient_sums

CHUNK_CELLS = 1_000_000


class Persistence(NamedTuple):
    """Of each feature, [F]; NaN where it is never on with an encounter after."""

    stay: np.ndarray  # P(on | on at the encounter before)
    stay_any_order: np.ndarray  # the same over all orders of each patient's encounters
    excess: np.ndarray  # stay − stay_any_order
    excess_low: np.ndarray
    excess_high: np.ndarray
    begin: np.ndarray  # P(on | off at the encounter before)
    dwell: np.ndarray  # encounters, mean length of a run
    dwell_any_order: np.ndarray
    back: np.ndarray  # P(on | off at the encounter before, on at the one before that)
    back_any_order: np.ndarray
    patients: np.ndarray  # int, with the feature on and an encounter after it


def persistence(on: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator) -> Persistence:
    """Dwell and return of features, on [N, F] bool, patients [N], rows of each in order of k.

    With n encounters of a patient, m of them on, any order has on average m(m−1)/n neighbours that are both on, after
    m(n−1)/n that are on and have a successor; m(n−m+1)/n runs; and (n−2) m(m−1)(n−m) / (n(n−1)(n−2)) times on, off, on
    after (n−2) m(n−m) / (n(n−1)) times on, off and one more. Ratios of sums over patients, patient-bootstrapped.
    Raises NotComputable under `how.min_patients`.
    """
    codes, B = patient_codes(patients, how.min_patients)
    F = on.shape[1]
    x = on.astype(float)
    second, third = (np.concatenate([x[h:], np.zeros((min(h, len(x)), F))])[: len(x)] for h in (1, 2))
    has1, has2 = (np.concatenate([codes[h:] == codes[:-h], np.zeros(h, bool)])[: len(x)][:, None] for h in (1, 2))
    stepped, both = x * has1, x * second * has1
    fell = x * (1 - second) * has2
    observed = [stepped, both, (1 - x) * has1, (1 - x) * second * has1, x, fell, fell * third]
    sums = patient_sums(np.concatenate(observed, axis=1), patients).reshape(B, len(observed), F)
    expected = _any_order(sums[:, 4], np.bincount(codes)[:, None])  # [B, 5, F]
    totals = np.concatenate([sums, expected], axis=1)  # [B, 12, F]
    drawn = np.concatenate(
        [
            _excess((counts @ totals.reshape(B, -1)).reshape(len(counts), -1, F))
            for counts in bootstrap_chunks(B, how.bootstrap, max(1, CHUNK_CELLS // B), rng)
        ]
    )
    with np.errstate(invalid="ignore"):
        low, high = (_quantile(drawn, tail) for tail in ((1 - how.level) / 2, (1 + how.level) / 2))
    return _summary(totals.sum(axis=0), low, high, (sums[:, 0] > 0).sum(axis=0))


def _any_order(m: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Expected counts over all orders [B, 5, F]: both on, on with a successor, runs, on-off-any, on-off-on."""
    pairs = m * (m - 1) / n
    follow = m * (n - 1) / n
    runs = m * (n - m + 1) / n
    room = np.where(n > 2, (n - 2) / np.maximum(n * (n - 1), 1), 0.0)
    fell = room * m * (n - m)
    again = fell * (m - 1) / np.maximum(n - 2, 1)
    return np.stack([pairs, follow, runs, fell, np.maximum(again, 0.0)], axis=1)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=b > 0)


def _excess(sums: np.ndarray) -> np.ndarray:
    """Staying on beyond any order [draws, F], of sums [draws, 12, F]."""
    return _ratio(sums[:, 1], sums[:, 0]) - _ratio(sums[:, 7], sums[:, 8])


def _quantile(drawn: np.ndarray, at: float) -> np.ndarray:
    """Quantile over draws [F]; NaN where over one draw in twenty is undefined, as `stats.interval` has it."""
    undefined = np.isnan(drawn).mean(axis=0) > 0.05
    filled = np.where(undefined, 0.0, drawn)
    return np.where(undefined, np.nan, np.nanquantile(filled, at, axis=0))


def _summary(t: np.ndarray, low: np.ndarray, high: np.ndarray, patients: np.ndarray) -> Persistence:
    """Ratios of total counts t [12, F]: seven observed, five expected over all orders."""
    runs = t[4] - t[1]  # every on row starts a run unless it continues one
    return Persistence(
        stay=_ratio(t[1], t[0]),
        stay_any_order=_ratio(t[7], t[8]),
        excess=_excess(t[None])[0],
        excess_low=low,
        excess_high=high,
        begin=_ratio(t[3], t[2]),
        dwell=_ratio(t[4], runs),
        dwell_any_order=_ratio(t[4], t[9]),
        back=_ratio(t[6], t[5]),
        back_any_order=_ratio(t[11], t[10]),
        patients=patients,
    )
