from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from jepascope import ledger
from jepascope.ledger import open_test, read_ledger, times_opened
from jepascope.store import StoreError, fingerprint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "ci" / ledger.LEDGER


@pytest.fixture(autouse=True)
def at_one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "commit", lambda: "abc1234")


def test_an_entry_says_when_who_what_and_on_how_many(path):
    before = pd.Timestamp.now(tz="UTC").floor("ms")
    open_test(path, "05_z/probes", 1, {"width": 64}, 200, 30)
    entry = read_ledger(path).iloc[0]
    assert before <= entry["time"] <= pd.Timestamp.now(tz="UTC")
    assert entry.drop("time").to_dict() == {
        "commit": "abc1234",
        "profile": "ci",
        "evaluation": "05_z/probes",
        "seed": 1,
        "configuration": fingerprint({"width": 64}),
        "n_rows": 200,
        "n_patients": 30,
    }


def test_a_ledger_that_was_never_written_has_no_openings(path):
    assert list(read_ledger(path).columns) == list(ledger.COLUMNS)
    assert len(read_ledger(path)) == len(times_opened(path)) == 0
    assert not path.exists()


def test_entries_keep_their_order_and_their_types(path):
    for seed in (2, None, 0):
        open_test(path, "a", seed, {}, 10, 5)
    table = read_ledger(path)
    assert table["seed"].tolist() == [2, pd.NA, 0]
    assert table["n_rows"].dtype == "int64"
    assert str(table["time"].dt.tz) == "UTC"
    assert table.dtypes.to_dict() == read_ledger(path.with_name("none")).dtypes.to_dict()


def test_what_was_written_is_never_rewritten(path):
    open_test(path, "a", 0, {}, 10, 5)
    first = path.read_bytes()
    open_test(path, "b", 0, {}, 10, 5)
    assert path.read_bytes().startswith(first)


def test_an_identical_evaluation_is_counted_and_not_hidden(path, monkeypatch):
    for seed in (0, 1, 0, 0):
        open_test(path, "probes", seed, {"width": 64}, 10, 5)
    open_test(path, "probes", 0, {"width": 32}, 10, 5)
    open_test(path, "dictionary", None, {"width": 64}, 10, 5)
    monkeypatch.setattr(ledger, "commit", lambda: "def5678")
    open_test(path, "probes", 0, {"width": 64}, 10, 5)
    counted = times_opened(path).set_index(["evaluation", "configuration"])
    columns = ["times", "repeated", "seeds", "commits"]
    assert counted.loc[("probes", fingerprint({"width": 64})), columns].tolist() == [5, 2, 2, 2]
    assert counted.loc[("probes", fingerprint({"width": 32})), columns].tolist() == [1, 0, 1, 1]
    assert counted.loc[("dictionary", fingerprint({"width": 64})), columns].tolist() == [1, 0, 1, 1]
    assert counted["times"].sum() == 7
    assert (counted["first"] <= counted["last"]).all()


@pytest.mark.parametrize("torn", [b'{"time": "2026-01-01T00:00:00+00:00", "commi', b"\xff\xfe", b"{}", b"3"])
def test_a_torn_last_line_is_skipped_reported_and_takes_no_later_entry_with_it(path, torn):
    open_test(path, "a", 0, {}, 10, 5)
    with path.open("ab") as file:
        file.write(torn)
    assert read_ledger(path)["evaluation"].tolist() == ["a"]
    open_test(path, "b", 0, {}, 10, 5)
    table = read_ledger(path)
    assert table["evaluation"].tolist() == ["a", "b"]
    assert table.attrs["unreadable"] == times_opened(path).attrs["unreadable"] == [2]


def test_an_entry_whose_values_are_of_another_kind_is_unreadable(path):
    open_test(path, "a", 0, {}, 10, 5)
    entry = json.loads(path.read_text())
    with path.open("a") as file:
        for change in ({"time": "yesterday"}, {"n_rows": None}, {"seed": "x"}):
            file.write(json.dumps(entry | change) + "\n")
    assert read_ledger(path).attrs["unreadable"] == [2, 3, 4]


def test_an_evaluation_name_with_a_line_break_stays_one_entry(path):
    open_test(path, "a\nb ẑ", 0, {}, 10, 5)
    assert read_ledger(path)["evaluation"].tolist() == ["a\nb ẑ"]


def test_the_test_set_stays_closed_when_the_entry_cannot_be_written_whole(path, monkeypatch):
    monkeypatch.setattr(ledger.os, "write", lambda descriptor, record: len(record) // 2)
    with pytest.raises(StoreError, match="stays closed"):
        open_test(path, "a", 0, {}, 10, 5)
    monkeypatch.undo()
    for folder in (path, path / "profile"):  # a file in a folder's place
        with pytest.raises(StoreError, match="stays closed"):
            open_test(folder / ledger.LEDGER, "a", 0, {}, 10, 5)


def test_an_entry_is_one_write_at_whatever_is_the_end_by_then(path, monkeypatch):
    open_test(path, "a", 0, {}, 10, 5)
    write, records = os.write, []

    def write_late(descriptor: int, record: bytes) -> int:
        with path.open("ab") as another_writer:
            another_writer.write(path.read_bytes())
        records.append(record)
        return write(descriptor, record)

    monkeypatch.setattr(ledger.os, "write", write_late)
    open_test(path, "b", 0, {}, 10, 5)
    assert read_ledger(path)["evaluation"].tolist() == ["a", "a", "b"]
    assert len(records) == 1


def test_processes_that_append_at_once_lose_and_mix_no_entry(path):
    code = (
        "import sys; from pathlib import Path; from jepascope import ledger; ledger.commit = lambda: 'abc';"
        "ledger.os.fsync = lambda descriptor: None;"  # waiting for the disk would keep the writers apart
        "print(flush=True); sys.stdin.readline();"  # all are ready before any starts
        "[ledger.open_test(Path(sys.argv[1]), sys.argv[2] * 300, i, {}, 1, 1) for i in range(2000)]"
    )
    command = [sys.executable, "-c", code, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    workers = [subprocess.Popen([*command, name], **pipes) for name in "ab"]
    for worker in workers:
        worker.stdout.readline()
    for worker in workers:
        worker.stdin.write(b"\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate()
    assert [worker.returncode for worker in workers] == [0, 0]
    table = read_ledger(path)
    assert table.attrs["unreadable"] == []
    assert {name: rows["seed"].tolist() for name, rows in table.groupby("evaluation")} == {
        "a" * 300: list(range(2000)),
        "b" * 300: list(range(2000)),
    }
