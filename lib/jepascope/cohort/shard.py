"""One shard of records through SQL: stays, labels, labs, candidate tokens. Nothing here needs another patient."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd

from jepascope import params
from jepascope.cohort import engine, icd, labels, splits
from jepascope.cohort.concepts import MEMBERSHIPS
from jepascope.cohort.records import Records, open_shard
from jepascope.store import write_table

# What the index takes from `encounter`, in the contract's order.
COLUMNS = (
    "subject_id", "hadm_id", "k", "admittime", "dischtime", "age", "sex", "admission_type", "insurance", "race",
    "anchor_year_group", "gap_days", "los_days", "icd_version", "icu",
)  # fmt: skip
TYPES = {
    "subject_id": "int64", "hadm_id": "int64", "k": "int32", "admittime": "datetime64[s]",
    "dischtime": "datetime64[s]", "age": "float64", "gap_days": "float64", "los_days": "float64",
    "icd_version": "int32",
}  # fmt: skip


class Shard:
    """Where one shard's results lie; each file is complete under its name, so a killed extraction resumes here."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number = number
        self.index = folder / f"{number:05d}" / "index.parquet"
        self.encounter = self.index.with_name("encounter.parquet")
        self.attrition = self.index.with_name("attrition.parquet")
        self.icd_map = self.index.with_name("icd_map.parquet")
        self.map_kinds = self.index.with_name("map_kinds.parquet")
        self.lab = self.index.with_name("lab.parquet")
        self.candidate = self.index.with_name("candidate.parquet")


def describe(shard: Shard, records: Records, extraction: params.Extraction) -> None:
    """Write the shard's encounters with their labels, its attrition, and the last value of each lab item."""
    if shard.index.exists():
        return
    with _opened(shard, records, extraction) as connection:
        engine.run(connection, "codes")
        engine.run(connection, "stays")
        engine.write(connection, "from encounter order by row_id", shard.encounter)
        engine.write(connection, "from attrition", shard.attrition)
        icd.map_codes(connection)
        engine.write(connection, "from icd_map", shard.icd_map)
        write_table(shard.map_kinds, icd.map_kinds(connection))
        outcomes, groups = labels.label(connection), labels.concept_groups(connection)
        engine.run(connection, "labs")
        engine.write(connection, "select lab.*, subject_id, split from lab join encounter using (row_id)", shard.lab)
        stays = connection.execute("select *, gender as sex from encounter order by row_id").df()
    if extraction.label_level == "patient":
        outcomes = labels.leak_to_patient(outcomes, stays["subject_id"].to_numpy())
    # Version 0: no coded diagnosis.
    identity = stays[list(COLUMNS)].fillna({"icd_version": 0}).astype(TYPES)
    era = splits.assign_era(stays["anchor_year_group"], stays["split"].to_numpy(), extraction.era_test_from)
    chosen = stays[["split"]].assign(split_era=era)
    write_table(shard.index, pd.concat([identity, chosen, outcomes, stays[list(MEMBERSHIPS)], groups], axis=1))


def spell(shard: Shard, records: Records, extraction: params.Extraction, deciles: pd.DataFrame) -> None:
    """Write every token that an encounter of the shard could carry, with its parent, and who carries it."""
    if shard.candidate.exists():
        return
    with _opened(shard, records, extraction) as connection:
        engine.view(connection, "encounter", shard.encounter)
        engine.view(connection, "lab", shard.lab)
        engine.create(connection, "decile", deciles)
        engine.view(connection, "icd_map", shard.icd_map)
        engine.run(connection, "drugs")
        engine.run(connection, "candidates")
        query = "select candidate.*, subject_id, split from candidate join encounter using (row_id)"
        engine.write(connection, f"{query} where token is not null", shard.candidate)


@contextlib.contextmanager
def _opened(shard: Shard, records: Records, extraction: params.Extraction) -> Iterator[duckdb.DuckDBPyConnection]:
    shard.index.parent.mkdir(parents=True, exist_ok=True)
    with engine.connect(shard.index.parent, extraction.memory_gb, extraction.threads) as connection:
        engine.run(connection, "reference")
        engine.set_variables(connection, {"data_end_year": records.ending.year, **extraction.model_dump()})
        open_shard(connection, records, shard.number)
        yield connection
