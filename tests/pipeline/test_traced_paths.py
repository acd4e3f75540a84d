"""The steps on paths: what they leave, on whom it is read, and the power of the shape test on planted cohorts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.fixtures_encounters import toy_encounters

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.book.figures import trajectories as figures
from jepascope.book.tables import trajectories as tables
from jepascope.cohort import encounters as cohort_encounters
from jepascope.objects import Objects, save_objects
from jepascope.pipeline.methods import shape_power
from jepascope.pipeline.readings import load_reading
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


def test_a_course_in_c_is_found_and_none_in_z(traced) -> None:
    c, z = (load_reading(traced, f"turning_{space}") for space in ("c", "z"))
    assert c.estimate.low > max(0, c.null.high)
    assert z.estimate.low < 0 < z.estimate.high
    assert c.untrained is not None
    order = trajectories.load_order(traced)
    assert set(order["space"]) == {"c", "untrained c", "z", "untrained z"}
    test_patients = toy_objects(0).index.query("split == 'test'").groupby("subject_id").size()
    assert set(order["excess n_patients"]) == {(test_patients >= trajectories.ENCOUNTERS).sum()}


def test_nothing_fitted_sees_a_test_patient(made, traced, tmp_path) -> None:
    """Other points of validation patients change nothing; of training patients, centroids but no order."""
    objects = toy_objects(0)

    def again(split: str) -> Path:
        c = objects.c.copy()
        c[(objects.index["split"] == split).to_numpy()] *= 3
        folder = tmp_path / split
        for name in ("objects", "out"):
            (folder / name).mkdir(parents=True)
        save_objects(folder / "objects", objects._replace(c=c))
        trajectories.trace_paths(folder / "out", folder / "objects", made[1], FEW, 0)
        return folder / "out"

    for split, same in (("validation", True), ("train", False)):
        folder = again(split)
        pd.testing.assert_frame_equal(trajectories.load_order(folder), trajectories.load_order(traced))
        for load in (lambda at: trajectories.load_drift(at, "c"), trajectories.load_bands):
            assert load(folder).equals(load(traced)) == same


def test_without_a_concept_group_paths_still_have_an_order(made, traced, tmp_path) -> None:
    objects = toy_objects(0)
    for name in ("objects", "out"):
        (tmp_path / name).mkdir()
    save_objects(tmp_path / "objects", objects._replace(index=objects.index.assign(group_anxiety=False)))
    trajectories.trace_paths(tmp_path / "out", tmp_path / "objects", made[1], FEW, 0)
    pd.testing.assert_frame_equal(
        trajectories.load_order(tmp_path / "out").query("space in ['c', 'z']"),
        trajectories.load_order(traced).query("space in ['c', 'z']"),
    )
    for load in (lambda at: trajectories.load_drift(at, "c"), trajectories.load_bands):
        with pytest.raises(NotComputable, match="no concept group"):
            load(tmp_path / "out")
    with pytest.raises(NotComputable, match="approach c was not computed"):
        load_reading(tmp_path / "out", "approach_c")


def test_the_shape_step_leaves_a_row_a_space_and_reading(made, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(trajectories, "REFITS", 4)
    trajectories.try_shape(tmp_path, *made, LABEL, FEW, 0)
    shape = trajectories.load_shape(tmp_path)
    assert len(shape) == 16
    gain = load_reading(tmp_path, "gain_c")
    rows = toy_objects(0).index.query("split == 'test' and k >= 2")
    assert gain.estimate.n_rows == len(rows)
    assert gain.estimate.low < 0.02  # the label is noise
    table = tables.shape_table(shape)
    assert table["gain"][0].value == pytest.approx(gain.estimate.value)
    assert len(figures.gain_forest(shape).axes) == 2


def test_tables_and_figures_show_every_space_and_group(traced) -> None:
    assert len(tables.order_table(trajectories.load_order(traced))) == 8
    assert len(tables.pace_table(trajectories.load_pace(traced))) == 4
    assert len(figures.order_forest(trajectories.load_order(traced)).axes) == 2
    with pytest.raises(NotComputable, match="no cell of the plane"):  # of forty-odd test patients
        trajectories.load_flow(traced)
    drift, bands = trajectories.load_drift(traced, "c"), trajectories.load_bands(traced)
    for draw, table in ((figures.drift_multiples, drift), (figures.direction_bands, bands)):
        shown = [panel for panel in draw(table).axes if panel.get_visible()]
        assert [panel.get_title(loc="left") for panel in shown] == ["anxiety"]
    assert (bands["patients"] >= trajectories.MIN_SHOWN).all()
    with pytest.raises(NotComputable, match="no concept group"):
        trajectories.load_drift(traced, "e")


def test_the_flow_as_it_was_differs_from_the_shuffled_one_where_there_is_a_course(monkeypatch) -> None:
    monkeypatch.setattr(trajectories, "CELLS", 2)
    table = trajectories._flow(toy_objects(0), 0)
    assert (table["patients"] >= trajectories.MIN_SHOWN).all()
    inwards = {name: (rows["x"] * rows["dx"]).mean() for name, rows in table.groupby("order")}
    assert inwards["shuffled"] < inwards["as it was"]
    assert len(figures.flow_field(table).axes) == 2


def test_steps_of_the_flow_are_between_neighbours_of_one_patient() -> None:
    from jepascope.analysis.trajectories.paths import paths, whole_paths

    found = paths(np.arange(5.0)[:, None], np.array([1, 1, 1, 2, 2]))
    assert trajectories._visited(whole_paths(found, 2)).tolist() == [[0, 1, 3], [1, 2, 4]]


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


def test_the_effect_found_lies_between_those_tried() -> None:
    power = pd.DataFrame({"what": "gain", "effect": [0.0, 1.0, 2.0], "power": [0.0, 0.6, 1.0]})
    assert shape_power.effect_found(power, "gain") == pytest.approx(1.5)
    with pytest.raises(NotComputable, match="at most 60%"):
        shape_power.effect_found(power[power["effect"] < 2], "gain")


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
