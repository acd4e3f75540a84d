"""The exported predictions: the schema of others, the time of the labels, and nothing that isn't known."""

from pathlib import Path

import meds
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flexible_schema import Optional

from jepascope.cohort.encounters import Encounters
from jepascope.cohort.meds_out import _labels
from jepascope.pipeline.outcomes.meds_predictions import SCHEMA, write_predictions


class PredictionSchema(meds.LabelSchema):
    """As `meds-evaluation` documents it: the label schema and two optional columns, nothing else."""

    predicted_boolean_value: Optional(pa.bool_())
    predicted_boolean_probability: Optional(pa.float32())


def index():
    """Patient 7 with a stay inside a longer one, patient 3 with a single one, in an order that isn't MEDS's."""
    days = pd.to_datetime(["2150-03-01 10:00", "2150-02-01 09:00", "2151-01-01 08:30", "2150-01-05 12:00"])
    return pd.DataFrame({"subject_id": [7, 7, 7, 3], "k": [0, 1, 2, 0], "dischtime": days.astype("datetime64[s]")})


def test_the_file_passes_the_official_schemas(tmp_path: Path):
    path = write_predictions(tmp_path, index(), np.full(4, 0.25), np.array([0.0, 1, 1, 0]), "readmission_30d")
    assert path == tmp_path / "readmission_30d.parquet"
    table = pq.ParquetFile(path).read()
    PredictionSchema.validate(table)
    meds.LabelSchema.validate(table.drop(["predicted_boolean_value", "predicted_boolean_probability"]))
    assert table.schema.equals(SCHEMA)
    with pytest.raises(Exception, match="column"):
        PredictionSchema.validate(table.append_column("model", pa.array(["z"] * 4)))


def test_rows_are_those_with_both_and_in_order(tmp_path: Path):
    probabilities, labels = np.array([0.5, 0.49, np.nan, 0.9]), np.array([1.0, 0, 1, 0])
    found = pd.read_parquet(write_predictions(tmp_path, index(), probabilities, labels, "task"))
    assert found["subject_id"].tolist() == [3, 7, 7]
    assert found["boolean_value"].tolist() == [False, True, False]
    assert found["predicted_boolean_value"].tolist() == [True, True, False]
    assert found["predicted_boolean_probability"].tolist() == pytest.approx([0.9, 0.5, 0.49])
    labels[3] = np.nan
    assert len(pd.read_parquet(write_predictions(tmp_path, index(), probabilities, labels, "task"))) == 2


def test_a_prediction_is_made_when_its_label_is(tmp_path: Path):
    """Also where the row that sets the time has no label: the keys join with those of the exported labels."""
    labels = np.array([np.nan, 1.0, 0.0, 1.0])
    found = pd.read_parquet(write_predictions(tmp_path, index(), np.full(4, 0.2), labels, "task"))
    encounters = Encounters(index().assign(label_x=labels), *(None,) * 8)
    written = _labels(encounters)[["subject_id", "prediction_time", "boolean_value"]]
    joined = found.merge(written, on=["subject_id", "prediction_time"])
    assert len(joined) == len(found) == 3
    assert (joined["boolean_value_x"] == joined["boolean_value_y"]).all()
    assert found["prediction_time"].iloc[1] == pd.Timestamp("2150-03-01 10:00")


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.full(3, 0.2), np.zeros(3), "3 probabilities and 3 labels for 4 encounters"),
        (np.full(4, np.nan), np.zeros(4), "no encounter has both"),
        (np.full(4, 1.2), np.zeros(4), "between 0 and 1"),
        (np.full(4, 0.2), np.full(4, 2.0), "labels must be 0 or 1"),
    ],
)
def test_what_would_mislead_is_refused(tmp_path: Path, probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        write_predictions(tmp_path, index(), probabilities, labels, "task")
    assert not list(tmp_path.iterdir())
