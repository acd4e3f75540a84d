"""Tokens of an encounter and the vocabulary they come from, fitted on training patients only."""

from __future__ import annotations

from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd

from jepascope.cohort import engine

CLS = "[CLS]"


class Fitted(NamedTuple):
    """All that tokens learn from training patients. Kept apart, so that a test can encode a cut record with it."""

    vocabulary: pd.DataFrame  # V rows: token, kind, train_patients; row 0 is [CLS]
    deciles: pd.DataFrame  # itemid int32, cuts list of 9 float


class Tokens(NamedTuple):
    """Flat token ids; those of row i are `tokens[offsets[i]:offsets[i + 1]]`."""

    tokens: np.ndarray  # int32 [T]
    offsets: np.ndarray  # int64 [N + 1]


def tokenize(connection: duckdb.DuckDBPyConnection, fitted: Fitted | None = None) -> tuple[Tokens, Fitted]:
    """Turn `encounter` and the record tables into tokens; fit on training patients, or apply `fitted`.

    Two functions would have to agree on every rule of a candidate token; one with a fitted part can't disagree.

    Returns: tokens [T], offsets [N + 1] and what was fitted.
    """
    engine.run(connection, "labs")
    if fitted is None:
        engine.run(connection, "deciles")
    else:
        _create(connection, "decile", fitted.deciles)
    engine.run(connection, "candidates")
    if fitted is None:
        engine.run(connection, "vocabulary")
    else:
        _create(connection, "vocabulary", fitted.vocabulary.iloc[1:].assign(token_id=fitted.vocabulary.index[1:]))
    engine.run(connection, "encode")
    return _collect(connection), Fitted(_vocabulary(connection), connection.table("decile").df())


def _create(connection: duckdb.DuckDBPyConnection, name: str, table: pd.DataFrame) -> None:
    connection.register("given", table)
    connection.execute(f"create table {name} as from given")
    connection.unregister("given")


def _collect(connection: duckdb.DuckDBPyConnection) -> Tokens:
    encoded = connection.execute("select row_id, token_id from encoded order by all").df()
    N = engine.count(connection, "select count(*) from encounter")
    lengths = np.bincount(encoded["row_id"].to_numpy(), minlength=N)  # [N]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)  # [N + 1]
    return Tokens(encoded["token_id"].to_numpy(np.int32), offsets)


def _vocabulary(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Put [CLS] first: the encoder prepends it to every encounter, so every training patient carries it."""
    fitted = connection.execute("select token, kind, train_patients from vocabulary order by token_id").df()
    patients = engine.count(connection, "select count(distinct subject_id) from encounter where split = 'train'")
    cls = pd.DataFrame({"token": [CLS], "kind": ["special"], "train_patients": [patients]})
    return pd.concat([cls, fitted], ignore_index=True).astype({"train_patients": np.int64})
