"""What each method finds where there is nothing, and what it costs: fits to noise and to halves of the patients."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.predictor.interaction_basis import interaction_basis, whitening
from jepascope.analysis.sae import Hold, Settings, fit, gaussian_like
from jepascope.analysis.sae.baselines import SOFT, atoms_of, random_atoms
from jepascope.analysis.sae.matching import SAME, matched_cosines, unit_rows
from jepascope.analysis.sae.transcoder import fit_transcoder, linear_map
from jepascope.analysis.sae.variants import VARIANTS
from jepascope.analysis.sae.votes import halves
from jepascope.objects import load_objects
from jepascope.pipeline.dictionary.dictionaries import NOISE
from jepascope.pipeline.predictor.bases import Layer, load_layer
from jepascope.store import read_table, write_table

# Rows of each half: thirteen methods are fitted four times. Jacobians are taken on fewer, as only axes are wanted.
MOST_ROWS, FEW_ROWS = 2000, 1000


class Part(NamedTuple):
    """What methods are fitted to: one half of the patients, or noise like it."""

    z: np.ndarray  # [n, D]
    u: np.ndarray  # [n, D + 1]
    z_hat: np.ndarray  # [n, D], what the predictor makes of u


# Takes a part and a seed, returns directions [F, D], of the space that the method looks at.
Fit = Callable[[Part, int], np.ndarray]


def fit_to_nothing(folder: Path, trained: Path, model: Path, votes: Path, sae: params.Sae, seed: int) -> None:
    """The step that fits every method to two halves of the training patients, and to noise with their covariance.

    What looks at c → ẑ gets noise in place of c (and of the gap), and what the model's own predictor makes of that.
    Leaves noise.parquet: method, returns (share of directions found again, cos > SAME, on other patients), in_noise
    (the same in other noise), seconds (of process time, a fit). The vote's row is from the dictionary chapter's folder
    `votes`: `returns` is of kept features, `in_noise` the share kept of noise, seconds that of its fits.
    """
    settings = Settings(**sae.model_dump())
    objects, layer = load_objects(trained), load_layer(trained, model).of("train")
    train = (objects.index["split"] == "train").to_numpy()
    rng = np.random.default_rng(seed)
    z = four(objects.z[train], objects.index["subject_id"].to_numpy()[train], rng)
    inputs = four(layer.u, layer.patients, rng)
    parts = [Part(*pair, layer.predict(pair[1])) for pair in zip(z, inputs, strict=True)]
    rows = [timed(name, way, parts, seed) for name, way in ways(settings, layer).items()]
    of_one = next(row["seconds"] for row in rows if row["method"] == settings.variant)
    write_table(folder / "noise.parquet", pd.DataFrame([voted(votes, settings, float(str(of_one))), *rows]))


def four(x: np.ndarray, patients: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows of either half of the patients, and noise like each: four arrays [n, D]."""
    half = halves(patients, rng)
    own = [x[half][:MOST_ROWS], x[~half][:MOST_ROWS]]
    return [*own, *(gaussian_like(part, rng) for part in own)]


def ways(settings: Settings, layer: Layer) -> dict[str, Fit]:
    """How to fit each method. Axes have no sign, so each gives two directions.

    ICA and semi-NMF are left out: the one does not converge on Gaussian noise, the other takes as long as all others.
    """
    of_z: dict[str, Fit] = {variant: partial(_sae, settings._replace(variant=variant)) for variant in VARIANTS}
    of_z |= {name: partial(_atoms, name, settings.features) for name in ("pca", "kmeans")}
    return of_z | {
        "soft_random": partial(_soft, settings),
        "sae_of_z_hat": lambda part, seed: fit(part.z_hat, settings, seed).W_dec,
        "transcoder": lambda part, seed: fit_transcoder(part.u, part.z_hat, settings, seed).W_dec,
        "linear": lambda part, seed: _two_sided(linear_map(part.u, part.z_hat).B),
        "lib": lambda part, seed: _two_sided(interaction_basis(part.u[:FEW_ROWS], layer.jacobians).reads.T),
        "pca_of_c": lambda part, seed: _two_sided(whitening(part.u).reads.T),
    }


def _sae(settings: Settings, part: Part, seed: int) -> np.ndarray:
    return fit(part.z, settings, seed).W_dec


def _atoms(name: str, features: int, part: Part, seed: int) -> np.ndarray:
    return atoms_of(name, part.z, features, seed)


def _soft(settings: Settings, part: Part, seed: int) -> np.ndarray:
    start = random_atoms(part.z.shape[1], settings.features, seed)
    return fit(part.z, settings, seed, Hold(start, SOFT)).W_dec


def _two_sided(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([unit_rows(rows), -unit_rows(rows)])


def timed(name: str, way: Fit, parts: list[Part], seed: int) -> dict[str, object]:
    """One row of the table: a method fitted to all four parts, each from a seed of its own."""
    start = time.process_time()
    one, other, noise, more_noise = (way(part, seed + number) for number, part in enumerate(parts))
    seconds = (time.process_time() - start) / len(parts)
    returns, in_noise = (float((matched_cosines(a, b) > SAME).mean()) for a, b in ((one, other), (noise, more_noise)))
    return {"method": name, "returns": returns, "in_noise": in_noise, "seconds": seconds}


def voted(votes: Path, settings: Settings, seconds: float) -> dict[str, object]:
    """The row of the vote, which takes `seconds` for each of its fits, on either half of the patients."""
    floors = read_table(votes / "floors.parquet").set_index("data").loc[[NOISE]]
    returns = read_table(votes / "refits.parquet").query("data == 'z'")["kept"].mean()
    in_noise = (floors["kept"] / floors["features"].clip(lower=1)).max()
    fits = 2 * settings.voters
    return {"method": "consensus", "returns": returns, "in_noise": in_noise, "seconds": fits * seconds}
