"""Whether two seeds' models speak of the same features: matched by direction after a rotation, and by when they fire.

Two seeds' spaces are turned against each other, so directions can be compared only after the best rotation between
them; when a feature fires needs no rotation, and asks for the same encounters instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, bootstrap_of_sums, permuted_rows
from jepascope.analysis.predictor.subspaces import procrustes
from jepascope.analysis.sae import densify, encode
from jepascope.analysis.sae.dictionary import Dictionary
from jepascope.analysis.sae.matching import SAME, matched_cosines
from jepascope.objects import Objects, load_objects
from jepascope.pipeline.dictionary.dictionaries import folder_of_kept, load_consensus, load_dictionary
from jepascope.pipeline.seeds.pairs import each_pair
from jepascope.store import write_table

KEYS = ["subject_id", "split"]
COLUMNS = ["a", "b", "dictionaries", "features", "same_direction", "fire_together", *Estimate._fields]


class Spoken(NamedTuple):
    """One seed's space and a dictionary of it."""

    objects: Objects
    dictionary: Dictionary


class Dictionaries(NamedTuple):
    """What one seed brings: the features that the vote kept, and those of its untrained twin."""

    kept: Spoken
    twin: Spoken


def match_features(folder: Path, statistics: params.Statistics, *seeds: int | str | Path) -> None:
    """The step that matches the features of the compared pairs of seeds; leaves matches.parquet.

    seeds: seed, objects, votes, twin's objects, baselines, seed, … Columns: a, b (the seeds), dictionaries (whose),
    features (of the smaller one), same_direction and fire_together (how many are the same by either measure), and
    value, low, high, n_rows, n_patients of the mean correlation of matched features' activations on test patients.
    Dictionaries: "kept by the vote"; "the untrained twins'" (one fit each); and, as the floor, "kept, of another
    patient", whose activations are another patient's and whose rotation is fitted to them. Seeds whose vote keeps too
    little are left out: one of many would otherwise take the features of all others with it. Raises NotComputable where
    fewer than two seeds are left, ValueError where two extractions differ.
    """
    names = [int(str(seed)) for seed in seeds[::5]]
    paths = {seed: [Path(str(path)) for path in seeds[5 * i + 1 : 5 * i + 5]] for i, seed in enumerate(names)}
    how, rows = Inference(**statistics.model_dump()), []
    for a, b, one, other in each_pair(_with_votes(paths), lambda seed: _load(*paths[seed])):
        rng = np.random.default_rng([a, b])
        for whose, pair, moved in (
            ("kept by the vote", (one.kept, other.kept), False),
            ("the untrained twins'", (one.twin, other.twin), False),
            ("kept, of another patient", (one.kept, other.kept), True),
        ):
            rows.append({"a": a, "b": b, "dictionaries": whose} | match(*pair, moved, how, rng))
    write_table(folder / "matches.parquet", pd.DataFrame(rows)[COLUMNS])


def _with_votes(paths: dict[int, list[Path]]) -> list[int]:
    """The seeds whose vote keeps features. Raises NotComputable for fewer than two, with each vote's reason."""
    found, reasons = [], [f"features of two seeds are needed to be compared, {len(paths)} given"]
    for seed, (_, votes, *_) in paths.items() if len(paths) > 1 else ():
        try:
            folder_of_kept(votes)
            found.append(seed)
        except NotComputable as reason:
            reasons.append(f"seed {seed}: {reason}")
    if len(found) < 2:
        raise NotComputable("; ".join(reasons))
    return found


def _load(objects: Path, votes: Path, twin: Path, baselines: Path) -> Dictionaries:
    kept = Spoken(load_objects(objects), load_consensus(votes))
    return Dictionaries(kept, Spoken(load_objects(twin), load_dictionary(baselines, "twin")))


def match(one: Spoken, other: Spoken, moved: bool, how: Inference, rng: np.random.Generator) -> dict[str, float]:
    """`COLUMNS` from "features" on, for one pair of dictionaries. `moved`: hand each patient another's rows of `other`.

    The rotation, and which feature is whose partner in firing, are found on training patients; correlations are those
    of test patients. Raises ValueError where the two hold different encounters.
    """
    index = one.objects.index
    if not index[KEYS].equals(other.objects.index[KEYS]):
        raise ValueError("two seeds hold different encounters: extract once for all seeds")
    split, patients = index["split"].to_numpy(), index["subject_id"].to_numpy()
    theirs = other.objects.z
    if moved:
        theirs = theirs.copy()
        for part in ("train", "test"):
            rows = np.flatnonzero(split == part)
            theirs[rows] = theirs[rows[permuted_rows(patients[rows], 1, rng)[0]]]
    train, test = split == "train", split == "test"
    turn = procrustes(one.objects.z[train], theirs[train])
    cosines = matched_cosines(one.dictionary.W_dec @ turn.rotation, other.dictionary.W_dec)
    f, g = (densify(encode(d, x)) for d, x in ((one.dictionary, one.objects.z), (other.dictionary, theirs)))
    rows_a, rows_b = linear_sum_assignment(-_correlations(f[train], g[train]))
    r = np.diag(_correlations(f[test][:, rows_a], g[test][:, rows_b]))
    mean = mean_correlation(f[test][:, rows_a], g[test][:, rows_b], patients[test], how, rng)
    counts = {"features": min(len(f.T), len(g.T)), "same_direction": (cosines > SAME).sum()}
    return {**counts, "fire_together": (r > SAME).sum(), **mean._asdict()}


def mean_correlation(
    f: np.ndarray, g: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """Mean over columns of Pearson r of f with g, [N, F] both; r is computed anew in every draw of patients, from sums.

    A column that is constant, on all rows or in a draw, has r nought. Raises NotComputable.
    """
    f, g = _standard(f), _standard(g)  # sums of unit spread: no large numbers to subtract

    def mean_r(s: np.ndarray) -> np.ndarray:
        f, g, ff, gg, fg = np.split(s[:, 1:] / s[:, :1], 5, axis=1)  # means, [draws, F] each
        spread = np.sqrt(np.maximum((ff - f**2) * (gg - g**2), 0))
        return np.divide(fg - f * g, spread, out=np.zeros_like(fg), where=spread > 1e-8).mean(axis=1)

    columns = np.hstack([np.ones((len(f), 1)), f, g, f**2, g**2, f * g])
    return bootstrap_of_sums(mean_r, columns, patients, how.bootstrap, how.level, rng, how.min_patients)


def _standard(f: np.ndarray) -> np.ndarray:
    centred, spread = f - f.mean(axis=0), f.std(axis=0)
    return centred / np.where(spread > 1e-8, spread, np.inf)


def _correlations(f: np.ndarray, g: np.ndarray) -> np.ndarray:
    return _standard(f).T @ _standard(g) / len(f)
