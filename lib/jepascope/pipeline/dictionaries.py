"""Sparse dictionaries of z, with the floors that an agreement between fits has to clear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.sae import Dictionary, Quality, Settings, encode, fit, gaussian_like, quality, seed_agreement
from jepascope.analysis.stats import Inference
from jepascope.objects import load_objects
from jepascope.store import read_tensors, write_table, write_tensors


def fit_dictionaries(folder: Path, trained: Path, twin: Path, sae: params.Sae, seed: int) -> None:
    """The step that fits the SAE on training patients' z and its floors on the twin's z and on noise.

    Leaves dictionary.safetensors, codes.safetensors of all rows, and agreement.parquet, a row a pair of fits.
    """
    objects = load_objects(trained)
    train = (objects.index["split"] == "train").to_numpy()
    settings = Settings(**sae.model_dump())
    dictionary = fit(objects.z[train], settings, seed)
    arrays = dictionary._asdict()
    write_tensors(folder / "dictionary.safetensors", {name: np.asarray(array) for name, array in arrays.items()})
    codes = encode(dictionary, objects.z)
    write_tensors(folder / "codes.safetensors", {"values": codes.values, "indices": codes.indices})
    data = {
        "z": objects.z[train],
        "untrained z": load_objects(twin).z[train],
        "Gaussian noise with z's covariance": gaussian_like(objects.z[train], np.random.default_rng(seed)),
    }
    rows = [
        {"data": name, "share": pair.share, "matched": pair.matched, "features": pair.features}
        for name, x in data.items()
        for pair in seed_agreement(x, settings, seed)
    ]
    write_table(folder / "agreement.parquet", pd.DataFrame(rows))


def held_out_quality(folder: Path, trained: Path, how: Inference, rng: np.random.Generator) -> Quality:
    """Quality of the stored dictionary on test patients. Raises NotComputable under `how.min_patients` of them."""
    arrays = read_tensors(folder / "dictionary.safetensors")
    scale, active = float(arrays.pop("scale")), int(arrays.pop("active"))
    dictionary = Dictionary(**arrays, scale=scale, active=active)
    objects = load_objects(trained)
    test = (objects.index["split"] == "test").to_numpy()
    return quality(dictionary, objects.z[test], objects.index["subject_id"].to_numpy()[test], how, rng)
