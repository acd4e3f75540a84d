"""Submit one chapter as a Kubernetes Job and print its name, which is how Snakemake asks for it later."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import uuid
from pathlib import Path

import yaml


def main() -> None:
    """Fill in job.yaml and hand it to kubectl; its refusal is ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("cpus", "mem-mb", "minutes", "gpus"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("script", help="what Snakemake wants run, a file on the shared volume")
    options = parser.parse_args()
    job = manifest(options.name, options.script, options.cpus, options.mem_mb, options.minutes, options.gpus)
    subprocess.run(
        ["kubectl", "create", "-f", "-"], input=json.dumps(job), text=True, check=True, stdout=subprocess.DEVNULL
    )
    print(job["metadata"]["name"])


def manifest(name: str, script: str, cpus: int, mem_mb: int, minutes: int, gpus: int) -> dict:
    """The Job of one chapter. What it asks for is also its limit: a GPU must be, and memory is known."""
    job = yaml.safe_load((Path(__file__).parent / "job.yaml").read_text())
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    job["metadata"]["name"] = f"{plain}-{uuid.uuid4().hex[:8]}"  # at most 63 letters, and another one for each attempt
    job["spec"]["activeDeadlineSeconds"] = 60 * minutes
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["command"] = ["sh", str(Path(script).absolute())]
    asked = {"cpu": str(cpus), "memory": f"{mem_mb}M", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    container["resources"] = {"requests": asked, "limits": asked}
    return job


if __name__ == "__main__":
    main()
