"""Pairs of seeds: all of a few, a ring of many, and the same numbers either way."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from weakref import WeakSet

import numpy as np
import pandas as pd
import pytest

from jepascope import params
from jepascope.analysis.inference.pairs import SPAN, compared_pairs
from jepascope.analysis.inference.stats import Inference, permuted_rows
from jepascope.analysis.predictor.likeness import estimate, paired_cka
from jepascope.objects import Objects, save_objects
from jepascope.pipeline.predictor.comparison import Z_HAT, load_targets
from jepascope.pipeline.seeds.pairs import by_seed, each_pair
from jepascope.pipeline.seeds.similarity import compare_seeds, quotient
from jepascope.store import read_table

STATISTICS = params.Statistics(bootstrap=30, permutations=10, min_patients=5)
B, K, D = 40, 3, 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[int | Path]:
    """Seven seeds and their twins: noisy views of what the patients are."""
    root = tmp_path_factory.mktemp("models")
    subject, k = np.repeat(np.arange(B), K), np.tile(np.arange(K), B)
    split = np.where(subject % 2, "train", "test")
    index = pd.DataFrame({"subject_id": subject, "k": k, "split": split, "gap_days": np.where(k, 30.0, np.nan)})
    at, said = np.flatnonzero(k), np.random.default_rng(0).normal(size=(B * K, D))
    made: list[int | Path] = []
    for seed in range(7):
        made.append(seed)
        for name, noise in (("trained", 0.5), ("twin", 1.0)):
            rng = np.random.default_rng([seed, len(name)])
            z = (said + noise * rng.normal(size=said.shape)).astype(np.float32)
            z_hat = (z[at] + rng.normal(size=(len(at), D))).astype(np.float32)
            made.append(root / f"{name}{seed}")
            made[-1].mkdir()
            save_objects(made[-1], Objects(index, z, z, at, z_hat, z[at] - z_hat))
    return made


def test_of_few_seeds_every_pair_is_compared() -> None:
    for S in range(1, 2 * SPAN + 2):
        assert compared_pairs(S) == list(combinations(range(S), 2))


@pytest.mark.parametrize("S", [6, 12, 100])
def test_of_many_each_seed_is_in_as_many_pairs_and_the_cost_grows_with_the_seeds(S: int) -> None:
    pairs = compared_pairs(S)
    assert len(pairs) == len(set(pairs)) == SPAN * S
    assert all(i < j for i, j in pairs)
    assert set(np.bincount(np.ravel(pairs))) == {2 * SPAN}


def test_seeds_are_loaded_about_once_and_let_go() -> None:
    class Loaded:
        pass

    alive: WeakSet[Loaded] = WeakSet()
    loads, most = [], 0

    def load(seed: int) -> Loaded:
        loads.append(seed)
        made = Loaded()
        alive.add(made)
        return made

    seeds = list(range(10, 40))
    for *_, ours, theirs in each_pair(seeds, load):
        most = max(most, len(alive))
        assert ours is not theirs
    assert set(loads) == set(seeds)
    assert len(loads) <= len(seeds) + SPAN
    assert most <= 2 * SPAN + 3  # and the pair before, which the loop still names


def test_what_seeds_left_stands_seed_by_seed() -> None:
    found = by_seed(lambda chapter, step, seed: Path(f"{seed}/{chapter}/{step}"), [3, 5], ("a", "x"), ("b", "y"))
    assert found == [3, Path("3/a/x"), Path("3/b/y"), 5, Path("5/a/x"), Path("5/b/y")]


def test_three_seeds_are_compared_in_all_three_pairs_with_the_numbers_of_comparing_each_alone(
    models: list[int | Path], tmp_path: Path
) -> None:
    """To the last bit: what is kept from pair to pair is what each pair would have made for itself."""
    compare_seeds(tmp_path, STATISTICS, *models[:9])
    how = Inference(**STATISTICS.model_dump())
    trained, twin = ([load_targets(path).of("test") for path in models[at:9:3]] for at in (1, 2))
    rows, shares = [], []
    for a, b in combinations(range(3), 2):
        patients = trained[a].patients
        moved = trained[b].z[permuted_rows(patients, 1, np.random.default_rng([a, b]))[0]]

        def cka(x: np.ndarray, y: np.ndarray, patients: np.ndarray = patients) -> object:
            return paired_cka(x, {"": y}, patients, how, np.random.default_rng(0))[""]

        hats = [made.predictions[Z_HAT] for made in (trained[a], trained[b])]
        between, untrained = cka(trained[a].z, trained[b].z), cka(twin[a].z, twin[b].z)
        drawn = [between, cka(trained[a].z, moved), cka(*hats), untrained]
        rows += [tuple(estimate(d, how.level)) for d in drawn]
        for made, under in ((trained, between), (twin, untrained)):
            own = [cka(made[seed].z, made[seed].predictions[Z_HAT]) for seed in (a, b)]
            shares += [tuple(quotient(over, under, how.level)) for over in own]
    fields = ["value", "low", "high", "n_rows", "n_patients"]
    np.testing.assert_array_equal(read_table(tmp_path / "likeness.parquet")[fields], rows)
    np.testing.assert_array_equal(read_table(tmp_path / "shares.parquet")[fields], shares)


def test_a_pair_has_the_same_numbers_whatever_other_seeds_are_compared(
    models: list[int | Path], tmp_path: Path
) -> None:
    tables = []
    for name, given in (("three", models[:9]), ("seven", models)):
        (tmp_path / name).mkdir()
        compare_seeds(tmp_path / name, STATISTICS, *given)
        tables.append(read_table(tmp_path / name / "likeness.parquet").set_index(["a", "b", "space"]))
    pd.testing.assert_frame_equal(tables[0], tables[1].loc[tables[0].index], check_exact=True)
    assert tables[1].index.droplevel("space").nunique() == SPAN * 7


def test_seeds_of_two_extractions_are_refused(models: list[int | Path], tmp_path: Path) -> None:
    index = pd.DataFrame({"subject_id": np.repeat(np.arange(B) + 1, K), "k": np.tile(np.arange(K), B)})
    index = index.assign(split=np.where(index["subject_id"] % 2, "test", "train"), gap_days=1.0)
    z = np.random.default_rng(0).normal(size=(B * K, D)).astype(np.float32)
    at = np.flatnonzero(index["k"])
    (tmp_path / "other").mkdir()
    save_objects(tmp_path / "other", Objects(index, z, z, at, z[at], z[at]))
    with pytest.raises(ValueError, match="seeds 0 and 1 hold different"):
        compare_seeds(tmp_path, STATISTICS, *models[:3], 1, tmp_path / "other", tmp_path / "other")
