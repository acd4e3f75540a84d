"""A synthetic cohort with planted truth, written as MIMIC-IV: the one place where the right answer is known."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.cohort.schema import SYNTHETIC_MARK, patients_digest
from jepascope.cohort.synthetic import emission, leaks, people, stays, tables, truth, utilisation
from jepascope.store import StoreError, read_json

__all__ = ["SyntheticError", "synthesize"]


class SyntheticError(RuntimeError):
    """The cohort can't be written where it was asked for; the message says what is in the way."""


def synthesize(root: Path, synthetic: params.Synthetic) -> None:
    """Write hosp/, icu/ and truth/ of a planted cohort to `root`, the same bytes for the same parameters.

    Written to a sibling folder and renamed, so that a killed run leaves nothing that passes for a cohort. An earlier
    synthetic cohort at `root` is replaced. Raises SyntheticError when `root` holds anything else.
    """
    _refuse_others(root)
    partial = root.with_name(f".{root.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _write(partial, synthetic)
        if root.exists():
            shutil.rmtree(root)
        partial.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _refuse_others(root: Path) -> None:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    try:
        made = read_json(root / "truth" / "truth.json").get("made_by")
    except (StoreError, AttributeError):
        made = None
    if made != truth.MADE_BY:
        raise SyntheticError(
            f"{root} exists and is no synthetic cohort; give another folder, or remove it yourself if it can go"
        )


def _write(root: Path, synthetic: params.Synthetic) -> None:
    # One stream per part: a change in how labs are drawn must not change who lives.
    streams = [np.random.default_rng(seed) for seed in np.random.SeedSequence(synthetic.seed).spawn(7)]
    crowd = people.draw(synthetic.patients, streams[0])
    histories = utilisation.live(crowd.age, synthetic.shape_effect, streams[1])
    if synthetic.leak == "outcome_filtered":
        histories = leaks.filter_by_outcome(histories)
        if not len(histories.k):
            raise SyntheticError(
                f"synthetic.leak 'outcome_filtered' leaves none of {synthetic.patients} patients; ask for more"
            )
    records = tables.Records(crowd, histories, streams[2])
    surroundings = stays.furnish(histories, streams[3])
    tables.write_patients(root, records)
    tables.write_admissions(root, records, surroundings)
    tables.write_hospital(root, records, surroundings)

    diagnoses = emission.diagnoses(histories.on, histories.patient, surroundings.service == "PSYCH", streams[4])
    codes = emission.CODES
    if synthetic.leak in ("total_length", "next_encounter"):
        row, leaked = leaks.leaked_codes(histories, synthetic.leak)
        diagnoses = emission.add(diagnoses, row, len(codes) + leaked)
        codes = (*codes, *leaks.LEAK_CODES)
    tables.write_diagnoses(root, records, diagnoses, codes)
    tables.write_procedures(root, records, emission.procedures(histories.on, streams[4]), emission.PROCEDURE_CODES)
    tables.write_prescriptions(root, records, emission.drugs(histories.on, streams[5]), streams[5])
    tables.write_labs(root, records, emission.labs(histories.on, histories.patient, streams[6]), streams[6])
    truth.write_truth(root, histories, records.subject_id, records.hadm_id, synthetic)
    written = pd.read_csv(root / "hosp" / "patients.csv", usecols=["subject_id"])["subject_id"]
    (root / SYNTHETIC_MARK).write_text(patients_digest(written))
