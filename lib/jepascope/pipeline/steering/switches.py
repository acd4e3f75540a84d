"""Planted concepts, turned on and off at test encounters: what each does to the records that follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jepascope import params
from jepascope.analysis.inference.stats import NotComputable
from jepascope.certify import steering as certified
from jepascope.certify.futures import simulate_switches
from jepascope.certify.planted import load_truth
from jepascope.cohort import encounters as cohort_encounters
from jepascope.pipeline.certification.model import planted_records
from jepascope.pipeline.steering.directions import followed, whole_patients
from jepascope.store import write_json, write_table, write_tensors

ROWS = 300  # test encounters at which concepts are turned, of whole patients
NOW, NEXT = 4, 8  # draws of the encounter itself, and of the next


def turn_concepts(
    folder: Path, encounters: Path, source: params.Source, extraction: params.Extraction, seed: int
) -> None:
    """The step that turns planted concepts at test encounters and draws k and k + 1. It knows no model.

    Leaves switches.safetensors (`certify.futures.Switches`) and concepts.parquet; or, where none can be made,
    reasons.json in their place, as other chapters read this step.
    """
    cohort, reasons = cohort_encounters.load(encounters), {}
    try:
        planted = planted_records(encounters) / "planted"
        concepts = certified.concepts_to_turn(load_truth(planted, cohort.index).concepts)
        rows = followed(cohort.index, "test")
        patients = cohort.index["subject_id"].to_numpy()[rows]
        rows = whole_patients(rows, patients, ROWS, np.random.default_rng(seed))
        if not len(rows):
            raise NotComputable("no test patient with a next encounter")
        given = (source, extraction, rows, concepts["name"].tolist(), (NOW, NEXT), seed)
        found = simulate_switches(folder / "scratch", planted, cohort, *given)
        (folder / "scratch").rmdir()
        write_tensors(folder / "switches.safetensors", found._asdict())
        write_table(folder / "concepts.parquet", concepts)
    except NotComputable as reason:
        reasons["reason"] = str(reason)
    write_json(folder / "reasons.json", reasons)
