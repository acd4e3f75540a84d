"""What a run costs: from nothing, whatever the last execution found done."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jepascope.book import times
from jepascope.store import write_json

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def finished(folder: Path, cells: float, page: float, steps: dict[str, tuple[float, int]]) -> None:
    """A run of a chapter; steps: name -> seconds, and when it was made in seconds after the page's start."""
    write_json(folder / "results.json", {"provenance": {"seconds": cells}})
    papermill = {"duration": page, "start_time": BEGAN.isoformat()}
    write_json(folder / "executed.ipynb", {"metadata": {"papermill": papermill}})
    for name, (seconds, after) in steps.items():
        write_json(folder / name / "step.json", {"seconds": seconds})
        made = BEGAN.timestamp() + after
        os.utime(folder / name / "step.json", (made, made))


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "project_root", lambda: tmp_path)
    runs = tmp_path / "runs" / "ci"
    # 200 s of training were found done; the 30 s of objects were made in the 45 s of the page
    finished(runs / "0" / "03_training", 35.0, 45.0, {"model": (200.0, -3600), "objects": (30.0, 40)})
    finished(runs / "1" / "03_training", 240.0, 250.0, {"model": (200.0, 100), "objects": (30.0, 240)})
    finished(runs / "all" / "01_extraction", 10.0, 12.0, {})
    finished(runs / "all" / "12_across_seeds", 50.0, 60.0, {})


def test_a_chapter_costs_its_page_and_the_steps_that_it_found_done(ran: None) -> None:
    found = times.chapter_times("ci").set_index(["chapter", "seed"])
    assert found.loc[("03_training", "0"), "seconds"] == 245.0
    assert found.loc[("03_training", "1"), "seconds"] == 250.0
    assert found.loc[("12_across_seeds", "all"), "collects_seeds"]
    assert not found.loc[("01_extraction", "all"), "collects_seeds"]


def test_more_seeds_repeat_what_runs_per_seed_and_lengthen_what_collects_them(ran: None) -> None:
    measured = times.chapter_times("ci")
    cost = times.cost_of_seeds(measured, 100).set_index("chapter")["seconds"]
    assert cost["03_training"] == 100 * (245.0 + 250.0) / 2
    assert cost["01_extraction"] == 12.0
    assert cost["12_across_seeds"] == 60.0 * 100 / 2  # two have run
    in_pairs = times.cost_of_seeds(measured, 100, ["12_across_seeds"]).set_index("chapter")["seconds"]
    assert in_pairs["12_across_seeds"] == 60.0 * (100 + 200) / (2 + 1)  # seeds, and two pairs a seed
    assert times.cost_of_seeds(measured, 1).set_index("chapter").loc["12_across_seeds", "seconds"] == 60.0


def test_nothing_has_run_is_an_empty_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "project_root", lambda: tmp_path)
    assert times.chapter_times("ci").empty
