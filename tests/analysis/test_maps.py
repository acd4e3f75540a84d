"""The map: whole patients, a seed that fixes it, and no cluster made of a few persons."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.embedding import maps
from jepascope.analysis.inference.stats import NotComputable


def two_groups(n_patients=120, rows=5, seed=0):
    """Two well separated groups of patients in 30 dimensions."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rows)
    group = patients % 2
    return 6 * np.eye(30)[group] + 0.5 * rng.normal(size=(len(patients), 30)), patients, group


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
    assert found.refused >= 1
    assert set(np.unique(group[found.labels >= 0])) <= {1}


def test_a_cluster_that_is_left_alone_is_the_cloud_and_refused():
    x, patients, group = two_groups()
    x[group == 0] += 0.01  # one group, of whom a few persons are then put far away
    cloud = np.vstack([x[group == 0], 40 * np.eye(30)[5] + 0.1 * np.random.default_rng(0).normal(size=(30, 30))])
    found = maps.cluster(maps.principal_axes(cloud), np.r_[patients[group == 0], np.full(30, 999)], 20)
    assert (found.kept, found.refused) == (0, 2)
    assert (found.labels == -1).all()


def test_structureless_patients_give_no_cluster_that_passes():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(150), 6)
    x = 3 * rng.normal(size=(150, 20))[patients] + 0.3 * rng.normal(size=(900, 20))
    assert maps.cluster(maps.principal_axes(x), patients, 20).kept == 0


def test_a_layout_keeps_groups_apart_and_is_fixed_by_its_seed():
    x, _, group = two_groups(60)
    axes = maps.principal_axes(x)
    graph = maps.neighbourhoods(axes, 10)
    one, again = (maps.lay_out(axes, graph, 2, seed=3) for _ in range(2))
    assert one.shape == (300, 2)
    assert np.array_equal(one, again)
    centres = [one[group == g].mean(axis=0) for g in (0, 1)]
    spread = max(one[group == g].std() for g in (0, 1))
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread
    with pytest.raises(NotComputable, match="2 rows, 4 needed"):
        maps.neighbourhoods(np.eye(2), 5)


def test_a_cell_with_fewer_than_eleven_patients_is_blank():
    patients = np.repeat(np.arange(30), 2)
    xy = np.where(patients[:, None] < 20, [0.0, 0.0], [1.0, 1.0])
    counts = maps.patient_density(xy, patients)
    assert counts[0, 0] == 20  # patients, not their forty rows
    assert np.isnan(counts[-1, -1])  # ten
    assert np.count_nonzero(np.isfinite(counts)) == 1
    assert np.isnan(maps.patient_density(xy, patients, patients < 10)).all()


def test_too_few_patients_is_said():
    with pytest.raises(NotComputable, match="3 patients, 20 needed"):
        maps.cluster(np.eye(9), np.arange(9) % 3, 20)
