"""Edits of z and c: the short way gives what the long one gives, and every direction is fitted to training patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.fixtures_encounters import toy_encounters
from tests.models.batches_by_hand import random_batch

from jepascope import params
from jepascope.analysis.stats import Inference, NotComputable
from jepascope.book import steering_tables
from jepascope.book.figures import steering as figures
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.models.jepa import JEPA
from jepascope.objects import load_objects, make_objects, save_objects
from jepascope.pipeline import steering, steering_directions
from jepascope.pipeline.edits import Held
from jepascope.pipeline.steering_directions import choose_subject, make_directions, random_labels, whole_patients
from jepascope.training.checkpoint import save_model

HOW = params.Statistics(bootstrap=50, permutations=20, folds=3, min_patients=5, min_carriers=3)
WIDTH = 8
ROWS = np.array([0, 4, 6, 7, 10])  # first, middle and last but one of patients; 3, 5, 8 and 11 end a record


@pytest.fixture(scope="module")
def model() -> JEPA:
    torch.manual_seed(0)
    return JEPA(50, WIDTH, heads=2, encoder_layers=1, context_layers=2, predictor_hidden=16).eval()


@pytest.fixture(scope="module")
def z() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((12, WIDTH)).astype(np.float32)


BATCH = random_batch([4, 2, 3, 3])


def long_way(model: JEPA, z: np.ndarray, row: int) -> np.ndarray:
    with torch.no_grad():
        c = model.context(torch.from_numpy(z), BATCH.first, BATCH.gap, BATCH.age)
        return model.predictor(c[[row]], BATCH.gap[[row + 1]]).numpy()[0]


def test_moving_z_gives_what_a_new_run_of_the_context_gives(model: JEPA, z: np.ndarray) -> None:
    u, amounts = np.random.default_rng(1).standard_normal((3, WIDTH)), np.random.default_rng(2).random((len(ROWS), 3))
    found = Held(model, BATCH, z, ROWS).move_z(u, amounts)
    for i, row in enumerate(ROWS):
        for j in range(3):
            edited = z.copy()
            edited[row] += (amounts[i, j] * u[j]).astype(np.float32)
            np.testing.assert_allclose(found[i, j], long_way(model, edited, row), atol=1e-5)


def test_an_edit_reads_nothing_that_comes_after_it(model: JEPA, z: np.ndarray) -> None:
    u, amounts = np.eye(WIDTH)[:2], np.ones((1, 2))
    later = z.copy()
    later[5:] = later[5:][::-1]
    before, after = (Held(model, BATCH, x, np.array([4])).move_z(u, amounts) for x in (z, later))
    np.testing.assert_array_equal(before, after)
    earlier = np.concatenate([z[:4][::-1], z[4:]])  # of another patient
    np.testing.assert_allclose(Held(model, BATCH, earlier, np.array([4])).move_z(u, amounts), before, atol=1e-6)


def test_moving_c_moves_what_the_predictor_reads(model: JEPA, z: np.ndarray) -> None:
    u = np.random.default_rng(1).standard_normal((1, WIDTH))
    found = Held(model, BATCH, z, ROWS).move_c(np.repeat(u, 2, 0), np.array([[0.0, 1.0]] * len(ROWS)))
    with torch.no_grad():
        c = model.context(torch.from_numpy(z), BATCH.first, BATCH.gap, BATCH.age)[ROWS]
        for j, alpha in enumerate((0.0, 1.0)):
            moved = c + alpha * torch.from_numpy(u).float()
            expected = model.predictor(moved, BATCH.gap[ROWS + 1]).numpy()
            np.testing.assert_allclose(found[:, j], expected, atol=1e-5)


@pytest.mark.parametrize("site", ["z", "c"])
def test_jacobians_are_what_small_edits_do(model: JEPA, z: np.ndarray, site: str) -> None:
    held, step = Held(model, BATCH, z, ROWS), 1e-2
    move, ones = getattr(held, f"move_{site}"), np.full((len(ROWS), WIDTH), step)
    slopes = (move(np.eye(WIDTH), ones) - move(np.eye(WIDTH), -ones)) / (2 * step)  # [n, from, to]
    np.testing.assert_allclose(held.jacobians(site), slopes.transpose(0, 2, 1), atol=2e-3)


def test_a_last_encounter_is_refused(model: JEPA, z: np.ndarray) -> None:
    with pytest.raises(ValueError, match="last encounter"):
        Held(model, BATCH, z, np.array([3]))


class Made:
    """A toy cohort with concepts, an untrained model of it, and its objects."""

    def __init__(self, root: Path) -> None:
        self.encounters, self.model, self.objects = root / "encounters", root / "model", root / "objects"
        for folder in (self.encounters, self.model, self.objects):
            folder.mkdir()
        cohort_encounters.save(self.encounters, with_concepts(toy_encounters(patients=150, vocabulary=60)))
        torch.manual_seed(0)
        save_model(self.model, JEPA(60, 16, heads=2, encoder_layers=1, context_layers=1, predictor_hidden=16))
        make_objects(self.objects, self.encounters, self.model)

    def subject(self, objects: Path | None = None) -> steering_directions.Subject:
        return choose_subject(self.encounters, objects or self.objects, Inference(**HOW.model_dump()), 0)


def with_concepts(toy: Encounters) -> Encounters:
    """Every token is a diagnosis; two groups of them are psychiatric."""
    row = np.repeat(np.arange(len(toy.index)), np.diff(toy.offsets))
    index = toy.index.assign(icd_version=10, los_days=2.0)
    for name, tokens in (("group_one", range(1, 6)), ("group_two", range(12, 17))):
        index[name] = np.isin(np.arange(len(index)), row[np.isin(toy.tokens, list(tokens))])
    seen = np.bincount(toy.tokens, minlength=60)
    words = toy.vocabulary.assign(kind=["special"] + ["diagnosis"] * 59, train_patients=seen)
    return toy._replace(index=index, vocabulary=words)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steering, "DRAWS", 19)
        return Made(tmp_path_factory.mktemp("steering"))


def test_rows_are_followed_encounters_of_whole_test_patients(made: Made) -> None:
    s = made.subject()
    index = s.objects.index
    assert (index["split"].iloc[s.rows] == "test").all()
    assert (index["subject_id"].to_numpy()[s.rows + 1] == s.patients).all()
    some = whole_patients(s.rows, s.patients, 12, np.random.default_rng(0))
    chosen = np.unique(index["subject_id"].to_numpy()[some])
    assert 0 < len(some) <= 12
    assert len(some) == np.isin(s.patients, chosen).sum()


def test_directions_and_readers_see_no_test_patient(made: Made, tmp_path: Path) -> None:
    o = load_objects(made.objects)
    z, z_hat, test = o.z.copy(), o.z_hat.copy(), (o.index["split"] == "test").to_numpy()
    z[test] = z[test][::-1]
    z_hat[test[o.target_rows]] *= 2
    save_objects(tmp_path, o._replace(z=z, z_hat=z_hat, e=z[o.target_rows] - z_hat))
    both = [made.subject(folder) for folder in (made.objects, tmp_path)]
    moved = random_labels(both[0], 4, np.random.default_rng(0))
    for kind in ("mean", "fisher", "probe"):
        ours, theirs = (make_directions(kind, s.objects.z, s, moved, None) for s in both)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b)
    readers = [steering.fit_readers(s, moved) for s in both]
    np.testing.assert_allclose(readers[0].own, readers[1].own)


def test_random_labels_are_as_rare_as_the_concepts(made: Made) -> None:
    s = made.subject()
    moved = random_labels(s, 20, np.random.default_rng(0))
    np.testing.assert_allclose(moved.mean(axis=(0, 1)), s.labels.mean(axis=0), atol=0.06)
    patients = s.objects.index["subject_id"].to_numpy()
    constant = [len(np.unique(moved[0][patients == name, 0])) == 1 for name in np.unique(patients)]
    assert all(constant)


def test_a_ridge_probe_points_at_the_one_column_that_tells_the_label() -> None:
    g = np.random.default_rng(0)
    label = g.random((600, 1)) < 0.3
    x = g.standard_normal((600, 4)) + np.array([0, 2.0, 0, 0]) * label
    found = steering_directions.ridge_probes(x, label)[0]
    assert found[1] > 0.95


def test_the_step_leaves_regimes_parts_and_readings(made: Made, tmp_path: Path) -> None:
    given = (made.encounters, made.model, made.objects, HOW, 0)
    steering.steer(tmp_path, *given)
    regimes, parts = (steering.load_steered(tmp_path, name) for name in ("regimes", "parts"))
    assert set(regimes["site"]) == {"z", "c"}
    assert set(regimes["kind"]) == {"mean"}  # without a vote the headline alone
    effect = steering.load_effect(tmp_path, tmp_path, "on", "z")
    assert effect.estimate == effect.untrained
    # The whole of an edit is its two parts, but for what is not linear.
    z = parts[parts["site"] == "z"]
    np.testing.assert_allclose(z["whole"], z["row_part"] + z["null_part"], atol=0.15)
    assert steering_tables.regime_table(steering.count_regimes(tmp_path)).shape[0] == 2
    assert len(steering_tables.part_table(steering.sum_up_parts(tmp_path))) == 2
    concepts = steering.load_steered(tmp_path, "concepts")
    assert len(steering_tables.concept_table(regimes, concepts)) == len(regimes)
    assert figures.effect_forest(regimes).axes
    assert figures.effect_curves(steering.load_steered(tmp_path, "curves")).axes
    with pytest.raises(NotComputable, match="next encounter"):
        steering.steer(tmp_path, *given[:3], HOW.model_copy(update={"min_patients": 40}), 0)


def test_the_two_groups_are_among_the_concepts(made: Made) -> None:
    s = made.subject()
    assert {"one", "two"} <= set(s.concepts["concept"])
    assert isinstance(s.concepts, pd.DataFrame)
    assert s.labels.shape == (len(s.objects.z), len(s.concepts))
