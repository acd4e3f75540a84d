"""The bench's own parts: its trees are what they say, and what it compares is comparable."""

import sys
from fractions import Fraction
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from jepascope import params
from jepascope.cohort.encounters import Encounters, load
from jepascope.cohort.extract import extract
from jepascope.params import project_root

sys.path.insert(0, str(project_root() / "bench"))

import extraction
import labels_aces
import measure
import pandas_extraction
import synthetic_tree
from environments import NotRunError

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
