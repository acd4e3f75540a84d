"""The steps of the bridge: nothing answers to what is named later, and every tier reaches what was put in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.fixtures_encounters import toy_encounters

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.sae import Settings, densify, encode, fit
from jepascope.book.claims import NotHere
from jepascope.book.figures import bridge as figures
from jepascope.book.tables import bridge as bridge_tables
from jepascope.certify.bridge import LEFT, TOLD
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.features import bag_of_codes
from jepascope.objects import Objects, save_objects
from jepascope.pipeline.bridge import certified as bridge_certified
from jepascope.pipeline.bridge import features as bridge_features
from jepascope.pipeline.bridge import labels as bridge_labels
from jepascope.pipeline.bridge import tiers as bridge
from jepascope.pipeline.dictionary.dictionaries import NOISE, load_dictionary, save_dictionary
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
    for name in ("clusters", "votes", "dictionaries", "baselines"):
        (root / name).mkdir()
    names = ["search", "representation", "cluster", "jaccard"]
    write_table(
        root / "clusters/clusters.parquet", pd.DataFrame([("PCA", "z", 0, 0.9), ("PCA", "z", 1, 0.3)], columns=names)
    )
    write_tensors(root / "clusters/map.safetensors", {"rows": np.arange(60), "z": np.repeat([0, 1, -1], 20)})
    dictionary = fit(z[(index["split"] == "train").to_numpy()], Settings(features=8, active=2, epochs=3), 0)
    assert encode(dictionary, z).features == 8
    save_dictionary(root / "votes", dictionary, "kept")
    save_dictionary(root / "dictionaries", dictionary)
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
    told = {name: bridge.of_axes(tmp_path, "trained", name)[0].value for name in ("ẑ", "e")}
    left = bridge.load_less(tmp_path, bridge.RESIDUAL)
    assert left.estimate.value == pytest.approx(told["ẑ"] - told["e"])
    assert left.untrained is not None
    assert set(bridge.load_axes(tmp_path)["object"]) == set(bridge_labels.NAMES)
    assert bridge.load_stable(tmp_path)["often"].max() == 1
    assert bridge.count_labels(tmp_path)["diagnosis"] > 10
    spans = bridge_tables.spans(tmp_path, [NotHere("few"), NotHere("few")])
    assert spans["explained"].notna().sum() == 4
    assert len(figures.bridge(spans).axes) == 4
    assert len(figures.axis_staircase(bridge.load_axes(tmp_path)).axes) == 4
    assert len(bridge_tables.residual_table(spans)) == 4


def test_axes_penalties_and_stable_labels_see_no_test_patient(world):
    root, _ = world
    table, by_model = bridge.load_spaces(*(root / name for name in ("cohort", "trained", "twin")), ("z",))
    space = by_model["trained"]["z"]
    x, labels = space.x.copy(), space.labels.copy()
    x[space.test] = 9 * x[space.test][:, ::-1]
    labels[space.test] = 1 - labels[space.test]
    other = space._replace(x=x, labels=labels)
    before, after = (bridge._reach(s, 0).by_axis for s in (space, other))
    assert not np.allclose(before["r2"], after["r2"])
    pd.testing.assert_frame_equal(before.drop(columns="r2"), after.drop(columns="r2"))
    pd.testing.assert_frame_equal(*(bridge._stable(s, table, 0)[0] for s in (space, other)))


def test_parts_and_their_labels_see_no_test_patient(world, tmp_path):
    root, cohort = world
    test = (cohort.index["split"] == "test").to_numpy()
    for name, seed, named in (("trained", 0, 1.0), ("twin", 1, 0.2)):
        (tmp_path / name).mkdir()
        objects = embedded(cohort, seed, named)
        z = np.where(test[:, None], 9 * objects.z[:, ::-1], objects.z)
        save_objects(tmp_path / name, objects._replace(z=z))
    told = []
    for place in (root, tmp_path):
        (tmp_path / f"of_{place.name}").mkdir()
        given = (place / "trained", place / "twin", root / "clusters", HOW, 0)
        bridge.reach_clusters(tmp_path / f"of_{place.name}", root / "cohort", *given)
        reach = bridge.load_reach(tmp_path / f"of_{place.name}")
        told.append(reach.loc[reach["object"] == "z", ["parts", "labelled", "pairs", "pairs_in_nothing"]])
    pd.testing.assert_frame_equal(*told)


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
    inputs = [root / name for name in ("cohort", "trained", "twin", "votes", "dictionaries", "baselines")]
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
    assert len(bridge_tables.features_table(bridge_features.load_reach(tmp_path))) == 4
    fit = bridge_features.told(tmp_path, bridge_features.FIT)
    assert fit == ours  # here the same words on the same z: the twin is held against what was made as it was


def test_features_carry_what_their_dictionary_rebuilds_in_the_units_of_the_space(world):
    root, _ = world
    _, by_model = bridge.load_spaces(*(root / name for name in ("cohort", "trained", "twin")), ("z",))
    space, words = by_model["trained"]["z"], load_dictionary(root / "dictionaries")
    f = densify(encode(words, space.x))
    fit = bridge.refit(space, f - f[space.train].mean(axis=0), 0)
    has = np.arange(8) < 4
    row = bridge_features._row(bridge_features._Coded(space, words, f), fit, has, Inference(min_patients=5), 0)
    x, f = space.x[space.test], f[space.test]
    sse = [np.square(x - rebuilt).sum() for rebuilt in (space.x[space.train].mean(axis=0), *both(words, f, has))]
    assert row["carried_value"] == pytest.approx((sse[0] - sse[2]) / (sse[0] - sse[1]), rel=1e-4)


def both(words, f, has):
    """x̂ of all features and of some, spelled out."""
    return ((f * some @ words.W_dec + words.b_dec) * words.scale + words.mean for some in (np.ones(8), has))


def test_a_features_label_is_chosen_on_training_patients(world):
    """Of two equal labels, the one that test patients lack is still the feature's: they had no part in the choice."""
    root, _ = world
    _, by_model = bridge.load_spaces(*(root / name for name in ("cohort", "trained", "twin")), ("z",))
    z, words = by_model["trained"]["z"], load_dictionary(root / "dictionaries")
    f = densify(encode(words, z.x))
    on = f > np.median(f, axis=0)
    other = np.random.default_rng(0).random(len(f)) < 0.5
    yes_no = np.column_stack([np.where(z.train, on[:, 0], other), np.where(z.train, other, on[:, 0])])
    names = pd.DataFrame({"label": ["in training", "in test"], "family": "diagnosis"})
    one = bridge_features._Coded(z._replace(yes_no=yes_no), words, f)
    found = bridge_features._features(one, bridge.refit(z, f, 0), names, Inference(20, 20, min_patients=5), 0)
    assert found.loc[0, "label"] == "in training"
    assert abs(found.loc[0, "r"]) < 0.3


def test_what_a_refit_leaves_is_of_its_own_columns_and_moved_copies_tell_nothing(world):
    root, _ = world
    table, by_model = bridge.load_spaces(*(root / name for name in ("cohort", "trained", "twin")), ("z", "ẑ"))
    assert [list(spaces) for spaces in by_model.values()] == [["z", "ẑ"]] * 2
    space = by_model["trained"]["z"]
    code = table["family"].eq("diagnosis").to_numpy().argmax()  # place in the record doesn't tell it
    y = np.column_stack([3 * space.labels[:, code], np.random.default_rng(0).normal(size=len(space.x))])
    found = bridge.refit(space, y - y[space.train].mean(axis=0), 0)
    assert found.by_column == pytest.approx([1, 0], abs=0.05)
    assert found.left.shape == found.was.shape == (1 + bridge.REFITS, int(space.test.sum()), 2)
    left, was = found.by_row.sum(axis=0)
    assert left / was == pytest.approx(found.left[0].sum() / found.was[0].sum())
    assert len(found.moved) == bridge.REFITS
    assert np.abs(found.moved).max() < (1 - left / was) / 2


def test_what_another_chapter_could_not_make_is_a_reason(tmp_path):
    with pytest.raises(NotComputable, match="cards were not computable"):
        bridge.beside(tmp_path / "results.json", "cards")


def test_the_place_of_the_concept_without_a_label_is_in_what_labels_leave(tmp_path):
    rows = [
        ("one", True, LEFT, 0.7),
        ("hidden", False, LEFT, 0.6),
        ("two", True, LEFT, 0.5),
        ("hidden", False, TOLD, 0.9),
    ]
    table = pd.DataFrame(rows, columns=["concept", "labelled", "part", "value"])
    write_table(tmp_path / "concepts.parquet", table)
    assert bridge_certified.place_of_unlabelled(tmp_path) == (2, 3)
    write_table(tmp_path / "concepts.parquet", table[table["labelled"]])
    with pytest.raises(NotComputable, match="no concept without a label"):
        bridge_certified.place_of_unlabelled(tmp_path)


def test_the_concept_without_a_label_is_the_last_row_of_both_tables_wherever_it_ranks():
    names = [f"named_{n}" for n in range(9)]
    parts = pd.DataFrame(
        [(name, "chronic", name != "hidden", part, value, value, value)
         for part, step in ((TOLD, 1), (LEFT, -1))
         for name, value in zip(["hidden", *names][::step], np.linspace(0.9, 0.5, 10), strict=True)],
        columns=["concept", "dynamics", "labelled", "part", "value", "low", "high"],
    )  # fmt: skip
    for table in (parts, parts.assign(value=1 - parts["value"])):  # last of ten, and first
        shown = bridge_tables.concept_table(table)
        assert len(shown) == 9
        assert shown["concept"].iloc[-1] == "hidden"
    single = pd.DataFrame({"concept": ["hidden", *names], "dynamics": "chronic", "labelled": [False] + [True] * 9})
    shown = bridge_tables.feature_table(single.assign(kept=0.5))
    assert shown["concept"].tolist() == [*(name.replace("_", " ") for name in names[:6]), "hidden"]
