"""A book of four chapters: killed and resumed, edited and run again, run in part, run by papermill alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from jepascope.store import read_json
from tests.conftest import jepascope, modified, small_project, values


def ran(project: Path) -> dict[str, str]:
    """When papermill executed each page: an edit of prose doesn't move it."""
    pages = {str(file): json.loads(file.read_text()) for file in project.glob("runs/ci/*/*/executed.ipynb")}
    return {name: page["metadata"]["papermill"]["start_time"] for name, page in pages.items()}


def test_killed_three_times_the_run_ends_with_the_same_numbers(small_book: Path, tmp_path: Path) -> None:
    """Kill the whole process group while it extracts, while it trains, and while a later chapter is executed."""
    project = small_project(tmp_path / "project")
    moments = [
        "runs/ci/all/01_extraction/.encounters.*.partial",
        "runs/ci/*/03_training/.model.*.partial/history.parquet",
        "runs/ci/*/02b_membership/executed.partial.ipynb",
    ]
    for moment in moments:
        command = [sys.executable, "-m", "jepascope", "run", "--profile", "ci"]
        log = (project / "log").open("a")
        process = subprocess.Popen(command, cwd=project, start_new_session=True, stdout=log, stderr=log)
        while not list(project.glob(moment)):
            assert process.poll() is None, f"finished before {moment}: {(project / 'log').read_text()[-3000:]}"
            try:
                process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                continue
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (project / "runs/ci/all/index/results.json").exists()
    done = jepascope(project, "run", "--profile", "ci")
    assert done.returncode == 0, done.stderr[-4000:]
    assert values(project) == read_json(small_book / "unbroken.json")


def test_editing_prose_weaves_it_into_that_page_and_executes_nothing(small_book: Path) -> None:
    source = small_book / "book" / "03_training.md"
    steps, pages = "runs/ci/*/*/*/step.json", "runs/ci/*/*/executed.ipynb"
    before_steps, before_pages, kernels = modified(small_book, steps), modified(small_book, pages), ran(small_book)
    source.write_text(source.read_text().replace("## Has it collapsed?", "## Did it collapse?"))
    done = jepascope(small_book, "run", "--profile", "ci")
    assert done.returncode == 0, done.stderr[-4000:]
    assert modified(small_book, steps) == before_steps
    moved = {Path(name) for name, time in modified(small_book, pages).items() if time != before_pages[name]}
    assert {"/".join(page.parts[-3:-1]) for page in moved} == {"0/03_training", "1/03_training"}
    assert all("## Did it collapse?" in page.read_text() for page in moved)
    assert ran(small_book) == kernels


def test_editing_one_seeds_parameters_touches_that_seed_and_what_collects_all_seeds(small_book: Path) -> None:
    profile, pages = small_book / "params" / "ci.yaml", "runs/ci/*/*/executed.ipynb"
    text, before = profile.read_text(), modified(small_book, pages)
    profile.write_text(text + "overrides:\n  1:\n    map:\n      resamples: 3\n")
    done = jepascope(small_book, "run", "--profile", "ci")
    assert done.returncode == 0, done.stderr[-4000:]
    moved = {"/".join(Path(n).parts[-3:-1]) for n, time in modified(small_book, pages).items() if time != before[n]}
    assert "1/02b_membership" in moved
    assert not {name for name in moved if name.startswith("0/") or name == "1/03_training"}


def test_an_experiment_with_a_changed_parameter_is_replaced_by_the_next_run_of_the_book(small_book: Path) -> None:
    results = small_book / "runs" / "ci" / "0" / "02b_membership" / "results.json"
    before = read_json(results)
    done = jepascope(small_book, "run", "02b", "--profile", "ci", "--seed", "0", "--set", "statistics.bootstrap=60")
    assert done.returncode == 0, done.stderr[-4000:]
    tried = read_json(results)
    assert tried["provenance"]["parameters"]["statistics"]["bootstrap"] == 60
    assert tried["values"] != before["values"]
    assert jepascope(small_book, "run", "--profile", "ci").returncode == 0
    assert read_json(results)["values"] == before["values"]


def test_other_seeds_than_the_profiles_are_collected_too(small_book: Path) -> None:
    done = jepascope(small_book, "run", "--profile", "ci", "--seeds", "0")
    assert done.returncode == 0, done.stderr[-4000:]
    read = read_json(small_book / "runs/ci/all/index/results.json")["read"]
    assert {Path(name).parts[2] for name in read} == {"0"}


def test_a_book_that_mixes_data_tiers_is_refused(small_book: Path) -> None:
    results = small_book / "runs" / "ci" / "1" / "03_training" / "results.json"
    text = results.read_text()
    results.write_text(text.replace('"tier": "synthetic"', '"tier": "credentialed"'))
    done = jepascope(small_book, "build", "--profile", "ci")
    results.write_text(text)
    assert done.returncode != 0
    assert "mixes data tiers ['credentialed', 'synthetic']" in done.stderr


def test_papermill_alone_runs_a_chapter_from_its_source(small_book: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    command = ["book/02b_membership.md", str(out), "-f", "params/ci.yaml", "-p", "seed", "1"]
    done = subprocess.run([sys.executable, "-m", "papermill", *command], cwd=small_book, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(out.read_text())["metadata"]["papermill"]["parameters"]["seed"] == 1
