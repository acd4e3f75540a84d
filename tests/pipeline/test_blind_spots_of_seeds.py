"""Blind spots of two seeds: the same model turned has the same map, and a stranger has not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.fixtures_encounters import toy_encounters

from jepascope import params
from jepascope.analysis.inference.between_seeds import over_pairs
from jepascope.analysis.inference.stats import NotComputable
from jepascope.book.figures.seeds import blind_spots_by_seed
from jepascope.book.tables.seeds import agreement_table, claims_table, pairs_table, shared_table, smallest
from jepascope.cohort import encounters as cohort_encounters
from jepascope.objects import Objects, load_objects, save_objects
from jepascope.pipeline.seeds import blind_spots as blind
from jepascope.store import read_table

STATISTICS = params.Statistics(bootstrap=60, permutations=200, min_patients=5)
D = 8


def model(index: pd.DataFrame, labels: np.ndarray, forgets: np.ndarray, seed: int, turn: bool = False) -> Objects:
    """z says each group on an axis of its own, persistent noise besides; ẑ forgets a share of each axis."""
    rng = np.random.default_rng(seed)
    z = (labels + 0.3 * rng.normal(size=(len(index), D))).astype(np.float32)
    at = np.flatnonzero(index["k"].to_numpy() > 0)
    mean = z.mean(axis=0)
    z_hat = mean + (z[at] - mean) * (1 - forgets).astype(np.float32)
    Q = np.linalg.qr(rng.normal(size=(D, D)))[0].astype(np.float32) if turn else np.eye(D, dtype=np.float32)
    return Objects(index, z @ Q, z @ Q, at, z_hat @ Q, (z[at] - z_hat) @ Q)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeds 0 and 1 forget the same in spaces turned against each other, seed 2 the other way round."""
    root = tmp_path_factory.mktemp("seeds")
    cohort = toy_encounters(patients=300, mean_encounters=4)
    yes = np.random.default_rng(0).random((len(cohort.index), D)) < 0.4
    groups = {f"group_g{j}": yes[:, j] for j in range(D)}
    index = cohort.index.assign(f_code_so_far=True, admission_type="URGENT", los_days=2.0, icd_version=10, **groups)
    cohort_encounters.save(root / "cohort", cohort._replace(index=index))
    forgets = np.linspace(0.1, 0.9, D)
    made: list[int | Path] = []
    for seed, share in enumerate((forgets, forgets, forgets[::-1])):
        for name, objects in (
            ("trained", model(index, yes, share, seed, turn=seed == 1)),
            ("twin", model(index, yes, np.random.default_rng(7 + seed).permuted(share), 9 + seed)),
        ):
            (root / f"{name}{seed}").mkdir()
            save_objects(root / f"{name}{seed}", objects)
        made += [seed, root / f"trained{seed}", root / f"twin{seed}"]
    (root / "out").mkdir()
    blind.compare_blind_spots(root / "out", root / "cohort", STATISTICS, *made)
    return root


def test_seeds_that_forget_the_same_agree_and_others_do_not(done: Path) -> None:
    table = read_table(done / "out" / "agreement.parquet")
    mine = table[(table["model"] == "trained") & (table["reading"] == blind.PLAIN)].set_index(["a", "b"])
    assert mine.loc[(0, 1), "value"] > 0.8
    assert mine.loc[(0, 1), "p"] < 0.05
    assert mine.loc[(0, 2), "value"] < 0.3
    assert smallest(table, "trained", reading=blind.PLAIN).value == mine["value"].min()
    assert len(agreement_table(table)) == 3 * 2 * 2
    over = pairs_table(table, ["model", "reading"], 0.95)
    assert over.iloc[0].to_dict() == {
        "model": "trained",
        "reading": blind.PLAIN,
        "pairs": "3 of 3",
        "mean": f"{mine['value'].mean():z.2f}",
        "lowest": f"{mine['value'].min():z.2f}",
        "highest": f"{mine['value'].max():z.2f}",
    }
    assert len(over) == 2 * 2
    ring = pd.DataFrame({"a": [0, 1, 2, 3, 0], "b": [1, 2, 3, 4, 4], "model": "trained", "value": [1.0, 2, 6, 4, 2]})
    low, high = over_pairs(ring["value"].to_numpy(), ring[["a", "b"]].to_numpy(), 0.95)[1:3]
    over = pairs_table(ring, ["model"], 0.95)
    assert over.iloc[0]["pairs"] == "5 of 10"
    assert over.iloc[0]["over seeds"] == f"[{low:.2f}, {high:.2f}]"
    with pytest.raises(NotComputable, match="share enough"):
        smallest(table, "nobody's")


def test_a_concept_that_one_seed_forgets_is_told_apart_by_the_patients_they_share(done: Path) -> None:
    table = read_table(done / "out" / "concepts.parquet").set_index("concept")
    assert table.loc["g0", "seed 0"] == pytest.approx(0.1**2, abs=0.02)
    assert table.loc["g0", "seed 1"] == pytest.approx(0.1**2, abs=0.02)
    assert table.loc["g0", "seed 2"] == pytest.approx(0.9**2, abs=0.05)
    assert table.loc["g0", "q"] < 0.01
    assert table["mean"].is_monotonic_decreasing
    drawn = table.reset_index().assign(q=np.linspace(0.01, 0.08, len(table)))
    axes = blind_spots_by_seed(drawn, 0.05).axes[0]
    starred = [label.get_text().endswith("*") for label in axes.get_yticklabels()]
    assert starred == (drawn["q"] < 0.05).tolist()
    assert len(axes.get_legend().get_texts()) == 3
    many = table.reset_index().assign(**{f"seed {seed}": 0.5 for seed in range(20)})
    assert blind_spots_by_seed(many, 0.05).axes[0].get_legend() is None  # no twenty markers to be told apart


def test_directions_are_of_training_patients_and_draws_of_patients_are_shared(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    fit = blind.concept_directions
    monkeypatch.setattr(blind, "concept_directions", lambda z, labels: given.append(z) or fit(z, labels))
    pairs = [path for seed in (0, 1) for path in (seed, done / f"trained{seed}", done / f"twin{seed}")]
    blind.compare_blind_spots(tmp_path, done / "cohort", STATISTICS, *pairs)
    objects = load_objects(done / "trained0")
    same = (0, *pairs[1:3], 1, *pairs[1:3])  # one model twice: what the patients do to one they do to the other
    blind.compare_blind_spots(tmp_path, done / "cohort", STATISTICS, *same)
    assert read_table(tmp_path / "agreement.parquet")["low"].to_numpy() == pytest.approx(1)
    training = (objects.index["split"] == "train").to_numpy()[objects.target_rows]
    np.testing.assert_array_equal(given[0], objects.z[objects.target_rows][training])


def test_one_seed_and_too_few_concepts_are_not_computable(done: Path, tmp_path: Path) -> None:
    one = (0, done / "trained0", done / "twin0")
    with pytest.raises(NotComputable, match="1 seed"):
        blind.compare_blind_spots(tmp_path, done / "cohort", STATISTICS, *one)
    strict = STATISTICS.model_copy(update={"min_carriers": 10_000})
    with pytest.raises(NotComputable, match="no concept"):
        blind.compare_blind_spots(tmp_path, done / "cohort", strict, *one, 1, *one[1:])


def test_a_quotient_that_may_be_anything_is_a_dash() -> None:
    row = {"model": "trained", "seed": 0, "other": 1, "own": 0.5, "between": 0.0, "low": np.nan, "high": np.nan}
    table = shared_table(pd.DataFrame([row | {"value": np.nan}, row | {"value": 1.5, "low": 1.4, "high": 1.6}]))
    assert table["first over second"].tolist() == ["—", "1.50 [1.40, 1.60]"]
    over = pairs_table(
        pd.DataFrame([row | {"value": np.nan}, row | {"seed": 1, "other": 0, "value": 1.5}]), ["model"], 0.95
    )
    assert over.iloc[0][["pairs", "mean"]].tolist() == ["1 of 1", "—"]  # a pair from both its ends is one


def test_claims_by_seeds_say_what_holds_in_which_and_begin_with_those_that_hold_in_all() -> None:
    rows = [
        ("a", 0, "holds", 0.7), ("a", 1, "does not hold", 0.1), ("b", 0, "holds", 0.8), ("b", 1, "holds", 0.9),
        ("c", 0, "not licensed: control 'x' missing", 0.5), ("c", 1, "not computable here: 3 patients", np.nan),
        ("d", 0, "holds", 0.2), ("c", 2, "does not hold", -0.001),
    ]  # fmt: skip
    ledger = pd.DataFrame(rows, columns=["id", "seed", "verdict", "value"])
    table = claims_table(ledger.assign(statement=ledger["id"].str.upper()))
    assert table.columns.tolist() == ["claim", "holds in", "seed 0", "seed 1", "seed 2"]
    assert table.to_numpy().tolist() == [
        ["B", "2 of 2", "● 0.80", "● 0.90", "—"],
        ["A", "1 of 2", "● 0.70", "○ 0.10", "—"],
        ["C", "0 of 2", "· 0.50", "—", "○ 0.00"],
    ]
    with pytest.raises(NotComputable, match="two seeds"):
        claims_table(ledger[ledger["seed"] == 0].assign(statement="one"))
