"""The public MEDS ETL for MIMIC-IV on the same tree, in an environment of its own that is thrown away with the scratch.

Its event spec is cut to the tables that the tree has; the cut favours it: half its tables, and no look-up of the
names of laboratory items and procedures. Drugs come from prescriptions, as they do here, and not from pharmacy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import duckdb
import measure
import yaml
from environments import NotRunError, install

PACKAGE = "MIMIC-IV-MEDS==0.2.0"
TABLES = (
    "hosp/admissions", "hosp/diagnoses_icd", "hosp/labevents", "hosp/patients", "hosp/procedures_icd",
    "hosp/transfers", "icu/icustays",
)  # fmt: skip
WITHOUT_NAMES = ("hosp/labevents", "hosp/procedures_icd")
MEDICATION = {
    "code": "f\"MEDICATION//START//{$drug ?? 'UNK'}//{$ndc ?? 'UNK'}\"",
    "time": '$starttime::"%Y-%m-%d %H:%M:%S"',
    "hadm_id": "$hadm_id",
}


def cut_spec(binaries: Path, file: Path) -> Path:
    """Write the package's own spec, cut to the tree's tables."""
    where = "from importlib.resources import files; print(files('MIMIC_IV_MEDS') / 'event_configs.yaml')"
    found = subprocess.run([binaries / "python", "-c", where], capture_output=True, text=True, check=False)
    if found.returncode:
        raise NotRunError(f"the event spec of {PACKAGE} isn't found: {found.stderr.strip().splitlines()[-1]}")
    whole = yaml.safe_load(Path(found.stdout.strip()).read_text())
    cut = {name: whole[name] for name in ("etl", *TABLES, "sources")}
    for table in WITHOUT_NAMES:
        for event in cut[table].values():
            event.pop("_metadata", None)
    cut["hosp/prescriptions"] = {"medication_start": MEDICATION}
    file.write_text(yaml.safe_dump(cut, sort_keys=False, width=1000))
    return file


def run(root: Path, scratch: Path, threads: int) -> tuple[measure.Measured, int]:
    """Run the ETL on the tree; returns what it took and the events it wrote. Raises NotRunError."""
    binaries = install(scratch / "meds-etl-env", [PACKAGE])
    spec, out, log = cut_spec(binaries, scratch / "meds_etl.yaml"), scratch / "meds-etl-out", scratch / "meds_etl.log"
    shutil.rmtree(out, ignore_errors=True)  # it would skip the stages that are done
    command = [binaries / "meds-extract-run", f"spec={spec}", f"output_dir={out}", f"input_dir={root}",
               "do_download=false", "dataset_key=demo"]  # fmt: skip
    # It starts its stages by name.
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    took = measure.run(command, log, {"PATH": path, "POLARS_MAX_THREADS": str(threads), "HYDRA_FULL_ERROR": "1"})
    try:
        if took.status:
            raise NotRunError(f"it ended with status {took.status}: {measure.tail(log)}")
        events = f"select coalesce(sum(num_rows), 0) from parquet_file_metadata('{out}/data/**/*.parquet')"
        return took, int(duckdb.execute(events).fetchall()[0][0])
    finally:
        shutil.rmtree(out, ignore_errors=True)  # its intermediates are several times the tree
