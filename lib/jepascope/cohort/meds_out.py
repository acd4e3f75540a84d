"""MEDS out: our record and its labels as a directory that other tools read, and that we read back unchanged.

`data/<split>/<i>.parquet` (DataSchema), `labels/<task>/<split>/<i>.parquet` (LabelSchema; the same patients as the
data file of that name), `metadata/dataset.json`, `codes.parquet` and `subject_splits.parquet`, of MEDS 0.4.
What it writes are records: on credentialed data the directory is credentialed too, and belongs where the source is.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from jepascope import params
from jepascope.cohort import engine, splits
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.schema import SYNTHETIC_MARK
from jepascope.store import StoreError, atomic, write_json

SPLITS = {"train": "train", "validation": "tuning", "test": "held_out"}
# Of MEDS first, then the record's own, because numeric_value is a float32 and a code can't say all.
COLUMNS = {
    "subject_id": "BIGINT", "time": "TIMESTAMP", "code": "VARCHAR", "numeric_value": "FLOAT", "text_value": "VARCHAR",
    "hadm_id": "BIGINT", "stay_id": "BIGINT", "labevent_id": "BIGINT", "seq_num": "INTEGER", "chartdate": "DATE",
    "charttime": "TIMESTAMP", "valuenum": "DOUBLE", "flag": "VARCHAR", "drug_type": "VARCHAR", "dod": "DATE",
    "deathtime": "TIMESTAMP", "hospital_expire_flag": "INTEGER",
}  # fmt: skip
IDS = ("hadm_id", "stay_id", "labevent_id")


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a hidden sibling of `out` to fill, renamed to it on success: a killed writer leaves no half directory.

    Raises StoreError when `out` is there and not an empty folder, because two data sets would mix.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StoreError(f"{out} is not an empty folder; name a new one, or remove it first")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_meds(
    root: Path,
    connection: duckdb.DuckDBPyConnection,
    encounters: Encounters,
    extraction: params.Extraction,
    out: Path,
    subjects_per_shard: int = 1000,
) -> None:
    """Write the record tables of `connection` and the labels of `encounters`, a file of patients at a time.

    Args: root: the source of the records, whose mark of a synthetic cohort is handed on; connection: with every
    table of `schema.TABLES` under its plain name; extraction: what the encounters were made with, for the splits.
    A label is written at the encounter's discharge, and only where it is known. Raises StoreError when `out` holds
    something.
    """
    with new_folder(out) as folder:
        shards = _shards(connection, extraction, subjects_per_shard)
        labels = _labels(encounters)
        for name, shard in shards.groupby("name", sort=False):
            engine.create(connection, "meds_subject", shard[["subject_id"]])
            _write_events(connection, folder / "data" / f"{name}.parquet")
            _write_labels(connection, labels, folder / "labels", str(name))
        _write_metadata(connection, folder, shards, encounters.tier)
        if (root / SYNTHETIC_MARK).is_file():
            shutil.copyfile(root / SYNTHETIC_MARK, folder / SYNTHETIC_MARK)


def _shards(
    connection: duckdb.DuckDBPyConnection, extraction: params.Extraction, subjects_per_shard: int
) -> pd.DataFrame:
    """Return all patients in order: subject_id, split, and the name of their file (train/0, train/1, …)."""
    subject_id = connection.execute("select distinct subject_id from patients order by 1").df()["subject_id"]
    split = splits.assign(
        subject_id.to_numpy(), extraction.split_key, extraction.validation_share, extraction.test_share
    )
    shards = pd.DataFrame({"subject_id": subject_id, "split": pd.Series(split).map(SPLITS)})
    number = shards.groupby("split").cumcount() // subjects_per_shard
    return shards.assign(name=shards["split"] + "/" + number.astype(str))


def _write_events(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write the events of `meds_subject`, a batch at a time, with the arrow types that MEDS's own check asks for."""
    engine.run(connection, "meds_out")
    columns = ", ".join(f"cast({column} as {kind}) as {column}" for column, kind in COLUMNS.items())
    # What isn't an event's own is null; every column takes part in the order, so that the bytes are always the same.
    order = ", ".join(f"{column} nulls first" for column in COLUMNS)
    reader = connection.sql(f"select {columns} from meds_row order by {order}").to_arrow_reader(100_000)
    text = reader.schema.get_field_index("text_value")
    schema = reader.schema.set(text, pa.field("text_value", pa.large_string()))
    with atomic(file) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_table(pa.Table.from_batches([batch]).cast(schema))


def _labels(encounters: Encounters) -> pd.DataFrame:
    """Return known labels, a row each: task, subject_id, prediction_time, boolean_value."""
    index = encounters.index
    tasks = [column for column in index.columns if column.startswith("label_")]
    # The window opens at the latest discharge so far: a stay can lie inside another.
    known = index.assign(dischtime=index.groupby("subject_id")["dischtime"].cummax())
    long = known.melt(["subject_id", "dischtime"], tasks, var_name="task", value_name="value").dropna(subset="value")
    if not np.isin(long["value"], (0, 1)).all():
        raise ValueError("a label is neither 0, 1 nor unknown; MEDS labels written here are yes or no")
    return long.assign(prediction_time=long["dischtime"].astype("datetime64[us]"), boolean_value=long["value"] == 1)


def _write_labels(connection: duckdb.DuckDBPyConnection, labels: pd.DataFrame, folder: Path, name: str) -> None:
    engine.create(connection, "meds_label", labels[["task", "subject_id", "prediction_time", "boolean_value"]])
    for (task,) in connection.execute(
        "select distinct task from meds_label semi join meds_subject using (subject_id) order by task"
    ).fetchall():
        engine.write(
            connection,
            f"""select subject_id, prediction_time, boolean_value
                from meds_label semi join meds_subject using (subject_id)
                where task = {engine.text(task)} order by all""",
            folder / task / f"{name}.parquet",
        )


def _write_metadata(connection: duckdb.DuckDBPyConnection, folder: Path, shards: pd.DataFrame, tier: str) -> None:
    metadata = folder / "metadata"
    engine.create(connection, "meds_split", shards[["subject_id", "split"]])
    engine.write(connection, "from meds_split order by subject_id", metadata / "subject_splits.parquet")
    engine.view(connection, "meds_written", engine.files_in(folder / "data", "*/*.parquet"))
    engine.run(connection, "meds_parents")
    engine.write(connection, "from meds_described order by code", metadata / "codes.parquet")
    # No date of creation: the same record gives the same bytes.
    about = {
        "dataset_name": f"jepascope records ({tier})",
        "etl_name": "jepascope",
        "etl_version": version("jepascope"),
        "meds_version": "0.4.1",
        "raw_source_id_columns": list(IDS),
        "other_extension_columns": [column for column in list(COLUMNS)[5:] if column not in IDS],
    }
    write_json(metadata / "dataset.json", about)
