"""What jobs ask of a cluster, what is read of its queue, and the profiles; none of it needs a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from jepascope.book import needs as module
from jepascope.book.needs import needs, read_measured
from jepascope.book.notebooks import ChapterError, read_book
from jepascope.book.slurm import Held, held, read_queue, wait_for_held
from jepascope.params import load_profile, project_root

BOOK, ROOT = read_book(), project_root()
PROFILES = ROOT / "profiles"
DEFAULT = load_profile("synthetic")


def test_every_measured_chapter_is_one_of_the_book() -> None:
    assert read_measured()["chapters"].keys() <= {chapter.name for chapter in BOOK.chapters}


def test_a_request_is_the_measurement_with_its_margins(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {
        "patients": 11_000,
        "seeds": 3,
        "libraries_mb": 600,
        "snakemake_mb": 500,
        "unmeasured": {"seconds": 300, "mem_mb": 1000},
        "chapters": {"03_training": {"seconds": 200, "mem_mb": 1600}},
        "cohorts": {"mimic_iv": 14},
    }
    monkeypatch.setattr(module, "read_measured", lambda: table)
    training, summary = BOOK.find("03_training"), BOOK.find("12")
    assert needs(training, DEFAULT, 3, 1) == (10 + 10, 600 + 500 + 2 * 1000, 0)
    assert needs(training, DEFAULT, 3, 2) == (40, 6200, 0)  # asks for as much again
    assert needs(training, DEFAULT, 30, 1).minutes == 20  # a job is of one seed
    assert needs(summary, DEFAULT, 3, 1) == (10 + 15, 600 + 500 + 2 * 400, 0)
    assert needs(summary, DEFAULT, 30, 1).minutes == 10 + 150  # collects ten times the seeds
    assert needs(summary, DEFAULT, 1, 1).minutes == 25
    table["chapters"]["12_across_seeds"] = {"seconds": 60, "mem_mb": 1000, "pairs": True, "seed_mb": 50}
    assert needs(summary, DEFAULT, 30, 1).minutes == 10 + 3 * 15  # 30 seeds and 60 pairs where there were 3 and 3
    assert needs(summary, DEFAULT, 30, 1).mem_mb == 600 + 500 + 2 * (400 + 27 * 50)
    assert needs(training, load_profile("synthetic_55k"), 3, 1)[:2] == (10 + 50, 600 + 500 + 10 * 1000)
    assert needs(training, load_profile("mimic_iv"), 3, 1)[:2] == (10 + 140, 600 + 500 + 28 * 1000)


def test_gpus_are_asked_for_where_the_profile_trains_on_them() -> None:
    on_gpu = load_profile("mimic_iv", {"training": {"processes": 4}})
    asked = {chapter.name: needs(chapter, on_gpu, 3, 1).gpus for chapter in BOOK.chapters}
    assert asked["03_training"] == asked["03b_arms"] == 4
    assert asked["01_extraction"] == asked["05_z_characterisation"] == asked["index"] == 0
    assert not any(needs(chapter, DEFAULT, 3, 1).gpus for chapter in BOOK.chapters)


def test_of_the_queue_only_this_projects_jobs_of_the_profile_count(tmp_path: Path) -> None:
    here, comment = tmp_path.resolve(), "rule_chapter_wildcards"
    lines = [
        f"7|RUNNING|{comment}_synthetic_0_03_training|{here}",
        f"8|PENDING|{comment}_synthetic_all_01_extraction|{here}",
        f"9|RUNNING|{comment}_synthetic_0_03_training|{here.parent}",
        f"10|RUNNING|{comment}_synthetic_55k_0_03_training|{here}",
        f"12|RUNNING|{comment}_synthetic_2_0_03_training|{here}",  # seed 0 of profile synthetic_2
        f"11|RUNNING|(null)|{here}",
    ]
    assert read_queue("\n".join(lines), here, "synthetic") == [
        Held("7", "RUNNING", "0", "03_training"),
        Held("8", "PENDING", "all", "01_extraction"),
    ]


def _stand_in(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program in the way of a real one."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_run_waits_until_an_earlier_ones_jobs_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"7|RUNNING|rule_chapter_wildcards_ci_1_03_training|{ROOT.resolve()}"
    count = tmp_path / "asked"
    _stand_in(
        tmp_path / "bin",
        "squeue",
        f"echo >> {count}\n[ $(wc -l < {count}) -gt 2 ] || echo '{line}'\n",
        monkeypatch,
    )
    wait_for_held("slurm", "ci", seconds=0.01)
    assert len(count.read_text().splitlines()) == 3
    assert capsys.readouterr().err.count("waiting for 03_training seed 1 (7, running)") == 1


def test_nobody_is_waited_for_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    wait_for_held("default", "ci")


def test_without_slurm_the_message_says_where_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ChapterError, match="run this where jobs may be submitted"):
        held(ROOT, "ci")
    with pytest.raises(ChapterError, match="--on takes one of default, kubernetes, slurm"):
        wait_for_held("slrum", "ci")


@pytest.mark.parametrize(
    ("folder", "plugin", "prefix"),
    [
        ("slurm", "snakemake_executor_plugin_slurm", "slurm-"),
        ("kubernetes", "snakemake_executor_plugin_cluster_generic", "cluster-generic-"),
    ],
)
def test_a_profiles_settings_are_ones_that_its_executor_knows(folder: str, plugin: str, prefix: str) -> None:
    profile = yaml.safe_load((PROFILES / folder / "config.yaml").read_text())
    known = {field.name for field in fields(import_module(plugin).ExecutorSettings)}
    given = {key.removeprefix(prefix).replace("-", "_") for key in profile if key.startswith(prefix)}
    assert given
    assert given <= known


KUBECTL = """\
case "$1 $2" in
    "create -f") cat > "$KUBE/manifest.json" ;;
    "get job") cat "$KUBE/answer.json" 2> /dev/null || { echo 'Error (NotFound): no such job' >&2; exit 1; } ;;
esac
"""


def test_a_kubernetes_job_runs_the_script_with_what_it_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBE", str(tmp_path))
    _stand_in(tmp_path / "bin", "kubectl", KUBECTL, monkeypatch)
    asked = ["--cpus", "2", "--mem-mb", "1500", "--minutes", "20", "--gpus", "1", "--name", "ci-0-03_training"]
    name = _printed("submit.py", *asked, "job.sh")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    assert manifest["metadata"]["name"] == name
    assert name.startswith("ci-0-03-training-")
    assert manifest["spec"]["activeDeadlineSeconds"] == 1200
    assert container["command"] == ["sh", str(Path.cwd() / "job.sh")]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "1500M", "nvidia.com/gpu": "1"}
    assert _printed("status.py", name) == "failed"  # gone
    for conditions, verdict in [
        ([], "running"),
        ([{"type": "Complete", "status": "True"}], "success"),
        ([{"type": "Failed", "status": "True"}], "failed"),
    ]:
        (tmp_path / "answer.json").write_text(json.dumps({"status": {"conditions": conditions}}))
        assert _printed("status.py", name) == verdict


def _printed(script: str, *arguments: str) -> str:
    command = [sys.executable, str(PROFILES / "kubernetes" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_manifests_of_kubernetes_name_one_image_one_volume_and_one_folder() -> None:
    documents = yaml.safe_load_all((PROFILES / "kubernetes" / "controller.yaml").read_text())
    controller = next(document for document in documents if document["kind"] == "Pod")["spec"]
    job = yaml.safe_load((PROFILES / "kubernetes" / "job.yaml").read_text())["spec"]["template"]["spec"]
    for pod in (controller, job):
        assert pod["containers"][0]["image"] == "jepascope:latest"
        assert pod["containers"][0]["workingDir"] == "/project"
        assert pod["volumes"] == job["volumes"]
    assert "WORKDIR /project\n" in (PROFILES / "kubernetes" / "Dockerfile").read_text()
