"""Our measures of prediction beside those of `meds-evaluation`, a public program, on the file that we export for it.

    python bench/predictions_meds_evaluation.py --scratch FOLDER [--patients 2000]

Writes planted probabilities, miscalibrated and with ties, in the MEDS prediction schema, has the program evaluate the
file, and compares. Exit status 1: a measure that both define alike differs, or the program refuses the file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from environments import NotRunError, install
from measure import run, tail
from scipy.special import expit

from jepascope.analysis.inference.stats import auroc
from jepascope.analysis.outcomes.calibration import weighted_brier, weighted_ece
from jepascope.analysis.outcomes.discrimination import weighted_auprc
from jepascope.pipeline.outcomes.meds_predictions import write_predictions
from jepascope.store import read_json

PACKAGE = "meds-evaluation==0.0.6"
# Both compute on the same float32 probabilities.
TOLERANCE = 1e-6


def planted(patients: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Encounters with a label drawn from a risk, and too extreme probabilities of two decimals: index, [N], [N]."""
    rng = np.random.default_rng(0)
    subject_id = np.repeat(np.arange(patients) + 10_000_000, rng.integers(1, 9, patients))
    N = len(subject_id)
    days = np.cumsum(rng.integers(1, 200, N))
    index = pd.DataFrame(
        {"subject_id": subject_id, "dischtime": np.datetime64("2130-01-01T11:30:00", "s") + days * 86400}
    )
    log_odds = rng.normal(size=patients)[subject_id - 10_000_000] + rng.normal(size=N) - 2
    labels = (rng.random(N) < expit(log_odds)).astype(float)
    labels[rng.random(N) < 0.1] = np.nan
    return index, np.round(expit(1.5 * log_odds + 0.3), 2), labels


def run_theirs(file: Path, scratch: Path) -> dict[str, dict[str, float]]:
    """Evaluate a file of predictions by the program; returns what it found. Raises NotRunError."""
    binaries, out, log = install(scratch / "meds-evaluation-env", [PACKAGE]), scratch / "found.json", scratch / "log"
    out.unlink(missing_ok=True)
    command = [binaries / "meds-evaluation-cli", f"predictions_path={file}", f"output_file={out}"]
    took = run(command, log)
    if took.status:
        raise NotRunError(f"meds-evaluation ended with status {took.status}: {tail(log)}")
    return read_json(out)


def ours(file: Path) -> dict[str, float]:
    """Our measures of the same file, under the program's names for them."""
    table = pd.read_parquet(file)
    made, labels = table["predicted_boolean_probability"].to_numpy(float), table["boolean_value"].to_numpy(float)
    ones = np.ones((1, len(labels)))
    return {
        "roc_auc_score": auroc(made, labels),
        "average_precision_score": float(weighted_auprc(made, labels)(ones)[0]),
        "brier_score": float(weighted_brier(made, labels)(ones)[0]),
        "binary_accuracy": float((table["predicted_boolean_value"] == table["boolean_value"]).mean()),
        # Bins of equal mass, weighted by their rows; the program's are of equal width, and each counts the same.
        "calibration_error": float(weighted_ece(made, labels)(ones)[0]),
    }


def compare(found: dict[str, float], theirs: dict[str, float]) -> int:
    """Print both, side by side; returns how many measures that are defined alike differ."""
    differ = 0
    print("| measure | ours | meds-evaluation | difference |\n|---|---|---|---|")
    for name, value in found.items():
        alike = name != "calibration_error"
        differ += alike and not abs(value - theirs[name]) < TOLERANCE
        note = f"{value - theirs[name]:.1e}" if alike else "another definition"
        print(f"| {name} | {value:.6f} | {theirs[name]:.6f} | {note} |")
    return differ


def main() -> int:
    """Plant, export, evaluate twice; returns 1 when the two disagree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the file and the environment")
    parser.add_argument("--patients", type=int, default=2000, help="of the planted predictions")
    asked = parser.parse_args()
    file = write_predictions(asked.scratch / "predictions", *planted(asked.patients), "readmission_30d")
    try:
        theirs = run_theirs(file, asked.scratch)
    except NotRunError as reason:
        # A program that can't be had is no disagreement; one that is there and refuses our file is.
        print(f"not run: {reason}")
        return int("ended with status" in str(reason))
    return int(compare(ours(file), theirs["samples_equally_weighted"]) > 0)


if __name__ == "__main__":
    sys.exit(main())
