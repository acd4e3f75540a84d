"""Names: the most telling code, held to on other patients, and against names dealt at random."""

import numpy as np
import pytest
from scipy import sparse

from jepascope.analysis.features import naming
from jepascope.analysis.features.enrichment import Enrichment, enrichment
from jepascope.analysis.inference.stats import Inference, NotComputable

HOW = Inference(bootstrap=200, permutations=200)


def found(coverage, prevalence, odds=10.0, q=0.001):
    coverage = np.atleast_2d(coverage)
    full = np.full(coverage.shape, 1.0)
    return Enrichment(odds * full, coverage, np.asarray(prevalence), 50 * full.astype(int), full, q * full)


def names(rng, patients=200, F=6, agree=0.9):
    """Features that are on where their code is in a share `agree` of rows, and at random in the others."""
    codes = np.repeat(np.arange(patients), 3)
    carried = rng.random((len(codes), F)) < 0.1
    on = np.where(rng.random(carried.shape) < agree, carried, rng.random(carried.shape) < 0.1)
    return naming.Names(on, carried, np.ones(F, bool), codes)


def test_the_name_is_the_code_that_tells_most_and_neither_the_rarest_nor_the_commonest():
    given = found([0.05, 0.8, 0.9], [0.0001, 0.1, 0.85])
    assert naming.telling(given)[0, 1] == pytest.approx(0.8 * 3)
    assert naming.leading(given, 2)[0].tolist() == [1, 0]


def test_a_code_that_is_not_enriched_names_nothing():
    assert naming.leading(found([0.9, 0.8], [0.1, 0.1], q=0.2), 3)[0].tolist() == []


def test_ties_go_to_the_first_code_of_the_vocabulary():
    assert naming.leading(found([0.5, 0.5, 0.5], [0.1, 0.1, 0.1]), 2)[0].tolist() == [0, 1]


def test_names_hold_where_features_follow_codes_and_not_when_dealt_to_others():
    rng = np.random.default_rng(0)
    good, bad = names(rng), names(rng, agree=0.0)
    assert naming.confirmed_share(good, HOW, rng).low == 1.0
    assert naming.confirmed_share(bad, HOW, rng).value <= 0.2
    null = naming.confirmed_by_chance(good, HOW, rng)
    assert null.value < 0.35
    assert null.p < 0.05
    assert naming.confirmed_by_chance(bad, HOW, rng).p > 0.05


def test_a_feature_without_a_name_counts_as_not_confirmed():
    rng = np.random.default_rng(1)
    half = names(rng)._replace(named=np.arange(6) < 3)
    assert naming.confirmed_share(half, HOW, rng).value == 0.5
    assert naming.name_fit(half, HOW, rng).value == pytest.approx(
        naming.name_fit(names(np.random.default_rng(1)), HOW, rng).value / 2, abs=0.05
    )
    with pytest.raises(NotComputable, match="1 features with a name"):
        naming.difference_by_chance(half._replace(named=np.arange(6) < 1), half, HOW, rng)


def test_fit_is_the_mean_correlation_of_feature_and_code():
    rng = np.random.default_rng(2)
    given = names(rng)
    phi = [np.corrcoef(given.on[:, f], given.carried[:, f])[0, 1] for f in range(6)]
    assert naming.name_fit(given, HOW, rng).value == pytest.approx(np.mean(phi))


def test_a_difference_in_fit_is_paired_and_none_between_a_dictionary_and_itself():
    rng = np.random.default_rng(3)
    given = names(rng)
    same = naming.fit_difference(given, given, HOW, rng)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    worse = given._replace(on=names(rng, agree=0.3).on & given.on)
    assert naming.fit_difference(given, worse, HOW, rng).low > 0
    null = naming.difference_by_chance(given, worse, HOW, rng)
    assert null.low < naming.fit_difference(given, worse, HOW, rng).value
    assert null.p < 0.05


def test_a_name_is_found_where_it_was_planted():
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(200), 3)
    codes = rng.random((600, 20)) < 0.1
    on = codes[:, [4]] & (rng.random((600, 1)) < 0.8)
    bag = sparse.csr_matrix(codes.astype(np.float32))
    assert naming.leading(enrichment(on, bag, patients), 1)[0].tolist() == [4]
