"""The workflow of GitHub Actions: it parses, is pinned, may do little, and runs commands that exist."""

import re
import shlex
from typing import Any

import pytest
import yaml

from jepascope.cli import _parser
from jepascope.params import project_root

WORKFLOW: dict[Any, Any] = yaml.safe_load((project_root() / ".github" / "workflows" / "book.yml").read_text())
STEPS = [(name, step) for name, job in WORKFLOW["jobs"].items() for step in job["steps"]]
TARGETS = set(re.findall(r"^([\w-]+):", (project_root() / "Makefile").read_text(), re.MULTILINE))


def test_every_action_is_an_official_one_pinned_to_a_commit() -> None:
    used = [step["uses"] for _, step in STEPS if "uses" in step]
    assert len(used) >= 6
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action) for action in used)


def test_what_the_workflow_runs_exists() -> None:
    for _, step in STEPS:
        for line in step.get("run", "").splitlines():
            words = shlex.split(line.partition(" | ")[0])
            if words[0] == "make":
                assert {word for word in words[1:] if "=" not in word} <= TARGETS
            else:
                assert words[0] == ".venv/bin/jepascope"
                _parser().parse_args(words[1:])


def test_jobs_may_read_and_only_the_one_that_deploys_may_write() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    allowed = {name: job["permissions"] for name, job in WORKFLOW["jobs"].items() if "permissions" in job}
    assert allowed == {"deploy": {"pages": "write", "id-token": "write"}}
    assert not [step for name, step in STEPS if name == "deploy" and "run" in step]


def test_pages_come_from_main_after_the_tests_the_gate_and_a_synthetic_book() -> None:
    jobs = WORKFLOW["jobs"]
    assert "refs/heads/main" in jobs["book"]["if"]
    assert (jobs["book"]["needs"], jobs["deploy"]["needs"]) == ("test", "book")
    lines = [step.get("run") or step["uses"].partition("@")[0] for name, step in STEPS if name == "book"]
    built, gate, upload = (
        next(i for i, line in enumerate(lines) if word in line) for word in ("make book", "publish-check", "upload")
    )
    assert built < gate < upload
    assert "PROFILE=synthetic" in lines[built]
    assert 'grep "tier synthetic"' in lines[gate]
    assert "--reviewer" not in lines[gate], "nobody has looked at them"


@pytest.mark.parametrize("name", WORKFLOW["jobs"])
def test_every_job_ends_by_itself(name: str) -> None:
    assert WORKFLOW["jobs"][name]["timeout-minutes"] <= 180
    assert "concurrency" in WORKFLOW
