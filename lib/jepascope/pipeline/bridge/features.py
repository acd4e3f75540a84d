"""Tier C of the bridge: the features of a dictionary against labels, and those that labels tell least."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.bridge.axis_labels import explained
from jepascope.analysis.bridge.feature_labels import best_labels, carried_share, precision_at, search, tied
from jepascope.analysis.features.enrichment import MIN_CELL
from jepascope.analysis.features.label_ties import ties
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, Null, null_of
from jepascope.analysis.sae import Dictionary, densify, encode
from jepascope.analysis.sae.dictionary import decode
from jepascope.analysis.sae.labels import label_entropy
from jepascope.pipeline.bridge.labels import LASTING, Space
from jepascope.pipeline.bridge.tiers import MODELS, Refitted, load_spaces, refit
from jepascope.pipeline.dictionary.dictionaries import load_consensus, load_dictionary
from jepascope.store import read_table, write_json, write_table

# Draws and moves of thousands of pairs: so many tell five in a hundred.
DRAWS = 100
CANDIDATES = 8
# Whose features: kept ones of the trained model's z, the same on ẑ, and all of one fit each to z and to the twin's z.
Z, Z_HAT, FIT, TWIN = "z", "ẑ", "z, a single fit", "untrained z"


class _Coded(NamedTuple):
    """A space in the words of a dictionary."""

    space: Space
    dictionary: Dictionary
    f: np.ndarray  # [n, F]


def reach_features(
    folder: Path,
    encounters: Path,
    trained: Path,
    twin: Path,
    votes: Path,
    dictionaries: Path,
    baselines: Path,
    statistics: params.Statistics,
    seed: int,
) -> None:
    """The step of tier C: kept features of z, and of ẑ in the same words, against labels, beside single fits.

    Labels are sought by max-T on test patients, where nothing was fitted; how much of a code labels tell is fitted on
    training patients. The vote keeps too little of the twin's z, so its features are those of a single fit, to be
    compared with those of a single fit to the trained z. Leaves reach.parquet (a row a space: features, tied, share
    carried, share told), features.parquet (a row a kept feature of z with its best label). Raises NotComputable where
    under two features are kept.
    """
    how = Inference(**statistics.model_dump())
    how = how._replace(bootstrap=min(how.bootstrap, DRAWS), permutations=min(how.permutations, DRAWS))
    kept, alone, of_twin = load_consensus(votes), load_dictionary(dictionaries), load_dictionary(baselines, "twin")
    table, by_model = load_spaces(encounters, trained, twin, (Z, Z_HAT))
    ours, theirs = (by_model[model] for model in MODELS)
    of = ((Z, ours[Z], kept), (Z_HAT, ours[Z_HAT], kept), (FIT, ours[Z], alone), (TWIN, theirs[Z], of_twin))
    coded = {
        name: _Coded(space, words, densify(encode(words, space.x.astype(np.float32)))) for name, space, words in of
    }
    names = table.loc[table["yes_no"], ["label", "family"]].reset_index(drop=True)
    # Codes are taken about their training mean, as `refit` asks.
    fits = {
        name: refit(one.space, one.f - one.f[one.space.train].mean(axis=0, dtype=float), seed)
        for name, one in coded.items()
    }
    features = _features(coded[Z], fits[Z], names, how, seed)
    numbers = np.flatnonzero(read_table(votes / "votes.parquet")["kept"])
    write_table(folder / "features.parquet", features.assign(feature=numbers))
    rows = []
    for name, one in coded.items():
        test, rng = one.space.test, np.random.default_rng(seed)
        if name == Z:
            has = features["tied"].to_numpy(bool)
        else:
            given = (one.f[test], one.space.yes_no[test], one.space.patients[test], how, rng)
            has = tied(search(*given).adjusted, how.level)
        rows.append({"space": name, **_row(one, fits[name], has, how, seed)})
    write_table(folder / "reach.parquet", pd.DataFrame(rows))
    write_json(folder / "draws.json", {"draws": how.permutations})


def _row(one: _Coded, fit: Refitted, has: np.ndarray, how: Inference, seed: int) -> dict[str, float]:
    """What one space's features say: how many are tied, what those carry, and what labels tell of the codes."""
    test, patients = one.space.test, one.space.patients[one.space.test]
    x, f, mean = one.space.x[test], one.f[test], one.space.x[one.space.train].mean(axis=0)
    full, part = (decode(one.dictionary, f * some) for some in (np.ones(len(has), np.float32), has))
    carried = carried_share(x, full, part, mean, patients, how, np.random.default_rng(seed))
    told = explained(fit.by_row, patients, how, np.random.default_rng(seed))
    alive = f.any(axis=0)
    counts = {
        "features": int(alive.sum()),
        "tied": int((has & alive).sum()),
        "n_rows": len(f),
        "n_patients": told.n_patients,
    }
    null = null_of(fit.moved, told.value, how.level).columns()
    spelled = {f"carried_{end}": getattr(carried, end) for end in ("value", "low", "high")}
    return counts | spelled | {f"told_{end}": getattr(told, end) for end in ("value", "low", "high")} | null


def _features(one: _Coded, fit: Refitted, names: pd.DataFrame, how: Inference, seed: int) -> pd.DataFrame:
    """A row a feature: its label of largest |r| with its numbers, whether it is tied, and what all labels tell.

    The label is chosen on training patients; what goes with it is read on test patients.
    """
    space, test = one.space, one.space.test
    f, labels, patients = one.f[test], space.yes_no[test], space.patients[test]
    best = best_labels(one.f[space.train], space.yes_no[space.train])
    at = (np.arange(len(best)), best)
    found = ties(f, labels, patients, how, np.random.default_rng(seed))
    precision = precision_at(f, labels.astype(float), patients)
    lasting = names["family"].isin(LASTING).to_numpy()
    entropy = label_entropy(f, labels[:, lasting]) if lasting.sum() >= 2 else None
    table = pd.DataFrame({"label": names["label"].to_numpy()[best], "family": names["family"].to_numpy()[best]})
    table = table.assign(
        r=found.r[at], low=found.r_low[at], high=found.r_high[at], adjusted=found.adjusted[at], auroc=found.auroc[at],
        precision=precision.share[at], among=precision.among,
        lift=precision.share[at] / np.maximum(precision.base[best], 1e-9),
        tied=tied(found.adjusted, how.level), told=fit.by_column,
        reach=[len(np.unique(patients[on])) for on in (f > 0).T],
    )  # fmt: skip
    return table.assign(
        entropy=np.nan if entropy is None else entropy.entropy, expected=np.nan if entropy is None else entropy.expected
    )


def load_features(folder: Path) -> pd.DataFrame:
    """Kept features of z with their best label, the least told by labels first."""
    return read_table(folder / "features.parquet").sort_values("told", kind="stable", ignore_index=True)


def load_reach(folder: Path) -> pd.DataFrame:
    """Tier C, a row a space: features, tied, carried_…, told_…, null columns of told."""
    return read_table(folder / "reach.parquet")


def told(folder: Path, space: str) -> tuple[Estimate, Null]:
    """How much of a space's codes labels tell, R² over all features, with its null."""
    row = load_reach(folder).set_index("space").loc[space]
    counted = int(row["n_rows"]), int(row["n_patients"])
    return Estimate(row["told_value"], row["told_low"], row["told_high"], *counted), Null.of_columns(row)


def candidates(features: Path, cards: Path) -> pd.DataFrame:
    """Features that labels tell least, with what their cards say: candidates for what nobody has written down.

    Of those that MIN_CELL test patients reach, the first CANDIDATES by what labels leave; `tied` says whether they go
    with a label at all. Raises NotComputable where no such feature has a card.
    """
    about = read_table(cards / "features.parquet")[["feature", "name", "rate", "excess", "reappears", "patients"]]
    found = load_features(features).merge(about, on="feature")
    found = found[found["reach"] >= MIN_CELL]
    if found.empty:
        raise NotComputable("no feature with a card")
    return found.head(CANDIDATES)
