"""Tier B: parts of a space that bear labels."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.bridge import cluster_labels as cl
from jepascope.analysis.inference.stats import Inference

HOW = Inference(bootstrap=100, min_patients=5)


def test_a_partition_is_of_the_rows_it_was_fitted_to_and_others_follow():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [0, 10]])
    train = centres[np.repeat(np.arange(3), 50)] + rng.normal(size=(150, 2))
    parts = cl.partition(train, centres.astype(float), 0, parts=3)
    assert len(set(parts)) == 3
    assert cl.nearest_labels(train, np.repeat([4, -1, 2], 50), centres.astype(float)).tolist() == [4, -1, 2]


def test_a_label_is_enriched_where_it_was_put_and_in_no_other_cluster():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(300), 3)
    on = cl.members(rng.integers(0, 4, 900), 4)
    labels = np.column_stack([rng.random(900) < 0.1 + 0.5 * on[:, 0], rng.random(900) < 0.2])
    found = cl.label_clusters(on, labels, patients).found
    assert found.tolist() == [[True, False], [False, False], [False, False], [False, False]]


def test_rows_and_patients_outside_are_counted_by_hand():
    patients = np.repeat(np.arange(10), 2)
    on = cl.members(np.r_[np.zeros(7), np.ones(3), np.full(10, -1)].astype(int), 2)
    out = cl.without_label(on, np.array([True, False]), patients, HOW, np.random.default_rng(0))
    assert out.rows.value == pytest.approx(13 / 20)
    assert out.patients.value == pytest.approx(6 / 10)  # patients 0 to 3 have a row in the labelled cluster
    none = cl.without_label(on[:, :0], np.zeros(0, bool), patients, HOW, np.random.default_rng(0))
    assert none.rows.value == none.patients.low == 1
