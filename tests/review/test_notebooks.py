"""Whole notebooks through nbdime."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepascope.review.notebooks import compare_notebooks
from jepascope.review.snapshot import read_snapshot, take
from jepascope.store import StoreError
from tests.review.runs_by_hand import table, write_run


def test_notebooks_differ_in_what_pages_show_and_a_picture_is_its_hash(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nbdime", reason="notebooks are compared by nbdime (extra: review)")
    before = read_snapshot(take("first", "toy", [0, 1]))
    write_run(project, "02_model", 1, table=table(("z", "0.55"), ("raw codes", "0.40")))
    after = read_snapshot(take("second", "toy", [0, 1]))
    compare_notebooks(before, after, "02_model", 0)
    assert capfd.readouterr().out == ""
    compare_notebooks(before, after, "02_model", 1)
    said = capfd.readouterr().out
    assert "0.50" in said
    assert "0.55" in said
    assert "picture " in said
    assert "base64" not in said
    assert "\x1b" not in said  # no colours in a pipe


def test_a_chapter_that_a_snapshot_lacks_is_missed_by_name(project: Path) -> None:
    pytest.importorskip("nbdime", reason="notebooks are compared by nbdime (extra: review)")
    kept = read_snapshot(take("first", "toy", [0, 1]))
    with pytest.raises(StoreError, match="first has no run of 03_other, seed 0"):
        compare_notebooks(kept, kept, "03_other", 0)
