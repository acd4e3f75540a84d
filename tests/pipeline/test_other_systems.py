"""The field's methods as steps: the predictor is opened as it is, and every method is fitted, named and timed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from jepascope import params
from jepascope.analysis.inference.stats import Inference
from jepascope.analysis.rollout.rollouts import Matched
from jepascope.analysis.sae.baselines import principal_atoms
from jepascope.book.tables.other_systems import frame_table
from jepascope.objects import make_objects
from jepascope.pipeline.methods import other_systems
from jepascope.pipeline.methods.in_noise import four, timed
from jepascope.pipeline.predictor.bases import (
    bases_of,
    describe_axes,
    load_axes,
    load_codes,
    load_layer,
    open_predictor,
)
from jepascope.pipeline.readings import load_reading, load_table
from jepascope.pipeline.rollout.displacement import drift_of, drift_of_changing
from jepascope.pipeline.rollout.rollouts import Rollouts
from jepascope.store import write_json, write_table

pytest_plugins = ["tests.fixtures_trained"]

HOW = Inference(bootstrap=50, permutations=50)
SAE = params.Sae(features=8, active=2, epochs=3, batch_rows=32)


@pytest.fixture(scope="module")
def toy_objects(toy_folder, toy_model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy_objects")
    make_objects(folder, toy_folder, toy_model_folder)
    return folder


def test_the_layer_is_the_predictor_with_its_true_jacobian(toy_objects, toy_model_folder):
    layer = load_layer(toy_objects, toy_model_folder)
    assert layer.predict(layer.u) == pytest.approx(layer.z_hat, abs=1e-5)
    step = np.zeros_like(layer.u[:3])
    step[:, -1] = 1e-2  # the gap is read as well
    moved = (layer.predict(layer.u[:3] + step) - layer.predict(layer.u[:3] - step)) / 2e-2
    assert layer.jacobians(layer.u[:3])[:, :, -1] == pytest.approx(moved, abs=1e-3)
    assert set(layer.of("test").split) == {"test"}


def test_the_predictor_is_opened_and_test_patients_choose_nothing(toy_objects, toy_model_folder, tmp_path):
    statistics = params.Statistics(bootstrap=20, permutations=20, min_patients=5)
    folders = (toy_objects, toy_objects, toy_model_folder, toy_model_folder)
    open_predictor(tmp_path, *folders, statistics, SAE, 0)
    codes, test = load_codes(tmp_path), load_layer(toy_objects, toy_model_folder).split == "test"
    assert set(codes) == {"transcoder", "sae_of_z_hat", "linear", "lib", "pca_of_c", "rotation"}
    assert all(
        np.array_equal(f, load_codes(tmp_path, "twin_")[name]) for name, f in codes.items()
    )  # the same model here
    replaced = load_table(tmp_path, "replaced").set_index("stand-in")
    assert replaced.loc["linear map of full rank", "value"] < replaced.loc["linear map of rank 2", "value"]
    assert set(replaced["n_rows"]) == {test.sum()}
    reading = load_reading(tmp_path, "fewer_axes")
    assert reading.estimate == reading.untrained
    kept = load_table(tmp_path, "kept").set_index(["basis", "axes"])["value"]
    assert kept["interaction basis", 16] < kept["interaction basis", 1]
    assert load_axes(tmp_path)["interaction basis"]["acting"] <= load_axes(tmp_path)["interaction basis"]["axes"]
    layer = load_layer(toy_objects, toy_model_folder)
    train, D = layer.of("train"), layer.z_hat.shape[1]
    outputs = principal_atoms(train.z_hat, 2 * D)[:D]  # directions of ẑ are training patients', too
    again = describe_axes(layer.of("test"), bases_of(train, 0), outputs)
    assert again["principal axes"]["edges"] == pytest.approx(load_axes(tmp_path)["principal axes"]["edges"], rel=1e-4)


def test_axes_speak_where_they_lie_furthest_out():
    f = np.array([[3.0, 0.0, 1.0], [-3.0, 0.5, 0.4], [0.0, -1.0, -1.0], [0.0, 0.5, -0.4]])
    on = other_systems.switched_on(f, np.ones(4, bool), 1)
    assert on.sum(axis=1).max() == 1
    assert on[0].tolist() == [True, False, False]
    assert not other_systems.switched_on(-np.ones((4, 3)), np.ones(4, bool), 1).any()
    assert other_systems.both_signs(f)[:, 3:].tolist() == (-f).tolist()
    assert [other_systems.is_dense(name) for name in ("lib", "twin_lib", "topk", "twin")] == [True, True, False, False]


def test_names_are_given_on_training_patients_alone():
    rng = np.random.default_rng(0)
    patients, split = np.arange(400), np.arange(400) % 2 == 0
    carried = rng.random((400, 3)) < 0.3
    on = carried[:, [2, 0]].copy()
    bag = sparse.csr_matrix(carried.astype(np.float32))
    found = other_systems.name_features(on, bag, patients, split, ~split)
    assert found.code.tolist() == [2, 0]
    assert found.confirmed.all()
    moved = np.where(split[:, None], on, on[:, ::-1])
    again = other_systems.name_features(moved, bag, patients, split, ~split)
    assert again.code.tolist() == [2, 0]
    assert not again.confirmed.any()


def test_directions_that_are_given_return_and_random_ones_do_not():
    rng = np.random.default_rng(0)
    x, patients = rng.normal(size=(80, 12)), np.repeat(np.arange(40), 2)
    parts = four(x, patients, rng)
    assert [len(part) for part in parts] == [40, 40, 40, 40]
    assert not np.isin(parts[0][:, 0], parts[1][:, 0]).any()
    given = timed("given", lambda part, seed: np.eye(12), parts, 0)
    assert (given["returns"], given["in_noise"]) == (1, 1)
    drawn = timed("drawn", lambda part, seed: np.random.default_rng(seed).normal(size=(5, 12)), parts, 0)
    assert drawn["returns"] < 0.5


def test_drift_on_changing_targets_differs_where_early_encounters_are_easier():
    k = np.tile([0, 1, 2], 30)
    patients = np.repeat(np.arange(30), 3)
    z = np.zeros((90, 2))
    one, two = (np.where((k >= h)[:, None], 1.0, np.nan) * np.ones((90, 2)) for h in (1, 2))
    one[k == 1] = 0.5  # only the first step reaches these
    index = pd.DataFrame({"subject_id": patients, "k": k})
    rolled = Rollouts(index, z, z, np.stack([one, two]), np.zeros(2))
    late = k == 2
    same = Matched(z[late], rolled.z_hat[:, late], np.zeros((2, 30, 2)), np.zeros(2), patients[late])
    assert drift_of(same, HOW, 0)[:3] == pytest.approx((0, 0, 0))
    changing = drift_of_changing(rolled, HOW, 0)
    assert changing.value == pytest.approx(100 * (1 / 0.75 - 1))
    assert (changing.n_rows, changing.n_patients) == (60, 30)  # first encounters are nobody's target


def test_a_twin_stands_beside_the_vote_only_where_its_rival_was_fitted_to_the_twin(tmp_path):
    found = {"low": 0.0, "high": 0.5, "n_rows": 9, "n_patients": 3, "null": 0.0, "null_low": 0.0, "null_high": 0.1}
    pairs = {("consensus", m): 0.3 for m in ("topk", "lib")} | {("twin", "topk"): -0.4, ("twin", "lib"): -0.2}
    pairs |= {("twin", "twin_lib"): 0.1}
    rows = [{"reference": a, "method": b, "measure": "mean r", "value": v, "p": 0.5} for (a, b), v in pairs.items()]
    write_table(tmp_path / "differences.parquet", pd.DataFrame([row | found for row in rows]))
    write_table(tmp_path / "methods.parquet", pd.DataFrame({"method": ["consensus", "topk", "lib"]}))
    for best, twin in (("topk", None), ("lib", 0.1)):
        write_json(tmp_path / "best.json", {"best": best})
        reading = other_systems.vote_over_best(tmp_path)
        assert reading.estimate.value == 0.3
        assert (reading.untrained and reading.untrained.value) == twin


def test_the_frame_has_a_row_a_method_and_the_best_first(tmp_path):
    r = {"consensus": 0.2, "transcoder": 0.3, "twin_transcoder": 0.1}
    row = {"features": 4, "low": 0.0, "high": 0.5, "null_high": 0.01}
    methods = [
        {"method": m, "measure": q, "value": v, **row} for m, v in r.items() for q in ("mean r", "MCC", "recall")
    ]
    write_table(tmp_path / "methods.parquet", pd.DataFrame(methods))
    names = {
        "method": "consensus",
        "value": 0.6,
        "low": 0.5,
        "high": 0.7,
        "null": 0.1,
        "null_high": 0.2,
        "wrong_value": 0.4,
    }
    write_table(tmp_path / "names.parquet", pd.DataFrame([names]))
    fits = [
        {"method": m, "returns": 0.5, "in_noise": 0.0, "seconds": s}
        for m, s in (("consensus", 10.0), ("transcoder", 1.0))
    ]
    write_table(tmp_path / "noise.parquet", pd.DataFrame(fits))
    frame = other_systems.frame(tmp_path, tmp_path)
    assert frame["words"].tolist() == ["transcoder", "SAE, voted"]
    assert frame["twin"].tolist()[0] == 0.1
    assert frame["cost"].tolist() == pytest.approx([0.1, 1.0])
    shown = frame_table(frame)
    assert shown["names right"].tolist() == ["—", "0.60 [0.50, 0.70]"]
