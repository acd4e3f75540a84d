"""T5: whatever is fitted is fitted again with test patients scrambled, and has to come out the same to the byte."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from jepascope import params
from jepascope.analysis.embedding.maps import principal_axes
from jepascope.analysis.inference.stats import NotComputable
from jepascope.analysis.outcomes.baselines import logistic_on_counts
from jepascope.analysis.probes.kinds import difference_of_means
from jepascope.analysis.probes.linear import standardised_rows
from jepascope.audit.findings import Finding, judge
from jepascope.audit.perturbation import keep_rows
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.features import history_counts, structure
from jepascope.cohort.questions import LABELS
from jepascope.objects import Objects, save_objects
from jepascope.pipeline.dictionary.dictionaries import fit_dictionaries, load_dictionary
from jepascope.pipeline.embedding.probing import lay_out_codes
from jepascope.pipeline.outcomes.fitting import READMISSION
from jepascope.store import read_tensors

SMALL = params.Sae(
    features=16, active=2, epochs=1
)  # what is asked is whose rows are read, not how good the features are
WIDTH = 8

# (cohort, its objects) -> what was fitted, as arrays that no test patient may move
Fit = Callable[[Encounters, Objects], Mapping[str, np.ndarray]]


def fit_artefacts(cohort: Encounters, objects: Objects) -> dict[str, np.ndarray]:
    """Fit what the book fits, cheaply: scaler, principal axes and centroids of z, the SAE, codes' axes, a baseline.

    Steps of the pipeline are called where there are any, since what matters is which rows they choose. Where a fit
    only shows in what it says of rows, those of training and validation patients are taken.
    """
    split = cohort.index["split"].to_numpy()
    train, shown = split == "train", split != "test"
    rows = standardised_rows(objects.z, train, np.zeros(len(train), bool))
    fitted = {"scaler of z": np.stack([rows.mean, rows.scale])}
    fitted["principal axes of z"] = principal_axes(objects.z[train])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_objects(folder / "objects", objects)
        cohort_encounters.save(folder / "cohort", cohort)
        fit_dictionaries(folder / "sae", folder / "objects", SMALL, 0)
        fitted["sparse dictionary"] = load_dictionary(folder / "sae").W_dec
        lay_out_codes(folder / "codes", folder / "cohort", WIDTH, 0)
        fitted["principal codes"] = read_tensors(folder / "codes" / "codes.safetensors")["axes"][shown]
    labels = cohort.index[READMISSION].to_numpy(float)
    try:
        fitted["centroids by label"] = difference_of_means(objects.z, labels == 1, train & np.isfinite(labels))[shown]
        scores = logistic_on_counts(history_counts(cohort, "coded"), structure(cohort.index), labels, train)
        fitted["logistic regression"] = scores[shown]
    except NotComputable:  # one class among training rows: then nothing is fitted anywhere
        pass
    return fitted


def fits_ignore_test_patients(cohort: Encounters, objects: Objects, fit: Fit, rng: np.random.Generator) -> Finding:
    """Compare sha256 of each artefact before and after test patients' words, labels, gaps, z and c are scrambled."""
    before = {name: digest(array) for name, array in fit(cohort, objects).items()}
    after = {name: digest(array) for name, array in fit(*scramble_test(cohort, objects, rng)).items()}
    moved = [name for name in before | after if before.get(name) != after.get(name)]
    detail = f"{', '.join(before)}; moved: {', '.join(moved) or 'none'}"
    test = cohort.index[cohort.index["split"] == "test"]
    return judge("T5", "fits on z, codes and labels", len(moved), 0, detail, len(test), test["subject_id"].nunique())


def vocabulary_counts_training_patients(cohort: Encounters) -> Finding:
    """Count each word's training patients anew: a vocabulary that was chosen with others' help counts more of them."""
    train = (cohort.index["split"] == "train").to_numpy()
    mine = keep_rows(cohort, train)
    rows = np.repeat(np.arange(len(mine.index)), np.diff(mine.offsets))
    patients = np.unique(mine.index["subject_id"], return_inverse=True)[1][rows]
    pairs = np.unique(np.column_stack([mine.tokens, patients]), axis=0)
    counted = np.bincount(pairs[:, 0], minlength=len(cohort.vocabulary))[1:]  # row 0 is [CLS], in no encounter
    wrong = int((counted != cohort.vocabulary["train_patients"].to_numpy()[1:]).sum())
    detail = f"{len(counted):,} words; counted otherwise than from training patients: {wrong:,}"
    return judge("T5", "vocabulary of these records", wrong, 0, detail, train.sum(), mine.index["subject_id"].nunique())


def scramble_test(cohort: Encounters, objects: Objects, rng: np.random.Generator) -> tuple[Encounters, Objects]:
    """Replace what test patients' rows hold: words by other words, labels and clocks by others', z and c by noise."""
    test = (cohort.index["split"] == "test").to_numpy()
    other = np.r_[0, 1 + rng.permutation(len(cohort.vocabulary) - 1)].astype(cohort.tokens.dtype)
    tokens = np.where(np.repeat(test, np.diff(cohort.offsets)), other[cohort.tokens], cohort.tokens)
    index = cohort.index.copy()
    for column in (*LABELS, "gap_days", "los_days"):
        index.loc[test, column] = rng.permutation(index.loc[test, column])
    noise = {name: getattr(objects, name).copy() for name in ("z", "c")}
    for array in noise.values():
        array[test] = 5 * rng.standard_normal(array[test].shape) + 3
    return cohort._replace(tokens=tokens, index=index), objects._replace(index=index, **noise)


def digest(array: np.ndarray) -> str:
    """Sha256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
