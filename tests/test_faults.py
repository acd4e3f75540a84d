"""Failing well: each fault ends in a message that says what, where and what to do, and nothing half-written is left."""

from __future__ import annotations

import ast
import os
import re
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from jepascope import params, store
from jepascope.analysis.inference.stats import NotComputable
from jepascope.book import chapter as chapter_module
from jepascope.book import standing
from jepascope.book.chapter import Chapter
from jepascope.book.notebooks import ChapterSource
from jepascope.book.run import only_one
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.extract import extract
from jepascope.cohort.source import SourceError
from jepascope.objects import Objects, save_objects
from jepascope.params import load_profile, project_root
from jepascope.pipeline.embedding import probing
from jepascope.pipeline.error.parts import load_rows
from jepascope.steps import SIDECAR, run_step
from jepascope.store import StoreError, read_json, read_table, write_json, write_table, write_tensors
from jepascope.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from tests.cohort.mimic_tree import LOOSE, MIMIC, add_lab, add_patient, add_stay, empty, random_tables, write
from tests.fixtures_encounters import toy_encounters

WRITERS = {
    "x.json": lambda path, n: write_json(path, "x" * n),
    "x.parquet": lambda path, n: write_table(path, pd.DataFrame({"x": np.random.default_rng(0).random(n // 8)})),
    "x.safetensors": lambda path, n: write_tensors(path, {"x": np.zeros(n // 8)}),
}
LARGE = 1_000_000  # bytes


def in_a_child(act: Callable[[], object]) -> str:
    """Act in a process whose limits and rights may be cut; returns what it raised, or nothing."""
    read_end, write_end = os.pipe()
    if not (child := os.fork()):
        told = ""
        try:
            act()
        except BaseException as error:  # noqa: BLE001  (whatever it is, the parent is told)
            told = f"{type(error).__name__}: {error}"
        os.write(write_end, told.encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


def limited(act: Callable[[], object]) -> Callable[[], object]:
    """The same on a disk that takes 64 kB a file."""

    def cut() -> object:
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
        return act()

    return cut


def rows_of(folder: Path, n: int) -> str:
    write_table(folder / "rows.parquet", pd.DataFrame({"x": np.random.default_rng(0).random(n)}))
    return "synthetic"


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


# --- Disk and folder. ---


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_named_and_what_was_there_stays(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path, 80)
    before = path.read_bytes()
    told = in_a_child(limited(lambda: WRITERS[name](path, LARGE)))
    assert told == f"StoreError: {path} can't be written (the disk or its quota is full): " + (
        "free some space and run the same command again"
    )
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_step_that_fills_the_disk_is_not_taken_for_done_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    assert "is full" in in_a_child(limited(lambda: run_step(tmp_path / "step", rows_of, LARGE)))
    assert not (tmp_path / "step").exists()
    assert len(read_table(run_step(tmp_path / "step", rows_of, LARGE) / "rows.parquet")) == LARGE
    assert {left.name for left in tmp_path.iterdir()} == {"step", ".step.lock"}


@pytest.mark.parametrize("name", [*WRITERS, ".lock"])
def test_a_folder_that_may_not_be_written_is_named(name: str) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o555)

        def act() -> None:
            if os.geteuid() == 0:  # root may write everywhere; nobody may not
                os.setuid(65534)
            if name in WRITERS:
                WRITERS[name](folder / name, 80)
            else:
                with only_one(folder, "run"):
                    pass

        told = in_a_child(act)
        assert told.startswith(f"StoreError: {folder / name} can't be written (")
        assert told.endswith(f"make {folder} writable and run the same command again")
        assert list(folder.iterdir()) == []


def test_two_runs_in_one_folder_are_kept_apart_until_the_first_ends(tmp_path: Path) -> None:
    with only_one(tmp_path, "run of profile ci"):
        told = in_a_child(lambda: only_one(tmp_path, "run of profile ci").__enter__())
        assert told == "ChapterError: another run of profile ci is under way"
    with only_one(tmp_path, "run of profile ci"):
        pass


def test_any_path_will_do(tmp_path: Path) -> None:
    name = "it's ẑ – a;b$c %d {x} [1]"
    root = write(tmp_path / name / "mimic", random_tables(np.random.default_rng(0), 12))
    extract(tmp_path / name / "step", root, MIMIC, LOOSE)
    assert len(cohort_encounters.load(tmp_path / name / "step").index) > 12


# --- What was finished and is no more what it was. ---


@pytest.mark.parametrize("fault", ["flipped", "gone", "cut"])
def test_a_damaged_file_of_a_finished_step_is_noticed_said_and_made_again(
    tmp_path: Path, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = run_step(tmp_path / "step", rows_of, 1000) / "rows.parquet"
    before = file.read_bytes()
    if fault == "flipped":
        flip_a_byte(file)
    elif fault == "gone":
        file.unlink()
    else:
        file.write_bytes(before[:-100])
    run_step(tmp_path / "step", rows_of, 1000)
    assert file.read_bytes() == before
    assert "step: rows.parquet of the finished step missing or damaged: made again" in capfd.readouterr().err


def test_a_torn_sidecar_is_answered_with_what_to_remove(tmp_path: Path) -> None:
    sidecar = run_step(tmp_path / "step", rows_of, 10) / SIDECAR
    sidecar.write_text(sidecar.read_text()[:40])
    with pytest.raises(StoreError, match=r"step.json is damaged .*: remove the chapter's folder"):
        run_step(tmp_path / "step", rows_of, 10)


def test_a_chapter_refuses_what_is_damaged_and_names_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (chapter_module, standing):
        monkeypatch.setattr(module, "project_root", lambda: tmp_path)
    folder = tmp_path / "runs" / "ci" / "0" / "03_training"
    file = run_step(folder / "model", rows_of, 1000) / "rows.parquet"
    write_json(folder / "results.json", {"read": {"runs/ci/0/03_training/model": "…"}})
    source = ChapterSource("05_x", tmp_path / "05_x.md", ("03_training",), (), ("profile", "seed"), "", "")
    chapter = Chapter(source, load_profile("ci"), seed=0)
    assert chapter.read("03_training", "model") == file.parent
    flip_a_byte(file)
    with pytest.raises(StoreError, match=r"rows.parquet .* damaged .*`jepascope run 03 --profile ci --seed 0` makes"):
        chapter.read("03_training", "model")


def test_a_clock_that_jumped_makes_nothing_again(tmp_path: Path) -> None:
    folder = run_step(tmp_path / "step", rows_of, 10)
    made = read_json(folder / SIDECAR)
    for file, year in zip(sorted(folder.iterdir()), (1, 80), strict=True):  # 1971 and 2050
        os.utime(file, (year * 31_536_000, year * 31_536_000))
    run_step(tmp_path / "step", rows_of, 10)
    assert read_json(folder / SIDECAR) == made


def test_a_cut_checkpoint_is_named_and_no_weight_of_it_is_used(tmp_path: Path) -> None:
    path, module = tmp_path / "checkpoint.safetensors", torch.nn.Linear(30, 30)
    optimiser = torch.optim.AdamW(module.parameters())
    save_checkpoint(path, {"model": module}, optimiser, Progress(2, 3))
    path.write_bytes(path.read_bytes()[:-50])
    before = module.weight.detach().clone()
    with pytest.raises(StoreError, match=r"checkpoint.safetensors is damaged .*and run again"):
        load_checkpoint(path, {"model": module}, optimiser)
    assert torch.equal(module.weight, before)


# --- Records. ---


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    root = write(tmp_path / "mimic", random_tables(np.random.default_rng(0), 10))
    (root / "hosp" / "labevents.csv").write_text("")
    with pytest.raises(SourceError, match=r"labevents.csv is empty; expected a CSV header"):
        extract(tmp_path / "step", root, MIMIC, LOOSE)


def test_a_table_without_rows_costs_its_tokens_and_no_encounter(tmp_path: Path) -> None:
    tables = random_tables(np.random.default_rng(0), 12)
    for name, records in (("with", tables), ("without", {**tables, "hosp/labevents": []})):
        extract(tmp_path / name, write(tmp_path / f"mimic {name}", records), MIMIC, LOOSE)
    whole, less = (cohort_encounters.load(tmp_path / name) for name in ("with", "without"))
    assert len(less.index) == len(whole.index)
    assert "lab" not in set(less.vocabulary["kind"])


def test_a_cohort_of_one_patient_is_read_and_its_analyses_say_that_it_is_too_small(tmp_path: Path) -> None:
    tables = empty()
    add_patient(tables, 1)
    add_stay(tables, 1, 100, 0, 3)
    add_stay(tables, 1, 101, 40, 43)
    extract(tmp_path / "step", write(tmp_path / "mimic", tables), MIMIC, LOOSE)
    index = cohort_encounters.load(tmp_path / "step").index
    assert len(index) == 2
    z = np.zeros((2, 4), np.float32)
    save_objects(tmp_path, Objects(index, z, z, np.array([1]), z[:1], z[:1]))
    with pytest.raises(NotComputable, match="0 of test patients, 1 needed"):
        load_rows(tmp_path)


def test_without_a_patient_with_an_f_code_the_table_of_groups_says_so(tmp_path: Path) -> None:
    index = toy_encounters(patients=60).index.assign(
        f_code_so_far=False, group_one=False, sex="F", icd_version=10, los_days=2.0, admission_type="URGENT"
    )
    rng, at = np.random.default_rng(0), np.flatnonzero(toy_encounters(patients=60).index["k"] > 0)
    for name in ("trained", "twin", "codes", "probed"):
        (tmp_path / name).mkdir()
    for name in ("trained", "twin"):
        z = rng.normal(size=(len(index), 4)).astype(np.float32)
        save_objects(tmp_path / name, Objects(index, z, z, at, z[at], z[at]))
    write_tensors(tmp_path / "codes" / "codes.safetensors", {"axes": z})
    how = params.Statistics(bootstrap=20, permutations=20)
    with pytest.raises(NotComputable, match="needed"):
        probing.probe_concepts(tmp_path / "probed", *(tmp_path / n for n in ("trained", "twin", "codes")), how, 0)


def test_a_lab_that_is_no_number_is_no_token(tmp_path: Path) -> None:
    tables = empty()
    for patient in range(1, 21):
        add_patient(tables, patient)
        add_stay(tables, patient, 100 + patient, 0, 3)
        add_lab(tables, patient, 100 + patient, 50912, 1, float("nan") if patient == 1 else patient)
    extract(tmp_path / "step", write(tmp_path / "mimic", tables), MIMIC, LOOSE)
    made = cohort_encounters.load(tmp_path / "step")
    labs = made.vocabulary["kind"].eq("lab").to_numpy()[made.tokens]
    assert labs.any()
    assert not labs[made.offsets[0] : made.offsets[1]].any()


# --- What a person decides. ---


def test_a_waiver_that_comes_changes_or_goes_is_for_the_next_run_of_the_audit_and_of_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = load_profile("ci")
    monkeypatch.setattr(standing, "params_folder", lambda: tmp_path)
    audit = ChapterSource("02_x", tmp_path, (), (), ("profile",), "canary.waiver_file(p.profile)", "")
    other = audit._replace(name="03_x", code="1 + 1")
    file = tmp_path / "waivers" / "ci.yaml"
    seen = [standing.chapter_key(audit, profile, {})]
    for text in ("- part: highest AUROC", "- part: excess over trees"):
        store.write_json(file, text)
        seen.append(standing.chapter_key(audit, profile, {}))
        assert standing.outside(other, profile) is None
    file.unlink()
    assert len(set(seen)) == 3
    assert standing.chapter_key(audit, profile, {}) == seen[0]
    assert "waiver_file" in (project_root() / "book" / "02_leak_audit.md").read_text()


# --- The page that lists all this. ---

PAGE = project_root() / "book" / "troubleshooting.md"


def test_every_test_that_the_page_names_is_there() -> None:
    functions = {
        node.name
        for file in (project_root() / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text()))
    assert len(named) >= 30
    assert named <= functions


def test_every_message_that_the_page_explains_is_in_the_source() -> None:
    """A quoted message is cut at its variable parts, which stand as …"""
    library = [
        "".join(
            part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "…"
            for part in (node.values if isinstance(node, ast.JoinedStr) else [node])
        )
        for file in (project_root() / "lib").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ]
    text = "\n".join(library)
    quoted = re.findall(r"^\| \*(.+?)\* \|", PAGE.read_text(), flags=re.MULTILINE)
    assert len(quoted) >= 20
    pieces = [piece.strip() for message in quoted for piece in message.replace("\\", "").split("…")]
    assert [piece for piece in pieces if piece not in text] == []
