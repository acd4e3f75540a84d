"""Features against planted concepts: found where they lie, chosen on training patients alone, and paired."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable, bootstrap_correlation
from jepascope.analysis.sae import Settings, fit
from jepascope.analysis.sae.baselines import NAMES
from jepascope.certify.features import MEASURES, choose, correlations, drawn_correlations, feature_recovery, measures
from jepascope.certify.planted import Truth
from jepascope.objects import Objects, save_objects
from jepascope.pipeline.dictionary import recovery
from jepascope.pipeline.dictionary.dictionaries import load_dictionary, save_dictionary
from jepascope.store import write_table

HOW = Inference(bootstrap=200, permutations=100)


@pytest.fixture(scope="module")
def world():
    """Four concepts; `own` has a feature for each, `mixed` rotates them, `noise` knows nothing."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(240), 4)
    states = (rng.random((240, 4)) < 0.35)[patients] & (rng.random((960, 4)) < 0.8)
    blurred = states + 0.15 * rng.normal(size=states.shape)
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    features = {"own": np.hstack([blurred[:, ::-1], rng.normal(size=(960, 2))]), "mixed": blurred @ rotation}
    features["noise"] = rng.normal(size=(240, 6))[patients]
    index = pd.DataFrame(
        {"subject_id": patients, "hadm_id": np.arange(960), "split": np.array(["train", "test"])[patients % 2]}
    )
    concepts = pd.DataFrame({"name": list("abcd"), "dynamics": ["chronic", "shock"] * 2})
    truth = Truth(pd.DataFrame(states, columns=list("abcd")), concepts, np.zeros(960))
    return features, truth, index


@pytest.fixture(scope="module")
def found(world):
    return feature_recovery(world[0], ("own", "noise"), *world[1:], HOW, np.random.default_rng(0))


def test_each_concept_gets_the_feature_that_was_planted_for_it(found):
    own = found.concepts[found.concepts["method"] == "own"]
    assert own["feature"].tolist() == own["partner"].tolist() == [3, 2, 1, 0]
    assert (own["partner_r"] > 0.9).all()
    values = found.methods.set_index(["method", "measure"])
    assert values.loc[("own", "recall"), "value"] == 1
    assert values.loc[("own", "precision"), "value"] == pytest.approx(4 / 6)  # two features stand for nothing
    assert values.loc[("mixed", "recall"), "value"] < 1
    for measure in ("mean r", "MCC"):
        assert values.loc[("own", measure), "low"] > 0.9 > values.loc[("mixed", measure), "high"]


def test_features_that_know_nothing_reach_their_null_for_all_the_search(found):
    noise = found.methods[found.methods["method"] == "noise"].set_index("measure")
    assert noise.loc["mean r", "low"] < 0 < noise.loc["mean r", "high"]
    assert abs(noise.loc["mean r", "null"]) < 0.02
    assert noise.loc["mean r", "p"] > 0.05
    assert found.methods.query("method == 'own' and measure == 'mean r'")["p"].item() == pytest.approx(1 / 101)


def test_differences_are_paired_and_change_sign_with_their_order(found):
    rows = found.differences.set_index(["reference", "method", "measure"])
    one, other = rows.loc[("own", "noise", "mean r")], rows.loc[("noise", "own", "mean r")]
    assert one["value"] == pytest.approx(-other["value"])
    assert one["low"] == pytest.approx(-other["high"])
    assert one["low"] > 0.8 > one["null_high"]
    means = found.methods.set_index(["method", "measure"])["value"]
    assert one["value"] == pytest.approx(means["own", "mean r"] - means["noise", "mean r"])


def test_what_a_test_patient_shows_changes_no_choice(world):
    features, truth, index = world
    test = (index["split"] == "test").to_numpy()
    moved = {name: np.where(test[:, None], f[::-1], f) for name, f in features.items()}
    states = truth.states ^ test[:, None]
    told = [
        feature_recovery(f, (), truth._replace(states=s), index, HOW, np.random.default_rng(0)).concepts
        for f, s in ((features, truth.states), (moved, states))
    ]
    for column in ("feature", "partner"):
        assert (told[0][column] == told[1][column]).all()
    assert (told[0]["r"] != told[1]["r"]).all()


def test_draws_equal_the_bootstrap_of_one_correlation(world):
    features, truth, index = world
    x, state, patients = features["mixed"][:, :1], truth.states[["a"]].to_numpy(float), index["subject_id"].to_numpy()
    drawn = drawn_correlations(x[None], state, patients, HOW, np.random.default_rng(3))[:, 0, 0]
    own = bootstrap_correlation(x[:, 0], state[:, 0], patients, HOW.bootstrap, HOW.level, np.random.default_rng(3))
    assert drawn[0] == pytest.approx(own.value)
    assert np.quantile(drawn[1:], [0.025, 0.975]) == pytest.approx([own.low, own.high])


def test_a_silent_feature_has_no_correlation_and_is_nobodys_partner():
    rng = np.random.default_rng(0)
    states = rng.random((50, 2)) < 0.4
    f = np.column_stack([np.zeros(50), states[:, 1] * 1.0])
    assert correlations(f, states)[0].tolist() == [0, 0]
    choice = choose(f, states)
    assert choice.living == 1
    assert choice.partner.tolist() == [-1, 1]


def test_few_features_gain_nothing_by_being_few():
    r = np.array([[[0.9, 0.9, 0.1, 0.1], [0.9, 0.0, 0.0, 0.0]]])  # one feature serves two concepts, as partner one
    assert measures(r, np.array([1]), np.array(list("aabb")))[0] == pytest.approx([0.5, 0.225, 0.25, 1.0, 0.9, 0.1])
    assert MEASURES == ("mean r", "MCC", "recall", "precision")


def test_rare_concepts_keep_their_row_and_nothing_computable_is_said(world):
    features, truth, index = world
    rare = truth._replace(states=truth.states.assign(b=index["subject_id"] < 3))
    found = feature_recovery(features, (), rare, index, HOW, np.random.default_rng(0))
    row = found.concepts.set_index(["method", "concept"]).loc[("own", "b")]
    assert "patients with the label" in row["reason"]
    assert np.isnan(row["r"])
    assert set(found.methods["concepts"]) == {3}
    nobody = truth._replace(states=truth.states & False)
    with pytest.raises(NotComputable, match="with the label: 0"):
        feature_recovery(features, (), nobody, index, HOW, np.random.default_rng(0))


@pytest.fixture(scope="module")
def left_by_the_dictionary_chapter(world, tmp_path_factory):
    """Folders as the step finds them: z has an axis for every concept, the twin's z is noise; records with a truth."""
    root, (_, truth, index) = tmp_path_factory.mktemp("left"), world
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(960, 8)).astype(np.float32)
    z = (0.1 * noise + np.pad(truth.states.to_numpy(), ((0, 0), (0, 4)))).astype(np.float32)
    rows = np.flatnonzero(np.arange(960) % 4)
    for name, x in (("trained", z), ("twin", noise)):
        save_objects(root / name, Objects(index, x, x, rows, x[rows - 1], x[rows] - x[rows - 1]))
    settings = Settings(features=8, active=3, epochs=30, batch_rows=64, learning_rate=1e-2)
    made = {name: fit(x, settings, 0) for name, x in (("z", z[::2]), ("twin", noise[::2]))}
    save_dictionary(root / "dictionaries", made["z"])
    for name in NAMES:
        save_dictionary(root / "baselines", made["z"], name)
    save_dictionary(root / "baselines", made["twin"], "twin")
    save_dictionary(root / "kept", made["z"])
    table = index[["subject_id", "hadm_id"]].assign(risk_30d=0.1, k=0)
    for name, state in truth.states.items():
        table[f"concept_{name}"] = state.to_numpy()
    write_table(root / "records" / "planted" / "truth" / "truth.parquet", table)
    description = {"concepts": truth.concepts.to_dict("records"), "parameters": {}, "oracle": {}}
    (root / "records" / "planted" / "truth" / "truth.json").write_text(json.dumps(description))
    return root


def too_few(folder):
    raise NotComputable("1 features kept by the vote, 2 needed")


@pytest.mark.parametrize("licensed", [True, False])
def test_the_step_reads_what_the_dictionary_chapter_left_and_says_what_it_lacks(
    left_by_the_dictionary_chapter, tmp_path, monkeypatch, licensed
):
    root = left_by_the_dictionary_chapter
    monkeypatch.setattr(recovery, "load_consensus", load_dictionary if licensed else too_few)
    names = ("records", "trained", "twin", "dictionaries", "kept", "baselines")
    statistics = params.Statistics(bootstrap=50, permutations=50)
    recovery.recover_concepts(tmp_path, *(root / name for name in names), statistics, 0)
    counted = recovery.counted(tmp_path)
    assert counted["directions"].tolist() == list(recovery.METHODS.values())[not licensed :]
    assert recovery.mean_r(tmp_path, "single").low > 0.7 > recovery.mean_r(tmp_path, "twin").high
    if not licensed:
        for asked in (recovery.compared, lambda folder: recovery.advantage(folder, "pca")):
            with pytest.raises(NotComputable, match="1 features kept"):
                asked(tmp_path)
        return
    over_twin = recovery.advantage(tmp_path, "twin")
    assert over_twin.estimate.low > over_twin.null.high
    assert over_twin.untrained is None
    same = recovery.advantage(tmp_path, "pca")  # the same dictionary here
    assert same.estimate[:3] == (0, 0, 0)
    assert same.untrained.value == pytest.approx(-over_twin.estimate.value)
    assert len(recovery.compared(tmp_path)) == len(recovery.METHODS) - 1
    by_kind = recovery.by_dynamics(tmp_path)
    assert list(by_kind) == ["directions", "chronic", "shock"]
    assert set(recovery.measured(tmp_path)["task"]) == set(recovery.MEASURES.values())
