"""Predictions as a file that other tools evaluate: the prediction schema of MEDS, one file a task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from jepascope.store import atomic

# MEDS's label schema with the two columns that `meds-evaluation` 0.0.6 adds to it; other columns are refused there.
SCHEMA = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("prediction_time", pa.timestamp("us"), nullable=False),
        pa.field("boolean_value", pa.bool_(), nullable=False),
        pa.field("predicted_boolean_value", pa.bool_()),
        pa.field("predicted_boolean_probability", pa.float32()),
    ]
)


def write_predictions(
    folder: Path,
    index: pd.DataFrame,
    probabilities: np.ndarray,
    labels: np.ndarray,
    task: str,
    threshold: float = 0.5,
) -> Path:
    """Write `<folder>/<task>.parquet`, a row for each encounter with a prediction and a known label; returns the path.

    All encounters are asked for, and not those with a label alone, because the prediction is made at the latest
    discharge so far, as `cohort.meds_out` writes labels. A schema of its own, so that the file needs no package.

    Args: an Encounters index of N rows; probabilities [N] and labels [N], NaN where there is none; threshold of the
    yes or no. Predictions of credentialed records are credentialed too. Raises ValueError on arrays of another length,
    impossible values, or when no row has both.
    """
    if not len(index) == len(probabilities) == len(labels):
        raise ValueError(
            f"{task}: {len(probabilities)} probabilities and {len(labels)} labels for {len(index)} encounters; "
            f"give one for each encounter, NaN where there is none"
        )
    known = np.isfinite(probabilities) & np.isfinite(labels)
    if not known.any():
        raise ValueError(f"{task}: no encounter has both a probability and a label")
    made, true = probabilities[known], labels[known]
    if not np.isin(true, (0, 1)).all() or made.min() < 0 or made.max() > 1:
        raise ValueError(f"{task}: labels must be 0 or 1 and probabilities between 0 and 1")
    ends = index.groupby("subject_id")["dischtime"].cummax()
    table = pd.DataFrame(
        {
            "subject_id": index["subject_id"][known],
            "prediction_time": ends[known].astype("datetime64[us]"),
            "boolean_value": true == 1,
            "predicted_boolean_value": made >= threshold,
            "predicted_boolean_probability": made.astype(np.float32),
        }
    ).sort_values(["subject_id", "prediction_time"], kind="stable")
    path = folder / f"{task}.parquet"
    with atomic(path) as temporary:
        pq.write_table(pa.Table.from_pandas(table, SCHEMA, preserve_index=False), temporary, compression="zstd")
    return path
