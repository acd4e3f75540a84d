"""The audit as steps of a run: each leaves findings.parquet, and together they are the table of the chapter."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.audit import canary, features, fitted, permutation, perturbation, records, reports, splits, windows
from jepascope.audit.findings import GREEN, RED, UNVERIFIED, Finding, as_findings, gather
from jepascope.audit.stories import FILTERED, PATIENT, inflation, tell
from jepascope.audit.trials import PLANTED, make_world, mutation_score, try_all, try_escapes
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.splits import uniform
from jepascope.objects import load_objects
from jepascope.pipeline.outcomes.fitting import READMISSION, load_predicted
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.store import read_table, write_json, write_table
from jepascope.training.checkpoint import load_model

FINDINGS = "findings.parquet"
# Patients that are fitted to and permuted, at most: a scan of all of MIMIC-IV would take an hour and tell the same.
MAX_PATIENTS = 20_000


def tell_stories(folder: Path, encounters: Path, statistics: params.Statistics) -> None:
    """The step that asks the same records five ways: stories.parquet (AUROC, interval, null), and two readings.

    The readings "patient" and "filtered" are what the wrong way adds to the honest AUROC. Where too few patients have
    an answer, stories.json holds the reason and there are no readings.
    """
    index = cohort_encounters.load(encounters).index
    how = Inference(**statistics.model_dump())
    try:
        told = tell(index, READMISSION, how, seed=0)
        ways = (("patient", PATIENT), ("filtered", FILTERED))
        readings = {name: Reading(*inflation(index, READMISSION, way, how, seed=0)) for name, way in ways}
    except NotComputable as reason:
        write_json(folder / "stories.json", {"reason": str(reason)})
        save_readings(folder, {})
        return
    rows = [{"name": one.name, **one.estimate._asdict(), **one.null.columns()} for one in told]
    write_table(folder / "stories.parquet", pd.DataFrame(rows))
    save_readings(folder, readings)


def load_stories(folder: Path) -> pd.DataFrame:
    """Read the five ways of asking. Raises NotComputable where there are too few patients."""
    if not (folder / "stories.parquet").exists():
        raise NotComputable("too few patients were, and too few were not, readmitted")
    return read_table(folder / "stories.parquet")


def audit_cohort(folder: Path, encounters: Path, extraction: params.Extraction) -> None:
    """The step of all that can be asked of a table of encounters: T1 of inputs, T2, T3, T4, T5, T7, T9, T10, T12, T13.

    Leaves scan.parquet of T7 beside the findings.
    """
    cohort = cohort_encounters.load(encounters)
    index = cohort.index
    some = _some_patients(cohort)
    inputs = perturbation.coded_inputs(some)
    scanned = features.scan(some, inputs)
    found = [
        perturbation.inputs_read_no_future(some, perturbation.coded_inputs, _rng("inputs")),
        windows.labels_in_window(index, extraction),
        windows.single_encounters_are_in(index),
        *splits.splits_share_nothing(cohort),
        fitted.vocabulary_counts_training_patients(cohort),
        features.no_feature_tells(scanned, len(inputs.names)),
        *permutation.permuted_labels_are_at_chance(some, perturbation.coded_inputs, _rng("labels")),
        permutation.meaningless_labels_are_at_chance(some, inputs),
        permutation.order_of_rows_tells_nothing(cohort, _rng("order")),
        windows.clocks_agree(index),
        windows.eras_are_apart(index, extraction.era_test_from),
    ]
    _save(folder, found)
    write_table(folder / "scan.parquet", scanned)


def audit_records(folder: Path, encounters: Path, extraction: params.Extraction) -> None:
    """The step that reads planted records twice, with the profile's own extraction: T2, T3, T5 and T12.

    `encounters` are those under audit, whose data tier the findings bear; the records are planted ones, because real
    ones can't be handed out in halves. Shards and threads are cut to the size of the planted cohort.
    """
    small = {"max_patients": None, "min_patients_per_token": min(5, extraction.min_patients_per_token), "threads": 1}
    extraction = extraction.model_copy(update=small)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        tables = records.planted_tables(work / "planted", PLANTED)
        read = records.reader(work / "planted", extraction)
        whole = read(work / "read", tables, None)
        found = [
            *records.extraction_reads_no_future(work / "cut", tables, read, whole, _rng("cut")),
            records.labels_read_their_window(work / "cut", tables, read, whole, _rng("window")),
            records.extraction_fits_on_training_patients(work / "again", tables, read, whole),
        ]
    _save(folder, found)


def audit_model(folder: Path, encounters: Path, model: Path, objects: Path, seed: int) -> None:
    """The step that asks a trained model, and what is fitted on its objects: T1 and T5."""
    cohort = cohort_encounters.load(encounters)
    found = perturbation.model_reads_no_future(load_model(model), cohort, seed)
    found.append(_fits(cohort, objects, seed))
    _save(folder, _of_seed(found, seed))


def audit_results(
    folder: Path, encounters: Path, statistics: params.Statistics, seed: int, examined: Path, scores: Path, *fits: Path
) -> None:
    """The step that reads what other chapters found: T6 of `scores`, T8 of all `fits`, T14 of the model `examined`.

    `seed` is that of the models which were fitted, and is named in every part.
    """
    how = Inference(**statistics.model_dump())
    found = [
        reports.floor_is_beside(read_table(scores / "scores.parquet")),
        *canary.too_good(load_predicted(fits, encounters, "test", task=READMISSION), how, seed),
        reports.results_are_told_by_group(_metrics(examined)),
    ]
    _save(folder, _of_seed(found, seed))


def put_leaks_in(folder: Path, encounters: Path) -> None:
    """The step of T11: leaks put into a small planted cohort, trials.parquet; and those that escape, escapes.parquet.

    `encounters` are those under audit, whose data tier the findings bear; they are not read.
    """
    with tempfile.TemporaryDirectory() as name:
        world = make_world(Path(name))
        tried, escapes = try_all(world), try_escapes(world)
    write_table(folder / "trials.parquet", tried)
    write_table(folder / "escapes.parquet", escapes)
    _save(folder, [mutation_score(tried)])


def load_trials(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read what `put_leaks_in` left: the leaks that were put in, and those that nothing can see."""
    return read_table(folder / "trials.parquet"), read_table(folder / "escapes.parquet")


def collect(folders: Sequence[Path], opened: pd.DataFrame, looked: Sequence[str]) -> pd.DataFrame:
    """All findings in the order of the checks, with T15 of the ledger; a check that nobody ran is red."""
    found = [one for folder in folders for one in as_findings(read_table(folder / FINDINGS))]
    return gather([*found, reports.openings_are_counted(opened, list(looked))])


def counted(findings: pd.DataFrame) -> dict[str, int]:
    """How many findings there are, and of each status."""
    status = findings["status"]
    numbers = {name: int((status == value).sum()) for name, value in
               (("green", GREEN), ("red", RED), ("unverified", UNVERIFIED))}  # fmt: skip
    return {"findings": len(findings), **numbers}


def _fits(cohort: Encounters, objects: Path, seed: int) -> Finding:
    return fitted.fits_ignore_test_patients(cohort, load_objects(objects), fitted.fit_artefacts, _rng(f"fits {seed}"))


def _of_seed(found: Sequence[Finding], seed: int) -> list[Finding]:
    return [one._replace(part=f"{one.part}, seed {seed}") for one in found]


def _metrics(examined: Path) -> pd.DataFrame | None:
    file = examined / "metrics.parquet"
    return read_table(file) if file.exists() else None


def _some_patients(cohort: Encounters) -> Encounters:
    """All encounters of at most about MAX_PATIENTS patients, by keyed hash."""
    patients, rows = np.unique(cohort.index["subject_id"], return_inverse=True)
    return perturbation.keep_rows(cohort, (uniform(patients, "audit") < MAX_PATIENTS / len(patients))[rows])


def _save(folder: Path, found: Sequence[Finding]) -> None:
    write_table(folder / FINDINGS, pd.DataFrame(found, columns=list(Finding._fields)))


def _rng(purpose: str) -> np.random.Generator:
    return np.random.default_rng(list(purpose.encode()))
