"""Certification: hold every method against a cohort whose truth is planted.

The only module that reads the planted truth; everything else earns its trust by finding it without. `load_truth`
touches the files, the rest takes arrays and tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from jepascope.analysis import sae
from jepascope.analysis.probes import (
    mean_auroc,
    mean_auroc_difference,
    mean_auroc_difference_null,
    mean_auroc_null,
    probe_table,
)
from jepascope.analysis.stats import (
    Estimate,
    Inference,
    NotComputable,
    bootstrap_correlation,
    patient_bootstrap,
    require_carriers,
    weighted_auroc,
)
from jepascope.cohort.synthetic.truth import read_truth
from jepascope.cohort.synthetic.utilisation import DEATH, PLANNED
from jepascope.objects import Objects

KEY = ["subject_id", "hadm_id"]
# A feature stands for a concept above this correlation.
RECOVERED = 0.7
# What the planted risk tends to as the hazard grows: some of what happens next is planned, or a death.
CERTAIN = 1 - PLANNED - DEATH


class TruthError(ValueError):
    """The truth doesn't cover these encounters; the message says how many are missing."""


class Truth(NamedTuple):
    """The planted states of N encounters, in the order of an index table."""

    states: pd.DataFrame  # bool [N, C], a column a concept
    concepts: pd.DataFrame  # C rows: name, dynamics, prevalence, ...
    risk: np.ndarray  # [N], oracle probability of 30-day readmission after k
    confounder: str = ""  # a concept that goes with readmission and has no effect on it; "": none was planted


class ConceptProbes(NamedTuple):
    """What each space says about each concept, and each family of concepts with a joint interval.

    `gains`: what training added, family by family, as paired differences to the untrained twin.
    """

    concepts: pd.DataFrame  # concept, dynamics, representation, value, low, high, null, ...
    families: pd.DataFrame  # dynamics, representation, concepts, value, low, high, null, null_low, null_high, ...
    gains: pd.DataFrame  # dynamics, name, value, low, high, null, ...


class Certificate(NamedTuple):
    """All tables of the certification chapter."""

    probes: ConceptProbes
    recovery: pd.DataFrame
    recovered: pd.DataFrame
    oracle: Estimate


def load_truth(root: Path, index: pd.DataFrame) -> Truth:
    """Read the planted truth of the tree `root` and align it to `index`. Raises TruthError as `align` does."""
    table, description = read_truth(root)
    truth = align(table, pd.DataFrame(description["concepts"]), index)
    return truth._replace(confounder=description.get("confounders", {}).get("concept", ""))


def align(table: pd.DataFrame, concepts: pd.DataFrame, index: pd.DataFrame) -> Truth:
    """Put truth rows in the order of `index` by (subject_id, hadm_id): rows alone would match after any filter.

    Raises TruthError when an encounter of `index` has no truth, or more than one.
    """
    if table.duplicated(KEY).any():
        raise TruthError(f"truth has {int(table.duplicated(KEY).sum())} repeated admissions: make the cohort again")
    rows = index[KEY].merge(table, on=KEY, how="left", indicator="found")
    missing = int((rows["found"] != "both").sum())
    if missing:
        raise TruthError(
            f"{missing} of {len(index)} encounters have no planted truth: objects and truth are of different cohorts"
        )
    columns = {name: rows[f"concept_{name}"].to_numpy(float) > 0.5 for name in concepts["name"]}
    return Truth(pd.DataFrame(columns), concepts, rows["risk_30d"].to_numpy(float))


def representations(objects: Objects, prefix: str = "") -> dict[str, np.ndarray]:
    """z, ẑ and e on the rows where all three exist (k >= 1): on other rows they'd be compared on other patients."""
    target_z = objects.z[objects.target_rows]  # [M, D]
    return {f"{prefix}z": target_z, f"{prefix}z_hat": objects.z_hat, f"{prefix}e": objects.e}


def concept_probes(
    spaces: dict[str, np.ndarray],
    pairs: dict[str, tuple[str, str]],
    truth: Truth,
    index: pd.DataFrame,
    how: Inference,
    rng: np.random.Generator,
) -> ConceptProbes:
    """Probe every planted concept in every space, fitted on train and read on test patients.

    spaces: name -> [M, D]; truth and index hold the same M rows. Families are means over the concepts of one dynamics
    that are computable in all spaces; gains are the differences of `pairs`. Concepts too rare to compute keep their
    row, with the reason.
    """
    patients = index["subject_id"].to_numpy()
    train, test = ((index["split"] == name).to_numpy() for name in ("train", "test"))
    targets = {name: truth.states[name].to_numpy() for name in truth.concepts["name"]}
    found = probe_table(spaces, targets, patients, train, test, how, rng)
    dynamics = truth.concepts.set_index("name")["dynamics"]
    table = found.table.rename(columns={"target": "concept"})
    table.insert(1, "dynamics", table["concept"].map(dynamics))
    labels = truth.states[list(targets)].to_numpy()[test]
    told = (labels, dynamics[list(targets)].to_numpy(), patients[test], how, rng)
    return ConceptProbes(table, family_means(found.scores, *told), training_gains(found.scores, pairs, *told))


def certify_arms(
    arms: dict[str, Objects], twin: Objects, truth: Truth, how: Inference, rng: np.random.Generator
) -> ConceptProbes:
    """What each arm's z tells of the planted concepts, and adds to what the twin's tells, on rows with k >= 1."""
    rows = twin.target_rows
    spaces = {name: objects.z[rows] for name, objects in arms.items()} | {"untrained": twin.z[rows]}
    pairs = {name: (name, "untrained") for name in arms}
    targets = truth._replace(states=truth.states.iloc[rows], risk=truth.risk[rows])
    return concept_probes(spaces, pairs, targets, twin.index.iloc[rows], how, rng)


def family_means(
    scores: dict[str, np.ndarray],
    labels: np.ndarray,
    dynamics: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Mean AUROC by dynamics and space with joint patient-bootstrap intervals and the permutation null.

    scores: space -> [N, C], NaN where not computable; labels [N, C], dynamics [C], patients [N] of test rows.
    The same draws serve all spaces, so that rows of the table can be compared.
    """
    # A concept that one space could not be probed for is left out of all: else families differ in membership.
    computable = np.all([np.isfinite(s).all(axis=0) for s in scores.values()], axis=0)  # [C]
    seed = int(rng.integers(2**63))
    records = []
    for family in pd.unique(dynamics):
        mine = computable & (dynamics == family)
        for space, s in scores.items():
            record = {"dynamics": family, "representation": space, "concepts": int(mine.sum())}
            try:
                arguments = (s[:, mine], labels[:, mine], patients, how)
                estimate = mean_auroc(*arguments, np.random.default_rng(seed))
                null = mean_auroc_null(*arguments, np.random.default_rng(seed))
            except NotComputable as reason:
                records.append(record | {"value": np.nan, "reason": str(reason)})
                continue
            nulls = {"null": null.value, "null_low": null.low, "null_high": null.high, "p": null.p}
            records.append(record | estimate._asdict() | nulls | {"reason": ""})
    columns = [
        "dynamics",
        "representation",
        "concepts",
        *Estimate._fields,
        "null",
        "null_low",
        "null_high",
        "p",
        "reason",
    ]
    return pd.DataFrame(records).reindex(columns=columns)


def training_gains(
    scores: dict[str, np.ndarray],
    pairs: dict[str, tuple[str, str]],
    labels: np.ndarray,
    dynamics: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Mean AUROC on one space minus that on another, by dynamics: being read is no finding where the twin reads it too.

    Arguments as in `family_means`, and pairs: name -> (space, space to subtract). Columns dynamics, name, value, low,
    high, null, ...; the same draws serve all pairs.
    """
    seed = int(rng.integers(2**63))
    records = []
    for name, (one, other) in pairs.items():
        ours, theirs = scores[one], scores[other]
        computable = np.isfinite(ours).all(axis=0) & np.isfinite(theirs).all(axis=0)  # [C]
        for family in pd.unique(dynamics):
            mine = computable & (dynamics == family)
            arguments = (ours[:, mine], theirs[:, mine], labels[:, mine], patients, how)
            try:
                estimate = mean_auroc_difference(*arguments, np.random.default_rng(seed))
                null = mean_auroc_difference_null(*arguments, np.random.default_rng(seed))
            except NotComputable as reason:
                records.append({"dynamics": family, "name": name, "value": np.nan, "reason": str(reason)})
                continue
            nulls = {"null": null.value, "null_low": null.low, "null_high": null.high, "p": null.p}
            records.append({"dynamics": family, "name": name, **estimate._asdict(), **nulls, "reason": ""})
    columns = ["dynamics", "name", *Estimate._fields, "null", "null_low", "null_high", "p", "reason"]
    return pd.DataFrame(records).reindex(columns=columns)


def oracle_auroc(
    risk: np.ndarray, labels: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Estimate:
    """AUROC of the true risk: the ceiling of any model, since the outcome is drawn from it.

    risk [N], labels [N] (NaN: not eligible, left out), patients [N]. Raises NotComputable.
    """
    # Rows without a label are not negatives: their follow-up ends too early to know.
    rows = np.isfinite(labels)
    require_carriers(labels[rows] > 0, patients[rows], how.min_carriers)
    statistic = weighted_auroc(risk[rows], labels[rows] > 0)
    return patient_bootstrap(statistic, patients[rows], how.bootstrap, how.level, rng, how.min_patients)


def feature_sets(
    z: np.ndarray, twin_z: np.ndarray, train: np.ndarray, settings: sae.Settings, seed: int
) -> dict[str, np.ndarray]:
    """Features [N, F] to search for concepts: SAE codes of z, its principal axes, SAE codes of the twin's z.

    Fitted on `train` rows [N] (bool) alone, read on all.
    """
    sets = {
        name: sae.densify(sae.encode(sae.fit(x[train], settings, seed), x))
        for name, x in (("SAE", z), ("SAE of the twin", twin_z))
    }
    return {"SAE": sets["SAE"], "PCA": PCA().fit(z[train]).transform(z), "SAE of the twin": sets["SAE of the twin"]}


def feature_recovery(
    features: dict[str, np.ndarray], truth: Truth, index: pd.DataFrame, how: Inference, rng: np.random.Generator
) -> pd.DataFrame:
    """The feature nearest each concept: chosen on train, measured on test patients, or the search would flatter.

    features: method -> [N, F]; truth, index of the same N rows. `null` is what the best feature of a search in
    permuted test patients reaches in 95 % of draws. Columns concept, dynamics, method, feature, value, low, high, null.
    """
    patients = index["subject_id"].to_numpy()
    train, test = ((index["split"] == name).to_numpy() for name in ("train", "test"))
    names = truth.concepts["name"].to_list()
    states = truth.states[names].to_numpy(float)
    seed = int(rng.integers(2**63))  # the same draws for each method and concept
    records = []
    for method, f in features.items():
        chosen = sae.most_correlated(f[train], states[train])
        null = sae.best_features(f[test], states[test], patients[test], how, np.random.default_rng(seed)).null
        for q, concept in enumerate(names):
            record = {"concept": concept, "dynamics": truth.concepts["dynamics"].iloc[q], "method": method}
            record |= {"feature": int(chosen[q]), "null": null[q]}
            x, state, draws = f[test][:, chosen[q]], states[test][:, q], np.random.default_rng(seed)
            try:
                require_carriers(state, patients[test], how.min_carriers)
                # A feature that is silent in test patients tracks nothing there: that is r = 0, not "unknown".
                r = Estimate(0.0, 0.0, 0.0, len(x), len(np.unique(patients[test])))
                if np.ptp(x) > 0:
                    r = bootstrap_correlation(
                        x, state, patients[test], how.bootstrap, how.level, draws, how.min_patients
                    )
                records.append(record | r._asdict() | {"reason": ""})
            except NotComputable as reason:
                records.append(record | {"value": np.nan, "reason": str(reason)})
    columns = ["concept", "dynamics", "method", "feature", "null", *Estimate._fields, "reason"]
    return pd.DataFrame(records).reindex(columns=columns)


def recovered_shares(recovery: pd.DataFrame) -> pd.DataFrame:
    """Per method: concepts with a feature at |r| > 0.7, of those computable, and the mean |r|; counts beside shares."""
    size = recovery["value"].abs()
    table = recovery.assign(size=size, hit=size > RECOVERED)[size.notna()]
    found = table.groupby("method", sort=False).agg(
        recovered=("hit", "sum"), concepts=("hit", "size"), share=("hit", "mean"), mean_r=("size", "mean")
    )
    return found.reset_index()


def certify(
    objects: Objects, twin: Objects, truth: Truth, how: Inference, settings: sae.Settings, seed: int
) -> Certificate:
    """All certificates of one trained model and its untrained twin on one cohort; truth aligned to objects.index.

    Raises TruthError if the twin holds other rows than the model.
    """
    if not np.array_equal(objects.index[KEY].to_numpy(), twin.index[KEY].to_numpy()):
        raise TruthError("model and twin were run on different encounters: embed both from one extraction")
    rng = np.random.default_rng(seed)
    rows = objects.target_rows  # [M], k >= 1
    targets = truth._replace(states=truth.states.iloc[rows], risk=truth.risk[rows])
    spaces = representations(objects) | representations(twin, "twin ")
    probes = concept_probes(spaces, {"z": ("z", "twin z")}, targets, objects.index.iloc[rows], how, rng)
    train = (objects.index["split"] == "train").to_numpy()
    features = feature_sets(objects.z, twin.z, train, settings, seed)
    recovery = feature_recovery(features, truth, objects.index, how, rng)
    labels = objects.index["label_30d_per_enc"].to_numpy(float)
    oracle = oracle_auroc(truth.risk, labels, objects.index["subject_id"].to_numpy(), how, rng)
    return Certificate(probes, recovery, recovered_shares(recovery), oracle)
