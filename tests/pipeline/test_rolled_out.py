"""Test patients rolled out by a tiny trained model, and what is made of it side by side."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.rollout.rollouts import of_another_patient
from jepascope.book.figures import rollouts as figures
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.features import bag_of_codes
from jepascope.objects import embed
from jepascope.pipeline.rollout import geometry
from jepascope.pipeline.rollout.rollouts import (
    WORSE,
    Codes,
    Rollouts,
    lay_out_codes,
    load_codes,
    load_rollouts,
    roll_out,
)
from jepascope.store import write_json
from jepascope.training.checkpoint import load_model

pytest_plugins = ["tests.fixtures_trained"]
HOW = Inference(bootstrap=100, permutations=50, min_patients=5, min_carriers=2)
MATCHING = params.Rollout(horizon=2, distractors=10, gap_strata=2, length_strata=2)


def of_split(cohort: Encounters, split: str) -> np.ndarray:
    return (cohort.index["split"] == split).to_numpy()


@pytest.fixture(scope="module")
def rolled(toy_folder: Path, toy_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Rollouts:
    """The toy cohort's test patients, two encounters ahead."""
    folder = tmp_path_factory.mktemp("rolled")
    roll_out(folder, toy_folder, toy_model_folder, MATCHING)
    return load_rollouts(folder)


@pytest.fixture(scope="module")
def codes(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Codes:
    """The toy cohort's test patients as codes."""
    folder = tmp_path_factory.mktemp("codes")
    lay_out_codes(folder, toy_folder, 4, 0)
    return load_codes(folder)


def test_one_step_ahead_is_what_the_objects_have_and_only_of_test_patients(rolled, toy, toy_model_folder) -> None:
    objects, test = embed(load_model(toy_model_folder), toy), of_split(toy, "test")
    assert rolled.index["subject_id"].tolist() == toy.index["subject_id"][test].tolist()
    np.testing.assert_allclose(rolled.z, objects.z[test], atol=1e-5)
    np.testing.assert_allclose(rolled.c, objects.c[test], atol=1e-5)
    z_hat = np.full_like(objects.z, np.nan)
    z_hat[objects.target_rows] = objects.z_hat
    np.testing.assert_allclose(rolled.z_hat[0], z_hat[test], atol=1e-5)
    assert np.array_equal(np.isfinite(rolled.z_hat[1]).all(axis=1), rolled.index["k"] >= 2)


def test_the_mean_and_the_axes_of_codes_see_no_test_patient(rolled, codes, toy, toy_model_folder, tmp_path) -> None:
    """Give all test patients but the first other tokens, and nothing of hers moves; give training patients others."""
    first = (toy.index["subject_id"] == rolled.index["subject_id"][0]).to_numpy()

    def again(name: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        changed = np.repeat(rows, np.diff(toy.offsets))
        tokens = np.where(changed, 1 + (toy.tokens + 40) % (len(toy.vocabulary) - 1), toy.tokens).astype(np.int32)
        cohort, out = tmp_path / name / "cohort", tmp_path / name / "out"
        for folder in (cohort, out):
            folder.mkdir(parents=True)
        cohort_encounters.save(cohort, toy._replace(tokens=tokens))
        roll_out(out, cohort, toy_model_folder, MATCHING)
        lay_out_codes(out, cohort, 4, 0)
        return load_rollouts(out).mean, load_codes(out).axes[: first.sum()]

    mean, axes = again("others", of_split(toy, "test") & ~first)
    assert np.array_equal(mean, rolled.mean)
    assert np.array_equal(axes, codes.axes[: first.sum()])
    mean, axes = again("training", of_split(toy, "train"))
    assert not np.array_equal(mean, rolled.mean)
    assert not np.array_equal(axes, codes.axes[: first.sum()])


def test_the_codes_are_those_of_test_patients(codes, toy) -> None:
    assert (codes.bag != bag_of_codes(toy)[of_split(toy, "test")]).nnz == 0
    assert codes.axes.shape == (of_split(toy, "test").sum(), 4)


def test_a_stopped_arm_has_no_rollout_and_says_why(toy_folder, toy_model_folder, tmp_path) -> None:
    arm = shutil.copytree(toy_model_folder, tmp_path / "arm")
    write_json(arm / "stopped.json", {"reason": "RankMe of z is 1.20"})
    with pytest.raises(NotComputable, match="RankMe of z is 1.20"):
        roll_out(tmp_path, toy_folder, arm, MATCHING)


def index_by_hand() -> pd.DataFrame:
    """Patient 1 with three encounters, patient 2 with two; who leaves encounter k = 0 of patient 1 comes back worse."""
    label = [1.0, 0.0, np.nan, 0.0, 1.0]
    return pd.DataFrame(
        {"subject_id": [1, 1, 1, 2, 2], "k": [0, 1, 2, 0, 1], "gap_days": [np.nan, 9, 8, np.nan, 7], WORSE: label}
    )


def test_the_step_into_has_the_label_it_leaves_and_the_step_before_the_label_it_reaches() -> None:
    z = np.array([[0.0], [1], [4], [0], [10]])
    into = geometry.steps(index_by_hand(), z, "into", MATCHING)
    assert into.length.tolist() == [1, 3, 10]
    assert into.worse.tolist() == [True, False, False]
    before = geometry.steps(index_by_hand(), z, "before", MATCHING)
    assert before.length.tolist() == [1, 10]  # the label of k = 2 isn't known
    assert before.worse.tolist() == [False, True]
    assert before.patients.tolist() == [1, 2]
    with pytest.raises(NotComputable, match="no step has a known"):
        geometry.steps(index_by_hand().assign(**{WORSE: np.nan}), z, "into", MATCHING)


def test_the_mean_so_far_is_rolled_out_from_what_was_known_then() -> None:
    z = np.array([[1.0], [3], [8], [0], [10]])
    one = Rollouts(index_by_hand(), z, z, np.zeros((2, 5, 1)), np.zeros(1))
    found = geometry.static(one)
    assert found.z.tolist() == [[8.0]]
    assert found.z_hat.tolist() == [[[2.0]], [[1.0]]]  # (1 + 3) / 2 one step before, 1 two before


@pytest.fixture(scope="module")
def searched(rolled: Rollouts, codes: Codes) -> dict[str, geometry.Search]:
    """Searches by a ẑ that is z with a little noise, and by a twin's that is nothing but noise."""
    noise = np.random.default_rng(3).normal(size=rolled.z_hat.shape) * rolled.z.std()
    knowing = rolled._replace(z_hat=rolled.z_hat * 0 + rolled.z + noise / 4)  # NaN stays NaN
    models = {
        "headline": knowing,
        "untrained twin": rolled._replace(z_hat=rolled.z_hat * 0 + noise),
        "arm EMA": knowing,
    }
    return geometry.searches(models, codes, MATCHING, np.random.default_rng(0))


def test_every_query_is_for_the_same_targets_among_the_same_distractors(searched) -> None:
    for name, search in searched.items():
        assert np.array_equal(search.others.patients, searched["ẑ, headline"].others.patients), name
    for a, b in (("ẑ, headline", "ẑ, arm EMA"), ("mean so far, headline", "mean so far, untrained twin")):
        assert np.array_equal(searched[a].others.percentile, searched[b].others.percentile)
        assert np.array_equal(searched[a].past, searched[b].past)
    assert not len(searched["persistence, headline"].past)  # it is itself in the past


def test_a_query_that_knows_the_encounter_finds_it_and_noise_finds_at_chance(searched) -> None:
    told = geometry.search_readings(searched, HOW, np.random.default_rng(0))
    found = told["among_others"]
    assert found.estimate.low > found.untrained.high
    assert found.untrained.low < 0.5 < found.untrained.high
    assert found.null.value == pytest.approx(0.5, abs=0.15)  # of fifteen patients
    gap = np.mean(searched["ẑ, headline"].others.percentile - searched["persistence, headline"].others.percentile)
    assert told["over_persistence"].estimate.value == pytest.approx(gap)


def test_tables_and_figures_show_every_row(rolled, codes, searched) -> None:
    targets = {"headline": geometry.matched(rolled), "mean so far": geometry.static(rolled)}
    targets |= {"untrained twin": targets["headline"], "arm EMA": targets["headline"]}
    targets[geometry.NULL] = of_another_patient(targets["headline"], np.random.default_rng(0))
    horizons = geometry.all_horizons(targets, HOW, np.random.default_rng(0))
    assert horizons["headline"] == horizons["arm EMA"]  # the same draws of patients
    told = geometry.rollout_readings(targets, HOW, np.random.default_rng(0))["over_mean"]
    assert told.estimate == told.untrained
    assert told.estimate.value == pytest.approx(horizons["headline"].over_mean[-1].value)
    assert told.null.value == pytest.approx(horizons[geometry.NULL].over_mean[-1].value)
    index = rolled.index.assign(**{WORSE: np.random.default_rng(0).integers(0, 2, len(rolled.index)).astype(float)})
    spaces = {"z": rolled.z, "untrained z": rolled.z, "bag of codes": codes.bag}
    displaced = geometry.displacement_table(spaces, index, MATCHING, HOW, np.random.default_rng(0))
    readings = geometry.displacement_readings(
        displaced, rolled._replace(index=index), MATCHING, HOW, np.random.default_rng(0)
    )
    assert readings["into"].estimate == readings["into"].untrained
    table = geometry.search_table(searched, HOW, np.random.default_rng(0))
    assert list(table["query"]) == ["chance", *searched]
    ours = geometry.beside_published(horizons, displaced, table).set_index("measure")["ours"]
    assert ours["Clin-JEPA, rollout drift"] == horizons["headline"].drift[-1]
    assert len(geometry.horizon_table(horizons)) == len(targets)
    assert len(figures.horizon_curves(horizons).axes) == 4
    for figure, rows in ((figures.search_forest(table), len(searched)), (figures.displacement_forest(displaced), 3)):
        assert len(figure.axes[0].get_yticklabels()) == rows
