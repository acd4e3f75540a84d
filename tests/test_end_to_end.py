"""The tiny profile end to end: papermill, Snakemake, the build; killed and resumed; edited and re-run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jepascope.book.notebooks import read_book
from jepascope.store import read_json
from tests.conftest import CLAIMS, copy_project, jepascope, small_project, values

BOOK = read_book()


def modified(project: Path, pattern: str) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in sorted(project.glob(pattern))}


def ran(project: Path) -> dict[str, str]:
    """When papermill executed each page: an edit of prose doesn't move it."""
    pages = {str(file): json.loads(file.read_text()) for file in project.glob("runs/ci/*/*/executed.ipynb")}
    return {name: page["metadata"]["papermill"]["start_time"] for name, page in pages.items()}


def test_every_chapter_ran_once_or_once_per_seed(ci_book: Path) -> None:
    ran = {f"{file.parts[-3]}/{file.parts[-2]}" for file in ci_book.glob("runs/ci/*/*/results.json")}
    per_seed = {f"{seed}/{chapter.name}" for seed in (0, 1) for chapter in BOOK.chapters if chapter.per_seed}
    once = {f"all/{chapter.name}" for chapter in BOOK.chapters if not chapter.per_seed}
    assert ran == per_seed | once


def test_every_claim_has_a_row_for_each_seed_with_interval_null_and_patients(ci_book: Path) -> None:
    claims = [claim for result in values(ci_book).values() for claim in result["claims"]]
    seeds: dict[str, set[int]] = {}
    for claim in claims:
        seeds.setdefault(claim["id"], set()).add(claim["seed"])
        if isinstance(claim["estimate"], dict):
            assert claim["estimate"]["low"] <= claim["estimate"]["value"] <= claim["estimate"]["high"]
            assert claim["estimate"]["n_patients"] > 0
            assert claim["null"] is not None
    assert seeds.keys() == CLAIMS.keys()  # each has its box on a page, and each box its claim
    assert all(found == {0, 1} for found in seeds.values())


def test_the_ledger_prints(ci_book: Path) -> None:
    printed = jepascope(ci_book, "claims", "--profile", "ci").stdout.splitlines()
    assert len(printed) == 2 * len(CLAIMS)
    assert any("Shock concepts are at chance in ẑ" in line for line in printed)


def test_running_again_executes_nothing(ci_book: Path) -> None:
    before = modified(ci_book, "runs/ci/*/*/executed.ipynb")
    assert jepascope(ci_book, "run", "--profile", "ci").returncode == 0
    assert modified(ci_book, "runs/ci/*/*/executed.ipynb") == before


def test_killed_three_times_the_run_ends_with_the_same_numbers(small_book: Path, tmp_path: Path) -> None:
    """Kill the whole process group while it extracts, while it trains, and while a later chapter is executed."""
    project = small_project(tmp_path / "project")
    moments = [
        "runs/ci/all/01_extraction/.encounters.*.partial",
        "runs/ci/*/03_training/.model.*.partial/history.parquet",
        "runs/ci/*/05_z_characterisation/executed.partial.ipynb",
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
    assert "1/05_z_characterisation" in moved
    assert not {name for name in moved if name.startswith("0/") or name == "1/03_training"}


def test_an_experiment_with_a_changed_parameter_is_replaced_by_the_next_run_of_the_book(small_book: Path) -> None:
    results = small_book / "runs" / "ci" / "0" / "05_z_characterisation" / "results.json"
    before = read_json(results)["values"]
    done = jepascope(small_book, "run", "05", "--profile", "ci", "--seed", "0", "--set", "statistics.min_carriers=4")
    assert done.returncode == 0, done.stderr[-4000:]
    assert read_json(results)["values"]["min_carriers"] == 4
    assert jepascope(small_book, "run", "--profile", "ci").returncode == 0
    assert read_json(results)["values"] == before


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
    command = ["book/05_z_characterisation.md", str(out), "-f", "params/ci.yaml", "-p", "seed", "1"]
    done = subprocess.run([sys.executable, "-m", "papermill", *command], cwd=small_book, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(out.read_text())["metadata"]["papermill"]["parameters"]["seed"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "01", "--profile", "nobody"], "no profile 'nobody'"),
        (["run", "01", "--profile", "ci", "--set", "extraction.min_agee=3"], "did you mean 'min_age'"),
        (["run", "05", "--profile", "ci"], "needs --seed"),
        (["run", "05", "--profile", "ci", "--seed", "0", "--set", "training.epochs=9"], "doesn't depend on 'training'"),
        (["run", "--profile", "ci", "--seeds", "4-2"], "names no seed"),
        (["run", "01", "--profile", "ci", "--seed", "1"], "leave --seed out"),
        (["run", "77", "--profile", "ci"], "names 0 chapters"),
        (["run", "01", "--profile", "ci", "--set", "source.kind=mimic", "--set", "source.root=nowhere"], "nowhere"),
        (["run", "01", "--profile", "ci", "--set", "extraction.min_age=120"], "cohort is empty after rule"),
        (["synthesize", "--patients", "0", "--out", "x"], "synthetic.patients"),
        (["build", "--profile", "mimic_iv"], "has no finished run"),
    ],
)
def test_a_mistake_at_the_command_line_is_answered_in_one_message(
    tmp_path: Path, arguments: list, message: str
) -> None:
    project = copy_project(tmp_path / "project")
    done = jepascope(project, *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert not list(project.glob("runs/*/*/*/results.json"))


def test_a_change_that_the_seeds_override_would_undo_is_refused(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    with (project / "params" / "ci.yaml").open("a") as profile:
        profile.write("overrides:\n  1:\n    map:\n      resamples: 3\n")
    done = jepascope(project, "run", "05", "--profile", "ci", "--seed", "1", "--set", "map.resamples=9")
    assert done.returncode == 1
    assert "the profile overrides map.resamples for seed 1" in done.stderr
