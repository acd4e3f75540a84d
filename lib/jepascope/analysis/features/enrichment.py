"""Which codes go with a feature: odds ratios over encounters, with evidence that counts patients.

Of each pair (feature f, code v) the encounters make a table: on or off, with the code or without. A row-level test
takes the ten encounters of one patient for ten witnesses. Here a patient is one witness, in test and interval.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.stats import norm

from jepascope.analysis.inference.stats import (
    Inference,
    bootstrap_chunks,
    patient_codes,
    patient_sums,
    permuted_rows,
    q_values,
)

# A cell of fewer patients describes persons, and is neither tested nor shown.
MIN_CELL = 11
# What counts as enriched: an odds ratio above this, at a q below that.
MIN_ODDS, MAX_Q = 2.0, 0.05
# Numbers of one chunk of the [draws, B] counts: 8 MB stay in cache.
CHUNK_CELLS = 1_000_000


class Enrichment(NamedTuple):
    """Every pair of a feature and a code, F × V; NaN where a pair was not tested."""

    odds_ratio: np.ndarray  # [F, V]
    coverage: np.ndarray  # [F, V], share of the feature's rows that have the code
    prevalence: np.ndarray  # [V], share of all rows that have it
    patients: np.ndarray  # int [F, V], patients with the code in a row in which the feature is on
    z: np.ndarray  # [F, V], positive: together more often than apart
    q: np.ndarray  # [F, V], one-sided, Benjamini–Hochberg over all tested pairs

    @property
    def found(self) -> np.ndarray:
        """Pairs that are enriched, bool [F, V]."""
        enough = (self.patients >= MIN_CELL) & (self.odds_ratio > MIN_ODDS)
        return enough & (np.nan_to_num(self.q, nan=1.0) < MAX_Q)


class Odds(NamedTuple):
    """Odds ratios of P chosen pairs, with patient-bootstrap intervals."""

    value: np.ndarray  # [P]
    low: np.ndarray  # [P]
    high: np.ndarray  # [P]


def odds_ratio(both: np.ndarray, on: np.ndarray, carried: np.ndarray, n: np.ndarray | float) -> np.ndarray:
    """(both + ½)(neither + ½) / ((feature alone + ½)(code alone + ½)): finite even where a cell is empty.

    The halves are Haldane's (1956) and Anscombe's (1956). Args, counts of rows that broadcast: both, feature on, code
    carried, all.
    """
    return (both + 0.5) * (n - on - carried + both + 0.5) / ((on - both + 0.5) * (carried - both + 0.5))


def enrichment(on: np.ndarray, carried: sparse.csr_matrix, patients: np.ndarray) -> Enrichment:
    """Test every feature with every code, a patient being one witness: rows of a patient share both, by being hers.

    With U_b = Σ_{i ∈ b} (x_i − x̄)(y_i − ȳ) summed over the rows of patient b, z = Σ_b U_b / √(Σ_b U_b²): the score of
    independence over its patient-clustered spread (Rotnitzky & Jewell 1990; Boos 1992). One patient, however many her
    rows, moves it by one at most. Exact permutation of patients says the same at a thousand times the cost.

    Args: on bool [N, F]; carried [N, V] of 0 and 1; patients [N]. Pairs of which either has fewer than MIN_CELL
    patients are not tested. Raises NotComputable for one patient.
    """
    codes, B = patient_codes(patients)
    N, F = on.shape
    member = sparse.csr_matrix((np.ones(N), (codes, np.arange(N))), shape=(B, N))  # sums rows by patient
    rows = np.bincount(codes, minlength=B).astype(float)  # n_b
    X = np.asarray(member @ on.astype(float))  # [B, F]
    Y = (member @ carried.astype(float)).toarray()  # [B, V]
    p, q = on.mean(axis=0), Y.sum(axis=0) / N
    both, witnesses, spread = (np.empty((F, Y.shape[1])) for _ in range(3))
    YY, Yn = (Y * Y).sum(axis=0), Y.T @ rows
    for f in range(F):
        active = np.flatnonzero(on[:, f])
        A = sparse.csr_matrix(member[:, active] @ carried[active].astype(float))  # [B, V], rows with both, by patient
        both[f], witnesses[f] = A.sum(axis=0), A.getnnz(axis=0)
        # U_b = A − p Y − q X + p q n, squared and summed without ever writing out the empty patients
        x, AA, AY = X[:, f], A.multiply(A).sum(axis=0), A.multiply(Y).sum(axis=0)
        plain = p[f] ** 2 * YY + q**2 * (x @ x) + (p[f] * q) ** 2 * (rows @ rows)
        crossed = p[f] * q * (Y.T @ x) - p[f] ** 2 * q * Yn - p[f] * q**2 * (x @ rows)
        with_both = -p[f] * np.ravel(AY) - q * (A.T @ x) + p[f] * q * (A.T @ rows)
        spread[f] = np.ravel(AA) + plain + 2 * (crossed + with_both)
    testable = ((X > 0).sum(axis=0) >= MIN_CELL)[:, None] & ((Y > 0).sum(axis=0) >= MIN_CELL) & (spread > 1e-9)
    score = both - N * np.outer(p, q)
    z = np.where(testable, score / np.sqrt(np.where(testable, spread, 1.0)), np.nan)
    odds = odds_ratio(both, on.sum(axis=0)[:, None], Y.sum(axis=0), N)
    coverage = both / np.maximum(on.sum(axis=0), 1)[:, None]
    return Enrichment(odds, coverage, q, witnesses.astype(int), z, q_values(norm.sf(z)))


def found_in_nothing(
    on: np.ndarray, carried: sparse.csr_matrix, patients: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """How many pairs are enriched when every patient has another's codes, int [draws]: the null, run.

    Codes move as a patient's whole sequence (`stats.permuted_rows`). Args as of `enrichment`, rows in order of k.
    """
    moves = permuted_rows(patients, draws, rng)
    return np.array([enrichment(on, carried[rows], patients).found.sum() for rows in moves])


def drawn_odds(
    on: np.ndarray,
    carried: sparse.csr_matrix,
    pairs: tuple[np.ndarray, np.ndarray],
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> Odds:
    """Odds ratios of chosen pairs with intervals, on patients that had no part in the choice.

    One set of draws of patients serves all pairs, by sums per patient: a thousand draws of four hundred pairs in a
    second. Args: pairs (features int [P], codes int [P]), the rest as of `enrichment`. Raises NotComputable under
    `how.min_patients`.
    """
    features, tokens = pairs
    with_code = np.asarray(carried[:, tokens].todense(), float)  # [N, P]
    x, y = on.astype(float)[:, features], with_code
    columns = np.concatenate([x * y, x, y, np.ones((len(on), 1))], axis=1)  # [N, 3 P + 1]
    sums = patient_sums(columns, patients, how.min_patients)
    P = len(features)
    drawn = np.concatenate(
        [
            _split_odds(counts @ sums, P)
            for counts in bootstrap_chunks(len(sums), how.bootstrap, max(1, CHUNK_CELLS // len(sums)), rng)
        ]
    )
    tails = [(1 - how.level) / 2, (1 + how.level) / 2]
    low, high = np.quantile(drawn, tails, axis=0)
    return Odds(_split_odds(sums.sum(axis=0)[None], P)[0], low, high)


def _split_odds(sums: np.ndarray, P: int) -> np.ndarray:
    """Odds ratios [draws, P] of sums [draws, 3 P + 1]: both, on, carried of each pair, and rows."""
    return odds_ratio(sums[:, :P], sums[:, P : 2 * P], sums[:, 2 * P : 3 * P], sums[:, -1:])
