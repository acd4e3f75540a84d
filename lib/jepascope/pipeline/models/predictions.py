"""The predictions of one split, with what they are held against."""

from __future__ import annotations

from pathlib import Path

from jepascope.analysis.predictor.prediction import Predictions
from jepascope.objects import load_objects


def load_predictions(objects: Path, split: str) -> Predictions:
    """Select the predictions of one split ("test") from a step's objects; the mean is that of training patients."""
    found = load_objects(objects)
    splits = found.index["split"].to_numpy()
    kept = splits[found.target_rows] == split
    rows = found.target_rows[kept]
    patients = found.index["subject_id"].to_numpy()[rows]
    mean = found.z[splits == "train"].mean(axis=0)
    return Predictions(found.z[rows], found.z_hat[kept], found.z[rows - 1], mean, patients)
