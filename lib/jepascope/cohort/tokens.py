"""What tokens learn from training patients, over all shards, and the token ids of one shard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd

from jepascope.cohort import engine

CLS = "[CLS]"
# Values in one query: a quantile keeps all of them in memory, 8 bytes each and the growth of a vector.
BATCH_VALUES = 8_000_000


class Fitted(NamedTuple):
    """All that tokens learn from training patients. Kept apart, so that a test can encode a cut record with it."""

    vocabulary: pd.DataFrame  # V rows: token, kind, train_patients; row 0 is [CLS]
    deciles: pd.DataFrame  # itemid str, cuts list of 9 float


class Tokens(NamedTuple):
    """Flat token ids; those of row i are `tokens[offsets[i]:offsets[i + 1]]`."""

    tokens: np.ndarray  # int32 [T]
    offsets: np.ndarray  # int64 [N + 1]


def fit_deciles(connection: duckdb.DuckDBPyConnection, labs: Path) -> pd.DataFrame:
    """Cut each lab item into deciles of its training values, in batches of items so that memory stays flat.

    `labs` is the pattern of the shards' lab files. Returns itemid, cuts.
    """
    engine.view(connection, "lab_value", labs)
    values = engine.count(connection, "select count(*) from lab_value where split = 'train'")
    batches = 1 + values // BATCH_VALUES
    connection.execute("create table decile (itemid varchar, cuts double[])")
    for batch in range(batches):
        engine.set_variables(connection, {"batches": batches, "batch": batch})
        engine.run(connection, "deciles")
    return connection.execute("from decile order by itemid").df()


def fit_vocabulary(connection: duckdb.DuckDBPyConnection, candidates: Sequence[Path]) -> pd.DataFrame:
    """Choose the tokens that enough training patients carry, shard by shard: no patient is in two.

    `candidates` are the shards' files. Returns V rows, [CLS] first: the encoder prepends it to every encounter, so
    every training patient carries it.
    """
    for table in ("leaf_count", "parent_count"):
        connection.execute(f"create table {table} (kind varchar, token varchar, train_patients bigint)")
    patients = 0
    for file in candidates:
        engine.view(connection, "candidate", file)
        engine.run(connection, "leaves")
        # Sex makes a token of every encounter, so nobody is missed.
        patients += engine.count(
            connection, "select count(distinct subject_id) from candidate where split = 'train' and kind = 'sex'"
        )
    engine.run(connection, "kept_leaves")
    for file in candidates:
        engine.view(connection, "candidate", file)
        engine.run(connection, "parents")
    engine.run(connection, "vocabulary")
    fitted = connection.execute("select token, kind, train_patients from vocabulary order by token_id").df()
    cls = pd.DataFrame({"token": [CLS], "kind": ["special"], "train_patients": [patients]})
    return pd.concat([cls, fitted], ignore_index=True).astype({"train_patients": np.int64})


def encode(connection: duckdb.DuckDBPyConnection, candidates: Path, index: Path, vocabulary: pd.DataFrame) -> Tokens:
    """Return the token ids of one shard, whose candidates and index rows are in these files."""
    engine.view(connection, "candidate", candidates)
    engine.create(connection, "vocabulary", vocabulary.iloc[1:].assign(token_id=vocabulary.index[1:]))
    engine.run(connection, "encode")
    encoded = connection.execute("select row_id, token_id from encoded order by all").fetchnumpy()
    N = engine.count(connection, f"select count(*) from read_parquet({engine.text(index)})")
    lengths = np.bincount(encoded["row_id"], minlength=N)  # [N]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)  # [N + 1]
    return Tokens(encoded["token_id"].astype(np.int32), offsets)
