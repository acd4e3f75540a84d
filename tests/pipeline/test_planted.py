"""Steps that hold a model against the planted truth, on a tiny cohort; on real records each says why it can't."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.fixtures_encounters import TINY_MODEL

from jepascope import params
from jepascope.analysis.inference.stats import NotComputable
from jepascope.book.figures import oracle as figures
from jepascope.book.tables import oracle as oracle_tables
from jepascope.certify.planted import load_truth
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.extract import extract
from jepascope.cohort.synthetic import synthesize
from jepascope.objects import load_objects, make_objects, save_objects
from jepascope.pipeline.certification.model import planted_records
from jepascope.pipeline.oracle import blindness
from jepascope.pipeline.oracle import futures as planted
from jepascope.store import read_table, read_tensors, write_json, write_table
from jepascope.training.checkpoint import load_model
from jepascope.training.step import train

SYNTHETIC = params.Synthetic(patients=300, seed=5)
EXTRACTION = params.Extraction(min_patients_per_token=3, test_share=0.4)
CERTIFICATION = params.Certification(futures=6, rows=120)
HOW = params.Statistics(bootstrap=60, permutations=20, folds=3, min_patients=5, min_carriers=5)
TRAINING = params.Training(epochs=10, batch_patients=24, learning_rate=5e-3)


class World:
    """Folders of a planted cohort, its futures, a model and its objects."""

    def __init__(self, root: Path) -> None:
        self.records, self.encounters = root / "records", root / "encounters"
        self.model, self.objects, self.futures = root / "model", root / "objects", root / "futures"
        for folder in (self.records, self.encounters, self.model, self.objects, self.futures):
            folder.mkdir()
        synthesize(self.records / "planted", SYNTHETIC)
        extract(self.encounters, self.records / "planted", params.Source(), EXTRACTION)
        train(self.model, self.encounters, TINY_MODEL, TRAINING, seed=0)
        make_objects(self.objects, self.encounters, self.model)
        given = (params.Source(), EXTRACTION, CERTIFICATION, HOW, 5)
        planted.simulate_futures(self.futures, self.encounters, *given)

    def hold(self, folder: Path, objects: Path | None = None) -> Path:
        """Run `hold_against_oracle` into a folder."""
        folder.mkdir(exist_ok=True)
        planted.hold_against_oracle(folder, self.records, self.futures, self.model, objects or self.objects, HOW, 0)
        return folder

    def changed(self, folder: Path, of_test: bool) -> Path:
        """Objects in which z of test patients is doubled, or that of all others shuffled; e is what z and ẑ make it."""
        o = load_objects(self.objects)
        z, moved = o.z.copy(), (o.index["split"] == "test").to_numpy() == of_test
        z[moved] = 2 * z[moved] if of_test else z[moved][::-1]
        folder.mkdir()
        save_objects(folder, o._replace(z=z, e=z[o.target_rows] - o.z_hat))
        return folder

    def foreseeing(self, folder: Path) -> Path:
        """Objects of a predictor that foresees most of z: so small a model foresees nothing to be taken away."""
        o, rng = load_objects(self.objects), np.random.default_rng(0)
        z, c = o.z.copy(), rng.standard_normal(o.c.shape).astype(np.float32)
        z_hat = c[o.target_rows - 1]
        z[o.target_rows] = z_hat + 0.5 * rng.standard_normal(z_hat.shape)
        folder.mkdir()
        save_objects(folder, o._replace(z=z, c=c, z_hat=z_hat, e=z[o.target_rows] - z_hat))
        return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def held(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.hold(tmp_path_factory.mktemp("held"))


def test_records_that_are_real_have_no_futures_and_say_so(world: World, tmp_path: Path) -> None:
    real = tmp_path / "real"
    cohort_encounters.save(real, cohort_encounters.load(world.encounters)._replace(tier="demo"))
    with pytest.raises(NotComputable, match="only the synthetic cohort"):
        planted_records(real)
    folder = tmp_path / "futures"
    folder.mkdir()
    planted.simulate_futures(folder, real, params.Source(), EXTRACTION, CERTIFICATION, HOW, 5)
    asked = (planted.made, planted.load_tokens, lambda at: planted.load_calibration(at, "came"))
    for ask in asked:
        with pytest.raises(NotComputable, match="only the synthetic cohort"):
            ask(folder)


def test_futures_are_of_test_patients_and_leave_nothing_else_behind(world: World) -> None:
    index, drawn = cohort_encounters.load(world.encounters).index, read_tensors(world.futures / "futures.safetensors")
    rows = drawn["rows"]
    assert (index["split"].iloc[rows] == "test").all()
    assert len(drawn["offsets"]) == len(rows) * CERTIFICATION.futures + 1
    assert {file.name for file in world.futures.iterdir()} == {
        "futures.safetensors", "tokens.parquet", "calibration.parquet", "reasons.json"
    }  # fmt: skip
    assert planted.made(world.futures) == world.futures
    assert planted.load_calibration(world.futures, "stranger").low > 1.2
    counted = planted.off_tokens(planted.load_tokens(world.futures))
    assert (counted["beyond 1.96"] <= counted["tokens"]).all()
    figures.token_check(planted.load_tokens(world.futures))


def test_scores_off_the_mean_are_counted_either_side() -> None:
    tokens = pd.DataFrame({"t": [3.0, -2.0, 0.0, np.nan], "t_simulated": [0.0, 1.0, -1.0, 0.0]})
    counted = planted.off_tokens(tokens)
    assert counted["tokens"].tolist() == [3, 4]
    assert counted["beyond 1.96"].tolist() == [2, 0]
    assert counted["largest score"].tolist() == [3, 1]


def test_concepts_are_described_as_they_were_planted(world: World) -> None:
    described = planted.describe_concepts(world.records, world.encounters)
    truth = load_truth(world.records / "planted", cohort_encounters.load(world.encounters).index)
    assert described["prevalence"].to_numpy() == pytest.approx(
        truth.states[list(described["concept"])].mean().to_numpy()
    )
    spelled = planted.spell_concepts(described)
    assert len(spelled) == len(described)
    assert spelled["prevalence"].str.endswith("%").all()


def test_an_encounter_by_itself_is_embedded_as_among_the_others(world: World) -> None:
    cohort, model = cohort_encounters.load(world.encounters), load_model(world.model)
    z = planted.encode_encounters(model.encoder, cohort.tokens, cohort.offsets)
    np.testing.assert_allclose(z, load_objects(world.objects).z, atol=1e-4)


def test_each_prediction_is_held_against_the_futures_of_its_own_encounter(world: World) -> None:
    held = planted.load_held(world.records, world.futures, world.model, world.objects)
    assert np.array_equal(held.objects.target_rows[held.place], held.rows)
    assert held.futures.shape[:2] == (len(held.rows), CERTIFICATION.futures)
    z, m = held.objects.z[held.rows], held.futures.mean(axis=1)
    away = np.square(z - m).sum(axis=1).mean()
    assert away < np.square(z - np.roll(m, len(m) // 2, axis=0)).sum(axis=1).mean()


def test_all_parts_of_the_error_are_left_for_the_page(world: World, held: Path) -> None:
    shares = {name: planted.load_share(held, name).value for name in ("irreducible", "reducible", "cross")}
    assert sum(shares.values()) == pytest.approx(1)
    assert abs(planted.load_share(held, "perfect").value) < 0.1
    for reader in ("own", "past"):
        assert planted.load_agreement(held, reader).chance == planted.AXES / TINY_MODEL.width
    assert planted.load_agreement(held, "own").r2 != planted.load_agreement(held, "past").r2
    shown = oracle_tables.agreement_table({"": held, "twin_": held})
    assert shown["reader"].str.contains("past").tolist() == [False, True] * 2
    assert shown["maps correlate"].str.contains(r"\[").all()
    missed, stranger = (planted.load_foreseen_of(held, "chronic", by) for by in ("missed", "missed, another patient's"))
    assert missed.value > stranger.value
    table = oracle_tables.share_table({"": held, "twin_": held})
    assert table["model"].tolist() == ["trained", "untrained twin"]
    figures.foreseen_by_concept(planted.load_foreseen(held))
    figures.error_by_axis(planted.load_axes(held))
    figures.spots_scatter(planted.load_spots(held))


def test_what_is_missed_is_what_the_state_foretells_and_z_hat_does_not(held: Path) -> None:
    kinds = {by: planted.load_foreseen_of(held, "chronic", by).value for by in ("state", "ẑ", "missed")}
    assert kinds["missed"] == pytest.approx(kinds["state"] - kinds["ẑ"])
    assert kinds["state"] > 0.5
    share = planted.load_foreseen_of(held, "chronic", "ẑ of the state's").value
    assert share == pytest.approx(kinds["ẑ"] / kinds["state"])
    shown = oracle_tables.kind_table(held).set_index("kind")
    assert shown.loc["chronic", "the state foretells"].startswith(f"{kinds['state']:.2f} [")


def test_directions_know_nothing_of_test_patients(world: World, held: Path, tmp_path: Path) -> None:
    """With z of test patients doubled, directions stay: what is foreseen of its displacement is half as much."""
    moved = world.hold(tmp_path / "held", world.changed(tmp_path / "objects", of_test=True))
    shares = [read_table(folder / "concepts.parquet")["value"].to_numpy() for folder in (held, moved)]
    np.testing.assert_allclose(shares[0], 2 * shares[1])
    other = world.hold(tmp_path / "other", world.changed(tmp_path / "others", of_test=False))
    other_shares = read_table(other / "concepts.parquet")["value"].to_numpy()
    assert not np.allclose(shares[0], other_shares, equal_nan=True)


def test_a_missing_or_undefined_estimate_is_not_computable(tmp_path: Path) -> None:
    row = {"name": "empty", "value": 1.0, "low": np.nan, "high": 2.0, "n_rows": 3, "n_patients": 2}
    write_table(tmp_path / "some.parquet", pd.DataFrame([row, row | {"name": "full", "low": 0.0}]))
    assert planted.load_estimate(tmp_path / "some.parquet", "full").low == 0
    for name in ("empty", "absent"):
        with pytest.raises(NotComputable, match=name):
            planted.load_estimate(tmp_path / "some.parquet", name)
    nothing = pd.DataFrame({"concept": ["a"], "space": ["ẑ"], "value": [np.nan]})
    write_table(tmp_path / "concepts.parquet", nothing)
    with pytest.raises(NotComputable, match="of no concept"):
        planted.load_foreseen(tmp_path)
    write_json(tmp_path / "reasons.json", {"reason": "no truth here"})
    with pytest.raises(NotComputable, match="no truth here"):
        planted.made(tmp_path)


def test_injected_subspaces_are_looked_for_on_test_patients(world: World, tmp_path: Path) -> None:
    blindness.inject_blind_spots(tmp_path, world.records, world.foreseeing(tmp_path / "objects"), HOW, 0)
    table = blindness.load_injections(tmp_path)
    assert table["axes"].tolist() == [1, 2, 3, 1, 2, 3, 1, 1]
    found, nothing = (blindness.load_mean(tmp_path, name) for name in ("injected", "nothing injected"))
    assert found.value > max(0.8, nothing.high)
    assert found.value == pytest.approx(table["blind axes"].mean())
    assert nothing.low <= nothing.value <= nothing.high
    split = load_objects(world.objects).index.query("k >= 1 and split == 'test'")
    assert (found.n_rows, found.n_patients) == (len(split), split["subject_id"].nunique())
    assert blindness.load_plain(tmp_path) == pytest.approx(table["axes of e"].mean())
    shown = oracle_tables.injection_table({"": tmp_path})
    assert "[" in shown["blind axes, nothing put in"][0]
    figures.injection_dots(table)


def test_each_trial_tells_of_its_own_concepts_and_leaves_its_numbers(world: World, held: Path, tmp_path: Path) -> None:
    given = (world.encounters, world.records, world.objects, TINY_MODEL, TRAINING, HOW, 0)
    blindness.falsify(tmp_path, *given, "echoes placebo rules")
    changed = blindness.load_changes(tmp_path)
    assert set(changed["trial"]) == {"echoes", "placebo", "rules"}
    assert set(changed.loc[changed["target"] & (changed["trial"] != "rules"), "dynamics"]) == {"long_memory"}
    assert set(changed.loc[changed["target"] & (changed["trial"] == "rules"), "dynamics"]) == {"driven"}
    pooled = blindness.load_pooled(tmp_path, "echoes, targets")
    mine = changed.query("trial == 'echoes' and target")
    assert pooled.value == pytest.approx(mine["value"].mean())
    assert -1 < blindness.load_skill(tmp_path, "nothing") < 1
    assert blindness.load_skill(tmp_path, "nothing") != blindness.load_skill(tmp_path, "model")
    assert set(oracle_tables.change_table({"": tmp_path})["concept"]) >= set(mine["concept"].str.replace("_", " "))
    before, after = (blindness.load_pooled(tmp_path, f"echoes, {name}").value for name in ("before", "after"))
    assert pooled.value == pytest.approx(after - before)
    assert mine["before"].mean() == pytest.approx(before)
    # The last encounter says nothing of an echo; who is told of it foresees much of it.
    assert pooled.value > 0.3 > abs(blindness.load_pooled(tmp_path, "placebo, targets").value)
    shown = oracle_tables.trial_table(tmp_path).set_index("told")
    assert shown.index.tolist() == ["echoes", "placebo", "rules"]
    assert shown.loc["echoes", "foreseen before"].startswith(f"{before:.2f}")
    figures.cure_dumbbells(changed, planted.load_foreseen(held))


def test_a_concept_that_is_told_of_but_that_too_few_have_gives_a_reason(world: World, tmp_path: Path) -> None:
    few = HOW.model_copy(update={"min_carriers": 10_000})
    given = (world.encounters, world.records, world.objects, TINY_MODEL, TRAINING, few, 0)
    with pytest.raises(NotComputable, match="too few test patients"):
        blindness.falsify(tmp_path, *given, "echoes")


def test_those_that_moved_are_counted_and_named_but_not_the_ones_that_were_told(tmp_path: Path) -> None:
    changed = pd.DataFrame(
        {
            "trial": ["echoes"] * 4 + ["placebo"],
            "concept": ["told", "up_there", "down", "still", "elsewhere"],
            "target": [True, False, False, False, False],
            "low": [1, 0.1, -2, -1, -1],
            "high": [2, 0.2, -1, 1, 2],
        }
    )
    write_table(tmp_path / "changes.parquet", changed)
    parts = [
        f"{trial}, {part}"
        for trial in ("echoes", "placebo")
        for part in ("before", "after", "targets", "others", "furthest")
    ]
    write_table(tmp_path / "pooled.parquet", pd.DataFrame({"name": parts, "value": 0.0, "low": 0.0, "high": 0.0}))
    moved = oracle_tables.trial_table(tmp_path).set_index("told")["others moved"]
    assert moved.to_dict() == {"echoes": "2 of 3 (up there, down)", "placebo": "0 of 1"}


def test_what_a_predictor_was_told_is_made_use_of_on_other_patients() -> None:
    """Least squares fits the told bits on training rows alone, and adds nothing where there is nothing."""
    rng = np.random.default_rng(0)
    told, train = (rng.random((400, 1)) < 0.1).astype(float), np.arange(400) < 200
    z = rng.standard_normal((400, 3)) + 4 * told * np.eye(3)[0]
    z[~train, 1] += 50
    finished = blindness._finish(np.zeros((400, 3)), z, told, train)
    meant = finished[told[:, 0] == 1][0] - finished[told[:, 0] == 0][0]
    np.testing.assert_allclose(meant, [4, 0, 0], atol=1)
    assert np.abs(finished[:, 1]).max() < 2
    np.testing.assert_allclose(blindness._finish(z, z, told, train), z)
