"""CKA over different patients: the formula against every tuple, unbiasedness, shared patients that don't count."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from jepascope.analysis.inference import stats
from jepascope.analysis.predictor import similarity

HOW = stats.Inference(bootstrap=200, level=0.9, min_patients=4)


def cohort(seed, B=60, D=24, effect=0.8, shared=0.0):
    """X and Y with unrelated patient effects, and a share of Y that is X's own rows, turned."""
    rng = np.random.default_rng(seed)
    patients = rng.permutation(np.repeat(np.arange(B), rng.integers(1, 10, B)))

    def columns():
        own, new = rng.normal(size=(B, D))[patients], rng.normal(size=(len(patients), D))
        return np.sqrt(effect) * own + np.sqrt(1 - effect) * new

    X = columns()
    turn = np.linalg.qr(rng.normal(size=(D, D)))[0]
    return X, np.sqrt(1 - shared) * columns() + np.sqrt(shared) * X @ turn, patients, rng


def hsic_over_all_tuples(X, Y, codes, counts):
    """The definition, patient by patient."""
    share = (codes == np.arange(len(counts))[:, None]) / np.bincount(codes)[:, None]  # [B, N]
    K, L = X @ X.T, Y @ Y.T
    k, l, product = share @ K @ share.T, share @ L @ share.T, share @ (K * L) @ share.T  # noqa: E741
    star = np.einsum("pi,iq,ir->pqr", share, K @ share.T, L @ share.T)
    terms = (
        (2, lambda p, q: product[p, q]),
        (3, lambda p, q, r: -2 * star[p, q, r]),
        (4, lambda p, q, r, s: k[p, q] * l[r, s]),
    )
    total = 0.0
    for size, value in terms:
        tuples = list(permutations(range(len(counts)), size))
        weights = np.array([np.prod(counts[list(t)]) for t in tuples])
        total += weights @ np.array([value(*t) for t in tuples]) / weights.sum()
    return total


@pytest.mark.parametrize("cells", [similarity.BLOCK_CELLS, 12])
@pytest.mark.parametrize("counts", [[1, 1, 1, 1, 1, 1], [1, 2, 0, 1, 1, 3]], ids=["once", "drawn"])
def test_it_equals_the_mean_over_every_tuple_of_different_patients(monkeypatch, counts, cells):
    monkeypatch.setattr(similarity, "BLOCK_CELLS", cells)
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.repeat(np.arange(6), [1, 3, 2, 1, 4, 2]))
    X, Y = rng.normal(size=(13, 3)), rng.normal(size=(13, 2))
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    counts = np.array(counts, float)
    for A, B in ((X, Y), (X, X), (Y, X)):
        ours = similarity.patient_hsic(A, B, codes, np.stack([counts, counts]))
        assert ours == pytest.approx([hsic_over_all_tuples(A, B, codes, counts)] * 2)
    # Moving the origin changes nothing in the definition, where each patient counts once.
    if counts.max() == 1:
        moved = hsic_over_all_tuples(X + 7, Y - 3, codes, counts)
        assert similarity.patient_hsic(X, Y, codes, counts[None])[0] == pytest.approx(moved)


def test_with_one_row_a_patient_it_is_debiased_cka():
    X, Y, _, _ = cohort(0, shared=0.3)
    assert similarity.patient_cka(X, Y, np.arange(len(X))) == pytest.approx(similarity.cka_debiased(X, Y))


def test_row_level_cka_equals_the_kernel_formulas():
    X, Y, _, _ = cohort(0, B=12, shared=0.3)
    n = len(X)
    H = np.eye(n) - 1 / n

    def biased(A, B):
        return np.trace(H @ A @ A.T @ H @ B @ B.T)

    def unbiased(A, B):  # Song et al. 2012, equation 5
        K, L = A @ A.T, B @ B.T
        np.fill_diagonal(K, 0), np.fill_diagonal(L, 0)
        crossed = K.sum() * L.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (K.sum(axis=0) @ L.sum(axis=0))
        return (np.trace(K @ L) + crossed) / (n * (n - 3))

    for ours, hsic in ((similarity.cka_biased, biased), (similarity.cka_debiased, unbiased)):
        assert ours(X + 3, Y) == pytest.approx(hsic(X, Y) / np.sqrt(hsic(X, X) * hsic(Y, Y)))


def test_hsic_is_unbiased_for_the_squared_covariance():
    """Planted: x and y share a loading of 0.5 between rows; patients add unrelated effects. Mean over 400 cohorts."""
    found = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        codes = np.repeat(np.arange(12), rng.integers(1, 6, 12))
        common, own = rng.normal(size=(len(codes), 1)), rng.normal(size=(2, 12, 2))[:, codes]
        X, Y = (own[i] + 0.5 ** (i == 1) * common + rng.normal(size=(len(codes), 2)) for i in (0, 1))
        found.append(similarity.patient_hsic(X, Y, codes, np.ones((1, 12)))[0])
    truth = 4 * 0.5**2  # ‖Cov(x, y)‖²_F, every entry 0.5
    assert np.mean(found) == pytest.approx(truth, abs=3 * np.std(found) / np.sqrt(400))


def test_strangers_are_alike_by_rows_and_not_by_patients():
    ours, rows, alarms = [], [], 0
    for seed in range(100):
        X, Y, patients, rng = cohort(seed)
        ours.append(similarity.patient_cka(X, Y, patients))
        rows.append(similarity.cka_debiased(X, Y))
        alarms += similarity.patient_cka_bootstrap(X, Y, patients, HOW, rng).low > 0
    assert np.abs(np.mean(ours)) <= 0.02
    assert np.mean(rows) > 0.15
    assert alarms <= 5 + 3 * np.sqrt(100 * 0.05 * 0.95)  # one side of a 90 % interval


def test_what_is_shared_is_found_and_its_interval_covers_the_truth():
    """Y is √h X turned + √(1 − h) new: Cov(x, y) = √h T, so CKA is h. Coverage over 100 cohorts, stated 90 %."""
    covered, found = 0, 0
    for seed in range(100):
        X, Y, patients, rng = cohort(seed, B=100, D=8, shared=0.3)
        estimate = similarity.patient_cka_bootstrap(X, Y, patients, HOW, rng)
        covered += estimate.low <= 0.3 <= estimate.high
        found += estimate.low > 0
        assert (estimate.n_rows, estimate.n_patients) == (len(X), 100)
    assert found / 100 > 0.8
    assert covered / 100 >= 0.9 - 3 * np.sqrt(0.09 / 100)


def test_the_bootstrap_is_that_of_recomputing_on_drawn_patients():
    X, Y, patients, _ = cohort(1, B=20, D=5, shared=0.5)
    estimate = similarity.patient_cka_bootstrap(X, Y, patients, HOW, np.random.default_rng(9))
    counts = stats.bootstrap_counts(20, 200, np.random.default_rng(9))
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)

    def drawn(A, B):
        return np.array([hsic_over_means(A, B, patients, draw) for draw in counts])

    def hsic_over_means(A, B, codes, draw):
        return similarity.patient_hsic(A, B, codes, draw[None])[0]

    values = drawn(X, Y) / np.sqrt(drawn(X, X) * drawn(Y, Y))
    assert estimate[1:3] == pytest.approx(np.quantile(values, [0.05, 0.95]))


def test_a_turned_copy_is_one_and_repeating_rows_changes_nothing():
    X, Y, patients, rng = cohort(2, D=6, shared=0.4)
    turned = 3 * X @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 1
    assert similarity.patient_cka(X, turned, patients) == pytest.approx(1)
    assert similarity.cka_biased(X, turned) == pytest.approx(1)
    twice = [np.concatenate([rows, rows]) for rows in (X, Y, patients)]
    assert similarity.patient_cka(*twice) == pytest.approx(similarity.patient_cka(X, Y, patients))


def test_what_cannot_be_compared_is_refused():
    X, Y, patients, rng = cohort(0)
    with pytest.raises(stats.NotComputable, match="3 patients, 4 needed"):
        similarity.patient_cka(X[:3], Y[:3], np.arange(3))
    with pytest.raises(stats.NotComputable, match="3 rows, 4 needed"):
        similarity.cka_debiased(X[:3], Y[:3])
    with pytest.raises(stats.NotComputable, match="no variance between these 60 patients"):
        similarity.patient_cka_bootstrap(X, np.ones_like(Y), patients, HOW, rng)
    with pytest.raises(stats.NotComputable, match="60 patients, 100 needed"):
        similarity.patient_cka_bootstrap(X, Y, patients, HOW._replace(min_patients=100), rng)
    assert np.isnan(similarity.cka_biased(X, np.ones_like(Y)))
