"""The 30-day readmission a third time, by ACES: a public program that reads a task from a file, on MEDS events.

    python bench/labels_aces.py --scratch FOLDER [--patients 4000 | --root TREE]

ACES sees the admissions as they were delivered, not our encounters. Prints on how many rows both definitions say the
same thing, whether the labels agree there, and why the other rows are apart. Exit status 1: a label differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import duckdb
from environments import NotRunError, install
from measure import run, tail

from jepascope import params
from jepascope.cohort.encounters import load
from jepascope.cohort.extract import extract
from jepascope.cohort.synthetic import synthesize

HERE = Path(__file__).parent
PACKAGE = "es-aces==0.7.3"
UNPLANNED = ("EW EMER.", "DIRECT EMER.", "URGENT", "EU OBSERVATION", "OBSERVATION ADMIT", "DIRECT OBSERVATION")


def write_events(root: Path, file: Path) -> None:
    """Write admissions, discharges and deaths of a tree as MEDS events, straight from its tables."""
    file.parent.mkdir(parents=True, exist_ok=True)
    admissions, patients = root / "hosp" / "admissions.csv", root / "hosp" / "patients.csv"
    duckdb.execute(f"""
        copy (
            select subject_id, admittime::timestamp as time,
                   'HOSPITAL_ADMISSION//' || admission_type || '//' || coalesce(admission_location, 'UNK') as code,
                   null::float as numeric_value
            from read_csv('{admissions}*')
            union all
            select subject_id, dischtime::timestamp, 'HOSPITAL_DISCHARGE//' || coalesce(discharge_location, 'UNK'), null
            from read_csv('{admissions}*')
            union all
            select subject_id, dod::timestamp, 'MEDS_DEATH', null from read_csv('{patients}*') where dod is not null
            order by subject_id, time
        ) to '{file}' (format parquet)
    """)


def run_aces(events: Path, scratch: Path) -> Path:
    """Label the events by `readmission_30d.yaml`; returns the file of MEDS labels. Raises NotRunError."""
    binaries = install(scratch / "aces-env", [PACKAGE])
    labels, log = scratch / "aces" / "labels.parquet", scratch / "aces.log"
    command = [
        binaries / "aces-cli", "data.standard=meds", f"data.path={events}", "cohort_name=readmission_30d",
        f"cohort_dir={scratch / 'aces'}", f"config_path={HERE / 'readmission_30d.yaml'}", f"output_filepath={labels}",
    ]  # fmt: skip
    took = run(command, log)
    if took.status:
        raise NotRunError(f"ACES ended with status {took.status}: {tail(log)}")
    return labels


def compare(root: Path, extracted: Path, labels: Path) -> duckdb.DuckDBPyConnection:
    """Return a connection with the table `compared`: ours, aces, reason."""
    connection = duckdb.connect()
    index = load(extracted).index  # noqa: F841 (read by name in the query)
    connection.execute("""
        create table row as
        select subject_id, dischtime::timestamp as t, label_30d_per_enc::int as label, eligibility_30d as reason
        from index
    """)
    connection.execute(
        f"create table told as select subject_id, prediction_time as t, boolean_value::int as label from '{labels}'"
    )
    connection.execute(
        f"""
        create table stay as
        select subject_id, admittime::timestamp as admittime, dischtime::timestamp as dischtime,
               list_contains($unplanned, admission_type) as unplanned,
               dischtime <= admittime or coalesce(admittime::date > dod::date, false) as is_void
        from read_csv('{root / "hosp" / "admissions.csv"}*') admissions
        join read_csv('{root / "hosp" / "patients.csv"}*') patients using (subject_id)
        """,
        {"unplanned": list(UNPLANNED)},
    )
    connection.execute((HERE / "labels_aces.sql").read_text())
    return connection


def report(connection: duckdb.DuckDBPyConnection) -> int:
    """Print the agreement; returns how many rows differ where the definitions coincide."""
    where = "from compared where reason is null"
    both, same, positive = connection.execute(
        f"select count(*), count(*) filter (where ours = aces), count(*) filter (where ours = 1 and aces = 1) {where}"
    ).fetchall()[0]
    print(f"Where the definitions coincide: {both:,} rows, of which {same:,} agree ({positive:,} positive).\n")
    print("Elsewhere, by the rule that parts them:\n")
    print("| rule | both label, same | both label, other | only ours | only ACES |\n|---|---|---|---|---|")
    parted = """
        select reason, count(*) filter (where ours = aces), count(*) filter (where ours <> aces),
               count(*) filter (where aces is null), count(*) filter (where ours is null)
        from compared where reason is not null group by reason order by count(*) desc
    """
    for row in connection.execute(parted).fetchall():
        print("| " + " | ".join(cell if isinstance(cell, str) else f"{cell:,}" for cell in row) + " |")
    return both - same


def main() -> int:
    """Make the synthetic cohort, label it twice, compare; returns 1 when a label differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the cohort and the environment")
    parser.add_argument("--patients", type=int, default=4000, help="of the planted cohort")
    parser.add_argument("--root", type=Path, help="read these records (csv or csv.gz) instead of a planted cohort")
    asked = parser.parse_args()
    root, extracted, events = asked.root, asked.scratch / "encounters", asked.scratch / "events.parquet"
    if root is None:
        root = asked.scratch / "cohort"
        synthesize(root, params.Synthetic(patients=asked.patients))
    extracted.mkdir(parents=True, exist_ok=True)
    extract(extracted, root, params.Source(kind="mimic", root=str(root)), params.Extraction())
    write_events(root, events)
    try:
        labels = run_aces(events, asked.scratch)
    except NotRunError as reason:
        print(f"not run: {reason}")
        return 0
    return int(report(compare(root, extracted, labels)) > 0)


if __name__ == "__main__":
    sys.exit(main())
