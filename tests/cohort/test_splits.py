from __future__ import annotations

import hashlib

import numpy as np
import pytest

from jepascope.cohort.splits import assign, assign_era, uniform


def test_shares_hold_within_three_standard_errors():
    split = assign(np.arange(40_000), "key", 0.15, 0.10)
    for name, share in {"train": 0.75, "validation": 0.15, "test": 0.10}.items():
        assert abs(np.mean(split == name) - share) < 3 * np.sqrt(share * (1 - share) / 40_000)


def test_a_patient_never_moves_when_the_cohort_grows_or_is_reordered():
    ids = np.arange(1, 2000)
    small, large = assign(ids[:500], "key", 0.15, 0.15), assign(ids[::-1], "key", 0.15, 0.15)
    assert (large[::-1][:500] == small).all()


def test_another_key_is_another_split():
    ids = np.arange(5000)
    same = np.mean(assign(ids, "one", 0.25, 0.25) == assign(ids, "two", 0.25, 0.25))
    assert same == pytest.approx(0.25**2 + 0.25**2 + 0.5**2, abs=0.03)


def test_the_hash_is_the_published_one():
    # blake2b(sha256("jepascope")-keyed, "10000032"), so a split survives a rewrite of this module.
    key = hashlib.sha256(b"jepascope").digest()
    digest = hashlib.blake2b(b"10000032", key=key, digest_size=8).hexdigest()
    assert uniform([10000032], "jepascope")[0] == pytest.approx(int(digest, 16) / 2**64)


def test_uniform_is_uniform_and_below_one():
    u = uniform(np.arange(20_000), "key")
    assert u.min() >= 0
    assert u.max() < 1
    assert np.histogram(u, bins=10, range=(0, 1))[0].min() > 1800


def test_a_zero_share_is_empty():
    assert set(assign(np.arange(500), "key", 0, 0)) == {"train"}


def test_shares_without_training_patients_are_refused():
    with pytest.raises(ValueError, match="no training"):
        assign([1], "key", 0.5, 0.5)


GROUPS = np.array(["2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019", "2020 - 2022"])


def all_pairs() -> tuple[np.ndarray, np.ndarray]:
    parts = np.array(["train", "validation", "test"])
    return np.repeat(GROUPS, 3), np.tile(parts, len(GROUPS))


def test_the_split_by_era_written_out():
    expected = [
        *["train", "validation", "unused"] * 3,  # up to 2016: who tests in the hash split neither trains nor tests
        *["unused", "unused", "test"] * 2,  # from 2017: only who tests in the hash split tests here
    ]
    assert assign_era(*all_pairs()).tolist() == expected


def test_nobody_tests_in_one_split_and_trains_in_the_other():
    ids = np.arange(5000)
    within = assign(ids, "key", 0.15, 0.15)
    era = assign_era(GROUPS[ids % 5], within)
    assert set(within[era != "unused"] + era[era != "unused"]) == {"traintrain", "validationvalidation", "testtest"}


def test_no_patient_of_the_new_era_is_trained_on_and_none_of_the_old_tested_on():
    group, within = all_pairs()
    era = assign_era(group, within, 2014)
    assert set(group[era == "train"]) == {"2008 - 2010", "2011 - 2013"}
    assert set(group[era == "test"]) == {"2014 - 2016", "2017 - 2019", "2020 - 2022"}


def test_a_group_that_straddles_the_year_is_unused():
    for year in (2015, 2016):
        group, within = all_pairs()
        assert set(assign_era(group, within, year)[group == "2014 - 2016"]) == {"unused"}


def test_a_patient_without_a_group_is_unused():
    group = np.array([None, np.nan, "2008 - 2010", "2017-2019"], dtype=object)
    assert assign_era(group, np.array(["train", "test", "train", "test"])).tolist() == [
        "unused",
        "unused",
        "train",
        "test",
    ]
    assert assign_era([None, None], np.array(["train", "test"])).tolist() == ["unused", "unused"]
    assert assign_era([], np.array([], dtype=str)).tolist() == []


def test_a_malformed_group_is_refused_without_being_shown():
    with pytest.raises(ValueError, match="for 2 patients") as error:
        assign_era(["2008 - 2010", "2017", "20170 - 20190"], np.array(["train"] * 3))
    assert "20190" not in str(error.value)
