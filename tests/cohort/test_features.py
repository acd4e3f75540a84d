from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pytest
from tests.fixtures_encounters import toy_encounters

from jepascope.cohort import engine
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.features import BILLED, PLANNED, bag_of_codes, history_counts, structure

KINDS = np.array(["diagnosis", "procedure", "drg", "drug", "lab"])


@pytest.fixture
def encounters() -> Encounters:
    """Draw patients whose tokens are of all kinds, with what `structure` reads."""
    toy = toy_encounters(patients=60, vocabulary=40)
    rng = np.random.default_rng(3)
    N = len(toy.index)
    types = rng.choice([*PLANNED, "EW EMER.", "URGENT"], N)
    index = toy.index.assign(los_days=rng.exponential(5, N), admission_type=types)
    kinds = np.concatenate([["special"], KINDS[np.arange(39) % 5]])
    return toy._replace(index=index, vocabulary=toy.vocabulary.assign(kind=kinds))


def rows_of(encounters: Encounters, rows: np.ndarray) -> Encounters:
    """Keep these rows, a bool mask."""
    lengths = np.diff(encounters.offsets)
    return encounters._replace(
        index=encounters.index[rows].reset_index(drop=True),
        tokens=encounters.tokens[np.repeat(rows, lengths)],
        offsets=np.concatenate([[0], np.cumsum(lengths[rows])]),
    )


def test_a_token_that_stands_twice_counts_once_and_the_encounters_stay_as_they_were(encounters):
    twice = np.repeat(encounters.tokens, 2)[::-1].copy()  # unsorted, every token in pairs
    doubled = encounters._replace(tokens=twice, offsets=2 * encounters.offsets)
    tokens, offsets = twice.copy(), doubled.offsets.copy()
    bag = bag_of_codes(doubled)
    assert bag.max() == 1
    assert bag.nnz < len(twice)
    np.testing.assert_array_equal(doubled.tokens, tokens)
    np.testing.assert_array_equal(doubled.offsets, offsets)


@pytest.mark.parametrize("feature_set", ["clinical", "coded"])
def test_history_counts_are_those_of_a_plain_loop(encounters, feature_set):
    counts = history_counts(encounters, feature_set)
    V = len(encounters.vocabulary)
    kind = encounters.vocabulary["kind"].to_numpy()
    plain = np.zeros((len(encounters.index), 2 * V))
    so_far: dict[int, np.ndarray] = {}
    for i, subject_id in enumerate(encounters.index["subject_id"]):
        before = so_far.setdefault(subject_id, np.zeros(V))
        plain[i, :V] = before
        for token in encounters.tokens[encounters.offsets[i] : encounters.offsets[i + 1]]:
            before[token] += 1
            plain[i, V + token] = feature_set == "coded" or kind[token] not in BILLED
    np.testing.assert_array_equal(counts.toarray(), plain)
    assert counts.dtype == np.float32
    assert counts.nnz == (plain != 0).sum()


def test_clinical_hides_the_codes_of_k_and_none_of_earlier_encounters(encounters):
    V = len(encounters.vocabulary)
    clinical, coded = history_counts(encounters, "clinical"), history_counts(encounters, "coded")
    billed = np.flatnonzero(encounters.vocabulary["kind"].isin(["diagnosis", "procedure", "drg"]))
    assert clinical[:, V + billed].nnz == 0 < coded[:, V + billed].nnz
    assert (clinical[:, :V] != coded[:, :V]).nnz == 0
    assert clinical[:, billed].nnz > 0


@pytest.mark.parametrize("feature_set", ["clinical", "coded"])
def test_a_record_cut_at_k_has_the_same_row_at_k(encounters, feature_set):
    whole, floor = history_counts(encounters, feature_set), structure(encounters.index)
    for k in range(4):
        kept = (encounters.index["k"] <= k).to_numpy()
        cut = rows_of(encounters, kept)
        assert (history_counts(cut, feature_set) != whole[kept]).nnz == 0
        np.testing.assert_array_equal(structure(cut.index), floor[kept])


def test_a_patient_alone_has_the_same_rows(encounters):
    whole, floor = history_counts(encounters, "coded"), structure(encounters.index)
    for subject_id in encounters.index["subject_id"].unique()[:5]:
        mine = (encounters.index["subject_id"] == subject_id).to_numpy()
        alone = rows_of(encounters, mine)
        assert (history_counts(alone, "coded") != whole[mine]).nnz == 0
        np.testing.assert_array_equal(structure(alone.index), floor[mine])


def test_structure_by_hand():
    index = pd.DataFrame(
        {
            "subject_id": [1, 1, 1, 2],
            "k": [0, 1, 2, 0],
            "gap_days": [np.nan, 10.0, 30.0, np.nan],
            "los_days": [1.0, 2.0, 3.0, 4.0],
            "admission_type": ["EW EMER.", "ELECTIVE", "URGENT", "AMBULATORY OBSERVATION"],
        }
    )
    expected = [
        [0, 0, np.log(2), 0, 1],
        [1, np.log(11), np.log(3), np.log(11), 0],
        [2, np.log(31), np.log(4), np.log(21), 1],
        [0, 0, np.log(5), 0, 0],
    ]
    np.testing.assert_allclose(structure(index), expected)


def test_planned_means_what_the_labels_mean_by_it():
    connection = duckdb.connect()
    engine.run(connection, "reference")
    planned = connection.execute("select admission_type from admission_kind where not unplanned").fetchall()
    assert {name for (name,) in planned} == set(PLANNED)


def test_billing_codes_are_kinds_of_tokens():
    connection = duckdb.connect()
    engine.run(connection, "reference")
    kinds = {kind for (kind,) in connection.execute("select kind from token_kind").fetchall()}
    assert set(BILLED) < kinds
