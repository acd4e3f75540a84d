"""The map: whole patients, a seed that fixes it, and no cluster made of a few persons."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from jepascope.analysis import maps
from jepascope.analysis.stats import NotComputable


def two_groups(n_patients=120, rows=5, seed=0):
    """Two well separated groups of patients in 30 dimensions."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rows)
    group = patients % 2
    return 6 * np.eye(30)[group] + 0.5 * rng.normal(size=(len(patients), 30)), patients, group


@pytest.fixture
def fast_umap(monkeypatch):
    """Stand-in for umap, whose import alone takes longer than this whole file."""

    class First:
        def __init__(self, n_neighbors, n_components, random_state, n_jobs):
            self.size = n_components

        def fit_transform(self, x):
            return x[:, : self.size]

    module = types.ModuleType("umap")
    module.UMAP = First
    monkeypatch.setitem(sys.modules, "umap", module)


def test_sampling_takes_whole_patients_up_to_the_cap():
    patients = np.repeat(np.arange(100), np.random.default_rng(0).integers(1, 9, 100))
    rows = maps.sample_patients(patients, 150, np.random.default_rng(1))
    assert 140 < len(rows) <= 150
    taken = np.unique(patients[rows])
    assert len(rows) == np.isin(patients, taken).sum()
    assert len(maps.sample_patients(patients, 10_000, np.random.default_rng(1))) == len(patients)
    long_records = np.repeat([1, 2], 50)
    rows = maps.sample_patients(long_records, 10, np.random.default_rng(0))
    assert len(rows) == 50
    assert len(np.unique(long_records[rows])) == 1


def test_groups_of_patients_are_found():
    x, patients, group = two_groups()
    found = maps.cluster(maps.principal_axes(x), patients, 20)
    assert found.kept == 2
    inside = found.labels >= 0
    assert inside.mean() > 0.8
    assert len({(a, b) for a, b in zip(found.labels[inside], group[inside], strict=True)}) == 2


def test_a_cluster_of_one_person_is_refused():
    x, patients, _ = two_groups()
    person = np.concatenate([patients, np.full(60, 999)])  # sixty rows of one patient, far away
    rng = np.random.default_rng(0)
    x = np.vstack([x, 20 * np.eye(30)[5] + 0.1 * rng.normal(size=(60, 30))])
    found = maps.cluster(maps.principal_axes(x), person, 20)
    assert (found.kept, found.refused) == (2, 1)
    assert (found.labels[person == 999] == -1).all()


def test_a_cluster_of_eight_persons_is_refused_though_none_dominates():
    x, patients, _ = two_groups()
    patients = np.concatenate([patients, np.repeat(np.arange(900, 908), 10)])
    far = 20 * np.eye(30)[5] + 0.1 * np.random.default_rng(0).normal(size=(80, 30))
    found = maps.cluster(maps.principal_axes(np.vstack([x, far])), patients, 20)
    assert (found.kept, found.refused) == (2, 1)


def test_a_cluster_with_a_dominant_person_is_refused():
    x, patients, group = two_groups()
    patients = patients.copy()
    own = np.flatnonzero(group == 0)
    patients[own[: len(own) // 4]] = 0  # a quarter of one group is now one patient
    found = maps.cluster(maps.principal_axes(x), patients, 20)
    assert (found.kept, found.refused) == (1, 1)


def test_structureless_patients_give_no_cluster_that_passes():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(150), 6)
    x = 3 * rng.normal(size=(150, 20))[patients] + 0.3 * rng.normal(size=(900, 20))
    assert maps.cluster(maps.principal_axes(x), patients, 20).kept == 0


def test_the_map_is_aligned_and_fixed_by_its_seed(fast_umap):
    x, patients, _ = two_groups()
    one, again = (maps.patient_map(x, patients, 400, 15, 20, seed=3) for _ in range(2))
    assert len(one.rows) == len(one.xy) == len(one.clusters.labels) <= 400
    assert np.array_equal(one.rows, again.rows)
    assert np.array_equal(one.xy, again.xy)


def test_too_few_patients_or_rows_is_said(fast_umap):
    with pytest.raises(NotComputable, match="3 patients, 20 needed"):
        maps.patient_map(np.eye(9), np.arange(9) % 3, 100, 5, 20, seed=0)
    with pytest.raises(NotComputable, match="2 rows, 4 needed"):
        maps.patient_map(np.eye(2), np.arange(2), 100, 5, 2, seed=0)
