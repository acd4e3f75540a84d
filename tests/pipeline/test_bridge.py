"""The steps of the bridge: nothing answers to what is named later, and every tier reaches what was put in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.fixtures_encounters import toy_encounters

from jepascope import params
from jepascope.analysis.sae import Settings, encode, fit
from jepascope.analysis.stats import NotComputable
from jepascope.book import bridge_tables
from jepascope.book.claims import NotHere
from jepascope.book.figures import bridge as figures
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.features import bag_of_codes
from jepascope.objects import Objects, save_objects
from jepascope.pipeline import bridge, bridge_features, bridge_labels
from jepascope.pipeline.dictionaries import NOISE, save_dictionary
from jepascope.store import write_table, write_tensors

HOW = params.Statistics(bootstrap=40, permutations=20, min_patients=5)
D = 6


def embedded(cohort, seed: int, named: float) -> Objects:
    """z is `named` parts of the first codes and noise; ẑ is the z before."""
    rng = np.random.default_rng(seed)
    codes = bag_of_codes(cohort)[:, 1 : D + 1].toarray()
    z = (named * codes + 0.3 * rng.normal(size=codes.shape)).astype(np.float32)
    at = np.flatnonzero(cohort.index["k"].to_numpy() > 0)
    return Objects(cohort.index, z, z.copy(), at, z[at - 1], z[at] - z[at - 1])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A cohort, a model whose z is its codes, a twin whose z is noise, no clusters, a dictionary of two codes."""
    root = tmp_path_factory.mktemp("bridge")
    cohort = toy_encounters(patients=250, mean_encounters=3, vocabulary=40)
    index = cohort.index.assign(admission_type="URGENT", los_days=2.0, icd_version=10, sex="F")
    vocabulary = cohort.vocabulary.assign(kind="diagnosis", train_patients=99)
    cohort = cohort._replace(index=index, vocabulary=vocabulary)
    cohort_encounters.save(root / "cohort", cohort)
    for name, seed, named in (("trained", 0, 1.0), ("twin", 1, 0.2)):
        (root / name).mkdir()
        save_objects(root / name, embedded(cohort, seed, named))
    z = embedded(cohort, 0, 1.0).z
    for name in ("clusters", "votes", "baselines"):
        (root / name).mkdir()
    names = ["search", "representation", "cluster", "jaccard"]
    write_table(
        root / "clusters/clusters.parquet", pd.DataFrame([("PCA", "z", 0, 0.9), ("PCA", "z", 1, 0.3)], columns=names)
    )
    write_tensors(root / "clusters/map.safetensors", {"rows": np.arange(60), "z": np.repeat([0, 1, -1], 20)})
    dictionary = fit(z[(index["split"] == "train").to_numpy()], Settings(features=8, active=2, epochs=3), 0)
    assert encode(dictionary, z).features == 8
    save_dictionary(root / "votes", dictionary, "kept")
    save_dictionary(root / "baselines", dictionary, "twin")
    write_table(root / "votes/votes.parquet", pd.DataFrame({"kept": np.ones(8, bool)}))
    write_table(root / "votes/floors.parquet", pd.DataFrame({"data": [NOISE], "features": [8], "kept": [0]}))
    return root, cohort


def test_nothing_answers_to_what_is_named_later(world):
    _, cohort = world
    labels = bridge_labels.name_encounters(cohort)
    k = cohort.index["k"].to_numpy()
    late = labels.values.copy()
    late[k >= 2] = 1 - late[k >= 2]
    objects = embedded(cohort, 0, 1.0)
    before, after = (bridge_labels.spaces_of(objects, labels._replace(values=v)) for v in (labels.values, late))
    for name in ("z", "c"):
        early = k[before[name].at] < 2
        assert np.array_equal(before[name].labels[early], after[name].labels[early])
        assert np.array_equal(before[name].yes_no[early], after[name].yes_no[early])
        assert not np.array_equal(before[name].labels, after[name].labels)
    assert before["ẑ"].at.tolist() == objects.target_rows.tolist()


def test_labels_so_far_are_the_patients_mean_up_to_and_with_k():
    values = np.array([[1.0], [0], [1], [0], [1]])
    assert bridge_labels.so_far(values, np.array([0, 1, 2, 0, 1])).ravel().tolist() == [1, 1 / 2, 2 / 3, 0, 1 / 2]


def test_labels_reach_the_named_space_further_than_its_twin(world, tmp_path):
    root, _ = world
    bridge.reach_axes(tmp_path, root / "cohort", root / "trained", root / "twin", HOW, 0)
    (estimate, null), more = bridge.of_axes(tmp_path, "trained", "z"), bridge.load_less(tmp_path, bridge.AXES)
    assert estimate.low > 0.4
    assert null.value < 0.05
    assert more.estimate.low > 0.1 > more.null.high
    assert bridge.load_less(tmp_path, bridge.RESIDUAL).untrained is not None
    assert set(bridge.load_axes(tmp_path)["object"]) == set(bridge_labels.NAMES)
    assert bridge.load_stable(tmp_path)["often"].max() == 1
    assert bridge.count_labels(tmp_path)["diagnosis"] > 10
    spans = bridge_tables.spans(tmp_path, [NotHere("few"), NotHere("few")])
    assert spans["explained"].notna().sum() == 4
    assert len(figures.bridge(spans).axes) == 4
    assert len(figures.axis_staircase(bridge.load_axes(tmp_path)).axes) == 4
    assert len(bridge_tables.residual_table(spans)) == 4


def test_only_clusters_that_came_back_count_and_others_are_cut_by_a_partition(world, tmp_path):
    root, _ = world
    bridge.reach_clusters(tmp_path, root / "cohort", root / "trained", root / "twin", root / "clusters", HOW, 0)
    reach = bridge.load_reach(tmp_path).set_index(["search", "model", "object"])
    assert reach.loc[(bridge.CLUSTERS, "trained", "z"), "parts"] == 1
    assert (reach.xs(bridge.PARTITION)["parts"] == 20).all()
    assert reach.loc[(bridge.PARTITION, "trained", "z"), "pairs"] > 5 > reach["pairs_in_nothing"].max()
    assert len(bridge_tables.parts_table(bridge.load_reach(tmp_path))) == 9


def test_features_of_codes_are_told_by_them_and_the_least_told_come_first(world, tmp_path):
    root, _ = world
    inputs = [root / name for name in ("cohort", "trained", "twin", "votes", "baselines")]
    bridge_features.reach_features(tmp_path, *inputs, HOW, 0)
    ours, theirs = (bridge_features.told(tmp_path, name) for name in ("z", "untrained z"))
    assert ours[0].low > max(0.3, theirs[0].high, ours[1].high)
    features = bridge_features.load_features(tmp_path)
    assert features["told"].is_monotonic_increasing
    assert features["tied"].any()
    assert features.loc[features["told"].idxmax(), "label"].startswith("t")
    (tmp_path / "cards").mkdir()
    card = {"name": "x", "rate": 0.1, "excess": 0.0, "reappears": 0.9, "patients": 50}
    write_table(tmp_path / "cards/features.parquet", pd.DataFrame([{"feature": f, **card} for f in range(8)]))
    found = bridge_features.candidates(tmp_path, tmp_path / "cards")
    assert len(bridge_tables.candidate_table(found)) == len(found) > 0
    assert len(bridge_tables.features_table(bridge_features.load_reach(tmp_path))) == 3


def test_what_another_chapter_could_not_make_is_a_reason(tmp_path):
    with pytest.raises(NotComputable, match="cards were not computable"):
        bridge.beside(tmp_path / "results.json", "cards")
