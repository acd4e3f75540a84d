"""Objects: aligned with the index, e is z − ẑ, and they come back as they were saved."""

import numpy as np
import pytest

from jepascope.objects import embed, load_objects, make_objects
from jepascope.store import StoreError, write_table
from jepascope.training.checkpoint import load_model

pytest_plugins = ["tests.fixtures_trained"]


@pytest.fixture
def objects(toy, toy_model_folder):
    return embed(load_model(toy_model_folder), toy)


def test_rows_are_those_of_the_index_and_every_later_encounter_is_predicted(objects, toy):
    assert objects.index is toy.index
    assert len(objects.z) == len(objects.c) == len(toy.index)
    assert np.array_equal(objects.target_rows, np.flatnonzero(toy.index["k"] > 0))
    assert objects.z.dtype == objects.z_hat.dtype == np.float32


def test_error_is_z_minus_z_hat(objects):
    assert np.array_equal(objects.e, objects.z[objects.target_rows] - objects.z_hat)


def test_embedding_one_patient_alone_gives_its_rows(objects, toy, toy_model_folder):
    rows = np.flatnonzero(toy.index["subject_id"] == 1005)
    start, end = rows[0], rows[-1] + 1
    alone = toy._replace(
        index=toy.index.iloc[start:end],
        tokens=toy.tokens[toy.offsets[start] : toy.offsets[end]],
        offsets=toy.offsets[start : end + 1] - toy.offsets[start],
    )
    z = embed(load_model(toy_model_folder), alone).z
    assert np.linalg.norm(z - objects.z[start:end]) <= 1e-6 * np.linalg.norm(z)


def test_objects_come_back_as_they_were_made(tmp_path, objects, toy_folder, toy_model_folder):
    make_objects(tmp_path, toy_folder, toy_model_folder)
    loaded = load_objects(tmp_path)
    for name in ("z", "c", "target_rows", "z_hat", "e"):
        assert np.array_equal(getattr(loaded, name), getattr(objects, name))
    assert loaded.index["hadm_id"].tolist() == objects.index["hadm_id"].tolist()


def test_index_and_objects_of_different_runs_are_refused(tmp_path, toy, toy_folder, toy_model_folder):
    make_objects(tmp_path, toy_folder, toy_model_folder)
    write_table(tmp_path / "index.parquet", toy.index.iloc[1:])
    with pytest.raises(StoreError, match="different runs"):
        load_objects(tmp_path)
