"""The step that attacks membership: it sees a planted memory and no other, and its outsider judges strangers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.fixtures_encounters import toy_encounters

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.book.figures.membership import attacks as draw
from jepascope.book.tables.membership import attack_table
from jepascope.objects import Objects, save_objects
from jepascope.pipeline.error import membership
from jepascope.pipeline.error.parts import load_rows
from jepascope.pipeline.readings import load_reading, load_table

STATISTICS = params.Statistics(bootstrap=100, permutations=100, min_patients=10, min_carriers=5)
HOW = Inference(**STATISTICS.model_dump())
D = 5


def objects(patients: int, memory: float, seed: int = 0) -> Objects:
    """z of a lasting and a passing part; ẑ knows the first, and of training patients a share of the second."""
    index = toy_encounters(patients=patients, mean_encounters=4).index
    rng = np.random.default_rng(seed)
    who = np.unique(index["subject_id"], return_inverse=True)[1]
    lasting = rng.normal(size=(who.max() + 1, D))[who]
    z = (lasting + rng.normal(size=lasting.shape)).astype(np.float32)
    at = np.flatnonzero(index["k"].to_numpy() > 0)
    known = memory * (index["split"].to_numpy() == "train")[at][:, None]
    z_hat = (lasting[at] + known * (z - lasting)[at]).astype(np.float32)
    return Objects(index, z, lasting.astype(np.float32), at, z_hat, z[at] - z_hat)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    """Folders of the step by how much the model remembers; the twin remembers nothing."""
    root, made = tmp_path_factory.mktemp("membership"), {}
    for memory in (0.0, 0.3):
        for name, part in (("trained", memory), ("twin", 0.0)):
            (root / f"{name}{memory}").mkdir()
            save_objects(root / f"{name}{memory}", objects(450, part, seed=1 + (name == "twin")))
        made[memory] = root / f"told{memory}"
        made[memory].mkdir()
        membership.infer_membership(made[memory], root / f"trained{memory}", root / f"twin{memory}", STATISTICS, 0)
    return made


@pytest.mark.parametrize("name", ["by_error", "beside_an_outsider", "learnt"])
def test_a_planted_memory_is_seen_and_its_absence_is_too(attacked: dict[float, Path], name: str) -> None:
    remembered, clean = (load_reading(attacked[memory], name) for memory in (0.3, 0.0))
    assert remembered.estimate.low > max(0.6, remembered.null.high)
    assert clean.estimate.value < 0.57
    assert remembered.untrained.value < 0.57


def test_patients_whom_nobody_trained_on_are_not_told_apart(attacked: dict[float, Path]) -> None:
    found = load_reading(attacked[0.3], "control").estimate
    assert found.low < 0.5 < found.high


def test_whoever_is_remembered_stands_out_beyond_the_false_alarms(attacked: dict[float, Path]) -> None:
    assert membership.load_caught(attacked[0.3]).value > membership.load_caught(attacked[0.0]).value
    assert membership.load_caught(attacked[0.0]).low < 0.05  # of few patients the first false alarm is anywhere


def test_the_planted_share_is_found(attacked: dict[float, Path]) -> None:
    remembered, clean = (membership.load_shorter(attacked[memory]) for memory in (0.3, 0.0))
    assert remembered.low < 0.3 < remembered.high
    assert clean.low < 0 < clean.high


def test_the_more_is_planted_the_more_is_seen(attacked: dict[float, Path]) -> None:
    for _, line in load_table(attacked[0.0], "planted").groupby("attack"):
        assert line["auroc"].is_monotonic_increasing
        assert line["auroc"].iloc[-1] > 0.6
    assert 0 < membership.least_seen(attacked[0.0], bound=0.58) < 0.2
    with pytest.raises(NotComputable, match="that was planted"):
        membership.least_seen(attacked[0.0], bound=0.999)


def test_the_outsider_of_a_patient_rests_on_other_validation_patients_alone(tmp_path: Path) -> None:
    made = objects(150, 0.0)
    save_objects(tmp_path, made)
    rows = load_rows(tmp_path)
    people = membership.describe(rows)
    before = membership.outsider(rows, people, 5, 0)
    split, one = people.split[people.codes], people.codes[(people.split == "validation")[people.codes]][0]
    for strangers in (split != "validation", people.codes == one):
        z = np.where(strangers[:, None], rows.z + 50, rows.z)
        assert np.array_equal(membership.outsider(rows._replace(z=z), people, 5, 0)[strangers], before[strangers])
    known = np.where((split == "validation")[:, None], rows.z + 50, rows.z)
    assert not np.array_equal(membership.outsider(rows._replace(z=known), people, 5, 0), before)


def test_too_few_patients_leave_reasons_and_no_reading(tmp_path: Path) -> None:
    for name in ("trained", "twin", "told"):
        (tmp_path / name).mkdir()
    for name in ("trained", "twin"):
        save_objects(tmp_path / name, objects(12, 0.0))
    membership.infer_membership(tmp_path / "told", tmp_path / "trained", tmp_path / "twin", STATISTICS, 0)
    table = load_table(tmp_path / "told", "attacks")
    assert (table["reason"] != "").all()
    with pytest.raises(NotComputable, match="too few patients"):
        load_reading(tmp_path / "told", "by_error")
    with pytest.raises(NotComputable):
        membership.load_caught(tmp_path / "told")
    with pytest.raises(NotComputable):
        membership.load_shorter(tmp_path / "told")
    assert attack_table(table)["AUROC"].str.contains("needed|alone|like records").all()


def test_the_figure_and_the_table_show_every_attack_once(attacked: dict[float, Path]) -> None:
    table = load_table(attacked[0.3], "attacks")
    left, right = draw(table, load_table(attacked[0.3], "planted")).axes
    assert [label.get_text() for label in left.get_yticklabels()][::-1] == list(dict.fromkeys(table["attack"]))
    assert len(right.get_legend().get_texts()) == 2
    shown = attack_table(table)
    assert len(shown) == len(table) == shown.drop_duplicates(["taken for members", "model", "attack"]).shape[0]
