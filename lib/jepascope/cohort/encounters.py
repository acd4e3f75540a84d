"""Encounters: what extraction gives, one row per hospital encounter and one flat list of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope.store import (
    TIERS,
    StoreError,
    read_json,
    read_table,
    read_tensors,
    write_json,
    write_table,
    write_tensors,
)


class Encounters(NamedTuple):
    """N encounters of B patients. Flat tokens with offsets, because padding would be most of the array.

    Tokens of row i are `tokens[offsets[i]:offsets[i + 1]]`; a token id is a row number of `vocabulary`.
    """

    index: pd.DataFrame  # N rows sorted by (subject_id, k); hides tuple.index
    tokens: np.ndarray  # int32 [T]
    offsets: np.ndarray  # int64 [N + 1]
    vocabulary: pd.DataFrame  # V rows: token, kind, train_patients; row 0 is "[CLS]"
    attrition: pd.DataFrame  # step, rule, patients, encounters
    tables: pd.DataFrame  # what was read of the source: table, read, rows, published
    map_kinds: pd.DataFrame  # how coded diagnoses became words: icd_version, map_kind, rows
    data_end: str  # how the end of the records is known, in words
    tier: str  # synthetic | demo | credentialed


def save(folder: Path, encounters: Encounters) -> None:
    """Write the encounters; the tier goes last, so that a folder with a tier is a whole one."""
    write_table(folder / "index.parquet", encounters.index)
    write_tensors(folder / "tokens.safetensors", {"tokens": encounters.tokens, "offsets": encounters.offsets})
    write_table(folder / "vocabulary.parquet", encounters.vocabulary)
    write_table(folder / "attrition.parquet", encounters.attrition)
    write_table(folder / "tables.parquet", encounters.tables)
    write_table(folder / "map_kinds.parquet", encounters.map_kinds)
    write_json(folder / "tier.json", {"tier": encounters.tier, "data_end": encounters.data_end})


def load(folder: Path) -> Encounters:
    """Read what `save` wrote. Raises StoreError when a file is missing, damaged or of another extraction."""
    stored = read_json(folder / "tier.json")
    if stored["tier"] not in TIERS:
        raise StoreError(f"{folder / 'tier.json'}: tier {stored['tier']!r} is none of {', '.join(TIERS)}")
    arrays = read_tensors(folder / "tokens.safetensors")
    index = read_table(folder / "index.parquet")
    # Parquet has no seconds: it gives milliseconds back.
    times = dict.fromkeys(("admittime", "dischtime"), "datetime64[s]")
    encounters = Encounters(
        index=index.astype(times),
        tokens=arrays["tokens"],
        offsets=arrays["offsets"],
        vocabulary=read_table(folder / "vocabulary.parquet"),
        attrition=read_table(folder / "attrition.parquet"),
        tables=read_table(folder / "tables.parquet"),
        map_kinds=read_table(folder / "map_kinds.parquet"),
        data_end=stored["data_end"],
        tier=stored["tier"],
    )
    if len(encounters.offsets) != len(index) + 1 or encounters.offsets[-1] != len(encounters.tokens):
        raise StoreError(f"{folder}: index and tokens are of different extractions; run the extraction again")
    return encounters
