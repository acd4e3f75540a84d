"""Say of a Kubernetes Job what Snakemake wants to hear: running, success or failed."""

from __future__ import annotations

import json
import subprocess
import sys


def main(name: str) -> None:
    """Ask kubectl; where it can't answer it says why, and is asked again, as the job may well be running."""
    done = subprocess.run(["kubectl", "get", "job", name, "-o", "json"], capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr, end="")
        print("failed" if "NotFound" in done.stderr else "running")
        return
    print(verdict(json.loads(done.stdout).get("status", {}).get("conditions", [])))


def verdict(conditions: list[dict]) -> str:
    """Read the Job's conditions, the only place that says that nothing more will happen to it."""
    true = {condition["type"] for condition in conditions if condition["status"] == "True"}
    return "success" if "Complete" in true else "failed" if "Failed" in true else "running"


if __name__ == "__main__":
    main(sys.argv[1])
