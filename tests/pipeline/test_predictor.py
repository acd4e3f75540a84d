"""ẑ against z on a toy cohort: what the steps leave, who has no part in it, and the same between seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.sae import Settings, fit
from jepascope.book.figures import predictor as figures
from jepascope.book.figures.seeds import seeds_alike
from jepascope.book.tables import predictor as tables
from jepascope.cohort.encounters import Encounters
from jepascope.objects import Objects, embed, load_objects, save_objects
from jepascope.pipeline.dictionary import dictionaries
from jepascope.pipeline.predictor import comparison as predictor
from jepascope.pipeline.predictor import temporal_features, words
from jepascope.pipeline.readings import load_reading, load_table
from jepascope.pipeline.seeds.similarity import compare_seeds
from jepascope.store import write_table
from jepascope.training.checkpoint import load_model

pytest_plugins = ["tests.fixtures_trained"]
STATISTICS = params.Statistics(bootstrap=50, permutations=50, min_patients=5, min_carriers=2)
SAE = params.Sae(features=12, active=3, epochs=10, batch_rows=64, voters=2)


def saved(root: Path, objects: Objects) -> Path:
    root.mkdir()
    save_objects(root, objects)
    return root


@pytest.fixture(scope="module")
def objects(toy: Encounters, toy_model_folder: Path) -> Objects:
    """Objects of a tiny model, the toy cohort's index with what a real one has besides."""
    found = embed(load_model(toy_model_folder), toy)
    lasting = found.index["subject_id"].to_numpy() % 3 == 0
    later = found.index["k"].to_numpy() > 0
    index = found.index.assign(f_code_so_far=later, group_planted=lasting, group_nobody=False)
    return found._replace(index=index)


@pytest.fixture(scope="module")
def folders(objects: Objects, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All steps of the chapter, on a model and a twin of noise."""
    root = tmp_path_factory.mktemp("predictor")
    rng = np.random.default_rng(0)
    z = rng.normal(size=objects.z.shape).astype(np.float32)
    noise = objects._replace(z=z, z_hat=z[objects.target_rows - 1])
    made = {"trained": saved(root / "trained", objects), "twin": saved(root / "twin", noise)}
    for name in ("references", "likeness", "votes", "features", "concepts", "temporal"):
        (root / name).mkdir()
        made[name] = root / name
    return made


@pytest.fixture(scope="module")
def done(folders: dict[str, Path], toy_folder: Path) -> dict[str, Path]:
    f = folders
    both = (f["trained"], f["twin"])
    predictor.compare_references(f["references"], *both, STATISTICS, 0)
    predictor.measure_likeness(f["likeness"], *both, f["references"], STATISTICS, 0)
    settings = Settings(features=12, active=3, epochs=10, batch_rows=64)
    dictionaries.save_dictionary(f["votes"], fit(load_objects(f["trained"]).z, settings, 0), "kept")
    write_table(f["votes"] / "votes.parquet", pd.DataFrame({"kept": [True] * 12, "reappears": 0.9}))
    write_table(f["votes"] / "floors.parquet", pd.DataFrame({"data": ["z", dictionaries.NOISE], "kept": [12, 0]}))
    words.read_features(f["features"], toy_folder, toy_folder, *both, f["references"], f["votes"], STATISTICS, SAE, 0)
    words.read_concepts(f["concepts"], *both, STATISTICS, 0)
    temporal_features.split_in_time(f["temporal"], *both, STATISTICS, SAE, 0)
    return f


def test_targets_are_encounters_with_one_before_them_and_persistence_is_that_one(folders, objects) -> None:
    found = predictor.load_targets(folders["trained"])
    assert (objects.index["k"].to_numpy()[found.rows] >= 1).all()
    np.testing.assert_array_equal(found.predictions[predictor.PERSISTENCE], objects.z[found.rows - 1])
    np.testing.assert_array_equal(found.past[:, :-1], objects.c[found.rows - 1])
    np.testing.assert_allclose(found.origin, objects.z[objects.index["split"] == "train"].mean(axis=0), rtol=1e-5)
    test = found.of("test")
    assert set(test.split) == {"test"}
    np.testing.assert_array_equal(objects.z[test.rows], test.z)


def test_nothing_fitted_sees_a_test_patient(objects, tmp_path) -> None:
    test = (objects.index["split"] == "test").to_numpy()
    moved = objects.z.copy()
    moved[test] = 1e3
    z_hat = objects.z_hat.copy()
    z_hat[test[objects.target_rows]] = -1e3
    before = predictor.with_references(predictor.load_targets(saved(tmp_path / "a", objects)))
    changed = objects._replace(z=moved, z_hat=z_hat)
    after = predictor.with_references(predictor.load_targets(saved(tmp_path / "b", changed)))
    others = before.split != "test"
    for name, predicted in before.predictions.items():
        np.testing.assert_array_equal(predicted[others], after.predictions[name][others])


def test_every_reading_of_the_chapter_is_there_with_its_null(done) -> None:
    wanted = {
        "references": ("over_persistence", "over_ridge_z", "over_ridge_c", "slope", "subspace"),
        "likeness": ("alike", "alike_over_persistence", "alike_less_axes"),
        "features": ("above_shuffled", "above_persistence"),
        "concepts": ("concepts", "concepts_over_persistence", "own_over_transferred"),
        "temporal": ("predictable", "predictable_codes", "novel_codes"),
    }
    for step, names in wanted.items():
        for name in names:
            found = load_reading(done[step], name)
            assert found.estimate.low <= found.estimate.high
            assert found.null.low <= found.null.value <= found.null.high
            assert found.untrained is not None or name == "alike_less_axes"
    with pytest.raises(NotComputable, match="no such was not computed"):
        load_reading(done["likeness"], "no_such")


def test_a_lasting_group_is_read_from_the_past_and_a_group_of_nobody_is_left_out(done) -> None:
    table = load_table(done["concepts"], "concepts")
    assert set(table["target"]) == {"planted"}
    assert set(table["reader"]) == {words.ITSELF, words.TRANSFERRED, words.OWN, predictor.PERSISTENCE}


def test_concepts_are_read_where_an_earlier_encounter_had_a_psychiatric_code(done, objects) -> None:
    found = load_reading(done["concepts"], "concepts").estimate
    assert found.n_rows == len(objects.index.query("split == 'test' and k >= 2"))


def test_a_split_after_the_fact_reads_the_past_alone(folders, objects, tmp_path) -> None:
    """Moving the last encounter of test patients moves no prediction of it, and nothing that was fitted."""
    index = objects.index
    last = (index["k"].to_numpy() == index.groupby("subject_id")["k"].transform("max")) & (index["split"] == "test")
    z = objects.z.copy()
    z[last] += 5
    how, settings = Inference(**STATISTICS.model_dump()), Settings(**SAE.model_dump())
    moved = saved(tmp_path / "moved", objects._replace(z=z))
    before, after = (temporal_features.split(at, how, settings, 0) for at in (folders["trained"], moved))
    np.testing.assert_array_equal(before.line, after.line)
    np.testing.assert_array_equal(before.codes.predictable, after.codes.predictable)
    assert not np.array_equal(before.codes.novel, after.codes.novel)
    for ours, theirs in zip(before.dictionary.weights, after.dictionary.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_claims_about_codes_are_differences_of_the_table_beside_them(done) -> None:
    table = load_table(done["temporal"], "agreement").set_index(["code", "reading"])["value"]
    by_feature = load_table(done["temporal"], "codes")
    for name, (code, own, rival) in temporal_features.CLAIMED.items():
        value = load_reading(done["temporal"], name).estimate.value
        assert value == pytest.approx(table[code, own] - table[code, rival])
        assert table[code, own] == pytest.approx(by_feature[f"{code}, {own}"].mean())


def test_a_verdict_needs_a_word_before_it_needs_more_than_memory() -> None:
    found = words.verdicts(np.array([0.01, 0.01, 0.2]), np.array([0.01, 0.2, 0.01]), 0.95)
    assert found.tolist() == [words.FORESEEN, words.REMEMBERED, words.NO_WORD]


def test_intervals_of_features_are_of_the_level_that_was_asked_for(done, toy_folder, tmp_path) -> None:
    f, half = done, STATISTICS.model_copy(update={"level": 0.5})
    models = (f["trained"], f["twin"], f["references"], f["votes"])
    words.read_features(tmp_path, toy_folder, toy_folder, *models, half, SAE, 0)
    wide, narrow = (load_table(at, "features") for at in (f["features"], tmp_path))
    np.testing.assert_allclose(wide["auroc ẑ"], narrow["auroc ẑ"])
    assert ((narrow["high"] - narrow["low"]) < 0.7 * (wide["high"] - wide["low"])).all()


def test_another_patient_says_nothing_and_persistence_in_noise_has_no_skill(done) -> None:
    alike = load_reading(done["likeness"], "alike")
    assert alike.estimate.value > alike.null.value
    skills = load_table(done["references"], "skills").set_index("predictor")
    assert skills.loc["untrained ẑ", "value"] == pytest.approx(-1, abs=0.2)  # two independent draws: twice the spread


def test_figures_and_tables_take_what_the_steps_leave(done) -> None:
    axes = load_table(done["references"], "axes")
    features = load_table(done["features"], "features")
    drawn = [
        figures.likeness_bars(load_table(done["likeness"], "likeness")),
        figures.spectra(axes),
        figures.shared_directions(axes, load_table(done["references"], "angles")),
        figures.known_words(features),
        figures.known_words(pd.concat([features] * 4)),
        figures.split_codes(load_table(done["temporal"], "codes")),
        figures.concept_forest(load_table(done["concepts"], "concepts")),
    ]
    assert all(figure.axes for figure in drawn)
    assert len(tables.words_table(features)) == len(features) == words.load_counts(done["features"])["carried"]
    assert tables.skill_table(load_table(done["references"], "skills"))["predictor"].iloc[0] == "ẑ"
    assert len(tables.coverage_table(load_table(done["features"], "coverage"))) == 4
    assert len(tables.shares_table(load_table(done["temporal"], "shares"))) == 6
    assert tables.agreement_table(load_table(done["temporal"], "agreement")).shape == (2, 1 + 5)
    counts = words.load_counts(done["features"])
    assert sum(counts[name] for name in (words.FORESEEN, words.REMEMBERED, words.NO_WORD)) == counts["carried"]


def test_a_long_title_keeps_its_code() -> None:
    assert figures.shortened("depression (F32)") == "depression (F32)"
    short = figures.shortened("Supervision of pregnancy with other poor reproductive history (O09)")
    assert len(short) <= 40
    assert short.endswith("… (O09)")
    assert figures.shortened("x" * 60) == "x" * 39 + "…"


def test_a_seed_and_its_turned_copy_are_one_and_strangers_are_not(folders, objects, tmp_path) -> None:
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))[0].astype(np.float32)
    turned = saved(tmp_path / "turned", objects._replace(z=objects.z @ Q, z_hat=objects.z_hat @ Q))
    out = tmp_path / "out"
    out.mkdir()
    compare_seeds(out, STATISTICS, 0, folders["trained"], folders["twin"], 1, turned, folders["trained"])
    table = load_table(out, "likeness").set_index("space")
    assert table.loc[["z", "ẑ"], "value"].tolist() == pytest.approx([1, 1], abs=1e-3)
    assert table.loc["z of another patient", "value"] < 0.7
    assert abs(table.loc["untrained z", "value"]) < 0.3
    assert seeds_alike(table.reset_index()).axes
    shares = load_table(out, "shares").set_index(["model", "seed"])
    own = shares.loc[("trained", 0), "own"]  # of ẑ with z: the same in a turned copy, and all of what is shared
    assert shares.loc[("trained", 1), "own"] == pytest.approx(own, abs=1e-4)
    assert shares.loc[("trained", 1), "value"] == pytest.approx(own, abs=1e-3)
    assert shares.loc[("trained", 1), "low"] < own < shares.loc[("trained", 1), "high"]
    assert np.isnan(shares.loc[("untrained twin", 0), "value"])  # strangers share nothing to be divided by
    with pytest.raises(NotComputable, match="1 seed: two are needed"):
        compare_seeds(out, STATISTICS, 0, folders["trained"], folders["twin"])
