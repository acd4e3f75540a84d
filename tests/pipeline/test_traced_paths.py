"""The steps on paths: what they leave, on whom it is read, and the power of the shape test on planted cohorts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.fixtures_encounters import toy_encounters

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable
from jepascope.book.figures import trajectories as figures
from jepascope.book.tables import trajectories as tables
from jepascope.cohort import encounters as cohort_encounters
from jepascope.objects import Objects, save_objects
from jepascope.pipeline.methods import shape_power
from jepascope.pipeline.readings import load_reading, load_table
from jepascope.pipeline.trajectories import drift, shape
from jepascope.pipeline.trajectories import paths as trajectories
from jepascope.store import write_table

FEW = params.Statistics(bootstrap=100, permutations=20, folds=3, min_patients=5, min_carriers=2)
LABEL = "label_30d_per_enc"


def toy_objects(seed: int) -> Objects:
    """Random points of 300 toy patients, who drift along one axis, with a group that sets in and a label."""
    rng = np.random.default_rng(seed)
    index = toy_encounters(patients=300, mean_encounters=4.0, mean_tokens=3.0, seed=0).index
    k = index["k"].to_numpy()
    onset = np.random.default_rng(1).integers(0, 6, 300)[index["subject_id"] - 1000]
    label = np.where(np.random.default_rng(2).random(len(k)) < 0.4, 1.0, 0.0)
    later = pd.to_timedelta((index["gap_days"].fillna(0) * 86400).groupby(index["subject_id"]).cumsum(), unit="s")
    index = index.assign(group_anxiety=k >= onset, admittime=index["admittime"] + later, **{LABEL: label})
    z, c = rng.normal(size=(2, len(k), 6)).astype(np.float32)
    c[:, 0] += 2 * k
    c[:, 1] += 3 * (k >= onset)
    none = np.zeros((0, 6), np.float32)
    return Objects(index, z, c, np.zeros(0, np.int64), none, none)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Objects of a model and of a twin."""
    folder = tmp_path_factory.mktemp("objects")
    for name, seed in (("trained", 0), ("twin", 9)):
        (folder / name).mkdir()
        save_objects(folder / name, toy_objects(seed))
    return folder / "trained", folder / "twin"


@pytest.fixture(scope="module")
def traced(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `trace_paths` leaves."""
    folder = tmp_path_factory.mktemp("traced")
    trajectories.trace_paths(folder, *made, FEW, 0)
    return folder


@pytest.fixture(scope="module")
def led(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `follow_drift` leaves."""
    folder = tmp_path_factory.mktemp("led")
    drift.follow_drift(folder, *made, FEW, 0)
    return folder


def test_a_course_in_c_is_found_and_none_in_z(traced) -> None:
    c, z = (load_reading(traced, f"turning_{space}") for space in ("c", "z"))
    assert c.estimate.low > max(0, c.null.high)
    assert z.estimate.low < 0 < z.estimate.high
    assert c.untrained is not None
    order = load_table(traced, "order")
    assert set(order["space"]) == {"c", "untrained c", "z", "untrained z"}
    assert set(order["measure"]) == {"turning", "straightness", "step", "angle", "speed", "curvature"}
    assert load_table(traced, "beyond").groupby("space").size().to_dict() == {"c": 6, "z": 6}
    test_patients = toy_objects(0).index.query("split == 'test'").groupby("subject_id").size()
    assert set(order["excess n_patients"]) == {(test_patients >= trajectories.ENCOUNTERS).sum()}


def test_what_is_beyond_the_twin_is_nothing_for_the_twin_itself(made, tmp_path) -> None:
    trajectories.trace_paths(tmp_path, made[0], made[0], FEW, 0)
    assert (load_table(tmp_path, "beyond")[["value", "low", "high"]] == 0).all(axis=None)


def test_lengths_are_in_mean_steps_of_training_patients_whatever_the_scale_of_a_space(made, traced, tmp_path) -> None:
    objects = toy_objects(0)
    for name in ("objects", "out"):
        (tmp_path / name).mkdir()
    save_objects(tmp_path / "objects", objects._replace(c=7 * objects.c, z=objects.z / 3))
    trajectories.trace_paths(tmp_path / "out", tmp_path / "objects", made[1], FEW, 0)
    for name in ("order", "beyond", "pace"):
        pd.testing.assert_frame_equal(
            load_table(tmp_path / "out", name), load_table(traced, name), rtol=1e-4, atol=1e-6
        )
    steps = load_table(traced, "order").query("measure == 'step'")["observed value"]
    assert steps.between(0.8, 1.2).all()


def test_nothing_fitted_sees_a_test_patient(made, traced, led, tmp_path) -> None:
    """Other points of validation patients change nothing; of training patients, centroids and units but no order."""
    objects = toy_objects(0)

    def again(split: str) -> Path:
        c = objects.c.copy()
        c[(objects.index["split"] == split).to_numpy()] *= 3
        folder = tmp_path / split
        for name in ("objects", "traced", "led"):
            (folder / name).mkdir(parents=True)
        save_objects(folder / "objects", objects._replace(c=c))
        trajectories.trace_paths(folder / "traced", folder / "objects", made[1], FEW, 0)
        drift.follow_drift(folder / "led", folder / "objects", made[1], FEW, 0)
        return folder

    free_of_scale = "measure in ['turning', 'straightness', 'angle', 'curvature']"
    for split, same in (("validation", True), ("train", False)):
        folder = again(split)
        found, before = (load_table(at, "order") for at in (folder / "traced", traced))
        assert found.equals(before) == same
        pd.testing.assert_frame_equal(found.query(free_of_scale), before.query(free_of_scale), rtol=1e-4, atol=1e-6)
        for load in (lambda at: drift.load_drift(at, "c"), drift.load_course, drift.load_bands):
            assert load(folder / "led").equals(load(led)) == same


def test_without_a_concept_group_there_is_no_drift_and_a_flow_all_the_same(made, tmp_path) -> None:
    objects = toy_objects(0)
    for name in ("objects", "out"):
        (tmp_path / name).mkdir()
    save_objects(tmp_path / "objects", objects._replace(index=objects.index.assign(group_anxiety=False)))
    drift.follow_drift(tmp_path / "out", tmp_path / "objects", made[1], FEW, 0)
    assert (tmp_path / "out" / "flow.parquet").exists()
    with pytest.raises(NotComputable, match="no concept group"):
        drift.load_bands(tmp_path / "out")
    for load in (drift.load_course, lambda at: drift.load_drift(at, "c")):
        with pytest.raises(NotComputable, match="no concept group"):
            load(tmp_path / "out")
    with pytest.raises(NotComputable, match="approach c was not computed"):
        load_reading(tmp_path / "out", "approach_c")


def test_the_shape_step_leaves_a_row_a_space_and_reading(made, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shape, "REFITS", 4)
    shape.try_shape(tmp_path, *made, LABEL, FEW, 0)
    tested = load_table(tmp_path, "shape")
    assert len(tested) == 16
    gain = load_reading(tmp_path, "gain_c")
    rows = toy_objects(0).index.query("split == 'test' and k >= 2")
    assert gain.estimate.n_rows == len(rows)
    assert gain.estimate.low < 0.02  # the label is noise
    table = tables.shape_table(tested)
    assert table["gain"][0].value == pytest.approx(gain.estimate.value)
    assert len(figures.gain_forest(tested).axes) == 2


def test_tables_and_figures_show_every_space_and_group_and_the_twin_beside(traced, led) -> None:
    order, beyond = load_table(traced, "order"), load_table(traced, "beyond")
    shown = tables.order_table(order, beyond)
    assert len(shown) == 12  # six measures, of c and of z
    twin = order.query("space == 'untrained z' and measure == 'speed'")["excess value"].item()
    assert shown.iloc[9][["measure", "space"]].tolist() == ["length a month", "z"]
    assert shown["twin's excess"][9].value == twin
    assert len(tables.pace_table(load_table(traced, "pace"))) == 2
    assert len(figures.order_forest(order).axes) == 2
    course = tables.course_table(drift.load_course(led))
    assert course["space"].unique().tolist() == ["c", "z"]
    of_z = drift.load_course(led).query("space == 'untrained z' and kind == 'coded' and what == 'by month'")["value"]
    row = course[(course["space"] == "z") & (course["step from"] == "coded now")].iloc[0]
    assert row["by month, twin"].value == pytest.approx(100 * of_z.item())
    with pytest.raises(NotComputable, match="no cell of the plane"):  # of forty-odd test patients
        drift.load_flow(led)
    drifting, bands = drift.load_drift(led, "c"), drift.load_bands(led)
    for draw, table in ((figures.drift_multiples, drifting), (figures.direction_bands, bands)):
        shown = [panel for panel in draw(table).axes if panel.get_visible()]
        assert [panel.get_title(loc="left") for panel in shown] == ["anxiety"]
    assert (bands["patients"] >= drift.MIN_SHOWN).all()
    with pytest.raises(NotComputable, match="no concept group"):
        drift.load_drift(led, "e")


def test_the_flow_as_it_was_differs_from_the_shuffled_one_where_there_is_a_course(monkeypatch) -> None:
    monkeypatch.setattr(drift, "CELLS", 2)
    table = drift._flow(toy_objects(0), 0)
    assert (table["patients"] >= drift.MIN_SHOWN).all()
    inwards = {name: (rows["x"] * rows["dx"]).mean() for name, rows in table.groupby("order")}
    assert inwards["shuffled"] < inwards["as it was"]
    assert len(figures.flow_field(table).axes) == 2


def test_steps_of_the_flow_are_between_neighbours_of_one_patient() -> None:
    from jepascope.analysis.trajectories.paths import paths, whole_paths

    found = paths(np.arange(5.0)[:, None], np.array([1, 1, 1, 2, 2]))
    assert drift._visited(whole_paths(found, 2)).tolist() == [[0, 1, 3], [1, 2, 4]]


def test_a_planted_cohort_is_summed_up_to_each_encounter_and_no_further() -> None:
    planted = shape_power.plant(60, 0.0, np.random.default_rng(0))
    D = planted.x.shape[1]
    for patient in np.unique(planted.patients)[:20]:
        mine = planted.patients == patient
        means = np.cumsum(planted.x[mine], axis=0) / (1 + np.arange(mine.sum()))[:, None]
        np.testing.assert_allclose(planted.summary[mine][:, :D], means)
    np.testing.assert_array_equal(planted.summary[:, D:], planted.x)
    assert (planted.gap[planted.k == 0] == 0).all()
    assert (planted.gap[planted.k > 0] > 0).all()


def test_a_large_planted_effect_is_found_in_more_cohorts_than_none(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shape_power, "REFITS", 4)
    how = Inference(bootstrap=60, folds=3, min_patients=5, min_carriers=2)
    trials = shape_power.shape_trials(2000, (0.0, 2.0), 4, how, 0)
    write_table(tmp_path / "power.parquet", trials)
    power = shape_power.load_power(tmp_path, 0.95)
    gain = power[power["what"] == "gain"].set_index("effect")
    assert gain.loc[2.0, "power"] > gain.loc[0.0, "power"]
    assert gain.loc[2.0, "reached"] > 0.02 > gain.loc[0.0, "reached"]
    assert gain.loc[2.0, "gain"] > 0.01 > gain.loc[0.0, "gain"]
    assert len(figures.power_curves(power, shape_power.ENOUGH).axes) == 2
    assert len(tables.power_table(power)) == 4


def test_power_crosses_between_the_effects_tried_and_once() -> None:
    effects = np.array([0.0, 1.0, 2.0])
    assert shape_power.crossing(effects, np.array([0.0, 0.6, 1.0])) == pytest.approx(1.5)
    assert shape_power.crossing(effects, np.array([0.9, 1.0, 1.0])) == 0
    assert shape_power.crossing(effects, np.array([0.0, 0.6, 0.7])) == np.inf
    # The second point is above the mark by luck, the third below it: together they are at 0.7.
    assert shape_power.crossing(np.arange(4.0), np.array([0.0, 0.85, 0.55, 1.0])) == pytest.approx(2 + 1 / 3)


def trials(found: dict[float, float], cohorts: int) -> pd.DataFrame:
    """Trials of which, at each effect, this share of cohorts show shape: the first ones."""
    return pd.DataFrame(
        {
            "effect": effect,
            "cohort": cohort,
            "what": "gain",
            "found": cohort < share * cohorts,
            "n_rows": 9,
            "n_patients": 3,
        }
        for effect, share in found.items()
        for cohort in range(cohorts)
    )


def test_the_interval_of_the_effect_found_narrows_with_cohorts_and_ends_among_the_effects_tried(tmp_path) -> None:
    def found(shares: dict[float, float], cohorts: int) -> Estimate:
        write_table(tmp_path / "power.parquet", trials(shares, cohorts))
        return shape_power.effect_found(tmp_path, "gain", 0.95, np.random.default_rng(0))

    few, many = (found({0.0: 0, 1.0: 0.6, 2.0: 1}, cohorts) for cohorts in (20, 500))
    for one in (few, many):
        assert one.value == pytest.approx(1.5)
        assert one.low < 1.5 < one.high
    # By hand: crossing = 1 + (0.8 − p) / (1 − p), with p of 500 cohorts between about 0.557 and 0.643.
    assert (many.low, many.high) == pytest.approx((1 + 0.157 / 0.357, 1 + 0.243 / 0.443), abs=0.01)
    assert few.high - few.low > 2 * (many.high - many.low)
    assert (few.n_rows, few.n_patients) == (20 * 3 * 9, 20 * 3 * 3)
    for shares, cohorts, reason in (
        ({0.0: 0, 1.0: 0.6}, 20, "at most 60%"),
        ({0.0: 0, 1.0: 0.85}, 20, "beyond the largest"),
        ({0.0: 0, 1.0: 1.0}, 4, "10 needed"),
    ):
        with pytest.raises(NotComputable, match=reason):
            found(shares, cohorts)


def test_cohorts_too_small_for_the_test_find_nothing_and_say_why() -> None:
    trials = shape_power.shape_trials(12, (1.0,), 1, Inference(bootstrap=20), 0)
    assert not trials["found"].any()
    assert trials["reason"].str.len().gt(0).all()


def test_the_power_step_plants_no_more_patients_than_the_cohort_has(tmp_path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(
        shape_power, "shape_trials", lambda patients, *rest: asked.append(patients) or pd.DataFrame({"a": [1]})
    )
    cohort_encounters.save(tmp_path, toy_encounters(patients=40))
    shape_power.measure_shape_power(tmp_path, tmp_path, params.Certification(), FEW, 0)
    assert asked == [40]
