"""The steps of chapter 05: what they leave can be read, finds what was planted, and says whose it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jepascope import params
from jepascope.objects import Objects, save_objects
from jepascope.pipeline.embedding import mapping, probing
from jepascope.pipeline.embedding import shape as shape_of_z
from jepascope.pipeline.readings import load_reading
from jepascope.store import read_table, read_tensors, write_json, write_tensors

HOW = params.Statistics(bootstrap=50, permutations=50)
MAP = params.Map(max_rows=400, min_cluster_patients=10, resamples=3)


def index_of(patients=400, rows=3):
    """An index with two groups, one that embeddings will carry and one that they won't, and an outcome."""
    rng, N = np.random.default_rng(0), patients * rows
    subject = np.repeat(np.arange(patients), rows)
    columns = {
        "subject_id": subject,
        "k": np.tile(np.arange(rows), patients),
        "split": np.array(["train", "train", "validation", "test"])[subject % 4],
        "age": 60.0 + 10 * rng.normal(size=N),
        "los_days": rng.exponential(7, N),
        "icd_version": np.where(rng.random(N) < 0.5, 9, 10),
        "f_code_so_far": subject % 3 > 0,
        "group_planted": rng.random(N) < 0.3,
        "group_absent": np.zeros(N, bool),
    }
    outcomes = {column: np.where(rng.random(N) < 0.2, np.nan, rng.random(N) < 0.3) for column in OUTCOME_COLUMNS}
    return pd.DataFrame({**columns, **outcomes})


OUTCOME_COLUMNS = list(probing.OUTCOMES.values())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Objects whose z carries the planted group, a twin of noise, and codes of noise."""
    root, index = tmp_path_factory.mktemp("z"), index_of()
    rng, planted = np.random.default_rng(1), index["group_planted"].to_numpy()
    for name, strength in (("model", 2.0), ("twin", 0.0)):
        (root / name).mkdir()
        z, c = rng.normal(size=(2, len(index), 8)).astype(np.float32)
        z[:, 0] += strength * planted
        save_objects(root / name, Objects(index, z, c, np.arange(1, len(z)), z[1:], 0 * z[1:]))
    (root / "codes").mkdir()
    write_tensors(root / "codes" / "codes.safetensors", {"axes": rng.normal(size=(len(index), 8)).astype(np.float32)})
    return root / "model", root / "twin", root / "codes"


@pytest.fixture(scope="module")
def probed(folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("probed")
    probing.probe_concepts(folder, *folders, HOW, 0)
    return folder


def test_the_planted_group_is_read_from_z_alone_and_by_both_readers(probed):
    table = probing.load_computed(probed, "psychiatric").set_index("representation")
    assert set(table["target"]) == {"planted"}
    assert list(table.index) == ["z", "c", "untrained z", "untrained c", "raw codes"]
    assert table.loc["z", ["value", "means"]].min() > 0.85
    assert table.loc[["c", "untrained z", "raw codes"], ["value", "means"]].max(axis=None) < 0.6
    reasons = read_table(probed / "table.parquet").query("target == 'absent'")["reason"]
    assert reasons.str.contains("patients with the label").all()


def test_only_the_subset_is_probed_and_read_on_test_patients(probed):
    family = probing.load_family(probed, "psychiatric")
    index = index_of()
    wanted = index[index["f_code_so_far"] & (index["split"] == "test")]
    assert np.array_equal(family.patients, wanted["subject_id"])
    assert np.array_equal(family.labels[:, 0], wanted["group_planted"])


def test_the_planted_group_takes_fewer_bits_given_z(folders, tmp_path):
    probing.send_labels(tmp_path, *folders, HOW, 0)
    reading = load_reading(tmp_path, "shorter")
    assert reading.estimate.low > 0.1 > reading.null.high
    codes = read_table(tmp_path / "codes.parquet")
    assert set(codes["target"]) == {"planted", probing.MEAN}
    assert (codes["n_patients"] == 133).all()  # training patients of the subset


def test_everyone_is_read_with_nuisances_and_outcomes_where_they_are_known(folders, tmp_path):
    probing.probe_everyone(tmp_path, *folders, HOW, 0)
    table = probing.load_computed(tmp_path)
    assert set(table["family"]) == {"psychiatric", "nuisance"}
    outcomes, index = probing.load_computed(tmp_path, None, "outcomes"), index_of()
    known = index.loc[index["split"] == "test", OUTCOME_COLUMNS].notna().sum()
    found = outcomes[outcomes["representation"] == "z"].set_index("target")["n_rows"]
    assert {name: found[name] for name in probing.OUTCOMES} == {n: known[c] for n, c in probing.OUTCOMES.items()}


def test_the_shape_of_noise_is_that_of_its_gaussian_cloud(folders, tmp_path):
    shape_of_z.measure_shape(tmp_path, *folders, HOW, 0)
    shape = read_table(tmp_path / "shape.parquet")
    assert (shape["n_patients"] == 100).all()
    assert len(shape) == 15
    reading = load_reading(tmp_path, "halves_agree")
    assert abs(reading.estimate.value) < 0.2
    assert abs(load_reading(tmp_path, "fills_less").untrained.value) < 2


def test_clusters_are_sought_among_training_patients_and_reported_with_their_null(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(mapping, "neighbourhoods", lambda x, neighbours: None)  # UMAP compiles for seconds
    monkeypatch.setattr(mapping, "lay_out", lambda x, graph, dimensions, seed: x[:, :dimensions])
    mapping.find_clusters(tmp_path, *folders, MAP, HOW, 0)
    searches = read_table(tmp_path / "searches.parquet")
    assert (searches["representation"] == mapping.NOTHING).sum() == mapping.CLOUDS + 1
    assert load_reading(tmp_path, "come_back").null.value == 0
    rows = read_tensors(tmp_path / "map.safetensors")["rows"]
    assert (index_of()["split"].to_numpy()[rows] == "train").all()
    for tier in ("synthetic", "credentialed"):
        write_json(tmp_path / "step.json", {"tier": tier})
        picture = mapping.load_map(tmp_path, folders[0])
        assert (picture.xy is None) == (picture.density is not None) == (tier == "credentialed")
    assert not (picture.density["all"] < 11).any()
