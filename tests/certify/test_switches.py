"""Concepts turned in the generator, and effects of edits held against what turning them does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
import torch

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.book.figures import steering as figures
from jepascope.book.tables import steering as steering_tables
from jepascope.certify import steering as certified
from jepascope.certify.futures import Switches
from jepascope.certify.steering import (
    Turned,
    agree,
    carried_over,
    concepts_to_turn,
    correlate_concepts,
    displacements,
    turned,
)
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.extract import extract
from jepascope.cohort.synthetic import futures as branching
from jepascope.cohort.synthetic import synthesize
from jepascope.cohort.synthetic.concepts import COLUMN
from jepascope.models.jepa import JEPA
from jepascope.objects import make_objects
from jepascope.pipeline.oracle import futures as planted
from jepascope.pipeline.steering import certified as steering_certified
from jepascope.pipeline.steering import switches
from jepascope.store import read_tensors, write_json
from jepascope.training.batches import pack
from jepascope.training.checkpoint import load_model, save_model

SYNTHETIC = params.Synthetic(patients=200, seed=5)
EXTRACTION = params.Extraction(min_patients_per_token=3, test_share=0.4)
HOW = Inference(bootstrap=100, min_patients=5)
DRAWS = (3, 4)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


class Made:
    """A small planted cohort with one chronic concept and one shock turned, and an untrained model of it."""

    def __init__(self, root: Path) -> None:
        self.root, self.records, self.encounters = root, root / "records", root / "encounters"
        self.model, self.objects, self.switches = root / "model", root / "objects", root / "switches"
        for folder in (self.records, self.encounters, self.model, self.objects, self.switches):
            folder.mkdir()
        synthesize(self.records / "planted", SYNTHETIC)
        extract(self.encounters, self.records / "planted", params.Source(), EXTRACTION)
        self.cohort = cohort_encounters.load(self.encounters)
        torch.manual_seed(0)
        save_model(self.model, JEPA(len(self.cohort.vocabulary), 16, 2, 1, 1, 16))
        make_objects(self.objects, self.encounters, self.model)
        switches.turn_concepts(self.switches, self.encounters, params.Source(), EXTRACTION, 5)
        self.found = Switches(**read_tensors(self.switches / "switches.safetensors"))

    def bags(self, when: str) -> np.ndarray:
        """Tokens of an arm's encounters, bool [1 + Q, n, draws, V]."""
        tokens, offsets = (getattr(self.found, f"{when}_{part}") for part in ("tokens", "offsets"))
        bag = np.zeros((len(offsets) - 1, len(self.cohort.vocabulary)), bool)
        bag[np.repeat(np.arange(len(bag)), np.diff(offsets)), tokens] = True
        return bag.reshape(3, len(self.found.rows), -1, bag.shape[1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certified, "QUOTA", {"chronic": 1, "shock": 1})
        patch.setattr(switches, "ROWS", 40)
        patch.setattr(switches, "NOW", DRAWS[0])
        patch.setattr(switches, "NEXT", DRAWS[1])
        return Made(tmp_path_factory.mktemp("switches"))


def test_a_shock_turned_leaves_nothing_at_the_next_encounter(made: Made) -> None:
    natural, _, shock = made.bags("next")
    np.testing.assert_array_equal(natural, shock)


def test_a_turned_concept_is_in_the_records_of_its_own_encounter(made: Made) -> None:
    words = made.cohort.vocabulary["token"].str
    for q, pattern in ((0, "E11"), (1, "S72")):
        code = words.endswith(pattern).to_numpy()
        natural, arm = made.bags("now")[0], made.bags("now")[1 + q]
        assert code.sum() == 1
        on = np.where(made.found.was_on[:, [q]], natural[:, :, code].any(axis=2), arm[:, :, code].any(axis=2))
        off = np.where(made.found.was_on[:, [q]], arm[:, :, code].any(axis=2), natural[:, :, code].any(axis=2))
        assert on.mean() > 0.5
        assert off.mean() < 0.1


def test_a_chronic_concept_turned_stays_and_arms_share_all_else(made: Made) -> None:
    natural, chronic, _ = made.bags("next")
    code = made.cohort.vocabulary["token"].str.endswith("E11").to_numpy()
    differ = (natural != chronic).mean(axis=(0, 1))
    assert differ[code].max() > 0.5
    assert np.median(differ) < 0.01  # without common draws it would be tenths


def test_the_same_encounter_again_keeps_what_is_given() -> None:
    world = branching.relive(SYNTHETIC)
    past, rows = world.histories, np.arange(0, 60, 3)
    state = branching.dynamics.State(past.on[rows], past.latent[rows], past.traits[rows])
    again = branching.revisit(world, state, rows, rng())
    np.testing.assert_array_equal(again.on, past.on[rows])
    np.testing.assert_array_equal(again.admit, past.admit[rows])
    turned_on = branching.switched(state, "diabetes")
    assert (turned_on.on != state.on).sum(axis=1).tolist() == [1] * len(rows)
    assert (turned_on.on[:, COLUMN["diabetes"]] != state.on[:, COLUMN["diabetes"]]).all()
    assert (turned_on.latent == state.latent).all()


def test_concepts_that_stand_alone_are_turned_the_commonest_of_their_kind_first() -> None:
    concepts = pd.DataFrame(
        [
            ("a", "chronic", 0.1, None),
            ("b", "chronic", 0.3, None),
            ("c", "chronic", 0.5, "b"),
            ("d", "shock", 0.1, None),
            ("e", "chronic", 0.2, None),
        ],
        columns=["name", "dynamics", "prevalence", "parent"],
    )
    assert concepts_to_turn(concepts)["name"].tolist() == ["e", "a", "d"]  # b is the parent of c, and can't go alone
    with pytest.raises(NotComputable):
        concepts_to_turn(concepts[concepts["name"] == "c"])


def test_effects_are_on_less_off_whichever_the_patient_was() -> None:
    z = np.zeros((2, 2, 3, 1))
    z[1, 0], z[0, 1] = 1.0, 1.0  # the first patient gains by being turned on, the second loses by being turned off
    found = turned(z, np.array([[False], [True]]))
    assert found.effect.tolist() == [[[1.0]], [[1.0]]]
    assert found.doubt.tolist() == [[0.0], [0.0]]


def test_slope_and_cosine_are_free_of_the_noise_of_few_draws() -> None:
    g, n, M = rng(), 300, 4
    effect = g.standard_normal((n, 2, 5))
    draws = np.zeros((3, n, M, 5))
    draws[1:] = effect.transpose(1, 0, 2)[:, :, None] + 2 * g.standard_normal((2, n, M, 5))
    true, predicted = turned(draws, np.zeros((n, 2), bool)), Turned(effect / 2, np.zeros((n, 2)))
    found = agree(true, predicted, np.ones(2, bool), np.repeat(np.arange(100), 3), HOW, rng())
    assert found.slope.value == pytest.approx(2, abs=0.1)  # the prediction says half of the effect
    assert found.cosine.value == pytest.approx(1, abs=0.05)
    null_slope, null = certified.agree_by_chance(
        true, g.standard_normal((19, n, 2, 5)), np.ones(2, bool), found, HOW.level
    )
    assert abs(null.value) < 0.05
    assert null.p == pytest.approx(0.05)
    assert abs(null_slope.value) < 0.05


def test_the_cosine_with_effects_of_other_concepts_is_what_all_have_in_common() -> None:
    g, n = rng(), 200
    shared, own = np.array([1.0, 0, 0, 0]), np.eye(4)[1:]
    true = Turned(np.tile(shared + own, (n, 1, 1)) + 0.1 * g.standard_normal((n, 3, 4)), np.zeros((n, 3)))
    which, patients = np.ones(3, bool), np.repeat(np.arange(100), 2)
    found = agree(true, true, which, patients, HOW, rng())
    null = certified.agree_with_others(true, true, which, found, 19, HOW.level, rng())
    assert found.cosine.value == pytest.approx(1)
    assert null.value == pytest.approx(1 / 2, abs=0.02)  # half of the squared length is everybody's
    assert null.p == pytest.approx(0.05)
    only = np.array([True, True, False])  # of two concepts each meets the other
    assert certified.agree_with_others(true, true, only, found, 5, HOW.level, rng()).low > 0.45
    alike = true._replace(effect=np.repeat(true.effect[:, :1], 3, axis=1))
    assert certified.agree_with_others(alike, alike, which, found, 19, HOW.level, rng()).value == pytest.approx(1)
    with pytest.raises(NotComputable, match="1 concepts that act"):
        certified.agree_with_others(true, true, np.array([True, False, False]), found, 19, HOW.level, rng())


def test_a_displacement_is_a_difference_of_means_along_the_concepts_own_direction_by_hand() -> None:
    z, states = np.array([[0.0, 5], [2, 6], [4, 1], [6, 0]]), np.array([[0, 1], [0, 1], [1, 0], [1, 1]])
    assert displacements(z, states, np.eye(2)).tolist() == [4.0, pytest.approx(11 / 3 - 1)]


def test_what_is_carried_over_is_a_share_of_how_far_the_concept_moves_z() -> None:
    directions, sizes = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([2.0, 4.0])
    shares = carried_over(np.tile([[1.0, 9.0], [9.0, 1.0]], (6, 1, 1)), directions, sizes)
    assert shares[0].tolist() == [0.5, 0.25]
    found = certified.mean_shares(shares, np.repeat(np.arange(6), 1), HOW, rng())
    assert [e.value for e in found] == [0.5, 0.25]


def test_concepts_are_ranked_by_their_means() -> None:
    g, patients = rng(), np.repeat(np.arange(50), 2)
    true = np.array([1.0, 0.5, 0.0]) + 0.1 * g.standard_normal((100, 3))
    found = correlate_concepts(true, true / 2, patients, HOW, rng())
    assert found.slope.value == pytest.approx(2)
    assert found.cosine.value == pytest.approx(1)
    _, null = certified.correlate_by_chance(true, g.standard_normal((40, 100, 3)), found, HOW.level)
    assert null.p < 0.2


def test_the_step_holds_every_kind_of_edit_against_the_truth(made: Made, tmp_path: Path) -> None:
    how = params.Statistics(bootstrap=50, permutations=20, min_patients=5, min_carriers=2)
    given = (made.records, made.encounters, made.switches, made.model, made.objects)
    steering_certified.certify_steering(tmp_path, *given, how, 0)
    carried = steering_certified.load_carried(tmp_path)
    assert set(carried["kind"]) == {"truth", "input", "encoded", "mean", "fisher", "probe"}
    shock = carried.query("kind == 'truth' and dynamics == 'shock'")
    assert shock["value"].tolist() == pytest.approx([0.0], abs=1e-6)
    assert carried.query("kind == 'truth' and dynamics == 'chronic'")["low"].min() > 0
    found = steering_certified.load_agreement(tmp_path, tmp_path, "input", "cosine")
    assert found.estimate == found.untrained
    with pytest.raises(NotComputable, match="cosine concepts"):  # one concept acts here: there is no other
        steering_certified.load_agreement(tmp_path, tmp_path, "input", "cosine", "concepts")
    assert steering_certified.load_told_apart(tmp_path, "truth").value == pytest.approx(0, abs=1e-6)
    assert len(steering_tables.kind_table(steering_certified.compare_kinds(tmp_path))) == 7
    assert figures.carried_scatter(carried).axes
    with pytest.raises(NotComputable, match="turn concepts"):
        steering_certified.certify_steering(tmp_path, *given, how.model_copy(update={"min_patients": 400}), 0)


def test_an_input_edit_is_what_the_model_makes_of_the_arms(made: Made) -> None:
    """The record of k in the arm put into the cohort, and the model run again over it."""
    t = steering_certified.load_turns(made.records, made.encounters, made.switches, made.model, made.objects)
    z = torch.from_numpy(t.subject.objects.z.copy())
    model, batch, row = load_model(made.model), pack(made.cohort), int(made.found.rows[7])
    by_arm = []
    for arm in (0, 1):
        runs = []
        for draw in range(DRAWS[0]):
            z[row] = torch.from_numpy(t.now[arm, 7, draw])
            with torch.no_grad():
                c = model.context(z, batch.first, batch.gap, batch.age)
                runs.append(model.predictor(c[[row]], batch.gap[[row + 1]])[0].numpy())
        by_arm.append(np.mean(runs, axis=0))
    sign = -1 if made.found.was_on[7, 0] else 1
    np.testing.assert_allclose(steering_certified.input_edit(t).effect[7, 0], sign * (by_arm[1] - by_arm[0]), atol=1e-5)


def test_on_real_records_there_is_nothing_to_turn(made: Made, tmp_path: Path) -> None:
    cohort_encounters.save(tmp_path, made.cohort)
    write_json(tmp_path / "tier.json", {"tier": "demo", "data_end": "here"})
    (tmp_path / "x").mkdir()
    switches.turn_concepts(tmp_path / "x", tmp_path, params.Source(), EXTRACTION, 5)
    with pytest.raises(NotComputable, match="planted truth"):
        planted.made(tmp_path / "x", "switches.safetensors")


def test_the_same_seed_writes_the_same_arms(tmp_path: Path) -> None:
    world = branching.relive(SYNTHETIC)
    past = world.histories
    rows = np.repeat(np.flatnonzero(past.patient[1:] == past.patient[:-1])[:10], 2)
    state = branching.dynamics.State(past.on[rows], past.latent[rows], past.traits[rows])
    for name in ("a", "b"):
        arms = [branching.branch(world, s, rows, rng()) for s in (state, branching.switched(state, "diabetes"))]
        branching.write_arms(tmp_path / name, world, rows, arms, seed=3)
    tables = sorted(path.name for path in (tmp_path / "a" / "hosp").iterdir())
    assert "labevents.csv" in tables
    for name in tables:
        ours, theirs = (tmp_path / side / "hosp" / name for side in ("a", "b"))
        assert ours.read_bytes() == theirs.read_bytes(), name


def test_an_edit_of_z_puts_in_what_was_off_takes_out_what_was_on_and_is_read_as_on_less_off() -> None:
    g = rng()
    still, u, was_on = g.standard_normal((4, 3)), np.eye(3)[:2], np.array([[0, 1], [1, 0], [0, 0], [1, 1]], bool)
    amounts = np.broadcast_to(np.array([-2.0, 5.0, 9.0]), (4, 2, 3))  # at the α of GRID: out by 2, in by 5

    def move(u: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        return still[:, None] + amounts[:, :, None] * u

    t = SimpleNamespace(held=SimpleNamespace(move_z=move), was_on=was_on, still=still)
    found = steering_certified.latent_edit(cast(steering_certified.Turns, t), u, amounts)
    np.testing.assert_allclose(found, np.where(was_on, 2.0, 5.0)[:, :, None] * u)


def test_directions_and_sizes_are_those_of_the_turned_concepts(made: Made) -> None:
    t = steering_certified.load_turns(made.records, made.encounters, made.switches, made.model, made.objects)
    train = (t.subject.objects.index["split"] == "train").to_numpy()
    z, on = t.subject.objects.z[train], t.subject.labels[train]
    apart = [(z[y].mean(axis=0) - z[~y].mean(axis=0)) @ u for y, u in zip(on.T, t.directions, strict=True)]
    assert t.sizes == pytest.approx(np.array(apart), rel=1e-3)
