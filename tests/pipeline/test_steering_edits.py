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
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.predictor.steering import GRID, Scored, areas
from jepascope.analysis.sae import Dictionary
from jepascope.book.figures import steering as figures
from jepascope.book.tables import steering as steering_tables
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.models.jepa import JEPA
from jepascope.objects import load_objects, make_objects, save_objects
from jepascope.pipeline.steering import directions as steering_directions
from jepascope.pipeline.steering import effects as steering
from jepascope.pipeline.steering.directions import choose_subject, make_directions, random_labels, whole_patients
from jepascope.pipeline.steering.edits import Held
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


def test_runs_are_the_edits_of_each_concept_and_draw_by_itself_and_nulls_keep_their_names() -> None:
    g = np.random.default_rng(0)
    R, Q, n, A = 3, 2, 7, len(GRID)
    M, still, amounts = g.standard_normal((4, 4)), g.standard_normal((n, 4)), g.random((n, Q, A)) * np.array(GRID)
    u, labels = g.standard_normal((Q, 4)), g.standard_normal((R, Q, 4))
    other = np.array([[False, True], [True, False]])
    readers = steering.Readers(g.standard_normal((Q, 4)), g.standard_normal((R, Q, 4)), other)
    random = g.standard_normal((R, 4))

    def linear(u: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        return still[:, None] + amounts[:, :, None] * (u @ M)

    def alone(u: np.ndarray, own: np.ndarray, q: int) -> Scored:
        moved = amounts[:, q, :, None] * (u @ M)  # [n, A, D]
        return Scored(moved @ own, np.abs(moved @ readers.own[other[q]].T).mean(axis=2))

    ((kind, found, scored),) = steering.run_kinds(
        linear, {"mean": steering_directions.Directions(u, labels, amounts)}, random, readers, still
    )
    assert kind == "mean"
    for q in range(Q):
        np.testing.assert_allclose(scored.on.reshape(n, Q, A)[:, q], alone(u[q], readers.own[q], q).on)
        for r in range(R):
            ways = {
                "": (u[q], readers.own[q]),
                "labels_": (labels[r, q], readers.labels[r, q]),
                "random_": (random[r], readers.own[q]),
            }
            for name, way in ways.items():
                for which, area in zip(("on", "selective"), areas(alone(*way, q)), strict=True):
                    drawn = getattr(found, name + which)
                    np.testing.assert_allclose((drawn[r] if name else drawn)[:, q], area[:, 0], rtol=1e-5)


def test_readers_look_for_what_the_next_encounter_holds(made: Made) -> None:
    s = made.subject()
    o, g = s.objects, np.random.default_rng(0)
    z_hat = g.standard_normal(o.z_hat.shape)
    z_hat[:, 0] += 3 * s.labels[o.target_rows, 0]
    z_hat[:, 1] += 3 * s.labels[o.target_rows - 1, 0]
    found = steering.fit_readers(s._replace(objects=o._replace(z_hat=z_hat)), random_labels(s, 2, g)).own[0]
    assert found[0] > 2 * abs(found[1])


def test_a_feature_is_set_to_a_typical_high_value_or_taken_away(made: Made) -> None:
    s, D = made.subject(), made.subject().objects.z.shape[1]
    labels = s.labels[:, :2]
    s = s._replace(labels=labels)
    g = np.random.default_rng(0)
    x = np.abs(0.1 * g.standard_normal((len(labels), D))) + 1e-3
    x[:, :2] += 5 * labels[:, ::-1]  # feature 0 is the second concept's, feature 1 the first's
    one = Dictionary(
        W_enc=np.eye(D), b_enc=np.zeros(D), W_dec=np.eye(D), b_dec=np.zeros(D), mean=np.zeros(D), scale=2.0, active=D
    )  # fmt: skip
    found = make_directions("feature", x, s, random_labels(s, 2, g), one)
    np.testing.assert_array_equal(found.u, np.eye(D)[[1, 0]])
    now = x[s.rows][:, [1, 0]]
    np.testing.assert_allclose(now + found.amounts[:, :, GRID.index(-1.0)], 0, atol=1e-6)
    set_to = now + found.amounts[:, :, GRID.index(1.0)]
    np.testing.assert_allclose(set_to, np.quantile(x[s.before][:, [1, 0]], 0.9, axis=0) * np.ones_like(now), rtol=1e-5)
