"""From hospital records to encounters, shard by shard: memory doesn't grow with the number of patients."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.cohort import engine
from jepascope.cohort.encounters import Encounters, save
from jepascope.cohort.records import Records, ingest
from jepascope.cohort.shard import Shard, describe, spell
from jepascope.cohort.source import SourceError
from jepascope.cohort.tokens import Fitted, Tokens, encode, fit_deciles, fit_vocabulary
from jepascope.progress import with_bar
from jepascope.store import read_table


class CohortError(RuntimeError):
    """The filters leave nobody; the message names the filter that emptied the cohort."""


def extract(folder: Path, root: Path, source: params.Source, extraction: params.Extraction) -> None:
    """Read the records under `root` and save `Encounters` in `folder`, as a step of a run.

    What a killed call has finished is in `folder/work` and not done again by a call with the same arguments.
    Raises SourceError when the records can't be read and CohortError when the filters leave nobody to train on.
    """
    try:
        extracted, _ = read(folder, root, source, extraction)
        save(folder, extracted)
        _remove(folder / "work")
    except (SourceError, CohortError):  # the mend changes the records, and what was read of the old ones is void
        _remove(folder / "work")
        raise


def read(
    folder: Path, root: Path, source: params.Source, extraction: params.Extraction, fitted: Fitted | None = None
) -> tuple[Encounters, Fitted]:
    """Compute encounters from the records under `root`, by way of files in `folder/work`.

    Every filter reads the record up to k, because "at least n encounters" would tell k about its future: patients
    with one encounter stay. With `fitted`, tokens use that vocabulary and those deciles.
    Returns the encounters and what their tokens learnt from training patients. Raises as `extract`.
    """
    work = folder / "work"
    shutil.rmtree(folder / ".work.going", ignore_errors=True)
    records = ingest(work / "records", root, source, extraction)
    # A source without patients still has a first shard, so that its attrition can say so.
    shards = [Shard(work / "shards", s) for s in range(1 + max(records.patients["shard"], default=0))]
    for shard in with_bar(shards, "encounters of shards"):
        describe(shard, records, extraction)
    attrition = _sum([read_table(shard.attrition) for shard in shards], ["step", "rule"])
    map_kinds = _sum([read_table(shard.map_kinds) for shard in shards], ["icd_version", "map_kind"])
    parts = [read_table(shard.index) for shard in shards]
    index = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    _refuse_empty(attrition, index)
    tokens, fitted = _tokenize(work, shards, records, extraction, fitted)
    index.insert(index.columns.get_loc("split"), "n_tokens", np.diff(tokens.offsets).astype(np.int32))
    times = dict.fromkeys(("admittime", "dischtime"), "datetime64[s]")
    return Encounters(
        index.astype(times),
        *tokens,
        fitted.vocabulary,
        attrition,
        records.tables,
        map_kinds,
        records.ending.reason,
        records.tier,
    ), fitted


def _remove(work: Path) -> None:
    """Remove a folder that is never seen in half: what a kill leaves of it has another name."""
    going = work.with_name(f".{work.name}.going")
    shutil.rmtree(going, ignore_errors=True)
    if work.exists():
        work.rename(going)
    shutil.rmtree(going, ignore_errors=True)


def _tokenize(
    work: Path, shards: list[Shard], records: Records, extraction: params.Extraction, fitted: Fitted | None
) -> tuple[Tokens, Fitted]:  # fmt: skip
    """Turn each shard into tokens; fit on training patients, or apply `fitted`.

    Two functions would have to agree on every rule of a candidate token; one with a fitted part can't disagree.
    """
    with engine.connect(work, extraction.memory_gb, extraction.threads) as connection:
        engine.run(connection, "reference")
        engine.set_variables(connection, {"min_patients_per_token": extraction.min_patients_per_token})
        labs = engine.files_in(work / "shards", "*/lab.parquet")
        deciles = fitted.deciles if fitted else fit_deciles(connection, labs)
        for shard in with_bar(shards, "tokens of shards"):
            spell(shard, records, extraction, deciles)
        vocabulary = fitted.vocabulary if fitted else fit_vocabulary(connection, [s.candidate for s in shards])
        parts = [encode(connection, shard.candidate, shard.index, vocabulary) for shard in shards]
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])  # [N]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Tokens(np.concatenate([part.tokens for part in parts]), offsets), Fitted(vocabulary, deciles)


def _sum(parts: list[pd.DataFrame], by: list[str]) -> pd.DataFrame:
    """Add up counts of the shards, in the order of their keys: no patient is in two."""
    return pd.concat([part for part in parts if len(part)] or parts[:1]).groupby(by, as_index=False).sum()


def _refuse_empty(attrition: pd.DataFrame, index: pd.DataFrame) -> None:
    emptied = np.flatnonzero(attrition["encounters"] == 0)
    if len(emptied):
        step = attrition.iloc[emptied[0]]
        before = attrition["encounters"].iloc[emptied[0] - 1] if emptied[0] else 0
        raise CohortError(
            f"the cohort is empty after rule {step['step']} ({step['rule']}): {before:,} encounters before it. "
            f"Loosen that parameter of extraction, or check the records."
        )
    if not (index["split"] == "train").any():
        raise CohortError(
            "the cohort has no training patient, so no vocabulary can be fitted: use more patients, "
            "smaller extraction.validation_share and test_share, or another extraction.split_key"
        )
