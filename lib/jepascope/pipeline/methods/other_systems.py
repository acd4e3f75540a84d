"""The methods of this field in one frame: the same encounters, the same planted concepts, the same draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from jepascope import params
from jepascope.analysis.features.enrichment import MIN_ODDS, enrichment, odds_ratio
from jepascope.analysis.features.naming import leading
from jepascope.analysis.inference.stats import NULL_COLUMNS, Estimate, Inference, NotComputable, Null
from jepascope.analysis.rollout.geometry import row_distances
from jepascope.analysis.sae import Settings, densify, encode, fit
from jepascope.analysis.sae.baselines import NAMES
from jepascope.analysis.sae.dictionary import Dictionary
from jepascope.analysis.sae.matching import unit_rows
from jepascope.analysis.sae.structure import stitch
from jepascope.analysis.sae.variants import VARIANTS
from jepascope.certify.features import correlations, feature_recovery
from jepascope.certify.model import require_same_rows
from jepascope.certify.other_systems import NOBODY, Naming, names_held, owners
from jepascope.certify.planted import Truth, load_truth
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.features import bag_of_codes
from jepascope.objects import Objects, load_objects
from jepascope.pipeline.certification.certificates import PROMISES, by_claims
from jepascope.pipeline.dictionary.comparison import META_ACTIVE, META_EPOCHS, META_SHARE, TABLE_DRAWS
from jepascope.pipeline.dictionary.dictionaries import load_consensus, load_dictionary
from jepascope.pipeline.predictor.bases import load_codes
from jepascope.pipeline.readings import Reading
from jepascope.store import read_json, read_table, write_json, write_table


class Method(NamedTuple):
    """How pages call a method, what it looks at, and whether its features are signed axes rather than sparse codes."""

    words: str
    looks_at: str
    axes: bool = False


METHODS = {
    "consensus": Method("SAE, voted", "z"),
    "topk": Method("SAE, TopK", "z"),
    "batch_topk": Method("SAE, BatchTopK", "z"),
    "jump_relu": Method("SAE, JumpReLU", "z"),
    "matryoshka": Method("SAE, Matryoshka", "z"),
    "matching_pursuit": Method("SAE, matching pursuit", "z"),
    "stitched": Method("SAE, stitched", "z"),
    "meta": Method("meta-SAE", "z"),
    **{name: Method(words, "z") for name, words in NAMES.items()},
    "neurons": Method("neurons", "z", axes=True),
    "displacement": Method("displacement", "z"),
    "sae_of_z_hat": Method("SAE of ẑ", "ẑ"),
    "transcoder": Method("transcoder", "c → ẑ"),
    "linear": Method("linear map's axes", "c → ẑ", axes=True),
    "lib": Method("interaction basis", "c → ẑ", axes=True),
    "pca_of_c": Method("principal axes of c", "c", axes=True),
    "rotation": Method("random rotation of c", "c", axes=True),
}
# Of the untrained twin: what stands beside a claim as what an untrained model would have shown.
TWINS = {"consensus": "twin", "transcoder": "twin_transcoder", "linear": "twin_linear", "lib": "twin_lib"}
TWINS |= {"pca_of_c": "twin_pca_of_c", "sae_of_z_hat": "twin_sae_of_z_hat"}
REFERENCES = ("consensus", "transcoder", "lib", "twin", "twin_transcoder", "twin_lib")
# Whose names a claim is about: their interval takes all draws.
CLAIMED = ("consensus", "twin")


class Rows(NamedTuple):
    """The M encounters with one before them, in all that methods and their judges look at."""

    index: pd.DataFrame
    truth: Truth
    bag: sparse.csr_matrix  # [M, V], tokens without [CLS]

    def of(self, split: str) -> np.ndarray:
        """Which rows are of one split, bool [M]."""
        return (self.index["split"] == split).to_numpy()


def compare_methods(
    folder: Path,
    records: Path,
    encounters: Path,
    trained: Path,
    twin: Path,
    opened: Path,
    votes: Path,
    variants: Path,
    baselines: Path,
    structure: Path,
    statistics: params.Statistics,
    sae: params.Sae,
    seed: int,
) -> None:
    """The step that asks of every method which planted concepts it has a feature for, and what its names are worth.

    `opened` is of `predictor_bases.open_predictor`, the other folders are the dictionary chapter's. All methods are
    asked about encounter k on rows with k ≥ 1, where ẑ_k exists; what looks at c has seen k − 1 and the gap. Leaves
    methods, differences and concepts.parquet of `features.feature_recovery`, names.parquet, best.json (the best method
    but the vote, by training patients) and left_out.json. Raises TruthError, NotComputable.
    """
    objects, untrained = load_objects(trained), load_objects(twin)
    require_same_rows(objects, untrained)
    features, left_out = gather(objects, untrained, opened, votes, variants, baselines, structure, sae, seed)
    rows = load_rows(records, encounters, objects)
    how, rng = Inference(**statistics.model_dump()), np.random.default_rng(seed)
    best = best_rival(features, rows)
    found = feature_recovery(features, REFERENCES, rows.truth, rows.index, how, rng)
    for name, table in found._asdict().items():
        write_table(folder / f"{name}.parquet", table)
    write_json(folder / "best.json", {"best": best})
    write_json(folder / "left_out.json", left_out)
    write_table(folder / "names.parquet", judge_names(features, rows, sae.active, how, seed))


def gather(
    objects: Objects,
    untrained: Objects,
    opened: Path,
    votes: Path,
    variants: Path,
    baselines: Path,
    structure: Path,
    sae: params.Sae,
    seed: int,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Features of all methods on the M target rows, [M, F] each; and why a method isn't there."""
    z, z_twin = objects.z[objects.target_rows], untrained.z[untrained.target_rows]
    asked: dict[str, Callable[[], Dictionary]] = {"consensus": lambda: load_consensus(votes)}
    features, left_out = {}, {}
    for name in ("consensus", *VARIANTS, *NAMES, "twin"):
        try:
            kept = (
                asked[name]() if name in asked else load_dictionary(variants if name in VARIANTS else baselines, name)
            )
        except NotComputable as reason:
            left_out[name] = str(reason)
        else:
            features[name] = densify(encode(kept, z_twin if name == "twin" else z))
    train = (objects.index["split"] == "train").to_numpy()[objects.target_rows]
    first, larger = load_dictionary(variants, sae.variant), load_dictionary(structure, "larger")
    novel = stitch(first, larger, z[train]).novel
    features["stitched"] = np.hstack([features[sae.variant], densify(encode(larger, z))[:, novel]])
    features["meta"] = features[sae.variant] @ parts_of(first, sae, seed)
    features["neurons"] = both_signs(z)
    features["displacement"] = row_distances(z, objects.z[objects.target_rows - 1])[:, None]
    for whose in ("", "twin_"):
        for name, f in load_codes(opened, whose).items():
            features[whose + name] = both_signs(f) if METHODS[name].axes else f
    wanted = [*METHODS, *TWINS.values()]
    return {name: features[name] for name in wanted if name in features}, left_out


def both_signs(a: np.ndarray) -> np.ndarray:
    """Axes a [M, r] as one-sided features [M, 2 r], as a concept may lie at either end of one."""
    return np.hstack([a, -a])


def parts_of(dictionary: Dictionary, sae: params.Sae, seed: int) -> np.ndarray:
    """What each feature is made of by a meta-SAE, [F, F']: a meta-feature is on as far as its features are."""
    rows = unit_rows(dictionary.W_dec).astype(np.float32)
    features = max(META_ACTIVE + 1, len(rows) // META_SHARE)
    settings = Settings(**sae.model_dump())._replace(
        variant="topk", features=features, active=META_ACTIVE, epochs=META_EPOCHS
    )
    return densify(encode(fit(rows, settings, seed), rows))


def load_rows(records: Path, encounters: Path, objects: Objects) -> Rows:
    """Truth and tokens of the rows that ẑ is of."""
    at = objects.target_rows
    truth = load_truth(records / "planted", objects.index)
    truth = truth._replace(states=truth.states.iloc[at].reset_index(drop=True), risk=truth.risk[at])
    bag = bag_of_codes(cohort_encounters.load(encounters))[at, 1:]
    return Rows(objects.index.iloc[at].reset_index(drop=True), truth, bag)


def best_rival(features: dict[str, np.ndarray], rows: Rows) -> str:
    """The method but the vote of largest mean |r| of best features, on training patients."""
    train, states = rows.of("train"), rows.truth.states.to_numpy(float)
    rivals = [name for name in features if name in METHODS and name != "consensus"]
    r = {name: np.abs(correlations(features[name][train], states[train])).max(axis=0).mean() for name in rivals}
    return max(r, key=lambda name: r[name])


def judge_names(features: dict[str, np.ndarray], rows: Rows, active: int, how: Inference, seed: int) -> pd.DataFrame:
    """A row a method with two named features: names right, dealt anew, and confirmed but wrong; on test patients."""
    train, test = rows.of("train"), rows.of("test")
    patients, states = rows.index["subject_id"].to_numpy(), rows.truth.states.to_numpy(float)
    owner = owners(rows.bag[train].toarray() > 0, states[train])
    table = []
    few = how._replace(bootstrap=min(how.bootstrap, TABLE_DRAWS))
    for name in (name for name in features if name in METHODS or name == "twin"):
        f, draws = features[name], how if name in CLAIMED else few
        on = switched_on(f, train, active) if is_dense(name) else f > 0
        naming = name_features(on, rows.bag, patients, train, test)
        try:
            held = names_held(f[test], naming, owner, states[test], patients[test], draws, np.random.default_rng(seed))
        except NotComputable:
            continue
        wrong = {f"wrong_{key}": value for key, value in held.sure_and_wrong._asdict().items()}
        table.append({"method": name, "named": held.named, **held.right._asdict(), **held.dealt.columns(), **wrong})
    return pd.DataFrame(table, columns=["method", "named", *Estimate._fields, *NULL_COLUMNS, *_WRONG])


_WRONG = [f"wrong_{name}" for name in Estimate._fields]


def is_dense(name: str) -> bool:
    """Whether a method's features are axes, and on everywhere."""
    own = name.removeprefix("twin_")
    return (own in METHODS and METHODS[own].axes) or own == "displacement"


def switched_on(f: np.ndarray, train: np.ndarray, active: int) -> np.ndarray:
    """When an axis speaks: among the `active` that lie furthest out of a row, in standard deviations; bool [M, F]."""
    out = (f - f[train].mean(axis=0)) / np.maximum(f[train].std(axis=0), 1e-9)
    k = min(active, f.shape[1])
    least = np.partition(out, -k, axis=1)[:, -k][:, None]
    return (out >= least) & (out > 0)


def name_features(
    on: np.ndarray, bag: sparse.csr_matrix, patients: np.ndarray, train: np.ndarray, test: np.ndarray
) -> Naming:
    """Name each feature by its most telling enriched code on training patients; confirmed by its odds ratio on test."""
    chosen = leading(enrichment(on[train], bag[train], patients[train]), 1)
    code = np.array([codes[0] if len(codes) else NOBODY for codes in chosen], int)
    x, y = on[test].astype(float), np.asarray(bag[test][:, np.maximum(code, 0)].todense(), float)
    odds = odds_ratio((x * y).sum(axis=0), x.sum(axis=0), y.sum(axis=0), len(x))
    return Naming(code, (odds > MIN_ODDS) & (code >= 0))


def frame(compared: Path, noise: Path) -> pd.DataFrame:
    """One row a method, the best recovery first; NaN where it was not asked.

    Columns: words, looks_at, features; r, low, high, null_high (states moved between patients), twin (mean r of the
    same on the untrained twin); mcc, recall; right, right_low, right_high, dealt, dealt_high, wrong (of names);
    returns, in_noise; cost, in times the vote's.
    """
    measured = read_table(compared / "methods.parquet").pivot(index="method", columns="measure")
    names = read_table(compared / "names.parquet").set_index("method")
    fits = read_table(noise / "noise.parquet").set_index("method")
    rows = []
    for name, about in METHODS.items():
        if name not in measured.index:
            continue
        mine = measured.loc[name]
        found = {"words": about.words, "looks_at": about.looks_at, "features": mine[("features", "mean r")]}
        found |= {"r": mine[("value", "mean r")]} | {key: mine[(key, "mean r")] for key in ("low", "high", "null_high")}
        found |= {"mcc": mine[("value", "MCC")], "recall": mine[("value", "recall")]}
        of_twin = TWINS.get(name, "")
        found["twin"] = measured.loc[of_twin, ("value", "mean r")] if of_twin in measured.index else np.nan
        named = names.loc[name] if name in names.index else pd.Series(dtype=float)
        found |= {new: named.get(old, np.nan) for new, old in _OF_NAMES.items()}
        made = fits.loc[name] if name in fits.index else pd.Series(dtype=float)
        found |= {key: made.get(key, np.nan) for key in ("returns", "in_noise")}
        rows.append(found | {"cost": made.get("seconds", np.nan) / fits.loc["consensus", "seconds"]})
    return pd.DataFrame(rows).sort_values("r", ascending=False, kind="stable", ignore_index=True)


_OF_NAMES = {"right": "value", "right_low": "low", "right_high": "high", "dealt": "null", "dealt_high": "null_high"}
_OF_NAMES |= {"wrong": "wrong_value"}


def gates(dictionary_results: Path) -> pd.DataFrame:
    """Which certificate each method has in this seed: method, gate, verdict; "no gate" where none is asked of it.

    The only gate here is the vote's, on the claims of the dictionary chapter.
    """
    claims = read_json(dictionary_results)["claims"]
    held = by_claims(PROMISES["stability vote"], claims)
    return pd.DataFrame(
        [
            {"method": about.words, "gate": held["gate"], "verdict": f"{held['verdict']}: {held['measured']}"}
            if name == "consensus"
            else {"method": about.words, "gate": "—", "verdict": "no gate"}
            for name, about in METHODS.items()
        ]
    )


def load_best(folder: Path) -> str:
    """The best method but the vote, as training patients had it: its key in METHODS."""
    return str(read_json(folder / "best.json")["best"])


def vote_over_best(folder: Path) -> Reading:
    """The vote less the best other method; the untrained twin's only where that was fitted to the twin as well.

    The twin's SAE less the rival on the *trained* model would say that training helps, and nothing of the two methods.
    Raises as `difference`.
    """
    best = load_best(folder)
    return difference(folder, "consensus", best, ("twin", TWINS[best]) if best in TWINS else None)


def words_of(method: str) -> str:
    """How pages call a method."""
    return METHODS[method].words


def difference(folder: Path, one: str, other: str, twins: tuple[str, str] | None = None) -> Reading:
    """Mean r of one method's best features less another's, with the same of two methods on the twin.

    Raises NotComputable with the recorded reason if a method isn't there.
    """
    table = read_table(folder / "differences.parquet").query("measure == 'mean r'").set_index(["reference", "method"])
    for name in (one, other):
        if name not in set(read_table(folder / "methods.parquet")["method"]):
            raise NotComputable(read_json(folder / "left_out.json").get(name, f"{name} was not computed"))
    row = table.loc[(one, other)]
    return Reading(_estimate(row), Null.of_columns(row), _estimate(table.loc[twins]) if twins else None)


def names_reading(folder: Path, method: str) -> Reading:
    """How often a method's names are right, with names dealt anew and the twin's SAE. Raises NotComputable."""
    table = read_table(folder / "names.parquet").set_index("method")
    if method not in table.index:
        raise NotComputable("fewer than two features have a name")
    row = table.loc[method]
    return Reading(
        _estimate(row), Null.of_columns(row), _estimate(table.loc["twin"]) if "twin" in table.index else None
    )


def _estimate(row: pd.Series) -> Estimate:
    return Estimate(row["value"], row["low"], row["high"], int(row["n_rows"]), int(row["n_patients"]))
