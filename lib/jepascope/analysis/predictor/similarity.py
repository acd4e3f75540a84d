"""Are two representations of the same encounters alike, beyond holding the same patients?

Linear CKA compares which rows lie near each other in X and in Y. Two rows of one patient lie near each other in any
representation, so pairs of rows of one patient raise CKA between unrelated ones, bias correction or not. Here such
pairs don't count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    bootstrap_chunks,
    interval,
    patient_codes,
)

# Numbers of a block of per-patient matrices [b, D, E], or of a chunk of draws [S, D, E]: 64 MB.
BLOCK_CELLS = 8_000_000


class _Moments(NamedTuple):
    """What HSIC needs of each patient p, and, summed over patients with powers of the draws' counts m, of each draw.

    x̄_p, ȳ_p are a patient's means, M_p the mean of x_i y_iᵀ over her rows.
    """

    x: np.ndarray  # [B, D], x̄_p
    y: np.ndarray  # [B, E], ȳ_p
    M_norm: np.ndarray  # [B], ‖M_p‖²
    M_y: np.ndarray  # [B, D], M_p ȳ_p
    Mt_x: np.ndarray  # [B, E], M_pᵀ x̄_p
    M_sum: np.ndarray  # [S, D, E], Σ m_p M_p
    N_sum: np.ndarray  # [S, D, E], Σ m_p² x̄_p ȳ_pᵀ


def cka_biased(X: np.ndarray, Y: np.ndarray) -> float:
    """Linear CKA over rows, ‖XᵀY‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F) with centred columns (Kornblith et al. 2019), to compare.

    X [N, D], Y [N, E]. It approaches 1 for unrelated X and Y as D and E approach N. NaN if either is constant.
    """
    X, Y = X - np.mean(X, axis=0), Y - np.mean(Y, axis=0)

    def product(A: np.ndarray, B: np.ndarray) -> float:
        return float(np.sum((A.T @ B) ** 2))

    return _ratio(product(X, Y), product(X, X), product(Y, Y))


def cka_debiased(X: np.ndarray, Y: np.ndarray) -> float:
    """Linear CKA over rows from the unbiased HSIC of Song et al. 2012 (Nguyen et al. 2021, Murphy et al. 2024).

    With centred columns and ⟨A, B⟩ = ‖AᵀB‖²_F − n/(n−2) Σ_i ‖a_i‖²‖b_i‖² + Σ_i ‖a_i‖² Σ_i ‖b_i‖² / ((n−1)(n−2)), it
    is ⟨X, Y⟩ / √(⟨X, X⟩ ⟨Y, Y⟩). These products are unbiased for independent rows, which encounters are not: it is
    here to compare. X [N, D], Y [N, E]; NaN where a self-product is not positive. Raises NotComputable under 4 rows.
    """
    X, Y, n = X - np.mean(X, axis=0), Y - np.mean(Y, axis=0), len(X)
    if n < 4:
        raise NotComputable(f"{n} rows, 4 needed")

    def product(A: np.ndarray, B: np.ndarray) -> float:
        a, b = np.sum(A**2, axis=1), np.sum(B**2, axis=1)
        return float(np.sum((A.T @ B) ** 2) - n / (n - 2) * (a @ b) + a.sum() * b.sum() / ((n - 1) * (n - 2)))

    return _ratio(product(X, Y), product(X, X), product(Y, Y))


def patient_cka(X: np.ndarray, Y: np.ndarray, patients: np.ndarray) -> float:
    """Linear CKA from pairs of rows of *different* patients only: H(X, Y) / √(H(X, X) H(Y, Y)), H of `patient_hsic`.

    X [N, D], Y [N, E], patients [N]. About 0, and as often below, for representations that share nothing but whose
    rows they describe. With one row a patient it equals `cka_debiased`. NaN where a self-product is not positive.
    Raises NotComputable under 4 patients.
    """
    codes, n_patients = patient_codes(patients, 4)
    return float(_cka(X, Y, codes, np.ones((1, n_patients)))[0])


def patient_cka_bootstrap(
    X: np.ndarray, Y: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """`patient_cka` with its patient-bootstrap interval, exact: no row is touched again after per-patient sums.

    A draw counts patient p m_p times. Her copies are still one patient, and pairs between them don't count: otherwise
    each would be a pair of identical rows. Near CKA 0, where the statistic is degenerate, the interval is wider than
    it need be. X [N, D], Y [N, E], patients [N]. O(N D²) once and O(B D²) a draw.
    Raises NotComputable under 4 or `how.min_patients` patients, or where the value or its interval is undefined.
    """
    codes, n_patients = patient_codes(patients, max(4, how.min_patients))
    value = patient_cka(X, Y, patients)
    if not np.isfinite(value):
        raise NotComputable(f"no variance between these {n_patients} patients to compare")
    cells = max(X.shape[1], Y.shape[1]) ** 2
    chunk = max(1, BLOCK_CELLS // cells)
    drawn = [_cka(X, Y, codes, counts) for counts in bootstrap_chunks(n_patients, how.bootstrap, chunk, rng)]
    return Estimate(value, *interval(np.concatenate(drawn), how.level), len(codes), n_patients)


def patient_hsic(X: np.ndarray, Y: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Unbiased HSIC of one random row each of different patients: every term is a mean over *distinct* patients.

    With k_ij = x_i·x_j and l_ij = y_i·y_j, a patient's rows averaged over, and p, q, r, s all different,
    H = mean_{pq} k_pq l_pq − 2 mean_{pqr} k_pq l_pr + mean_{pqrs} k_pq l_rs.
    Rows of different patients are independent, so each mean is unbiased for E[k l], E[k_12 l_13] and E[k] E[l] of rows
    drawn by patient, and so is H for ‖Cov(x, y)‖²_F (Song et al. 2012, theorem 2, with patients for rows). Equal rows
    of one patient, or a patient effect of X unrelated to that of Y, don't enter; nor does adding a constant to X.

    Sums over distinct patients come from sums over all less coincidences, hence from Σ m M, Σ m² x̄ȳᵀ and a few
    numbers a patient: O(N D E), no N×N matrix.

    Args: X [N, D], Y [N, E]; codes int [N] in 0..B-1; counts [S, B], how often each patient counts. Returns [S]; NaN
    where a draw holds fewer than 4 patients.
    """
    m = np.asarray(counts, float)
    at = _moments(X - np.mean(X, axis=0), Y - np.mean(Y, axis=0), codes, m)
    x_norm, y_norm = np.sum(at.x**2, axis=1), np.sum(at.y**2, axis=1)  # [B]
    x_sum, y_sum = m @ at.x, m @ at.y  # [S, D], [S, E]
    m2, m3, m4 = m**2, m**3, m**4
    N_norm = m4 @ (x_norm * y_norm)

    def others(A_sum: np.ndarray, power: np.ndarray, A_y: np.ndarray, x_A: np.ndarray) -> np.ndarray:
        """Σ_p w_p u_pᵀ A_p v_p, u_p and v_p the sums of everyone else, but for its last term, x̄_pᵀ A_p ȳ_p."""
        through = np.einsum("sd,sde,se->s", x_sum, A_sum, y_sum, optimize=True)
        return through - np.sum((power @ A_y) * x_sum, axis=1) - np.sum((power @ x_A) * y_sum, axis=1)

    own = m3 @ np.sum(at.x * at.M_y, axis=1)
    pairs = np.sum(at.M_sum**2, axis=(1, 2)) - m2 @ at.M_norm
    triples = others(at.M_sum, m2, at.M_y, at.Mt_x) + 2 * own - np.sum(at.M_sum * at.N_sum, axis=(1, 2))
    # Among four patients (p, q), (r, s) may coincide in one (four ways) or in both (two ways).
    both = np.sum(at.N_sum**2, axis=(1, 2)) - N_norm
    one = others(at.N_sum, m3, at.x * y_norm[:, None], at.y * x_norm[:, None]) + N_norm - both
    total = (np.sum(x_sum**2, axis=1) - m2 @ x_norm) * (np.sum(y_sum**2, axis=1) - m2 @ y_norm)
    fours = total - 4 * one - 2 * both
    p1, p2, p3, p4 = (power.sum(axis=1) for power in (m, m2, m3, m4))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (
            pairs / (p1**2 - p2)
            - 2 * triples / (p1**3 - 3 * p1 * p2 + 2 * p3)
            + fours / (p1**4 - 6 * p1**2 * p2 + 3 * p2**2 + 8 * p1 * p3 - 6 * p4)
        )


def _moments(X: np.ndarray, Y: np.ndarray, codes: np.ndarray, m: np.ndarray) -> _Moments:
    """Per-patient sums, a block of patients at a time: all M_p at once would be gigabytes."""
    order = np.argsort(codes, kind="stable")
    X, Y = np.asarray(X, float)[order], np.asarray(Y, float)[order]
    B, D, E = m.shape[1], X.shape[1], Y.shape[1]
    ends = np.cumsum(np.bincount(codes, minlength=B))
    x, y, M_y, Mt_x, M_norm = (np.zeros(shape) for shape in ((B, D), (B, E), (B, D), (B, E), B))
    M_sum, N_sum = np.zeros((2, len(m), D * E))
    block = max(1, BLOCK_CELLS // (D * E))
    for start in range(0, B, block):
        among = slice(start, min(start + block, B))
        rows = [slice(a, b) for a, b in zip(np.r_[0, ends][among], ends[among], strict=True)]
        x[among] = [X[r].mean(axis=0) for r in rows]
        y[among] = [Y[r].mean(axis=0) for r in rows]
        M = np.stack([X[r].T @ Y[r] / (r.stop - r.start) for r in rows])  # [b, D, E]
        N = x[among, :, None] * y[among, None, :]
        M_norm[among] = np.sum(M**2, axis=(1, 2))
        M_y[among] = np.einsum("pde,pe->pd", M, y[among])
        Mt_x[among] = np.einsum("pde,pd->pe", M, x[among])
        M_sum += m[:, among] @ M.reshape(len(M), -1)
        N_sum += m[:, among] ** 2 @ N.reshape(len(N), -1)
    return _Moments(x, y, M_norm, M_y, Mt_x, M_sum.reshape(-1, D, E), N_sum.reshape(-1, D, E))


def _cka(X: np.ndarray, Y: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """CKA [S] of counts [S, B], NaN where a self-product is not positive."""
    across, of_X, of_Y = (patient_hsic(A, B, codes, counts) for A, B in ((X, Y), (X, X), (Y, Y)))
    return np.array([_ratio(*products) for products in zip(across, of_X, of_Y, strict=True)])


def _ratio(across: float, of_X: float, of_Y: float) -> float:
    return float(across / np.sqrt(of_X * of_Y)) if of_X > 0 and of_Y > 0 else float("nan")
