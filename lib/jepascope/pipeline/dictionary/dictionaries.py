"""Sparse dictionaries of z, the vote on their features, and the floors that a vote has to clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, null_of
from jepascope.analysis.sae import Dictionary, Quality, Settings, encode, quality
from jepascope.analysis.sae.dictionary import Codes
from jepascope.analysis.sae.export import saelens
from jepascope.analysis.sae.matching import SAME, matched_cosines
from jepascope.analysis.sae.training import fit_many
from jepascope.analysis.sae.votes import (
    Round,
    consensus,
    drawn_rows,
    halves,
    noise_round,
    on_atoms,
    refits,
    safe_bar,
    voting_round,
)
from jepascope.objects import load_objects
from jepascope.pipeline.readings import Reading
from jepascope.store import read_json, read_table, read_tensors, write_json, write_table, write_tensors

PLAIN = ("scale", "active", "variant")  # of a dictionary's fields, those that are no arrays
# What the vote is held on: names in the tables of floors and pairs.
Z, TWIN, NOISE = "z", "untrained z", "Gaussian noise with z's covariance"
# Draws of patients to refit on, and fits per draw, over which z's share is averaged as it is over checkers. Ten draws
# give a standard error for a t-interval with nine degrees of freedom; percentiles would need a thousand refits.
REFITS, FITS_PER_DRAW = 10, 3
# Seeds of refits and of noise lie far from those of voters and checkers.
REFIT_SEED, NOISE_SEED = 10_000, 20_000


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


def fit_dictionaries(folder: Path, trained: Path, sae: params.Sae, seed: int) -> None:
    """The step that fits the SAE to training patients' z, and a second one from another seed.

    Leaves dictionary and again (.safetensors and .json) and codes.safetensors, the first one's codes of all rows.
    """
    objects = load_objects(trained)
    train = (objects.index["split"] == "train").to_numpy()
    dictionary, again = fit_many(objects.z[train], Settings(**sae.model_dump()), [seed, seed + 1])
    save_dictionary(folder, dictionary)
    save_dictionary(folder, again, "again")
    codes = encode(dictionary, objects.z)
    write_tensors(folder / "codes.safetensors", {"values": codes.values, "indices": codes.indices})


def load_codes(folder: Path) -> Codes:
    """The codes that `fit_dictionaries` left, of all rows. Raises StoreError."""
    return Codes(**read_tensors(folder / "codes.safetensors"), features=len(load_dictionary(folder).W_dec))


def vote_on_features(folder: Path, trained: Path, twin: Path, sae: params.Sae, seed: int) -> None:
    """The step that lets independent fits vote on features of training patients' z.

    Leaves reference.safetensors and .json (the dictionary voted on), votes.parquet (a row a feature: alive, counts of
    voters, elsewhere of checkers, reappears, kept), bar.json (the cosine asked for), pairs.parquet (a row a pair of
    fits) and floors.parquet (a row a reference fit: features, kept) on z, on the twin's z and in noise, refits.parquet
    (a row a draw of the other patients) and, where two or more are kept, kept.safetensors and .json: these atoms with
    an encoder of their own, fitted to all training patients. Raises NotComputable for one training patient.
    """
    objects = load_objects(trained)
    train = (objects.index["split"] == "train").to_numpy()
    z, z_twin, settings = objects.z[train], load_objects(twin).z[train], Settings(**sae.model_dump())
    patients = objects.index["subject_id"].to_numpy()[train]
    half = halves(patients, np.random.default_rng(seed))
    noise = noise_round(z[half], settings, seed + NOISE_SEED)
    same = safe_bar(noise, settings.keep)
    if same > SAME:  # the bar was raised to suit this noise: other noise must confirm it
        noise = noise_round(z[half], settings, seed + 2 * NOISE_SEED)
    found = consensus(z, half, settings, seed, same)
    save_dictionary(folder, found.reference, "reference")
    votes = pd.DataFrame({name: getattr(found, name) for name in ("alive", "counts", "elsewhere", "reappears", "kept")})
    write_table(folder / "votes.parquet", votes.assign(voters=found.voters, checkers=found.checkers))
    write_json(folder / "bar.json", {"same": same})
    rounds = {Z: found.here, TWIN: voting_round(z_twin[half], settings, seed), NOISE: noise}
    _write_rounds(folder, rounds, settings.keep, same)
    rows = drawn_rows(patients[~half], REFITS, np.random.default_rng(seed))
    draws = {}
    for name, x, times in ((Z, z, FITS_PER_DRAW), (TWIN, z_twin, 1)):
        drawn = refits(x[~half], np.repeat(rows, times, axis=0), settings, seed + REFIT_SEED)
        draws[name] = _returning(rounds[name], drawn, times, settings.keep, same)
    counted = {"n_rows": int((~half).sum()), "n_patients": len(np.unique(patients[~half]))}
    write_table(folder / "refits.parquet", pd.concat([d.assign(data=n) for n, d in draws.items()]).assign(**counted))
    if found.kept.sum() >= 2:
        save_dictionary(folder, on_atoms(z, found.reference.W_dec[found.kept], settings, seed), "kept")


def _write_rounds(folder: Path, rounds: dict[str, Round], keep: float, same: float) -> None:
    pairs = [
        {"data": name, "share": pair.share, "matched": pair.matched, "features": pair.features}
        for name, fits in rounds.items()
        for pair in fits.agreements(same)
    ]
    floors = [
        {"data": name, "features": len(atoms), "kept": int(kept)}
        for name, fits in rounds.items()
        for atoms, kept in zip(fits.atoms, fits.kept(keep, same), strict=True)
    ]
    write_table(folder / "pairs.parquet", pd.DataFrame(pairs))
    write_table(folder / "floors.parquet", pd.DataFrame(floors))


def _returning(fits: Round, drawn: list[np.ndarray], times: int, keep: float, same: float) -> pd.DataFrame:
    """Per draw, the share of the first fit's features that its refits hold: of those kept by the vote, and of all."""
    kept = fits.keeps(0, keep, same)
    held = np.array([matched_cosines(fits.atoms[0], atoms) > same for atoms in drawn])
    held = held.reshape(-1, times, len(kept)).mean(axis=1)  # [draws, F]
    share = held[:, kept].mean(axis=1) if kept.any() else np.full(len(held), np.nan)
    return pd.DataFrame({"kept": share, "all": held.mean(axis=1)})


def load_consensus(folder: Path) -> Dictionary:
    """The dictionary of kept features alone, of a folder of `vote_on_features`.

    Raises NotComputable under two, and where the same vote keeps features of noise: then no vote tells them apart.
    """
    floors = read_table(folder / "floors.parquet")
    in_noise = int(floors.loc[floors["data"] == NOISE, "kept"].max())
    if in_noise:
        raise NotComputable(f"the vote is not licensed here: it keeps {in_noise} features of Gaussian noise, too")
    kept = int(read_table(folder / "votes.parquet")["kept"].sum())
    if kept < 2:
        raise NotComputable(f"{kept} features kept by the vote, 2 needed")
    return load_dictionary(folder, "kept")


def folder_of_kept(folder: Path) -> Path:
    """The folder itself, if it holds a dictionary of kept features. Raises NotComputable like `load_consensus`."""
    load_consensus(folder)
    return folder


class _Returning(NamedTuple):
    """What the refits left: a row a draw of the other patients, and the same of noise, a share a pair of fits."""

    z: pd.DataFrame
    twin: pd.DataFrame
    noise: np.ndarray  # of all living features, in another fit to the same noise
    counted: tuple[int, int]  # rows and patients drawn from


def _returned(folder: Path) -> _Returning:
    table, pairs = read_table(folder / "refits.parquet"), read_table(folder / "pairs.parquet")
    z, twin = (table[table["data"] == name] for name in (Z, TWIN))
    counted = (int(table["n_rows"].iloc[0]), int(table["n_patients"].iloc[0]))
    return _Returning(z, twin, pairs.loc[pairs["data"] == NOISE, "share"].to_numpy(), counted)


def returning_of_kept(folder: Path, level: float) -> Reading:
    """Share of the kept features that fits to other patients hold, with that of the twin's if any of it are kept.

    The interval over draws of patients is mean ± t · standard deviation over draws. A draw's share is the mean over its
    fits, so the deviation holds what patients move and a part of what seeds move. It is about the features that were
    kept, not about other votes, and about the mean over draws: what the checkers, fitted without drawing, say
    (`elsewhere` of the votes) may lie above or below. Raises NotComputable where nothing of z is kept.
    """
    z, twin, noise, counted = _returned(folder)
    if z["kept"].isna().any():
        raise NotComputable("no feature is kept by the vote")
    of_twin = None if twin["kept"].isna().any() else _over_draws(twin["kept"].to_numpy(), level, *counted)
    kept = z["kept"].to_numpy()
    return Reading(_over_draws(kept, level, *counted), null_of(noise, float(kept.mean()), level), of_twin)


def returning_over_twin(folder: Path, level: float) -> Reading:
    """The same share of all living features, z's less the untrained twin's, draw by draw; the null has noise for z."""
    z, twin, noise, counted = _returned(folder)
    gain = z["all"].to_numpy() - twin["all"].to_numpy()
    null = null_of(noise - twin["all"].mean(), float(gain.mean()), level)
    return Reading(_over_draws(gain, level, *counted, least=-1.0), null)


def _over_draws(values: np.ndarray, level: float, n_rows: int, n_patients: int, least: float = 0.0) -> Estimate:
    reach = student.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1)
    value = float(values.mean())
    return Estimate(value, max(least, value - reach), min(1.0, value + reach), n_rows, n_patients)


class Licence(NamedTuple):
    """Shares of features that the same vote keeps, over reference fits."""

    noise: Estimate
    z: Estimate  # the positive control: a vote that keeps nothing anywhere would pass as well
    twin: Estimate


def share_kept(folder: Path, trained: Path) -> Licence:
    """Share of features that the vote keeps of noise, of z and of the untrained twin's z: mean, least and most.

    The ends are over reference fits: every fit has been the reference once, and the worst one counts. Rows of noise
    belong to nobody, so there are no patients to draw. Counted are the patients of `trained` on whom the vote was held.
    """
    floors, others = read_table(folder / "floors.parquet"), read_table(folder / "refits.parquet").iloc[0]
    share = (floors["kept"] / floors["features"].clip(lower=1)).groupby(floors["data"])
    index = load_objects(trained).index.query("split == 'train'")
    counted = (len(index) - int(others["n_rows"]), index["subject_id"].nunique() - int(others["n_patients"]))
    by_name = {name: (float(v.mean()), float(v.min()), float(v.max())) for name, v in share}
    return Licence(*(Estimate(*by_name[name], *counted) for name in (NOISE, Z, TWIN)))


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
