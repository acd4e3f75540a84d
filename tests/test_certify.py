"""Certification on a toy world: spaces whose content is known must earn the known table, and wrong rows are refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.probes.aurocs import Aurocs
from jepascope.certify.concepts import family_means, training_gains
from jepascope.certify.model import certify, oracle_auroc
from jepascope.certify.planted import TruthError, align, load_truth
from jepascope.objects import Objects

HOW = Inference(bootstrap=100, permutations=60, folds=3)
D = 12


def world(n_patients=300, K=5, seed=0):
    """z holds each concept on an axis of its own; ẑ holds the chronic ones alone; the twin is noise."""
    rng = np.random.default_rng(seed)
    N = n_patients * K
    subject, k = np.repeat(np.arange(n_patients), K), np.tile(np.arange(K), n_patients)
    chronic = (rng.random((n_patients, 2)) < 0.3)[subject]
    shock = rng.random((N, 2)) < 0.25
    states = np.hstack([chronic, shock])
    z = 0.15 * rng.normal(size=(N, D))
    z[:, :4] += states
    rows = np.flatnonzero(k > 0)
    z_hat = 0.15 * rng.normal(size=(len(rows), D))
    z_hat[:, :2] += chronic[rows]
    split = np.array(["train", "train", "validation", "test"])[subject % 4]
    risk = rng.random(N)
    index = pd.DataFrame({"subject_id": subject, "hadm_id": np.arange(N) + 10_000, "k": k, "split": split})
    index["label_30d_per_enc"] = np.where(k == K - 1, np.nan, rng.random(N) < risk)
    z, z_hat = z.astype(np.float32), z_hat.astype(np.float32)
    noise = rng.normal(size=z.shape).astype(np.float32)
    objects = Objects(index, z, z, rows, z_hat, z[rows] - z_hat)
    twin = Objects(index, noise, noise, rows, 0 * noise[rows] + noise[rows - 1], noise[rows] - noise[rows - 1])
    concepts = pd.DataFrame(
        {"name": ["diabetes", "copd", "fracture", "sepsis"], "dynamics": ["chronic"] * 2 + ["shock"] * 2}
    )
    table = index[["subject_id", "hadm_id", "k"]].assign(risk_30d=risk)
    for name, state in zip(concepts["name"], states.T, strict=True):
        table[f"concept_{name}"] = state
    return objects, twin, table, concepts


@pytest.fixture(scope="module")
def certificate():
    objects, twin, table, concepts = world()
    truth = align(table, concepts, objects.index)
    return certify(objects, twin, truth, HOW, seed=0)


def test_shocks_are_read_from_z_and_e_and_not_from_z_hat_and_chronic_concepts_from_both(certificate):
    found = certificate.probes.families.set_index(["dynamics", "representation"])
    assert found.loc[("shock", "z"), "low"] > 0.95
    assert found.loc[("shock", "e"), "low"] > 0.9
    assert found.loc[("shock", "z_hat"), "low"] < 0.5 < found.loc[("shock", "z_hat"), "high"]
    assert found.loc[("chronic", "z"), "low"] > 0.95
    assert found.loc[("chronic", "z_hat"), "low"] > 0.95
    assert found.loc[("chronic", "e"), "high"] < 0.6  # predicted, so no longer in the error
    assert found.loc[("chronic", "twin z"), "high"] < 0.6
    assert found["null"].to_numpy() == pytest.approx(np.full(len(found), 0.5), abs=0.03)
    assert (found["concepts"] == 2).all()


def test_the_concept_table_has_a_row_for_each_concept_and_space_on_the_same_rows(certificate):
    table = certificate.probes.concepts
    assert len(table) == 4 * 6
    assert set(table["representation"]) == {"z", "z_hat", "e", "twin z", "twin z_hat", "twin e"}
    assert table["n_rows"].nunique() == table["n_patients"].nunique() == 1
    assert table["n_patients"].iloc[0] == 75
    assert table["n_rows"].iloc[0] == 75 * 4  # k = 0 has no prediction, so no space is read there


def test_a_gain_is_the_difference_of_the_families_it_is_made_of(certificate):
    means = certificate.probes.families.set_index(["dynamics", "representation"])["value"]
    for gain in certificate.probes.gains.itertuples():
        assert gain.value == pytest.approx(means[gain.dynamics, "z"] - means[gain.dynamics, "twin z"])
        assert gain.low > 0.3
        assert gain.null_low < 0 < gain.null_high


def test_a_concept_that_one_space_lacks_is_in_no_spaces_family():
    value = np.array([[0.6, 0.9], [0.7, np.nan]])  # two spaces, two concepts of one kind
    aurocs = Aurocs(value, np.tile(value, (20, 1, 1)), np.full((11, 2, 2), 0.5), 0.95, 40, 20)
    means = family_means(aurocs, ["z", "twin z"], np.array(["shock", "shock"])).set_index("representation")
    assert means["concepts"].tolist() == [1, 1]
    assert means["value"].tolist() == pytest.approx([0.6, 0.7])
    gains = training_gains(aurocs, ["z", "twin z"], np.array(["shock", "shock"]), {"z": ("z", "twin z")})
    assert gains["value"].tolist() == pytest.approx([-0.1])


def test_the_oracle_reads_the_labels_it_drew_and_ineligible_rows_stay_out():
    rng = np.random.default_rng(0)
    risk = rng.random(3000)
    labels = (rng.random(3000) < risk).astype(float)
    labels[::10] = np.nan
    found = oracle_auroc(risk, labels, np.arange(3000) // 3, HOW, rng)
    assert found.low < 5 / 6 < found.high  # P(u > v), u ~ Beta(2, 1), v ~ Beta(1, 2), is 5/6
    assert found.n_rows == 2700
    with pytest.raises(NotComputable, match="patients with the label: 0"):
        oracle_auroc(risk, 0 * labels, np.arange(3000) // 3, HOW, rng)


def test_truth_is_aligned_by_admission_whatever_its_order():
    objects, _, table, concepts = world(n_patients=40)
    kept = objects.index.iloc[::3]
    truth = align(table.sample(frac=1, random_state=0), concepts, kept)
    assert np.array_equal(truth.states["fracture"], table["concept_fracture"].to_numpy()[::3])
    assert np.array_equal(truth.risk, table["risk_30d"].to_numpy()[::3])


def test_missing_or_repeated_truth_is_refused():
    objects, twin, table, concepts = world(n_patients=40)
    with pytest.raises(TruthError, match="7 of 200 encounters have no planted truth"):
        align(table.iloc[7:], concepts, objects.index)
    with pytest.raises(TruthError, match="2 repeated admissions"):
        align(pd.concat([table, table.iloc[:2]]), concepts, objects.index)
    truth = align(table, concepts, objects.index)
    other = twin._replace(index=twin.index.iloc[::-1])
    with pytest.raises(TruthError, match="different encounters"):
        certify(objects, other, truth, HOW, seed=0)


def test_truth_is_read_from_the_tree(tmp_path):
    objects, _, table, concepts = world(n_patients=40)
    (tmp_path / "truth").mkdir()
    table.to_parquet(tmp_path / "truth" / "truth.parquet")
    description = {"concepts": concepts.to_dict("records"), "parameters": {}, "oracle": {}}
    (tmp_path / "truth" / "truth.json").write_text(json.dumps(description))
    truth = load_truth(tmp_path, objects.index)
    assert np.array_equal(truth.states["sepsis"], table["concept_sepsis"])
