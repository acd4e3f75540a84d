"""T11: an audit that never rings proves nothing. Known leaks are put in one by one, and each has to be caught.

On a small planted cohort, each trial runs the check that is meant for a leak twice: on the pipeline as it is, where it
must stay silent, and on the same with the leak. The model is untrained: where its wires lead doesn't depend on weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from jepascope import params
from jepascope.analysis.inference.stats import Inference
from jepascope.analysis.outcomes.baselines import boosted_trees
from jepascope.audit import (
    canary,
    features,
    fitted,
    mutations,
    permutation,
    perturbation,
    records,
    reports,
    splits,
    windows,
)
from jepascope.audit.findings import RED, Finding, judge
from jepascope.audit.perturbation import Inputs, coded_inputs
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.features import structure
from jepascope.models.jepa import JEPA
from jepascope.objects import Objects, embed
from jepascope.pipeline.outcomes.fitting import READMISSION, Predicted
from jepascope.training.initial import new_model

T = TypeVar("T")
PLANTED = params.Synthetic(patients=400, seed=77)
PLACES, DRAWS = 200, 5  # fewer than in the audit: where a wire leads shows at once
EXTRACTION = params.Extraction(min_patients_per_token=5, validation_share=0.1, test_share=0.3, era_test_from=2014)
MODEL = params.Model(width=16, heads=2, encoder_layers=1, context_layers=1, predictor_hidden=32)
Leak = Literal["outcome_filtered", "total_length", "next_encounter"]
ESCAPES: dict[Leak, str] = {
    "total_length": "a code for the final number of encounters",
    "next_encounter": "a code for the first condition of the next encounter",
}
HOW = Inference(bootstrap=200, permutations=100, min_patients=10)


class World(NamedTuple):
    """A small planted cohort and all that a pipeline makes of it."""

    folder: Path
    root: Path  # of the planted tables
    tables: records.Tables
    whole: records.Extracted
    objects: Objects
    seen: dict[str, Any]  # what takes a second to read and is asked for twice

    @property
    def cohort(self) -> Encounters:
        """Its encounters."""
        return self.whole.cohort

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Make something the first time that it is asked for under a name."""
        if name not in self.seen:
            self.seen[name] = make()
        return self.seen[name]


class Trial(NamedTuple):
    """A leak, how it is put in, the check that is meant for it, and that check with the leak or without."""

    leak: str
    how: str
    check: str
    run: Callable[[World, bool], Sequence[Finding]]


def make_world(folder: Path) -> World:
    """Plant the small cohort in `folder`, read it and embed it with an untrained model."""
    root = folder / "planted"
    tables = records.planted_tables(root, PLANTED)
    whole = records.reader(root, EXTRACTION)(folder / "read", tables, None)
    return World(folder, root, tables, whole, embed(_model(whole.cohort), whole.cohort), {})


def try_all(world: World) -> pd.DataFrame:
    """Run every trial, clean and leaking: leak, how, check, caught, alarms, value, bound, detail.

    `caught` says whether the check for the leak is red with it; `alarms` counts red findings without it.
    """
    rows = []
    for trial in TRIALS:
        clean, leaking = trial.run(world, False), trial.run(world, True)
        reds = [one for one in leaking if one.status == RED and one.check == trial.check]
        shown = max(reds or leaking, key=lambda one: np.nan_to_num(one.value, nan=-np.inf))
        alarms = sum(one.status == RED for one in clean)
        told = {"leak": trial.leak, "how": trial.how, "check": trial.check, "part": shown.part, "caught": bool(reds)}
        numbers = {"clean": max(one.value for one in clean), "alarms": alarms, "value": shown.value}
        rows.append({**told, **numbers, "bound": shown.bound, "detail": shown.detail})
    return pd.DataFrame(rows)


def mutation_score(tried: pd.DataFrame) -> Finding:
    """T11: leaks that were not caught, and alarms on clean data, none of either."""
    missed, alarms = int((~tried["caught"]).sum()), int(tried["alarms"].sum())
    detail = f"{int(tried['caught'].sum())} of {len(tried)} leaks caught; {alarms} alarms where there was none"
    return judge("T11", "leaks put in", missed + alarms, 0, detail, 0, PLANTED.patients)


def predictions(cohort: Encounters) -> list[Predicted]:
    """Quick models of readmission, fitted on training patients and read on test patients."""
    floor = csr_matrix(structure(cohort.index))
    return [_predicted(cohort, canary.REFERENCE, coded_inputs(cohort).values), _predicted(cohort, reports.FLOOR, floor)]


def leaking_records(world: World, leak: Leak) -> Encounters:
    """The encounters of records that themselves hold a leak, by the planted cohort's own parameter."""
    root = world.folder / leak
    tables = records.planted_tables(root, PLANTED.model_copy(update={"leak": leak}))
    return records.reader(root, EXTRACTION)(world.folder / "read", tables, None).cohort


def try_escapes(world: World) -> pd.DataFrame:
    """Ask all checks of a table about leaks that stand in the records themselves: leak, red, auroc, honest.

    A code that tells the future, written at k, is as much a part of the record as any: a record cut at k has it, too.
    Nothing can see it but a result that is too good, or a feature that tells too much. What isn't seen is said.
    """
    honest = canary.too_good(predictions(world.cohort), HOW, 0)[0]
    rows = []
    for leak, spoken in ESCAPES.items():
        cohort = leaking_records(world, leak)
        inputs = coded_inputs(cohort)
        found = canary.too_good(predictions(cohort), HOW, 0)
        found += [features.no_feature_tells(features.scan(cohort, inputs), len(inputs.names))]
        found += [perturbation.inputs_read_no_future(cohort, coded_inputs, _rng())]
        red = ", ".join(one.check for one in found if one.status == RED)
        rows.append({"leak": spoken, "red": red, "auroc": found[0].value, "honest": honest.value})
    return pd.DataFrame(rows)


def _predicted(cohort: Encounters, name: str, values: csr_matrix) -> Predicted:
    labels, split = cohort.index[READMISSION].to_numpy(float), cohort.index["split"].to_numpy()
    probability = boosted_trees(values, labels, split == "train", depth=2, trees=50)
    rows = np.flatnonzero((split == "test") & np.isfinite(labels))
    return Predicted(
        READMISSION, name, probability[rows], labels[rows], rows, cohort.index["subject_id"].to_numpy()[rows]
    )


def _rng() -> np.random.Generator:
    return np.random.default_rng(11)


def _inputs_trial(leaking: Callable[[Encounters], Inputs]) -> Callable[[World, bool], list[Finding]]:
    return lambda world, leak: [
        perturbation.inputs_read_no_future(world.cohort, leaking if leak else coded_inputs, _rng())
    ]


def _model(cohort: Encounters) -> JEPA:
    return new_model(len(cohort.vocabulary), MODEL, seed=3)


def _model_trial(change: Callable[[JEPA], JEPA]) -> Callable[[World, bool], list[Finding]]:
    def run(world: World, leak: bool) -> list[Finding]:
        model = copy.deepcopy(_model(world.cohort))
        return perturbation.model_reads_no_future(change(model) if leak else model, world.cohort, 0, PLACES)

    return run


def _fits_trial(leaking: fitted.Fit) -> Callable[[World, bool], list[Finding]]:
    def run(world: World, leak: bool) -> list[Finding]:
        if leak:
            return [fitted.fits_ignore_test_patients(world.cohort, world.objects, leaking, _rng())]
        return [world.once("fits", lambda: _clean_fits(world))]

    return run


def _clean_fits(world: World) -> Finding:
    return fitted.fits_ignore_test_patients(world.cohort, world.objects, fitted.fit_artefacts, _rng())


def _reading(world: World) -> records.Read:
    return records.reader(world.root, EXTRACTION)


def _cut_trial(change: Callable[[records.Read], records.Read], check: str) -> Callable[[World, bool], list[Finding]]:
    def cut(world: World, read: records.Read, whole: records.Extracted) -> list[Finding]:
        return records.extraction_reads_no_future(world.folder / "cut", world.tables, read, whole, _rng())

    def run(world: World, leak: bool) -> list[Finding]:
        read = _reading(world)
        if leak:
            read = change(read)
            found = cut(world, read, read(world.folder / "whole", world.tables, None))
        else:
            found = world.once("cut", lambda: cut(world, read, world.whole))
        return [one for one in found if one.check == check]

    return run


def _window_trial(world: World, leak: bool) -> list[Finding]:
    read = mutations.patient_level_reading(world.root, EXTRACTION) if leak else _reading(world)
    whole = read(world.folder / "whole", world.tables, None) if leak else world.whole
    return [records.labels_read_their_window(world.folder / "cut", world.tables, read, whole, _rng())]


def _learnt_from_everybody(world: World) -> records.Extracted:
    read = mutations.fitted_on_everybody(world.root, EXTRACTION)
    return world.once("everybody", lambda: read(world.folder / "whole", world.tables, None))


def _decile_trial(world: World, leak: bool) -> list[Finding]:
    read = mutations.fitted_on_everybody(world.root, EXTRACTION) if leak else _reading(world)
    whole = _learnt_from_everybody(world) if leak else world.whole
    return [records.extraction_fits_on_training_patients(world.folder / "again", world.tables, read, whole)]


def _vocabulary_trial(world: World, leak: bool) -> list[Finding]:
    whole = _learnt_from_everybody(world) if leak else world.whole
    return [fitted.vocabulary_counts_training_patients(whole.cohort)]


def _canary_trial(world: World, leak: bool) -> list[Finding]:
    made = predictions(world.cohort)
    if leak:
        flagged = mutations.with_return_flag(world.cohort, _rng()).values
        made.append(_predicted(world.cohort, "with a billing flag", flagged))
    return canary.too_good(made, HOW, 0)


def _filtered_trial(world: World, leak: bool) -> list[Finding]:
    cohort = leaking_records(world, "outcome_filtered") if leak else world.cohort
    return [windows.single_encounters_are_in(cohort.index)]


def _scan_trial(world: World, leak: bool) -> list[Finding]:
    inputs = mutations.with_return_flag(world.cohort, _rng()) if leak else coded_inputs(world.cohort)
    return [features.no_feature_tells(features.scan(world.cohort, inputs), len(inputs.names))]


def _permutation_trial(world: World, leak: bool) -> list[Finding]:
    read = mutations.with_encoded_labels if leak else coded_inputs
    return permutation.permuted_labels_are_at_chance(world.cohort, read, _rng(), DRAWS)


def _parity_trial(world: World, leak: bool) -> list[Finding]:
    cohort = mutations.split_by_encounter(world.cohort, _rng()) if leak else world.cohort
    return [permutation.meaningless_labels_are_at_chance(cohort, coded_inputs(cohort))]


def _on_cohort(
    check: Callable[[Encounters], Sequence[Finding]], leaking: Callable[[Encounters], Encounters]
) -> Callable[[World, bool], Sequence[Finding]]:
    return lambda world, leak: check(leaking(world.cohort) if leak else world.cohort)


def _floor_trial(world: World, leak: bool) -> list[Finding]:
    models = ["logistic coded"] if leak else ["logistic coded", reports.FLOOR]
    scores = pd.DataFrame({"task": READMISSION, "model": models, "metric": "auroc", "value": 0.7, "n_rows": 9})
    return [reports.floor_is_beside(scores)]


def _groups_trial(world: World, leak: bool) -> list[Finding]:
    groups = ["all", *(reports.GROUPINGS[:1] if leak else reports.GROUPINGS)]
    return [reports.results_are_told_by_group(pd.DataFrame({"grouping": groups, "n_rows": 9, "n_patients": 9}))]


def _ledger_trial(world: World, leak: bool) -> list[Finding]:
    opened = pd.DataFrame({"evaluation": ["01_extraction"] if leak else ["01_extraction", "04_baselines"], "times": 1})
    return [reports.openings_are_counted(opened, ["04_baselines"])]


TRIALS = (
    Trial("total length", "one more input column", "T1", _inputs_trial(mutations.with_total_length)),
    Trial("first word of the next encounter", "one more input column", "T1", _inputs_trial(mutations.with_next_token)),
    Trial("days to death", "one more input column", "T1", _inputs_trial(mutations.with_death)),
    Trial("causal mask off by one", "a model with another mask", "T1", _model_trial(mutations.one_ahead)),
    Trial("BatchNorm across time", "a model with one more layer", "T1", _model_trial(mutations.normalised_across_time)),
    Trial("labels per patient", "a parameter of the extraction", "T2", _window_trial),
    Trial("labels per patient, in the table", "labels replaced", "T2", _on_cohort(
        lambda cohort: [windows.labels_in_window(cohort.index, EXTRACTION)],
        mutations.patient_level)),
    Trial("patients chosen by outcome", "a reading wrapped", "T3", _cut_trial(mutations.chosen_by_outcome, "T3")),
    Trial("patients chosen by outcome, in the records", "a parameter of the planted cohort", "T3", _filtered_trial),
    Trial("oversampling before the split", "rows copied", "T4", _on_cohort(
        splits.splits_share_nothing, lambda cohort: mutations.oversampled(cohort, _rng()))),
    Trial("split by encounter", "split replaced", "T4", _on_cohort(
        splits.splits_share_nothing, lambda cohort: mutations.split_by_encounter(cohort, _rng()))),
    Trial("deciles and words of test patients", "parameters of the extraction", "T5", _decile_trial),
    Trial("words of test patients, in the table", "parameters of the extraction", "T5", _vocabulary_trial),
    Trial("scaler on all rows", "a fit replaced", "T5", _fits_trial(mutations.scaler_on_all_rows)),
    Trial("principal axes on all rows", "a fit replaced", "T5", _fits_trial(mutations.axes_on_all_rows)),
    Trial("results without a floor", "rows left out", "T6", _floor_trial),
    Trial("a flag set on return", "one more input column", "T7", _scan_trial),
    Trial("a flag set on return, read by a model", "a model trained with it", "T8", _canary_trial),
    Trial("target encoding over all rows", "one more input column", "T9", _permutation_trial),
    Trial("split by encounter, seen by a reader", "split replaced", "T10", _parity_trial),
    Trial("cases first, controls after", "rows put in order", "T10", _on_cohort(
        lambda cohort: [permutation.order_of_rows_tells_nothing(cohort, _rng())], mutations.cases_first)),
    Trial("gap to the next admission", "column replaced", "T12", _on_cohort(
        lambda cohort: [windows.clocks_agree(cohort.index)], mutations.gap_to_next)),
    Trial("results stored after discharge", "a reading wrapped", "T12", _cut_trial(mutations.without_storetime, "T12")),
    Trial("eras mixed", "split replaced", "T13", _on_cohort(
        lambda cohort: [windows.eras_are_apart(cohort.index, EXTRACTION.era_test_from)],
        lambda cohort: mutations.eras_mixed(cohort, _rng()))),
    Trial("results without groups", "rows left out", "T14", _groups_trial),
    Trial("a look that nobody entered", "a line left out", "T15", _ledger_trial),
)  # fmt: skip
