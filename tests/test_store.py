"""Files: written whole or not at all, read back as written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jepascope import store


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    table = pd.DataFrame({"subject_id": [3, 1], "value": [0.5, np.nan], "when": pd.to_datetime(["2180-01-01", None])})
    tensors = {"z": np.arange(6, dtype=np.float32).reshape(2, 3).T, "rows": np.array([1, 5]), "scale": np.array(2.5)}
    store.write_table(tmp_path / "a" / "t.parquet", table)
    store.write_tensors(tmp_path / "t.safetensors", tensors)
    store.write_json(tmp_path / "t.json", {"ẑ": [1, None]})
    pd.testing.assert_frame_equal(store.read_table(tmp_path / "a" / "t.parquet"), table)
    for name, array in store.read_tensors(tmp_path / "t.safetensors").items():
        np.testing.assert_array_equal(array, tensors[name])
        assert array.shape == tensors[name].shape
    assert store.read_json(tmp_path / "t.json") == {"ẑ": [1, None]}


def test_a_writer_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    store.write_json(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write_json(path, float("nan"))
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.write_json(path, object())
    assert store.read_json(path) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x.json", "x.parquet", "x.safetensors"])
def test_a_missing_and_a_damaged_file_are_told_apart(tmp_path: Path, name: str) -> None:
    reader = {"json": store.read_json, "parquet": store.read_table, "safetensors": store.read_tensors}[name[2:]]
    with pytest.raises(store.StoreError, match="is missing"):
        reader(tmp_path / name)
    (tmp_path / name).write_bytes(b"\x00not what it says")
    with pytest.raises(store.StoreError, match="is damaged"):
        reader(tmp_path / name)


def test_a_fingerprint_ignores_the_order_of_keys_and_sees_every_value() -> None:
    assert store.fingerprint({"a": 1, "b": 2}) == store.fingerprint({"b": 2, "a": 1})
    assert store.fingerprint({"a": 1}) != store.fingerprint({"a": 2})
