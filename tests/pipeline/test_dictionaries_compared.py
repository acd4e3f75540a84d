"""The steps that put dictionaries beside each other: what they leave, and that test patients choose nothing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jepascope import params
from jepascope.analysis.inference.stats import Inference
from jepascope.analysis.sae.baselines import NAMES
from jepascope.analysis.sae.variants import VARIANTS
from jepascope.cohort import encounters as cohort_encounters
from jepascope.objects import Objects, save_objects
from jepascope.pipeline.dictionary import comparison as dictionary_comparison
from jepascope.pipeline.dictionary import dictionaries
from jepascope.store import read_table, read_tensors

pytest_plugins = ["tests.fixtures_trained"]

SMALL = params.Sae(features=12, active=2, epochs=3, batch_rows=128, learning_rate=1e-2, voters=2)
STATISTICS = params.Statistics(bootstrap=50, permutations=50, min_patients=5, min_carriers=2)


def save(folder, index, z):
    folder.mkdir()
    save_objects(folder, Objects(index, z, z, np.arange(1, len(z)), z[1:], 0 * z[1:]))
    return folder


@pytest.fixture(scope="module")
def world(toy, tmp_path_factory):
    """The toy cohort with embeddings that hold a group, a twin of noise, and all steps run on them."""
    root, rng = tmp_path_factory.mktemp("compared"), np.random.default_rng(0)
    f = rng.uniform(1, 2, (len(toy.index), 8)) * (rng.random((len(toy.index), 8)) < 0.3)
    z = (f @ rng.normal(size=(8, 6)) + 0.1 * rng.normal(size=(len(toy.index), 6))).astype(np.float32)
    groups = {f"group_{name}": f[:, d] > 0 for d, name in enumerate(("one", "two", "three"))}
    (root / "encounters").mkdir()
    cohort = toy._replace(index=toy.index.assign(f_code_so_far=True, **groups))
    cohort_encounters.save(root / "encounters", cohort)
    at = {"encounters": root / "encounters", "model": save(root / "model", toy.index, z)}
    at["twin"] = save(root / "twin", toy.index, rng.normal(size=z.shape).astype(np.float32))
    steps = {
        "fits": (dictionaries.fit_dictionaries, "model", SMALL, 0),
        "votes": (dictionaries.vote_on_features, "model", "twin", SMALL, 0),
        "variants": (dictionary_comparison.fit_variants, "model", "fits", SMALL, 0),
        "baselines": (dictionary_comparison.fit_baselines, "model", "twin", SMALL, 0),
        "structure": (dictionary_comparison.examine_structure, "model", "fits", SMALL, 0),
        "sizes": (dictionary_comparison.compare_sizes, "model", "votes", SMALL, 0),
    }
    for name, (step, *arguments) in steps.items():
        at[name] = root / name
        at[name].mkdir()
        step(at[name], *(at[a] if isinstance(a, str) else a for a in arguments))
    return at


def test_every_dictionary_of_the_comparison_can_be_read_by_its_name(world):
    for folder, names in (("variants", VARIANTS), ("baselines", [*NAMES, "twin", "twin_pca"])):
        for name in names:
            dictionary = dictionaries.load_dictionary(world[folder], name)
            assert dictionary.W_dec.shape[1] == 6, name
            assert len(dictionary.W_dec) <= 12, name
            assert dictionary.active == 2, name
    headline = dictionaries.load_dictionary(world["fits"])
    assert np.array_equal(dictionaries.load_dictionary(world["variants"], "topk").W_dec, headline.W_dec)
    codes = dictionaries.load_codes(world["fits"])
    assert (codes.features, codes.values.shape[1]) == (12, 2)


def test_the_twins_dictionary_is_of_the_same_patients_as_the_one_it_stands_beside(world, toy):
    """The voted reference is of half of them: features of it are no match for the twin's."""
    train = (toy.index["split"] == "train").to_numpy()
    for space, at, name in (("model", "fits", "dictionary"), ("twin", "baselines", "twin")):
        z = read_tensors(world[space] / "objects.safetensors")["z"][train]
        assert dictionaries.load_dictionary(world[at], name).mean == pytest.approx(z.mean(axis=0), abs=1e-5)
    z = read_tensors(world["model"] / "objects.safetensors")["z"][train]
    assert dictionaries.load_dictionary(world["votes"], "reference").mean != pytest.approx(z.mean(axis=0), abs=1e-3)
    chapter = (Path(__file__).parents[2] / "book" / "05c_features.md").read_text()
    named = re.findall(r'cards\.name_dictionary, cohort, (\w+), (\w+), "(\w+)"', chapter)
    assert named == [("trained", "fits", "dictionary"), ("twin", "baselines", "twin")]


def test_sizes_are_compared_with_the_one_in_use_on_validation_patients(world):
    sizes = read_table(world["sizes"] / "sizes.parquet")
    assert sizes["features"].tolist() == [6, 12, 24]
    votes = read_table(world["votes"] / "votes.parquet")
    assert sizes["kept"][1] == votes["kept"].sum()
    assert (sizes["kept"] <= sizes["living"]).all()


def test_measures_have_intervals_and_the_twins_dictionaries_are_read_on_the_twins_z(world, tmp_path):
    names = ("pca", "twin")
    named = [item for name in names for item in (name, world["baselines"])]
    spaces = world["encounters"], world["model"], world["twin"]
    dictionary_comparison.measure_dictionaries(tmp_path, *spaces, STATISTICS, 0, *named)
    table = dictionary_comparison.load_measured(tmp_path).set_index(["dictionary", "measure"])
    assert {"fvu", "l0", "dead", "auroc_1", "auroc_5", "absorbed", "label_r", "entropy"} <= set(table.loc["pca"].index)
    assert (table.loc[("pca", "fvu"), "low"] <= table.loc[("pca", "fvu"), "value"]).all()
    how = Inference(**STATISTICS.model_dump())
    alone = dictionaries.held_out_quality(world["baselines"], world["twin"], how, np.random.default_rng(0), "twin")
    assert table.loc[("twin", "fvu"), "value"] == pytest.approx(alone.fvu.value)
    assert np.isnan(table.loc[("pca", "dead"), "low"])


def test_test_patients_move_none_of_the_fits(world, toy, tmp_path):
    z = read_tensors(world["model"] / "objects.safetensors")["z"].copy()
    z[(toy.index["split"] == "test").to_numpy()] = 50.0
    moved = save(tmp_path / "model", toy.index, z)
    for folder, step, arguments in (
        ("baselines", dictionary_comparison.fit_baselines, (moved, world["twin"])),
        ("variants", dictionary_comparison.fit_variants, (moved, world["fits"])),
        ("sizes", dictionary_comparison.compare_sizes, (moved, world["votes"])),
    ):
        (tmp_path / folder).mkdir()
        step(tmp_path / folder, *arguments, SMALL, 0)
    for file in ("baselines/pca", "baselines/semi_nmf", "variants/matryoshka"):
        ours, theirs = (read_tensors(root / f"{file}.safetensors") for root in (world["fits"].parent, tmp_path))
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours), file
    pd.testing.assert_frame_equal(
        *(read_table(root / "sizes.parquet") for root in (world["sizes"], tmp_path / "sizes"))
    )


def test_a_dictionary_explains_no_more_than_itself_and_the_larger_one_can_be_stitched(world):
    how = Inference(**STATISTICS.model_dump())
    same = dictionary_comparison.explains_more(
        [world["fits"], world["variants"]], ["dictionary", "topk"], world["model"], how, np.random.default_rng(0)
    )
    assert (same.value, same.low, same.high) == (0, 0, 0)
    novel, known = dictionary_comparison.stitch_sizes(
        world["fits"], world["structure"], world["model"], how, np.random.default_rng(0)
    )
    assert novel.n_patients == known.n_patients > 5
    assert len(read_table(world["structure"] / "meta.parquet")) == 3
    assert len(cohort_encounters.load(world["encounters"]).index) >= novel.n_rows
