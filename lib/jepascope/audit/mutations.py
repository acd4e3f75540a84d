"""Leaks, put into the pipeline one at a time: each as a wrapped function, a changed table, or a parameter.

Nothing in the pipeline has a switch for these. What is mutated is what goes into a stage or comes out of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix, hstack
from sklearn.decomposition import PCA
from torch import Tensor, nn

from jepascope import params
from jepascope.audit.perturbation import Inputs, coded_inputs, keep_rows
from jepascope.audit.records import Extracted, Read, Tables, reader
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.labels import leak_to_patient
from jepascope.cohort.tokens import Fitted
from jepascope.models.context import Context
from jepascope.models.encoder import Block
from jepascope.models.jepa import JEPA
from jepascope.objects import Objects
from jepascope.pipeline.outcomes.fitting import READMISSION


def with_total_length(cohort: Encounters) -> Inputs:
    """The final number of encounters as an input of each."""
    return _with_column(cohort, "total length", cohort.index.groupby("subject_id")["k"].transform("size"))


def with_next_token(cohort: Encounters) -> Inputs:
    """The first word of encounter k + 1 as an input at k."""
    first = pd.Series(cohort.tokens[cohort.offsets[:-1]]).groupby(cohort.index["subject_id"].to_numpy())
    return _with_column(cohort, "first word of k + 1", first.shift(-1).fillna(0))


def with_death(cohort: Encounters) -> Inputs:
    """The days until death as an input, from the registry that was read years later."""
    return _with_column(cohort, "days to death", cohort.index["days_to_death"].fillna(0))


def with_encoded_labels(cohort: Encounters) -> Inputs:
    """The mean label of each combination of age, sex and k, over all rows: target encoding before the split."""
    index = cohort.index
    cell = [index["age"].round(), index["sex"], index["k"]]
    return _with_column(cohort, "mean label of its like", index.groupby(cell)[READMISSION].transform("mean").fillna(0))


def with_return_flag(cohort: Encounters, rng: np.random.Generator) -> Inputs:
    """A flag that billing sets when the patient comes back, right nineteen times in twenty."""
    flag = cohort.index["returned_30d"].to_numpy(bool) ^ (rng.random(len(cohort.index)) < 0.05)
    return _with_column(cohort, "billing flag", pd.Series(flag.astype(float)))


def patient_level(cohort: Encounters) -> Encounters:
    """The labels that the pipeline's own parameter `extraction.label_level: patient` makes."""
    index = cohort.index
    return cohort._replace(
        index=index.assign(**leak_to_patient(index, index["subject_id"].to_numpy()).filter(like="label_"))
    )


def gap_to_next(cohort: Encounters) -> Encounters:
    """The gap to the next admission in the place of the gap from the last one."""
    following = cohort.index["gap_days"].groupby(cohort.index["subject_id"]).shift(-1)
    return cohort._replace(index=cohort.index.assign(gap_days=following))


def oversampled(cohort: Encounters, rng: np.random.Generator) -> Encounters:
    """Patients with a readmission copied under new ids before the split is drawn."""
    index = cohort.index
    rare = index["subject_id"].isin(index.loc[index[READMISSION] == 1, "subject_id"]).to_numpy()
    copy = keep_rows(cohort, rare)
    ids = copy.index["subject_id"] + index["subject_id"].max()
    patients, of_row = np.unique(ids, return_inverse=True)
    drawn = rng.choice(["train", "validation", "test"], len(patients))[of_row]
    admissions = copy.index["hadm_id"] + index["hadm_id"].max()
    copied = copy.index.assign(subject_id=ids, hadm_id=admissions, split=drawn)
    return cohort._replace(
        index=pd.concat([index, copied], ignore_index=True),
        tokens=np.concatenate([cohort.tokens, copy.tokens]),
        offsets=np.concatenate([cohort.offsets, cohort.offsets[-1] + copy.offsets[1:]]),
    )


def split_by_encounter(cohort: Encounters, rng: np.random.Generator) -> Encounters:
    """A split drawn by encounter, so that patients are on both sides."""
    split = rng.choice(["train", "validation", "test"], len(cohort.index), p=[0.6, 0.1, 0.3])
    return cohort._replace(index=cohort.index.assign(split=split))


def cases_first(cohort: Encounters) -> Encounters:
    """Ids given out cases first and controls after, as when two extracts are put below one another."""
    index = cohort.index
    case = index[READMISSION].eq(1).groupby(index["subject_id"]).transform("max")
    order = pd.Series(index["subject_id"].to_numpy() + np.where(case, 0, index["subject_id"].max()))
    rows = np.argsort(order.to_numpy(), kind="stable")
    lengths = np.diff(cohort.offsets)
    starts = cohort.offsets[:-1]
    tokens = np.concatenate([cohort.tokens[starts[r] : starts[r] + lengths[r]] for r in rows])
    moved = index.iloc[rows].assign(subject_id=order[rows].to_numpy()).reset_index(drop=True)
    return cohort._replace(index=moved, tokens=tokens, offsets=np.r_[0, np.cumsum(lengths[rows])])


def eras_mixed(cohort: Encounters, rng: np.random.Generator) -> Encounters:
    """A split by era whose parts were shuffled among patients."""
    era = cohort.index.drop_duplicates("subject_id").set_index("subject_id")["split_era"]
    moved = pd.Series(rng.permutation(era.to_numpy()), era.index)
    return cohort._replace(index=cohort.index.assign(split_era=cohort.index["subject_id"].map(moved)))


def scaler_on_all_rows(cohort: Encounters, objects: Objects) -> dict[str, np.ndarray]:
    """The mean and spread of z over all patients."""
    return {"scaler of z": np.stack([objects.z.mean(axis=0), objects.z.std(axis=0)])}


def axes_on_all_rows(cohort: Encounters, objects: Objects) -> dict[str, np.ndarray]:
    """Principal axes of z over all patients."""
    return {"principal axes of z": PCA(2).fit(objects.z).components_}


def patient_level_reading(root: Path, extraction: params.Extraction) -> Read:
    """The pipeline's reading with its parameter for patient-level labels."""
    return reader(root, extraction.model_copy(update={"label_level": "patient"}))


def chosen_by_outcome(read: Read) -> Read:
    """A reading that keeps patients whose returns were all within 30 days or all later."""

    def filtered(folder: Path, tables: Tables, fitted: Fitted | None) -> Extracted:
        whole = read(folder, tables, fitted)
        index = whole.cohort.index
        early = (index["gap_days"] <= 30).where(index["gap_days"].notna()).astype(float).groupby(index["subject_id"])
        return whole._replace(
            cohort=keep_rows(whole.cohort, (early.transform("min") == early.transform("max")).to_numpy())
        )

    return filtered


def without_storetime(read: Read) -> Read:
    """A reading that takes a result for known when the blood was drawn."""

    def early(folder: Path, tables: Tables, fitted: Fitted | None) -> Extracted:
        labs = tables["hosp/labevents"]
        return read(folder, {**tables, "hosp/labevents": labs.assign(storetime=labs["charttime"])}, fitted)

    return early


def fitted_on_everybody(root: Path, extraction: params.Extraction) -> Read:
    """A reading whose vocabulary and deciles are learnt from all patients, and only then split."""
    everybody = extraction.model_copy(update={"validation_share": 0.0, "test_share": 0.0})
    learn, read = reader(root, everybody), reader(root, extraction)

    def after(folder: Path, tables: Tables, fitted: Fitted | None) -> Extracted:
        return read(folder, tables, fitted or learn(folder, tables, None).fitted)

    return after


def one_ahead(model: JEPA) -> JEPA:
    """The model with a causal mask that is off by one: encounter k sees k + 1."""
    model.context = _with_weights(_OneAhead, model.context)
    return model


def normalised_across_time(model: JEPA) -> JEPA:
    """The model with a BatchNorm over all encounters of a batch before the context."""
    model.context = _with_weights(_AcrossTime, model.context)
    return model


class _OneAhead(Context):
    def _read(self, x: Tensor) -> Tensor:
        K = x.shape[1]
        mask = torch.ones(K, K, dtype=torch.bool, device=x.device).tril(diagonal=1)
        for block in self.blocks:
            x = block(x, mask=mask)
        return x


class _AcrossTime(Context):
    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__(width, heads, layers)
        self.across = nn.BatchNorm1d(width)

    def forward(self, z: Tensor, first: Tensor, gap: Tensor, age: Tensor) -> Tensor:
        return super().forward(self.across(z), first, gap, age)


def _with_weights(kind: type[Context], context: Context) -> Context:
    """A context of another kind with the same weights."""
    block = context.blocks[0]
    assert isinstance(block, Block)
    changed = kind(context.norm.normalized_shape[0], block.heads, len(context.blocks))
    changed.load_state_dict(context.state_dict(), strict=False)
    return changed


def _with_column(cohort: Encounters, name: str, column: pd.Series) -> Inputs:
    inputs = coded_inputs(cohort)
    values = hstack([inputs.values, csr_matrix(column.to_numpy(float)[:, None])], format="csr")
    return Inputs(values, [*inputs.names, name])
