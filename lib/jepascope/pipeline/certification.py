"""Certificates of one seed's model against the planted truth."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.sae import Settings
from jepascope.analysis.stats import Estimate, Inference, NotComputable, Null
from jepascope.certify import certify, certify_arms, load_truth
from jepascope.objects import load_objects
from jepascope.store import read_json, read_table, write_json, write_table

OBJECT = {"z": "z", "z_hat": "ẑ", "e": "e", "twin z": "untrained z"}


class Reading(NamedTuple):
    """A family's mean AUROC on one object (or its gain by training), its null, and the untrained twin's value."""

    estimate: Estimate
    null: Null
    untrained: Estimate | None


def planted_records(extraction: Path) -> Path:
    """Find the planted cohort beside an extraction. Raises NotComputable when the records are real: no known truth."""
    records = extraction.parent / "records"
    if read_json(extraction / "tier.json")["tier"] != "synthetic" or not records.is_dir():
        raise NotComputable("only the synthetic cohort has a planted truth")
    return records


def certify_seed(
    folder: Path,
    records: Path,
    trained: Path,
    twin: Path,
    sae: params.Sae,
    statistics: params.Statistics,
    seed: int,
) -> None:
    """The step that leaves concepts, families, gains, recovery and recovered.parquet, and oracle.json."""
    objects = load_objects(trained)
    truth = load_truth(records / "planted", objects.index)
    how, settings = Inference(**statistics.model_dump()), Settings(**sae.model_dump())
    certificate = certify(objects, load_objects(twin), truth, how, settings, seed)
    write_table(folder / "concepts.parquet", certificate.probes.concepts)
    write_table(folder / "families.parquet", certificate.probes.families)
    write_table(folder / "gains.parquet", certificate.probes.gains)
    write_table(folder / "recovery.parquet", certificate.recovery)
    write_table(folder / "recovered.parquet", certificate.recovered)
    write_json(folder / "oracle.json", certificate.oracle._asdict())


def certify_arms_of_seed(
    folder: Path, records: Path, twin: Path, statistics: params.Statistics, seed: int, *arms: str | Path
) -> None:
    """The step that holds several arms' z against the truth; arms are given as name, objects, name, objects, …."""
    untrained = load_objects(twin)
    named = {str(name): load_objects(Path(objects)) for name, objects in zip(arms[::2], arms[1::2], strict=True)}
    truth = load_truth(records / "planted", untrained.index)
    found = certify_arms(named, untrained, truth, Inference(**statistics.model_dump()), np.random.default_rng(seed))
    write_table(folder / "gains.parquet", found.gains)
    write_table(folder / "families.parquet", found.families)


def arm_gains(folders: dict[int, Path]) -> pd.DataFrame:
    """What training adds to the untrained z by arm, dynamics and seed: arm, dynamics, seed, value, low, high."""
    tables = [read_table(folder / "gains.parquet").assign(seed=seed) for seed, folder in folders.items()]
    return pd.concat(tables, ignore_index=True).rename(columns={"name": "arm"}).dropna(subset=["value"])


def load_oracle(folder: Path) -> Estimate:
    """The AUROC of the planted risk."""
    return Estimate(**read_json(folder / "oracle.json"))


def families(folders: dict[int, Path]) -> pd.DataFrame:
    """Family means of all seeds for the figure: dynamics, object, seed, value, low, high."""
    tables = [read_table(folder / "families.parquet").assign(seed=seed) for seed, folder in folders.items()]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(object=table["representation"].map(OBJECT)).dropna(subset=["object", "value"])


def recovered(folders: dict[int, Path]) -> pd.DataFrame:
    """Concepts that have a feature of their own, by method and seed."""
    tables = [read_table(folder / "recovered.parquet").assign(seed=seed) for seed, folder in folders.items()]
    return pd.concat(tables, ignore_index=True)[["method", "seed", "recovered", "concepts", "share", "mean_r"]]


def reading(folder: Path, dynamics: str, representation: str) -> Reading:
    """One family on one object. Raises NotComputable with the recorded reason."""
    table = read_table(folder / "families.parquet").set_index(["dynamics", "representation"])
    found, twin = table.loc[(dynamics, representation)], table.loc[(dynamics, f"twin {representation}")]
    return Reading(*_estimate_and_null(found), _estimate_and_null(twin)[0])


def gain(folder: Path, dynamics: str) -> Reading:
    """What training added to z for one family. Raises NotComputable with the recorded reason."""
    found = read_table(folder / "gains.parquet").set_index("dynamics").loc[dynamics]
    return Reading(*_estimate_and_null(found), None)


def _estimate_and_null(row: pd.Series) -> tuple[Estimate, Null]:
    if np.isnan(row["value"]):
        raise NotComputable(row["reason"])
    estimate = Estimate(row["value"], row["low"], row["high"], int(row["n_rows"]), int(row["n_patients"]))
    return estimate, Null(row["null"], row["null_low"], row["null_high"], row["p"])
