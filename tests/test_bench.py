"""The bench's own parts: its trees are what they say, and what it compares is comparable."""

import sys
from fractions import Fraction
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from jepascope import params
from jepascope.cohort.encounters import Encounters, load, save
from jepascope.cohort.extract import extract
from jepascope.models import encoder
from jepascope.models.jepa import Batch
from jepascope.params import project_root
from jepascope.pipeline.outcomes.meds_predictions import write_predictions
from jepascope.training.batches import pack, select
from jepascope.training.initial import new_model
from jepascope.training.loop import make_optimiser
from tests.fixtures_encounters import toy_encounters

sys.path.insert(0, str(project_root() / "bench"))

import ehr_jepa
import extraction
import labels_aces
import measure
import padded_model
import pandas_extraction
import predictions_meds_evaluation
import synthetic_tree
import training_contender
import training_cost
import training_scaling
import turns
from environments import NotRunError

import training

TINY = Fraction(1, 2048)
DEMO = project_root().parent / "shared" / "mimic-iv-demo"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bench") / "tree"
    synthetic_tree.write_tree(root, TINY)
    return root


@pytest.fixture(scope="module")
def extracted(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Encounters:
    folder = tmp_path_factory.mktemp("extracted")
    extract(folder, tree, params.Source(kind="mimic", root=str(tree)), params.Extraction())
    return load(folder)


def file_of(root: Path, table: str, suffix: str = "csv.gz") -> Path:
    return root / ("icu" if table == "icustays" else "hosp") / f"{table}.{suffix}"


def rows_of(root: Path, table: str) -> pd.DataFrame:
    return pd.read_csv(file_of(root, table), dtype={"icd_code": str})


@pytest.mark.parametrize("table", synthetic_tree.SHAPE)
def test_a_tree_has_the_rows_of_its_fraction(tree: Path, table: str) -> None:
    assert len(rows_of(tree, table)) == round(synthetic_tree.SHAPE[table] * TINY)


@pytest.mark.demo
@pytest.mark.skipif(not DEMO.exists(), reason="the MIMIC-IV demo is not beside the checkout")
@pytest.mark.parametrize("table", [*synthetic_tree.SHAPE, *synthetic_tree.DICTIONARIES])
def test_a_tree_has_the_headers_of_the_original(tree: Path, table: str) -> None:
    original = pd.read_csv(file_of(DEMO, table), nrows=1)
    assert rows_of(tree, table).columns.tolist() == original.columns.tolist()


def test_a_tree_has_the_shape_of_the_original(tree: Path) -> None:
    labs, codes, admissions = (rows_of(tree, table) for table in ("labevents", "diagnoses_icd", "admissions"))
    assert labs["hadm_id"].isna().mean() == pytest.approx(0.26, abs=0.03)
    assert labs["subject_id"].is_monotonic_increasing
    assert labs["labevent_id"].is_unique
    assert (codes.groupby("hadm_id")["icd_version"].nunique() == 1).all()
    assert set(codes["icd_version"]) == {9, 10}
    assert codes["icd_code"].value_counts(normalize=True).iloc[0] > 20 / codes["icd_code"].nunique()
    per_patient = admissions["subject_id"].value_counts()
    assert (per_patient == 1).mean() > 0.4
    assert per_patient.max() > 5 * per_patient.mean()
    assert set(admissions["subject_id"]) < set(rows_of(tree, "patients")["subject_id"])


def test_a_tree_is_the_same_in_every_format_and_every_time(tree: Path, tmp_path: Path) -> None:
    for suffix in ("csv.gz", "parquet"):
        synthetic_tree.write_tree(tmp_path / suffix, TINY, suffix)
    again = [file_of(root, "labevents").read_bytes() for root in (tree, tmp_path / "csv.gz")]
    assert again[0] == again[1]
    assert duckdb.execute(
        f"select count(*) from (from '{file_of(tmp_path / 'parquet', 'labevents', 'parquet')}' limit 5000)"
        f" semi join '{file_of(tree, 'labevents')}' using (labevent_id, subject_id, itemid, charttime)"
    ).fetchall() == [(5000,)]


def test_a_tree_is_written_once_and_never_over_something_else(tree: Path, tmp_path: Path) -> None:
    before = file_of(tree, "labevents").stat().st_mtime_ns
    synthetic_tree.write_tree(tree, TINY)
    assert file_of(tree, "labevents").stat().st_mtime_ns == before
    (tmp_path / "thesis.txt").write_text("four years")
    with pytest.raises(ValueError, match="something else"):
        synthetic_tree.write_tree(tmp_path, TINY)
    assert (tmp_path / "thesis.txt").exists()


def test_pandas_and_the_library_agree_on_encounters_and_nearly_on_tokens(tree: Path, extracted: Encounters) -> None:
    found = pandas_extraction.extract(tree)
    np.testing.assert_array_equal(found["hadm_id"], extracted.index["hadm_id"])
    np.testing.assert_array_equal(found["k"], extracted.index["k"])
    n_tokens = found["tokens"].map(len)
    assert n_tokens.sum() == pytest.approx(len(extracted.tokens), rel=0.15)
    assert np.corrcoef(n_tokens, extracted.index["n_tokens"])[0, 1] > 0.9


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from Linux's /proc")
def test_memory_is_of_the_whole_process_tree_and_not_of_the_one_who_asks(tmp_path: Path) -> None:
    ballast = np.ones(100_000_000)  # 800 MB that are ours
    hold = "b = bytearray(300_000_000); import time; time.sleep(0.6)"
    both = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', '{hold}']); {hold}; p.wait()"
    took = measure.run([sys.executable, "-c", both], tmp_path / "log")
    assert took.status == 0
    assert 0.55 < took.peak_gib < ballast.nbytes / measure.GIB


def test_a_command_that_fails_leaves_its_status_and_its_last_words(tmp_path: Path) -> None:
    took = measure.run([sys.executable, "-c", "print('one'); raise SystemExit('no such table')"], tmp_path / "log")
    assert took.status == 1
    assert measure.tail(tmp_path / "log", 1) == "no such table"


def row(seconds: float, input_rows: int, gib: float = 1.0) -> extraction.Row:
    took = measure.Measured(seconds, seconds, gib, 0)
    return extraction.Row(Fraction(1, 4), "jepascope", input_rows, extraction.Outcome(took, 10, "tokens", np.arange(3)))


def test_growth_is_free_of_the_seconds_that_a_start_takes() -> None:
    assert extraction.growth([row(5 + 1, 1), row(5 + 4, 4), row(5 + 16, 16)]) == pytest.approx(1)
    assert extraction.growth([row(5 + 1, 1), row(5 + 16, 4), row(5 + 256, 16)]) == pytest.approx(4)
    assert extraction.growth([row(1, 1), row(6, 4)]) == pytest.approx(1.5)


def test_a_broken_bar_is_said() -> None:
    assert [holds for holds, _ in extraction.judge([row(1, 1), row(4, 4)])] == [True, True]
    assert [holds for holds, _ in extraction.judge([row(1, 1), row(8, 4, gib=2.5)])] == [False, False]


def test_a_peer_that_cannot_be_had_is_a_line_with_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> extraction.Outcome:
        raise NotRunError("no such package | here")

    monkeypatch.setattr(extraction, "PEERS", {"absent": refuse})
    monkeypatch.setattr(extraction, "run_library", lambda *_: row(1, 1).outcome)
    monkeypatch.setattr(sys, "argv", ["extraction.py", "--scratch", str(tmp_path), "--fractions", "1/4096", "--peers"])
    ours, line = extraction.measure_all(extraction.parse())
    assert isinstance(ours, extraction.Row)
    assert line.startswith("| 1/4096 | absent | not run: no such package / here |")
    assert line.count("|") == len(extraction.HEADER) + 1


def test_labels_are_compared_where_the_two_definitions_coincide(tmp_path: Path) -> None:
    def stays(*days: tuple[float, float, str]) -> str:
        at = "timestamp '2150-01-01' + to_seconds(({} * 86400)::bigint)"
        unplanned = {kind: str(kind != "ELECTIVE").lower() for _, _, kind in days}
        return ", ".join(
            f"(1, {at.format(start)}, {at.format(end)}, {unplanned[kind]}, false)" for start, end, kind in days
        )

    connection = duckdb.connect()
    # Day 5.5 to day 7.4 is two calendar days and less than 48 hours; the return of day 40 is planned.
    rows = stays(
        (0, 5.5, "URGENT"), (7.4, 20, "URGENT"), (40, 42, "ELECTIVE"), (45, 46, "URGENT"), (300, 301, "URGENT")
    )
    connection.execute(
        f"create table stay as from (values {rows}) as t(subject_id, admittime, dischtime, unplanned, is_void)"
    )
    connection.execute(
        "create table row as select subject_id, dischtime as t, 0 as label, 'eligible' as reason from stay"
    )
    connection.execute("create table told as select subject_id, t, label from row")
    connection.execute((project_root() / "bench" / "labels_aces.sql").read_text())
    reasons = [reason for (reason,) in connection.execute("select reason from compared order by rowid").fetchall()]
    assert sum(reason is None for reason in reasons) == 3
    assert {reason.split()[0] for reason in reasons if reason} == {"days", "a"}
    assert labels_aces.report(connection) == 0


SHAPE = params.Model(width=16, heads=2, encoder_layers=2, context_layers=2, predictor_hidden=16)
PADDED_WAYS = [way for way in training_contender.WAYS if way != "packed"]


@pytest.fixture(scope="module")
def toy_batch() -> Batch:
    cohort = pack(toy_encounters(patients=40))
    return select(cohort, torch.arange(40))


@pytest.mark.parametrize("way", PADDED_WAYS)
def test_padded_and_packed_compute_the_same_function(way: str, toy_batch: Batch) -> None:
    model = new_model(120, SHAPE, seed=1)
    ours, theirs = model(toy_batch), training_contender.in_the_way(way, model)(toy_batch)
    for name, mine in ours._asdict().items():
        torch.testing.assert_close(getattr(theirs, name), mine, rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("way", PADDED_WAYS)
def test_padded_and_packed_train_alike(way: str, toy_batch: Batch) -> None:
    losses, chosen = [], params.Training()
    for each in ("packed", way):
        model = training_contender.in_the_way(each, new_model(120, SHAPE, seed=1))
        optimiser = make_optimiser(model, chosen)
        losses.append([training_contender.take_step(model, optimiser, toy_batch, chosen) for _ in range(4)])
    assert losses[0][0] > 1.05 * losses[0][-1]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


def test_an_absent_encounter_is_a_row_only_where_patients_are_padded(toy_batch: Batch) -> None:
    patients, longest = len(toy_batch.first) - 1, int(toy_batch.first.diff().max())
    rows = {way: padded_model.pad_batch(toy_batch, way == "patients").tokens.shape[0] for way in PADDED_WAYS}
    assert rows == {"encounters": len(toy_batch.gap), "patients": patients * longest}


@pytest.mark.parametrize("way", training_contender.WAYS)
def test_positions_are_those_that_the_first_block_sees(
    way: str, toy_batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(encoder.BUCKET_TOKENS, "cpu", 64)
    model, seen = training_contender.in_the_way(way, new_model(120, SHAPE, seed=1)), []
    first = model.encoder.blocks[0] if way == "packed" else model.encoder.blocks.layers[0]
    first.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[:2].numel()))
    model(toy_batch)
    assert training_contender.positions(way, toy_batch) == sum(seen)


def test_flops_are_those_of_the_matrix_products_that_run_when_nothing_is_padded() -> None:
    batch = training_scaling.uniform_cohort(training_scaling.Size(patients=5, encounters=4, tokens=7))
    model = new_model(training_scaling.VOCABULARY, SHAPE, seed=1)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        output = model(batch)
        (output.z.square().sum() + output.z_hat.square().sum()).backward()
    assert training_cost.flops(batch, SHAPE) == counter.get_total_flops()


def test_a_fitted_exponent_is_the_power() -> None:
    values = np.array([1, 2, 4, 8])
    assert training_scaling.fitted_exponent(values, 3.0 * values**1.5) == pytest.approx(1.5)


def test_growth_is_measured_for_everything_that_grows() -> None:
    base = training_scaling.Size(patients=4, encounters=2, tokens=4, width=4)
    for grows in training_scaling.GROWING:
        found = training_scaling.measure_growth(grows, (4, 8), base, params.Training(), "cpu", 1)
        assert found.grows == grows
        assert all(rate > 0 for rate in found.rates)
        assert np.isfinite(found.exponent)


CONTENDER = """
import sys
sys.path.insert(0, {bench!r})
from turns import Step, Turns
turns = Turns()
print("chatter that is no answer")
turns.wait()
for i in range({steps}):
    turns.after_step(lambda i=i: Step(i, 10, 20, 30))
raise RuntimeError("out of steps")
"""


def start_contender(folder: Path, steps: int) -> turns.Contender:
    script = folder / "contender.py"
    script.write_text(CONTENDER.format(bench=str(project_root() / "bench"), steps=steps))
    return turns.Contender("toy", [sys.executable, script], folder / "log")


def test_a_turn_holds_the_steps_taken_in_it(tmp_path: Path) -> None:
    contender = start_contender(tmp_path, steps=3)
    taken = [contender.turn(0.0) for _ in range(3)]
    assert [turn.work for turn in taken] == [turns.Step(i, 10, 20, 30) for i in range(3)]
    assert all(turn.steps == 1 and turn.seconds > 0 for turn in taken)
    contender.close()


def test_a_contender_that_ends_early_leaves_the_others_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    lasting, ending = start_contender(tmp_path, steps=9), start_contender(tmp_path / "b", steps=3)
    ending.name = "ending"
    found, failed = training.alternate([lasting, ending], seconds=0.0, repetitions=4)
    assert list(found) == ["toy"]
    assert len(found["toy"]) == 4
    assert failed[0].startswith("| ending | not run: it ended early (status 1:")
    assert "out of steps" in failed[0]
    assert failed[0].count("|") == len(training.HEADER) + 1
    lasting.close()
    ending.close()


def test_a_ratio_is_of_turns_in_the_same_round() -> None:
    assert training.ratio([10.0, 30.0, 140.0], [10.0, 5.0, 10.0]) == "6.00 (1.00 to 14.00)"


def test_ehr_jepa_gets_the_same_tokens_of_the_same_patients_and_no_test_patient(tmp_path: Path) -> None:
    cohort = toy_encounters(patients=30)
    events = pd.read_parquet(ehr_jepa.write_events(tmp_path, cohort) / "train" / "0.parquet")
    rows = np.flatnonzero(cohort.index["split"] == "train")
    tokens = np.concatenate([cohort.tokens[cohort.offsets[i] : cohort.offsets[i + 1]] for i in rows])
    assert events["code"].tolist() == cohort.vocabulary["token"].to_numpy()[tokens].tolist()
    assert events["hadm_id"].unique().tolist() == cohort.index["hadm_id"].iloc[rows].tolist()
    assert events["subject_id"].is_monotonic_increasing
    assert {folder.name for folder in tmp_path.iterdir()} == {"train", "tuning"}


def test_ehr_jepa_keeps_its_settings_but_for_sizes(tmp_path: Path) -> None:
    profile, out = params.Profile(profile="p", model=SHAPE), tmp_path / "out.yaml"
    with pytest.raises(NotRunError, match="no checkout"):
        ehr_jepa.write_settings(out, tmp_path, tmp_path, profile, 64)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "ehr_config.yaml").write_text("transformer: {dropout: 0.1, n_layers: 6}")
    written = yaml.safe_load(ehr_jepa.write_settings(out, tmp_path, tmp_path, profile, 64).read_text())
    assert written["transformer"] == {"dropout": 0.1, "n_layers": 2, "n_heads": 2, "ffn_dim": 32}
    assert written["training"]["max_seq_len"] == 64


def test_one_command_prints_every_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "encounters", toy_encounters(patients=40))
    words = ["--scratch", tmp_path, "--encounters", tmp_path / "encounters", "--profile", "ci", "--quick"]
    monkeypatch.setattr(sys, "argv", ["training.py", *map(str, words)])
    assert training.main() == 0
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert all(any(row.startswith(f"| {name} | ") for row in rows) for name in training.NAMES.values())
    assert next(row for row in rows if "not run" in row).startswith("| EHR-JEPA, 256 tokens | not run: give the folder")
    assert any(row.startswith("| backward |") for row in rows)
    assert "GFLOP/s, of which training uses" in printed


def test_a_measure_that_two_programs_define_alike_and_give_otherwise_is_counted(tmp_path: Path) -> None:
    planted = predictions_meds_evaluation.planted(50)
    found = predictions_meds_evaluation.ours(write_predictions(tmp_path, *planted, "task"))
    assert predictions_meds_evaluation.compare(found, found) == 0
    assert predictions_meds_evaluation.compare(found, {**found, "calibration_error": 0.5}) == 0
    assert predictions_meds_evaluation.compare(found, {**found, "brier_score": found["brier_score"] + 1e-5}) == 1
    assert predictions_meds_evaluation.compare(found, {**found, "roc_auc_score": float("nan")}) == 1
