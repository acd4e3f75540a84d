"""Which features and concepts the predictor has words for: z's own dictionary and z's own probes, read on ẑ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, permuted_rows
from jepascope.analysis.predictor.exchange import exchanged
from jepascope.analysis.predictor.likeness import difference, estimate
from jepascope.analysis.predictor.vocabulary import Ranked, auroc_gains, heard, mean_null, ranked
from jepascope.analysis.probes.aurocs import enough_carriers
from jepascope.analysis.probes.linear import fit_probe, probe_scores
from jepascope.analysis.sae import Dictionary, Settings, densify, encode, fit
from jepascope.analysis.sae.dictionary import standardise
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.concepts import psychiatric_groups
from jepascope.cohort.features import bag_of_codes
from jepascope.cohort.titles import token_titles
from jepascope.objects import load_objects
from jepascope.pipeline.cohort.records import planted
from jepascope.pipeline.dictionary.dictionaries import load_consensus
from jepascope.pipeline.predictor.comparison import FROM_C, OTHER, PERSISTENCE, Z_HAT, load_targets
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.store import read_json, read_table, read_tensors, write_json, write_table

# One ridge weight for all concepts, in the middle of those that the probes of z choose from.
PENALTY = (30.0,)
TRANSFERRED, OWN, ITSELF = "ẑ, z's words", "ẑ, own probe", "z, z's words"
# What may be said of a feature or a group: ẑ tells it, and tells more of it than the encounter before does; ẑ tells it;
# not even that can be shown.
FORESEEN, REMEMBERED, NO_WORD = "foreseen", "remembered", "no word"


def read_features(
    folder: Path,
    encounters: Path,
    records: Path,
    trained: Path,
    twin: Path,
    references: Path,
    votes: Path,
    statistics: params.Statistics,
    sae: params.Sae,
    seed: int,
) -> None:
    """The step that reads the consensus features of z from predictions made before the encounter.

    Leaves features.parquet (a row a feature), coverage.parquet (a row a prediction), counts.json and readings.json.
    Raises NotComputable where the vote kept too few features, or test patients carry too few of them.
    """
    how, rng = Inference(**statistics.model_dump()), np.random.default_rng(seed)
    dictionary, found = load_consensus(votes), load_targets(trained)
    test, in_test = found.of("test"), found.split == "test"
    predictions = {name: test.predictions[name] for name in (Z_HAT, PERSISTENCE)}
    predictions[FROM_C] = read_tensors(references / "predictions.safetensors")[FROM_C][in_test]
    predictions[OTHER] = predictions[Z_HAT][permuted_rows(test.patients, 1, rng)[0]]
    on, kept = _carried(dictionary, test.z, test.patients, how)
    scores = {name: preactivations(dictionary, x)[:, kept] for name, x in predictions.items()}
    moves = permuted_rows(test.patients, how.permutations, rng)
    family = heard(scores, on, moves, how.level)
    p = pd.DataFrame(family.adjusted.reshape(len(scores), -1).T, columns=list(scores))  # [F', P]
    result, level = ranked(scores, on, test.patients, how, rng), how.level
    untrained = _of_twin(twin, Settings(**sae.model_dump())._replace(features=len(dictionary.W_dec)), how, seed)
    gain = exchanged(auroc_gains(scores[Z_HAT], scores[PERSISTENCE], on), test.patients, how, rng)
    readings = {
        "above_shuffled": Reading(
            _mean(result, Z_HAT, level), _mean(result, OTHER, level), _mean(untrained, Z_HAT, level)
        ),
        "above_persistence": Reading(_gain(result, level), gain.null, _gain(untrained, level)),
    }
    save_readings(folder, readings)
    table = _features(dictionary, predictions, test.z, result, on, kept, level)
    table["verdict"] = verdicts(p[Z_HAT].to_numpy(), gain.adjusted, level)
    table["reappears"] = read_table(votes / "votes.parquet").query("kept")["reappears"].to_numpy()[kept]
    words = leading_words(encounters, records, densify(encode(dictionary, load_objects(trained).z))[:, kept])
    write_table(folder / "features.parquet", pd.concat([table, words], axis=1))
    write_table(folder / "coverage.parquet", _coverage(result, (p <= 1 - level).sum(), level))
    counts = {name: int((table["verdict"] == name).sum()) for name in (FORESEEN, REMEMBERED, NO_WORD)}
    write_json(folder / "counts.json", {"kept": len(dictionary.W_dec), "carried": int(kept.sum()), **counts})


def verdicts(word: np.ndarray, beyond: np.ndarray, level: float) -> np.ndarray:
    """What may be said of each: from adjusted p of having a word, and of telling more than the encounter before [F]."""
    told = word <= 1 - level
    return np.select([told & (beyond <= 1 - level), told], [FORESEEN, REMEMBERED], NO_WORD)


def load_counts(folder: Path) -> dict[str, int]:
    """How many features the vote kept, how many of these enough test patients carry, and how many of each verdict.

    Raises StoreError.
    """
    return read_json(folder / "counts.json")


def preactivations(dictionary: Dictionary, x: np.ndarray) -> np.ndarray:
    """What each feature's encoder says before its competition with the others, [N, F], for rows x [N, D]."""
    return (standardise(dictionary, x) - dictionary.b_dec) @ dictionary.W_enc + dictionary.b_enc


def _carried(
    dictionary: Dictionary, z: np.ndarray, patients: np.ndarray, how: Inference
) -> tuple[np.ndarray, np.ndarray]:
    """Which features are on [N, F'], and which F' of F enough patients carry, and lack (bool [F])."""
    on = densify(encode(dictionary, z)) > 0
    kept = np.array([enough_carriers(column, patients, how.min_carriers) for column in on.T])
    if not kept.any():
        raise NotComputable(f"no feature of {len(kept)} is on, and off, in {how.min_carriers} test patients")
    return on[:, kept], kept


def _of_twin(twin: Path, settings: Settings, how: Inference, seed: int) -> Ranked:
    """The same for the untrained twin: a dictionary of its z, as large as the consensus, read from its ẑ."""
    objects, test = load_objects(twin), load_targets(twin).of("test")
    train = (objects.index["split"] == "train").to_numpy()
    active = min(settings.active, settings.features - 1)
    dictionary = fit(objects.z[train], settings._replace(active=active), seed)
    on, kept = _carried(dictionary, test.z, test.patients, how)
    scores = {name: preactivations(dictionary, test.predictions[name])[:, kept] for name in (Z_HAT, PERSISTENCE)}
    return ranked(scores, on, test.patients, how, np.random.default_rng(seed))


def _mean(result: Ranked, name: str, level: float) -> Estimate:
    return estimate(result.of(name), level)


def _gain(result: Ranked, level: float, ours: str = Z_HAT, theirs: str = PERSISTENCE) -> Estimate:
    return estimate(difference(result.of(ours), result.of(theirs)), level)


def _coverage(result: Ranked, words: pd.Series, level: float) -> pd.DataFrame:
    """By prediction: mean AUROC, and of how many features it has words."""
    means = [_mean(result, name, level)._asdict() for name in result.names]
    counts = {"words": words.to_numpy(), "features": result.value.shape[1]}
    return pd.DataFrame(means).assign(prediction=result.names, **counts)


def _features(
    dictionary: Dictionary,
    predictions: dict[str, np.ndarray],
    z: np.ndarray,
    result: Ranked,
    on: np.ndarray,
    kept: np.ndarray,
    level: float,
) -> pd.DataFrame:
    """A row a feature: AUROC by each prediction, how often ẑ's own code fires it, and how far the codes agree."""
    f, of_z_hat = (densify(encode(dictionary, x))[:, kept] for x in (z, predictions[Z_HAT]))
    with np.errstate(divide="ignore", invalid="ignore"):
        r = ((f - f.mean(axis=0)) * (of_z_hat - of_z_hat.mean(axis=0))).mean(axis=0) / (
            f.std(axis=0) * of_z_hat.std(axis=0)
        )
    at = result.names.index(Z_HAT)
    low, high = np.quantile(result.values[at], [(1 - level) / 2, (1 + level) / 2], axis=0)
    columns = {
        "feature": np.flatnonzero(kept),
        "rate": on.mean(axis=0),
        "low": low,
        "high": high,
        "correlation": r,
        "firing_ratio": (of_z_hat > 0).mean(axis=0) / on.mean(axis=0),
    }
    return pd.DataFrame({**columns, **{f"auroc {name}": result.value[i] for i, name in enumerate(result.names)}})


def leading_words(encounters: Path, records: Path, f: np.ndarray) -> pd.DataFrame:
    """The token that goes with each feature most closely on training patients: columns word and word_r, F rows.

    f [N, F], of all encounters; records have the titles of codes. A name to recognise a feature by and no more: its
    card says what it is.
    """
    cohort = cohort_encounters.load(encounters)
    train = (cohort.index["split"] == "train").to_numpy()
    bag, f = bag_of_codes(cohort)[train], f[train]
    share = np.asarray(bag.mean(axis=0)).ravel()  # [V]
    spread = np.sqrt(share * (1 - share))[:, None] * f.std(axis=0)  # [V, F]
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.nan_to_num((bag.T @ f / len(f) - share[:, None] * f.mean(axis=0)) / spread)
    best = r.argmax(axis=0)
    titles = np.array(token_titles(cohort.vocabulary, planted(records)))
    return pd.DataFrame({"word": titles[best], "word_r": r[best, np.arange(len(best))]})


def read_concepts(folder: Path, trained: Path, twin: Path, statistics: params.Statistics, seed: int) -> None:
    """The step that reads psychiatric groups from ẑ in z's own words: probes fitted on z and not again.

    Rows are encounters of patients with a psychiatric code at an *earlier* encounter. Leaves concepts.parquet (a row a
    group and reader) and readings.json. Raises NotComputable when too few test patients carry, or lack, every group.
    """
    how = Inference(**statistics.model_dump())
    (ours, on, patients), (theirs, *_) = (_readers(objects, how, seed) for objects in (trained, twin))
    rng = np.random.default_rng(seed)
    found = ranked(ours, on.to_numpy(), patients, how, rng)
    untrained = ranked(theirs, on.to_numpy(), patients, how, np.random.default_rng(seed))
    labels, moves = on.to_numpy(), permuted_rows(patients, how.permutations, rng)
    gain, own = (
        exchanged(auroc_gains(ours[name], ours[other], labels), patients, how, rng)
        for name, other in ((TRANSFERRED, PERSISTENCE), (OWN, TRANSFERRED))
    )
    chance = mean_null(ours[TRANSFERRED], labels, moves, how.level)
    mean = [_mean(result, TRANSFERRED, how.level) for result in (found, untrained)]
    over = [_gain(result, how.level, TRANSFERRED) for result in (found, untrained)]
    renamed = [_gain(result, how.level, OWN, TRANSFERRED) for result in (found, untrained)]
    readings = {
        "concepts": Reading(mean[0], chance, mean[1]),
        "concepts_over_persistence": Reading(over[0], gain.null, over[1]),
        "own_over_transferred": Reading(renamed[0], own.null, renamed[1]),
    }
    save_readings(folder, readings)
    word = heard({TRANSFERRED: ours[TRANSFERRED]}, labels, moves, how.level).adjusted
    columns = {
        "target": on.columns,
        "positives": labels.sum(axis=0),
        "verdict": verdicts(word, gain.adjusted, how.level),
    }
    rows = []
    for at, name in enumerate(found.names):
        low, high = np.quantile(found.values[at], [(1 - how.level) / 2, (1 + how.level) / 2], axis=0)
        rows.append(pd.DataFrame({"reader": name, **columns, "value": found.value[at], "low": low, "high": high}))
    write_table(folder / "concepts.parquet", pd.concat(rows, ignore_index=True))


def _readers(objects: Path, how: Inference, seed: int) -> tuple[dict[str, np.ndarray], pd.DataFrame, np.ndarray]:
    """Scores of each reader [N, Q] on test rows, the groups [N, Q] and the patients [N]."""
    index, found = load_objects(objects).index, load_targets(objects)
    known = index["f_code_so_far"].to_numpy(bool)[found.rows - 1]
    groups = {name: member[found.rows] for name, member in psychiatric_groups(index).items()}
    train, test = (known & (found.split == split) for split in ("train", "test"))
    fits: dict[str, list[np.ndarray]] = {name: [] for name in (ITSELF, TRANSFERRED, OWN, PERSISTENCE)}
    columns = {}
    for name, y in groups.items():
        if not (
            enough_carriers(y[train], found.patients[train], how.min_carriers)
            and enough_carriers(y[test], found.patients[test], how.min_carriers)
        ):
            continue
        columns[name] = y[test]
        of_z, of_z_hat = (
            fit_probe(x, y, found.patients, train, how, np.random.default_rng(seed), PENALTY)
            for x in (found.z, found.predictions[Z_HAT])
        )
        fits[ITSELF].append(probe_scores(of_z, found.z[test]))
        fits[TRANSFERRED].append(probe_scores(of_z, found.predictions[Z_HAT][test]))
        fits[PERSISTENCE].append(probe_scores(of_z, found.predictions[PERSISTENCE][test]))
        fits[OWN].append(probe_scores(of_z_hat, found.predictions[Z_HAT][test]))
    if not columns:
        raise NotComputable(f"no psychiatric group is carried, and lacked, by {how.min_carriers} patients")
    scores = {name: np.stack(values, axis=1) for name, values in fits.items()}
    return scores, pd.DataFrame(columns), found.patients[test]
