from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from mimic_tree import extracted, random_tables

from jepascope.cohort.encounters import Encounters, load, save
from jepascope.store import StoreError


@pytest.fixture(scope="module")
def encounters() -> Encounters:
    return extracted(random_tables(np.random.default_rng(0), 30))[0]


def test_what_is_saved_is_loaded_with_its_types(tmp_path, encounters):
    save(tmp_path, encounters)
    again = load(tmp_path)
    for table in ("index", "vocabulary", "attrition", "tables", "map_kinds"):
        pd.testing.assert_frame_equal(getattr(again, table), getattr(encounters, table))
    assert again.tokens.dtype == np.int32
    assert again.offsets.dtype == np.int64
    assert (again.tokens == encounters.tokens).all()
    assert (again.offsets == encounters.offsets).all()
    assert again.tier == encounters.tier


def test_a_mixed_folder_is_refused(tmp_path, encounters):
    save(tmp_path, encounters)
    save(tmp_path / "other", encounters._replace(index=encounters.index.iloc[:-1]))
    (tmp_path / "other" / "index.parquet").replace(tmp_path / "index.parquet")
    with pytest.raises(StoreError, match="different extractions"):
        load(tmp_path)


def test_an_unknown_tier_is_refused(tmp_path, encounters):
    save(tmp_path, encounters)
    (tmp_path / "tier.json").write_text(json.dumps({"tier": "public"}))
    with pytest.raises(StoreError, match="public"):
        load(tmp_path)


def test_a_missing_file_is_named(tmp_path, encounters):
    save(tmp_path, encounters)
    (tmp_path / "tokens.safetensors").unlink()
    with pytest.raises(StoreError, match=r"tokens\.safetensors"):
        load(tmp_path)
