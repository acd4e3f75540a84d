"""Features of two seeds: a rotated model has the same ones, another patient's activations have none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.sae import Settings, fit
from jepascope.book.tables.seeds import features_table
from jepascope.objects import Objects, save_objects
from jepascope.pipeline.dictionary.dictionaries import NOISE, save_dictionary
from jepascope.pipeline.seeds.features import Spoken, match, match_features, mean_correlation
from jepascope.store import read_table, write_table

HOW = Inference(bootstrap=200, permutations=20)
D, F = 12, 10


@pytest.fixture(scope="module")
def models() -> tuple[Spoken, Spoken, Spoken]:
    """A model with sparse features, the same turned and scaled, and another with features of its own."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(400), 4)
    split = np.where(subject % 2, "train", "test")
    index = pd.DataFrame({"subject_id": subject, "split": split})

    def objects(seed: int) -> np.ndarray:
        own = np.random.default_rng(seed)
        atoms = np.linalg.qr(own.normal(size=(D, D)))[0][:F]
        on = own.random((len(subject), F)) < 0.15
        return ((on * own.uniform(1, 2, on.shape)) @ atoms + 0.02 * own.normal(size=(len(subject), D))).astype(
            np.float32
        )

    rotation = np.linalg.qr(rng.normal(size=(D, D)))[0].astype(np.float32)
    z = objects(1)
    spaces = (z, 3 * z @ rotation + 1, objects(2))
    settings = Settings(features=F, active=3, epochs=40, batch_rows=128, learning_rate=1e-2)
    none = np.zeros(0, int)
    return tuple(
        Spoken(Objects(index, x, x, none, x[:0], x[:0]), fit(x[split == "train"], settings, seed))
        for seed, x in enumerate(spaces)
    )


def test_a_model_that_was_only_turned_and_scaled_has_the_same_features(models: tuple[Spoken, ...]) -> None:
    found = match(models[0], models[1], False, HOW, np.random.default_rng(0))
    assert found["same_direction"] >= 0.8 * F
    assert found["fire_together"] >= 0.8 * F
    assert found["low"] > 0.7


@pytest.mark.parametrize("moved", [False, True])
def test_models_or_patients_that_have_nothing_to_do_with_each_other_share_no_firing(
    models: tuple[Spoken, ...], moved: bool
) -> None:
    found = match(models[0], models[1 if moved else 2], moved, HOW, np.random.default_rng(0))
    assert found["fire_together"] == 0
    assert abs(found["value"]) < 0.1


def test_test_patients_have_no_part_in_the_rotation_nor_in_the_pairs(models: tuple[Spoken, ...]) -> None:
    one, turned, stranger = models
    test = (one.objects.index["split"] == "test").to_numpy()
    scrambled = turned.objects.z.copy()
    scrambled[test] = np.random.default_rng(5).normal(size=scrambled[test].shape)
    other = turned._replace(objects=turned.objects._replace(z=scrambled))
    rng = np.random.default_rng(0)
    assert match(one, other, False, HOW, rng)["same_direction"] == match(one, turned, False, HOW, rng)["same_direction"]
    # Few test patients: pairs chosen on them would seem to fire together.
    index = one.objects.index.copy()
    index.loc[index["subject_id"].gt(40) & test, "split"] = "validation"
    few, unlike = (spoken._replace(objects=spoken.objects._replace(index=index)) for spoken in (one, stranger))
    assert match(few, unlike, False, HOW, rng)["value"] < 0.05


def test_the_mean_correlation_is_the_mean_of_pearsons_r() -> None:
    rng = np.random.default_rng(0)
    f = rng.normal(size=(200, 3))
    g = f + rng.normal(size=(200, 3))
    expected = np.mean([np.corrcoef(f[:, j], g[:, j])[0, 1] for j in range(3)])
    found = mean_correlation(f, g, np.arange(200) // 2, HOW, rng)
    assert found.value == pytest.approx(expected)
    assert found.low < expected < found.high


def test_the_interval_of_a_mean_correlation_is_that_of_computing_it_again_in_every_draw() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(150), 2)
    f = (rng.random((150, 2)) < 0.2)[patients] * rng.exponential(size=(300, 2))  # rare and skewed, as features are
    g = f + 0.2 * rng.exponential(size=f.shape)
    found = mean_correlation(f, g, patients, HOW, np.random.default_rng(1))
    again = []
    for drawn in np.random.default_rng(1).integers(0, 150, (HOW.bootstrap, 150)):
        rows = (2 * drawn[:, None] + np.arange(2)).ravel()
        again.append(np.mean([np.corrcoef(f[rows, j], g[rows, j])[0, 1] for j in range(2)]))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(again, [0.025, 0.975])))
    same = mean_correlation(f, 3 * f + 1, patients, HOW, rng)
    assert same[:3] == pytest.approx((1, 1, 1))  # r is one in every draw
    silent = mean_correlation(np.c_[f[:, :1], 0 * f[:, :1]], f, patients, HOW, rng)
    assert silent[:3] == pytest.approx((0.5, 0.5, 0.5))  # one equal, one that is never on


def test_a_seed_whose_vote_keeps_nothing_takes_no_other_seeds_features_with_it(
    models: tuple[Spoken, ...], tmp_path: Path
) -> None:
    given: list[int | Path] = []
    for seed, kept in enumerate((F, F, 0, F)):
        folders = [tmp_path / f"{name}{seed}" for name in ("objects", "votes", "twin", "baselines")]
        for folder in folders:
            folder.mkdir()
        spoken = models[seed % 2]
        save_objects(folders[0], spoken.objects)
        save_objects(folders[2], spoken.objects)
        save_dictionary(folders[1], spoken.dictionary, "kept")
        save_dictionary(folders[3], spoken.dictionary, "twin")
        write_table(folders[1] / "votes.parquet", pd.DataFrame({"kept": np.arange(F) < kept}))
        write_table(folders[1] / "floors.parquet", pd.DataFrame({"data": [NOISE], "kept": [0]}))
        given += [seed, *folders]
    match_features(tmp_path, params.Statistics(bootstrap=20, permutations=10), *given)
    table = read_table(tmp_path / "matches.parquet")
    assert table[["a", "b"]].drop_duplicates().to_numpy().tolist() == [[0, 1], [0, 3], [1, 3]]
    shown = features_table(table, 0.95)
    assert set(shown["pairs"]) == {"3 of 3"}
    assert shown.iloc[0]["lowest"] == f"{table.iloc[0]['same_direction'] / F:.2f}"
    with pytest.raises(NotComputable, match="seed 2: 0 features kept by the vote"):
        match_features(tmp_path, params.Statistics(), *given[5:15])


def test_seeds_that_hold_other_encounters_are_not_matched_row_by_row(models: tuple[Spoken, ...]) -> None:
    one, other, _ = models
    index = other.objects.index.assign(subject_id=other.objects.index["subject_id"].to_numpy()[::-1])
    with pytest.raises(ValueError, match="different encounters"):
        match(one, other._replace(objects=other.objects._replace(index=index)), False, HOW, np.random.default_rng(0))


def test_one_seed_alone_has_nothing_to_be_matched_with(tmp_path: Path) -> None:
    with pytest.raises(NotComputable, match="two seeds"):
        match_features(tmp_path, params.Statistics(), 0, tmp_path, tmp_path, tmp_path, tmp_path)
