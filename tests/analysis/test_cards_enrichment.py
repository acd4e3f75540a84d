"""Enrichment by patient: by hand, against brute force, in nothing, and where codes are planted."""

import numpy as np
import pytest
from scipy import sparse

from jepascope.analysis.features.enrichment import MIN_CELL, drawn_odds, enrichment, found_in_nothing, odds_ratio
from jepascope.analysis.inference.stats import Inference


def sticky(rng, patients=300, rows=5, F=8, V=30):
    """Features and codes that stay with their patients and have nothing to do with each other."""
    codes = np.repeat(np.arange(patients), rows)
    own = rng.normal(size=(patients, F + V))[codes] * 2 + rng.normal(size=(len(codes), F + V))
    on = own > np.quantile(own, 0.85, axis=0)
    return on[:, :F], sparse.csr_matrix(on[:, F:].astype(np.float32)), codes


def test_an_odds_ratio_is_that_of_the_table_with_a_half_in_each_cell():
    assert odds_ratio(np.array(9.5), np.array(19.5), np.array(29.5), 69.5) == pytest.approx(
        (10.0 * 30.5) / (10.5 * 20.5)
    )


def test_the_score_is_each_patients_own_sum_over_its_own_spread():
    rng = np.random.default_rng(0)
    on, bag, patients = sticky(rng, patients=80)
    y = bag.toarray()
    found = enrichment(on, bag, patients)
    x, centred = on[:, 3] - on[:, 3].mean(), y[:, 7] - y[:, 7].mean()
    U = np.bincount(patients, x * centred)
    assert found.z[3, 7] == pytest.approx(U.sum() / np.sqrt((U**2).sum()))
    assert found.patients[3, 7] == len(np.unique(patients[on[:, 3] & (y[:, 7] > 0)]))
    assert found.coverage[3, 7] == pytest.approx(y[on[:, 3], 7].mean())


def test_scores_of_unrelated_sticky_columns_are_calibrated_by_patients_and_not_by_rows():
    rng = np.random.default_rng(1)
    by_patient, by_row = [], []
    for _ in range(12):
        on, bag, patients = sticky(rng)
        by_patient.append(enrichment(on, bag, patients).z)
        by_row.append(enrichment(on, bag, np.arange(len(patients))).z)
    # One-sided at 5 % and at 0.5 %, over 2,880 pairs.
    ours, rows = np.concatenate(by_patient), np.concatenate(by_row)
    assert np.mean(ours > 1.645) == pytest.approx(0.05, abs=0.02)
    assert np.mean(ours > 2.576) < 0.012
    assert np.mean(rows > 1.645) > 0.10


def test_nothing_is_enriched_where_a_patients_codes_are_anothers():
    rng = np.random.default_rng(2)
    on, bag, patients = sticky(rng)
    assert enrichment(on, bag, patients).found.sum() == 0
    planted = sparse.csr_matrix(np.concatenate([bag.toarray(), on[:, :4]], axis=1).astype(np.float32))
    assert enrichment(on, planted, patients).found.sum() == 4
    assert found_in_nothing(on, planted, patients, 3, rng).max() <= 1


def test_one_patient_of_many_rows_enriches_nothing():
    rng = np.random.default_rng(3)
    patients = np.concatenate([np.zeros(200, int), np.repeat(np.arange(1, 101), 3)])
    on, code = rng.random(len(patients)) < 0.15, rng.random(len(patients)) < 0.15
    on[:200] = code[:200] = True
    bag = sparse.csr_matrix(code[:, None].astype(np.float32))
    found = enrichment(on[:, None], bag, patients)
    assert found.z[0, 0] < 2
    assert enrichment(on[:, None], bag, np.arange(len(on))).z[0, 0] > 10


def test_a_pair_of_few_patients_is_neither_tested_nor_found():
    on = np.zeros((200, 1), bool)
    on[: MIN_CELL - 1] = True
    found = enrichment(on, sparse.csr_matrix(on.astype(np.float32)), np.arange(200))
    assert np.isnan(found.q).all()
    assert not found.found.any()


def test_a_pair_that_few_patients_have_together_is_not_found_however_sure():
    on, code = np.zeros((2, 2000, 1), bool)
    on[:30] = True
    for shared, found in ((MIN_CELL - 1, False), (MIN_CELL, True)):
        code[:] = False
        code[30 - shared : 60 - shared] = True
        pair = enrichment(on, sparse.csr_matrix(code.astype(np.float32)), np.arange(2000))
        assert pair.q[0, 0] < 0.05
        assert pair.odds_ratio[0, 0] > 2
        assert pair.found[0, 0] == found


def test_intervals_cover_the_ratio_of_the_population_and_widen_for_sticky_patients():
    rng = np.random.default_rng(4)
    how = Inference(bootstrap=300)
    on, bag, patients = sticky(rng, F=4, V=10)
    pairs = (np.repeat(np.arange(4), 10), np.tile(np.arange(10), 4))
    ours = drawn_odds(on, bag, pairs, patients, how, rng)
    rows = drawn_odds(on, bag, pairs, np.arange(len(on)), how, rng)
    assert np.mean((ours.low < 1) & (ours.high > 1)) >= 0.85
    assert np.median(np.log(ours.high / ours.low)) > 1.3 * np.median(np.log(rows.high / rows.low))
    assert ours.value == pytest.approx(enrichment(on, bag, patients).odds_ratio[pairs])
