"""Shared: the demo's place, and one run of the whole `ci` book that several tests look at."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from jepascope.book.notebooks import read_book
from jepascope.params import project_root
from jepascope.store import read_json, write_json

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
# Every claim's box, as the chapters' prose names them: claim -> chapter.
CLAIMS = {
    name: chapter.name for chapter in read_book().chapters for name in re.findall(r"```\{glue:md\} (\w+)", chapter.text)
}
DEMO = project_root().parent / "shared" / "mimic-iv-demo"


# What takes minutes, in the order to begin it: one process makes the whole book and visits its pages, another meanwhile
# the demo's. Who needs the book, too, comes after them, or would wait for it with nothing to do.
LONGEST = ("visits", "demo_project", "small_book", "ci_book")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Books first: processes share the suite file by file, and the longest must not be what is left over."""

    def turn(item: pytest.Item) -> int:
        needed = getattr(item, "fixturenames", ())
        return next((turn for turn, name in enumerate(LONGEST) if name in needed), len(LONGEST))

    items.sort(key=turn)


@pytest.fixture(scope="session")
def demo() -> Path:
    """The MIMIC-IV demo, where it lies beside the checkout."""
    if not (DEMO / "hosp").is_dir():
        pytest.skip("the MIMIC-IV demo is not beside the checkout")
    return DEMO


def copy_project(target: Path) -> Path:
    """A project of its own, so that a test's runs and edits touch nobody's."""
    root = project_root()
    target.mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml", "Snakefile"):
        shutil.copy(root / name, target / name)
    for name in ("book", "params", "profiles"):
        shutil.copytree(root / name, target / name)
    return target


def jepascope(
    project: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a project, as a user would. Test processes that share a book take turns in it."""
    command = [sys.executable, "-m", "jepascope", *arguments]
    with (project.parent / f".{project.name}.turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        return subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )


@pytest.fixture(scope="session")
def ci_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which `jepascope run --profile ci` and `jepascope build` have succeeded.

    While one works on tests of pages, the environment variable JEPASCOPE_TEST_BOOK may name one that was made before.
    """
    if made := os.environ.get("JEPASCOPE_TEST_BOOK"):
        return Path(made)
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # processes of one session share one book
    project = shared / "ci_book"
    with (shared / "ci_book.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not project.exists():
            work = shared / "ci_book.partial"
            shutil.rmtree(work, ignore_errors=True)
            copy_project(work)
            for command in (["run", "--profile", "ci"], ["build", "--profile", "ci"]):
                done = jepascope(work, *command)
                assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
            work.rename(project)
    return project


# A chapter that runs once, one that trains, one that opens the model, and the page that collects: enough to test how
# runs are killed, edited and continued, at a tenth of the whole book's time.
SMALL = ("01_extraction", "03_training", "02b_membership", "index")


def small_project(target: Path, chapters: Sequence[str] = SMALL) -> Path:
    """A project whose book has these chapters alone: one that runs once, two that the front page reads, that page.

    The third declares a section more than it needs: a parameter that can change without anything before it.
    """
    project = copy_project(target)
    for chapter in read_book().chapters:
        if chapter.name not in chapters:
            (project / "book" / chapter.path.name).unlink()
    front, opener = project / "book" / "index.md", project / "book" / f"{chapters[2]}.md"
    front.write_text(re.sub(r"reads: \[[^\]]*\]", f"reads: [{', '.join(chapters[1:3])}]", front.read_text()))
    opener.write_text(opener.read_text().replace("\nstatistics = None\n", "\nstatistics = None\nmap = None\n", 1))
    return project


@pytest.fixture(scope="module")
def small_book(ci_book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project in which `jepascope run --profile ci` has succeeded, after most of it had in the whole book."""
    project = small_project(tmp_path_factory.mktemp("small") / "project")
    for chapter in SMALL[:-1]:
        for made in (*ci_book.glob(f"runs/ci/*/{chapter}"), *ci_book.glob(f"runs/ci/.asked/*/{chapter}.json")):
            target = project / made.relative_to(ci_book)
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if made.is_dir() else shutil.copy2)(made, target)
    done = jepascope(project, "run", "--profile", "ci")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    write_json(project / "unbroken.json", values(project))
    return project


def modified(project: Path, pattern: str) -> dict[str, int]:
    """When each of these files was written last."""
    return {str(file): file.stat().st_mtime_ns for file in sorted(project.glob(pattern))}


def values(project: Path) -> dict[str, dict]:
    """All recorded values and claims of a run of `ci`, without when and how fast."""
    results = {str(file.relative_to(project)): read_json(file) for file in project.glob("runs/ci/*/*/results.json")}
    return {name: {"values": result["values"], "claims": result["claims"]} for name, result in results.items()}
