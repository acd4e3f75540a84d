"""What is steered and along what: concepts, encounters, and directions made of labels with a meaning or without."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope.analysis.error.blind_spots import concept_directions, mean_differences
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.predictor.steering import GRID
from jepascope.analysis.probes.controls import constant_labels, fit_chain, sticky_labels
from jepascope.analysis.sae import Dictionary, encode
from jepascope.analysis.sae.dictionary import densify
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.objects import Objects, load_objects
from jepascope.pipeline.error.concepts import concepts_of
from jepascope.pipeline.error.parts import load_rows

# Kinds of direction, the headline first: fixed before anything was run, as it is the one with nothing to choose.
KINDS = ("mean", "fisher", "probe", "feature")
PER_FAMILY = {"psychiatric": 7, "diagnosis": 5}  # the commonest of each
ROWS = 500  # test encounters that are edited, of whole patients
PENALTY = 30.0  # of probes, on standardised columns


class Subject(NamedTuple):
    """What is steered: Q concepts of all N encounters, and the encounters in question."""

    cohort: Encounters
    objects: Objects
    labels: np.ndarray  # bool [N, Q]
    concepts: pd.DataFrame  # Q rows: concept, family
    before: np.ndarray  # int64, training encounters that another follows
    rows: np.ndarray  # int64 [n], test encounters that another follows, of whole patients
    patients: np.ndarray  # [n]


class Directions(NamedTuple):
    """Edits of one kind: Q of concepts, R · Q of random labels, and how far each goes."""

    u: np.ndarray  # [Q, D], unit
    labels: np.ndarray  # [R, Q, D], unit, made in the same way of random labels
    amounts: np.ndarray  # [n, Q, A], at each α of the grid


def followed(index: pd.DataFrame, split: str) -> np.ndarray:
    """Rows of a split's encounters that another of the same patient follows, int64, ascending."""
    subject, of_split = index["subject_id"].to_numpy(), (index["split"] == split).to_numpy()
    return np.flatnonzero((subject[:-1] == subject[1:]) & of_split[:-1])


def whole_patients(rows: np.ndarray, patients: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    """At most `limit` of the rows, all or none of a patient's, in random order of patients. patients: of the rows."""
    _, codes, sizes = np.unique(patients, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    return rows[np.isin(codes, order[np.cumsum(sizes[order]) <= limit])]


def choose_subject(encounters: Path, objects: Path, how: Inference, seed: int) -> Subject:
    """Choose concepts (the commonest, by training patients) and test encounters, the same for every model of a seed.

    Raises NotComputable where no concept has enough carriers, or too few patients have a next encounter.
    """
    cohort, o, predicted = cohort_encounters.load(encounters), load_objects(objects), load_rows(objects)
    _, table = concepts_of(cohort, predicted, how.min_carriers)
    split = o.index["split"].to_numpy()
    everywhere = predicted._replace(
        index=o.index, at=np.arange(len(o.index)), patients=o.index["subject_id"].to_numpy(),
        train=split == "train", test=split == "test",
    )  # fmt: skip
    labels, known = concepts_of(cohort, everywhere, how.min_carriers)
    share = labels[everywhere.train].mean(axis=0)
    known = known.assign(column=np.arange(len(known)), share=share).merge(table, on=["concept", "family"])
    chosen = [
        known[known["family"] == family].nlargest(most, "share", keep="first") for family, most in PER_FAMILY.items()
    ]
    concepts = pd.concat(chosen, ignore_index=True)
    if len(concepts) < 2:
        raise NotComputable(f"{len(concepts)} concepts with enough carriers: two needed, one on and one off target")
    rows = followed(o.index, "test")
    rows = whole_patients(rows, everywhere.patients[rows], ROWS, np.random.default_rng(seed))
    patients = everywhere.patients[rows]
    if len(np.unique(patients)) < how.min_patients:
        raise NotComputable(
            f"{len(np.unique(patients))} test patients with a next encounter, {how.min_patients} needed"
        )
    labels = labels[:, concepts["column"].to_numpy()]
    return Subject(cohort, o, labels, concepts[["concept", "family"]], followed(o.index, "train"), rows, patients)


def random_labels(s: Subject, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Labels of all N encounters that mean nothing, bool [R, N, Q]: half never change in a patient, half are sticky."""
    patients, found = s.objects.index["subject_id"].to_numpy(), []
    train = (s.objects.index["split"] == "train").to_numpy()
    for label in s.labels.T:
        constant = constant_labels(label, patients, draws - draws // 2, rng)
        sticky = sticky_labels(fit_chain(label[train], patients[train]), patients, draws // 2, rng)
        found.append(np.concatenate([constant, sticky]))  # [R, N]
    return np.stack(found, axis=2)


def make_directions(
    kind: str, x: np.ndarray, s: Subject, moved: np.ndarray, dictionary: Dictionary | None
) -> Directions:
    """Directions of one kind in a space x [N, D], fitted to training encounters, for concepts and for random labels.

    All go as far as the means lie apart, α · ‖μ₁ − μ₀‖, but for a dictionary's feature: α > 0 sets it to α times the
    0.9 quantile of where it is on, α < 0 takes |α| of it away. Adding the difference of two decodings, and not the
    decoding, leaves the dictionary's error where it is. `moved` are the random labels, bool [R, N, Q].
    """
    t = s.before
    R, Q = len(moved), s.labels.shape[1]
    flat = moved[:, t].transpose(1, 0, 2).reshape(len(t), -1)  # [T, R · Q]
    if kind == "feature":
        assert dictionary is not None
        return _of_features(dictionary, x, s, flat)
    make = {"mean": mean_differences, "fisher": concept_directions, "probe": ridge_probes}[kind]
    u, random = make(x[t], s.labels[t]), make(x[t], flat).reshape(R, Q, -1)
    apart = [np.linalg.norm(x[t][y].mean(axis=0) - x[t][~y].mean(axis=0)) for y in s.labels[t].T]
    amounts = np.array(apart)[:, None] * np.array(GRID)  # [Q, A]
    return Directions(u, random, np.broadcast_to(amounts, (len(s.rows), *amounts.shape)))


def ridge_probes(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Where the logits of ridge-logistic probes rise fastest, unit rows [Q, D], after one Newton step from base rates.

    More steps would cost more, with hundreds of random labels, than all edits; what they change is mostly the length.
    x [T, D], labels bool [T, Q]. A label that is constant gives NaN.
    """
    scale = np.maximum(x.std(axis=0, dtype=float), 1e-8)
    X, rate = (x - x.mean(axis=0, dtype=float)) / scale, labels.mean(axis=0)
    gradient, gram = (labels - rate).T @ X, X.T @ X  # [Q, D], [D, D]
    hessians = (rate * (1 - rate))[:, None, None] * gram + PENALTY * np.eye(len(gram))
    w = np.linalg.solve(hessians, gradient[:, :, None])[:, :, 0] / scale
    with np.errstate(invalid="ignore"):
        return w / np.linalg.norm(w, axis=1, keepdims=True)


def _of_features(dictionary: Dictionary, x: np.ndarray, s: Subject, flat: np.ndarray) -> Directions:
    """The consensus feature that correlates most with each label on training encounters."""
    f = densify(encode(dictionary, x[s.before]))  # [T, F]
    Q = s.labels.shape[1]

    def best(labels: np.ndarray) -> np.ndarray:
        a, b = (v - v.mean(axis=0) for v in (np.asarray(labels, np.float32), f))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num((a.T @ b) / np.linalg.norm(b, axis=0), nan=-1.0).argmax(axis=1)

    chosen = best(s.labels[s.before])
    typical = np.array([np.quantile(v[v > 0], 0.9) if (v > 0).any() else 0.0 for v in f[:, chosen].T])
    now = densify(encode(dictionary, x[s.rows]))[:, chosen]  # [n, Q]
    steps = [alpha * typical - now if alpha > 0 else alpha * now for alpha in GRID]
    amounts = np.stack(steps, axis=2) * dictionary.scale
    return Directions(dictionary.W_dec[chosen], dictionary.W_dec[best(flat)].reshape(-1, Q, x.shape[1]), amounts)
