"""The bridge to Temporal Feature Analysis: what an analysis of z alone calls predictable and novel, and ẑ and e."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Inference, permuted_rows
from jepascope.analysis.predictor.prediction import skill
from jepascope.analysis.predictor.references import ridge_predictions
from jepascope.analysis.rollout.geometry import mean_so_far
from jepascope.analysis.sae import Settings, decode, densify, encode, fit, gaussian_like
from jepascope.objects import load_objects
from jepascope.pipeline.dictionary.dictionaries import save_dictionary
from jepascope.pipeline.predictor.comparison import Z_HAT, Targets, load_targets
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.store import write_table

ERROR, NOISE = "e", "Gaussian noise with e's covariance"


def split_in_time(
    folder: Path, trained: Path, twin: Path, statistics: params.Statistics, sae: params.Sae, seed: int
) -> None:
    """The step that splits z_k = p_k + n_k after the fact, and holds p against ẑ and n against e.

    Lubana et al. 2025 write an activation as a predictable part, read by attention from codes of the past, plus a
    novel part, sparsely coded; both share one dictionary and are fitted together. Simplified here: p is a ridge from
    (z_{k−1}, mean of z so far, gap), in z's space, and a dictionary is fitted to n afterwards. Stricter here: p reads
    the past alone, where their public code lets the present ask the questions and set the predictable part's length.

    As e − n = p − ẑ, a distance from n to e would only repeat that from p to ẑ; so what is asked of n is whether its
    dictionary, which has never seen ẑ, can write e.

    Leaves novel.safetensors and .json (the dictionary), shares.parquet (what it explains of n, e and others)
    and readings.json. Raises NotComputable for too few patients.
    """
    how, rng = Inference(**statistics.model_dump()), np.random.default_rng(seed)
    (ours, p), (theirs, p_twin) = (_predictable(objects) for objects in (trained, twin))
    test, p_test = ours.of("test"), p[ours.split == "test"]
    twin_test, p_twin = theirs.of("test"), p_twin[theirs.split == "test"]
    moved = p_test[permuted_rows(test.patients, 1, rng)[0]]
    alike = [
        skill(made.predictions[Z_HAT], x, made.origin, made.patients, how, rng)
        for made, x in ((test, p_test), (test, moved), (twin_test, p_twin))
    ]
    train = ours.split == "train"
    dictionary = fit(ours.z[train] - p[train], Settings(**sae.model_dump()), seed)
    save_dictionary(folder, dictionary, "novel")
    e = test.z - test.predictions[Z_HAT]
    rows = {"n, the novel part": test.z - p_test, ERROR: e, NOISE: gaussian_like(e, rng)}
    rows["z"] = test.z - test.origin
    shares = {}
    for name, x in rows.items():
        rebuilt = decode(dictionary, densify(encode(dictionary, x)))
        shares[name] = skill(x, rebuilt, x.mean(axis=0), test.patients, how, rng)
    write_table(folder / "shares.parquet", pd.DataFrame({"of": name, **s._asdict()} for name, s in shares.items()))
    save_readings(folder, {"predictable": Reading(*alike), "novel": Reading(shares[ERROR], shares[NOISE])})


def _predictable(objects: Path) -> tuple[Targets, np.ndarray]:
    """The targets of a model and their predictable part p [M, D], fitted on training patients."""
    made, found = load_targets(objects), load_objects(objects)
    so_far = mean_so_far(found.z, found.index["k"].to_numpy())[made.rows]
    X = np.concatenate([found.z[made.rows - 1], so_far, made.past[:, -1:]], axis=1)
    return made, ridge_predictions(X, made.z, made.split == "train", made.split == "validation").predicted
