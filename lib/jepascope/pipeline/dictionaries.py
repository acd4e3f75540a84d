"""Sparse dictionaries of z, with the floors that an agreement between fits has to clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.sae import Dictionary, Quality, Settings, encode, fit, gaussian_like, quality, seed_agreement
from jepascope.analysis.sae.export import saelens
from jepascope.analysis.sae.votes import consensus, halves, kept_by_vote, kept_in_noise, on_atoms
from jepascope.analysis.stats import Inference, NotComputable
from jepascope.objects import load_objects
from jepascope.store import read_json, read_table, read_tensors, write_json, write_table, write_tensors

PLAIN = ("scale", "active", "variant")  # of a dictionary's fields, those that are no arrays


def save_dictionary(folder: Path, dictionary: Dictionary, name: str = "dictionary") -> None:
    """Write a dictionary: NAME.safetensors for its arrays, NAME.json for the rest."""
    fields = dictionary._asdict()
    arrays = {key: value for key, value in fields.items() if key not in PLAIN and value is not None}
    write_tensors(folder / f"{name}.safetensors", arrays)
    write_json(folder / f"{name}.json", {key: fields[key] for key in PLAIN})


def load_dictionary(folder: Path, name: str = "dictionary") -> Dictionary:
    """Read what `save_dictionary` wrote. Raises StoreError."""
    fields: dict[str, Any] = {**read_tensors(folder / f"{name}.safetensors"), **read_json(folder / f"{name}.json")}
    return Dictionary(**fields)


def export_to_saelens(folder: Path, dictionary: Dictionary) -> None:
    """Write cfg.json and sae_weights.safetensors, as `SAE.load_from_disk` of SAELens reads them. Raises ValueError."""
    exported = saelens(dictionary)
    write_tensors(folder / "sae_weights.safetensors", exported.weights)
    write_json(folder / "cfg.json", exported.cfg)


def fit_dictionaries(folder: Path, trained: Path, twin: Path, sae: params.Sae, seed: int) -> None:
    """The step that fits the SAE on training patients' z and its floors on the twin's z and on noise.

    Leaves dictionary.safetensors and .json, codes.safetensors of all rows, and agreement.parquet, a row a pair of fits.
    """
    objects = load_objects(trained)
    train = (objects.index["split"] == "train").to_numpy()
    settings = Settings(**sae.model_dump())
    dictionary = fit(objects.z[train], settings, seed)
    save_dictionary(folder, dictionary)
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


def vote_on_features(folder: Path, trained: Path, twin: Path, sae: params.Sae, seed: int) -> None:
    """The step that lets independent fits vote on features of training patients' z.

    Leaves reference.safetensors and .json (the dictionary voted on), votes.parquet (a row a feature: alive, counts of
    voters, elsewhere of checkers, reappears, kept), floors.parquet (how many the vote keeps in z, in the twin's z and
    in noise) and, where two or more are kept, kept.safetensors and .json: these atoms with an encoder of their own,
    fitted to all training patients. Raises NotComputable for one training patient.
    """
    objects, untrained = load_objects(trained), load_objects(twin)
    train = (objects.index["split"] == "train").to_numpy()
    z, settings = objects.z[train], Settings(**sae.model_dump())
    half = halves(objects.index["subject_id"].to_numpy()[train], np.random.default_rng(seed))
    found = consensus(z, half, settings, seed)
    save_dictionary(folder, found.reference, "reference")
    votes = pd.DataFrame({name: getattr(found, name) for name in ("alive", "counts", "elsewhere", "reappears", "kept")})
    write_table(folder / "votes.parquet", votes.assign(voters=found.voters, checkers=found.checkers))
    floors = {
        "z": int(found.kept.sum()),
        "untrained z": kept_by_vote(untrained.z[train][half], settings, seed),
        "Gaussian noise with z's covariance": kept_in_noise(z[half], settings, seed),
    }
    write_table(folder / "floors.parquet", pd.DataFrame({"data": list(floors), "kept": list(floors.values())}))
    if found.kept.sum() >= 2:
        save_dictionary(folder, on_atoms(z, found.reference.W_dec[found.kept], settings, seed), "kept")


def load_consensus(folder: Path) -> Dictionary:
    """The dictionary of kept features alone, of a folder of `vote_on_features`. Raises NotComputable under two."""
    kept = int(read_table(folder / "votes.parquet")["kept"].sum())
    if kept < 2:
        raise NotComputable(f"{kept} features kept by the vote, 2 needed")
    return load_dictionary(folder, "kept")


def held_out_quality(
    folder: Path, trained: Path, how: Inference, rng: np.random.Generator, name: str = "dictionary"
) -> Quality:
    """Quality of a stored dictionary on test patients. Raises NotComputable under `how.min_patients` of them.

    `name`: "dictionary", or "reference" or "kept" of a vote: their difference in FVU is what keeping few costs. Raises
    StoreError where it was not left.
    """
    objects = load_objects(trained)
    test = (objects.index["split"] == "test").to_numpy()
    return quality(
        load_dictionary(folder, name), objects.z[test], objects.index["subject_id"].to_numpy()[test], how, rng
    )
