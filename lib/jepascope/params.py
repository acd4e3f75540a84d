"""The typed parameters: every knob of the project, with its unit and range, checked before anything runs.

A profile is one file, `params/<profile>.yaml`; its sections are the classes below. An unknown name, a wrong
type or a value out of range raises `ParameterError`, which names the file, the parameter and what was expected.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
# papermill writes the keys of a mapping as text
SeedKey = Annotated[int, Field(ge=0, strict=False)]


class ParameterError(ValueError):
    """A parameter is unknown, mistyped or out of range; the message names it and the mend."""


class Section(BaseModel):
    """One block of a profile. Unknown names are refused; values don't change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True, validate_default=True)


class Source(Section):
    """Where the records come from."""

    kind: Literal["synthetic", "mimic", "meds"] = "synthetic"
    root: str | None = Field(None, description="folder that holds hosp/ and icu/ (kind 'mimic') or data/ ('meds')")
    release: Literal["3.1", "3.0", "2.2", "demo-2.2"] | None = Field(
        None, description="if set, the records must be this release; else it is recognised by its row counts"
    )
    data_end_year: int | None = Field(
        None, ge=2008, le=2100, description="last real year of the records; by default that of the release"
    )
    treat_as: Literal["credentialed"] | None = Field(
        None, description="hold open records to the rules of credentialed ones; never the other way round"
    )

    @model_validator(mode="after")
    def _records_need_a_root(self) -> Source:
        if (self.kind == "synthetic") != (self.root is None):
            raise ValueError("source.root belongs to kinds 'mimic' and 'meds', and they need it")
        if self.kind == "synthetic" and self.treat_as is not None:
            raise ValueError("source.treat_as belongs to kinds 'mimic' and 'meds': the planted cohort is nobody's")
        if self.kind != "mimic" and self.release is not None:
            raise ValueError("source.release belongs to kind 'mimic': another source has no published row counts")
        return self


class Synthetic(Section):
    """The planted cohort: how many patients, and how strong each planted effect is."""

    patients: int = Field(8000, ge=1, le=2_000_000)
    seed: int = Field(2026, ge=0)
    shape_effect: float = Field(
        0.0, ge=0, le=5, description="log-hazard of a return per SD of trajectory turbulence; 0 is the null"
    )
    leak: Literal["none", "outcome_filtered", "total_length", "next_encounter"] = "none"


class Extraction(Section):
    """From records to encounters, tokens, labels and splits. Every filter reads the record up to k only."""

    min_age: float = Field(18, ge=0, le=120, description="years at admission")
    require_diagnosis: bool = Field(True, description="drop encounters without a coded diagnosis")
    max_patients: Positive | None = Field(None, description="cap, by keyed hash of the subject id")
    min_patients_per_token: Positive = Field(
        11, description="training patients; a rarer token becomes its parent or goes"
    )
    max_diagnoses: Positive = Field(40, description="per encounter, by billing priority")
    map_icd9: bool = Field(True, description="ICD-9 diagnoses as ICD-10 categories, where no choice is left")
    drg_codes: bool = Field(False, description="tokens of diagnosis-related groups, billed after discharge")
    max_drugs: Positive = Field(10, description="per encounter, the first started")
    lab_tail_deciles: int = Field(1, ge=1, le=5, description="deciles kept at each end of a lab's values; 5 keeps all")
    escalation_days: Positive = Field(90, description="horizon H of label_escalation_per_enc")
    crisis_days: Positive = Field(180, description="horizon H of label_psych_crisis_per_enc")
    hospice_is_eligible: bool = Field(False, description="label discharges to a hospice, too: a sensitivity run")
    validation_share: Share = 0.15
    test_share: Share = 0.15
    split_key: str = Field("jepascope", description="key of the patient hash; another key is another split")
    era_test_from: int = Field(
        2017, ge=2008, le=2100, description="the split by era tests on patients from this year on"
    )
    closing_block: bool = Field(True, description="tokens known only at discharge: length of stay, discharge location")
    label_level: Literal["encounter", "patient"] = Field("encounter", description="'patient' is a leak, for the audit")
    patients_per_shard: Positive = Field(8192, description="patients computed at a time; fewer need less memory")
    memory_gb: float = Field(1.0, gt=0, description="cap for DuckDB, GiB")
    threads: Positive = 1


class Model(Section):
    """The shape of the JEPA."""

    width: int = Field(64, ge=2, description="D, the width of z, c, ẑ and e")
    heads: Positive = 4
    encoder_layers: Positive = 2
    context_layers: Positive = 2
    predictor_hidden: Positive = 128

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Model:
        if self.width % self.heads:
            raise ValueError(f"model.width ({self.width}) must be a multiple of model.heads ({self.heads})")
        return self


ArmName = Literal["stop_gradient", "ema", "both_sides", "sigreg", "curriculum"]
ARMS = get_args(ArmName)


class Training(Section):
    """The JEPA's optimisation."""

    arm: ArmName = Field("stop_gradient", description="what the prediction is held against, and what prevents collapse")
    epochs: Positive = 15
    batch_patients: Positive = 128
    learning_rate: float = Field(4e-3, gt=0, le=1, description="peak, of context and predictor")
    encoder_rate: Share = Field(0.1, description="the encoder's share of it: ẑ must keep up with a z that moves")
    weight_decay: float = Field(0.01, ge=0)
    warmup_share: Share = Field(0.1, description="share of all steps with a rising learning rate")
    invariance: float = Field(25.0, ge=0, description="VICReg weights, Bardes et al. 2022")
    variance: float = Field(25.0, ge=0)
    covariance: float = Field(1.0, ge=0)
    momentum: float = Field(0.996, ge=0, le=1, description="of the target encoder's copy at the start; ends at 1")
    sigreg_weight: Share = Field(0.05, description="λ of SIGReg, Balestriero & LeCun 2025")
    sigreg_slices: Positive = Field(256, description="random directions a step")
    gradient_clip: float = Field(1.0, gt=0)
    checkpoint_every: Positive = Field(100, description="steps")
    min_rank: float = Field(2.0, ge=1, description="RankMe, or effective rank, of z under which the run stops")
    min_std: float = Field(
        0.01, ge=0, description="mean spread of z's dimensions under which the run stops; 1 is aimed at"
    )
    min_within_patient: Share = Field(
        0.02, description="share of z's variance within patients under which the run stops"
    )
    threads: Positive = Field(1, description="two spinning threads are slower than one on a shared machine")
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: of the model's passes; losses stay fp32")
    compile: bool = Field(False, description="compile the transformer blocks: pays off on a GPU")
    processes: Positive = Field(1, description="GPUs (or CPU processes) that share each batch, on one machine")


class Arms(Section):
    """The arms trained side by side, for a comparison: shorter than the model that is opened, and all equally long."""

    epochs: int = Field(6, ge=4, description="at least one for each phase of the curriculum")


class Statistics(Section):
    """Patient-exact inference."""

    bootstrap: int = Field(1000, ge=10, description="draws of patients")
    permutations: int = Field(1000, ge=10)
    level: float = Field(0.95, gt=0.5, lt=1)
    folds: int = Field(5, ge=2, description="patient-grouped folds")
    min_patients: Positive = Field(20, description="fewer, and a result is 'not computable here'")
    min_carriers: Positive = Field(5, description="patients with, and without, a label; fewer: 'not computable here'")


class Prediction(Section):
    """The prediction chapter: which outcomes, and how much every model may try."""

    tasks: list[str] = Field([], description="label columns of the encounters; none stands for all of them")
    budget: Positive = Field(4, description="settings that each model may compare on validation patients")
    trees: Positive = Field(100, description="of XGBoost")
    supervised_epochs: Positive = Field(8, description="of the supervised transformer; read at `budget` of them")
    supervised_rate: float = Field(1e-3, gt=0, le=1, description="its peak learning rate")
    label_shares: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.01, 0.05, 0.1, 0.5], description="shares of training patients whose labels are given; all is always added"
    )


SaeVariant = Literal["topk", "batch_topk", "jump_relu", "matryoshka", "matching_pursuit"]


class Sae(Section):
    """The sparse autoencoder on z."""

    variant: SaeVariant = Field("topk", description="what decides which features are on")
    features: Positive = Field(64, description="F; the smallest at the elbow, where most features come back")
    active: Positive = Field(6, description="k: features on per encounter, at most or on average")
    epochs: Positive = 20
    batch_rows: Positive = Field(256, description="small: a hospital's encounters make few steps an epoch")
    learning_rate: float = Field(4e-3, gt=0, le=1)
    voters: int = Field(5, ge=2, description="independent fits that vote on features, on each half of the patients")
    keep: Share = Field(0.6, description="share of the other fits in which a kept feature comes back")
    device: Literal["cpu", "cuda"] = "cpu"

    @model_validator(mode="after")
    def _sparse(self) -> Sae:
        if self.active >= self.features:
            raise ValueError(f"sae.active ({self.active}) must be smaller than sae.features ({self.features})")
        return self


class Rollout(Section):
    """How far predictions are rolled out, and what encounters are matched on when they are compared."""

    horizon: int = Field(4, ge=2, le=12, description="H encounters ahead; only targets with H before them count")
    distractors: Positive = Field(50, description="matched encounters the true next one is sought among")
    gap_strata: Positive = Field(8, description="quantiles of the gap, within which encounters are alike")
    length_strata: Positive = Field(4, description="quantiles of k, within which encounters are alike")


class Map(Section):
    """The picture of z: for looking, no claim rests on it."""

    max_rows: Positive = 4000
    neighbours: int = Field(15, ge=2)
    min_cluster_patients: Positive = 20
    resamples: Positive = Field(20, description="bootstrap samples of patients that clusters must come back in")


class Certification(Section):
    """How the planted truth is used."""

    futures: int = Field(32, ge=2, description="simulated next encounters per row, to average over")
    rows: Positive = Field(1500, description="test rows whose futures are simulated, of whole patients")
    cohorts: Positive = Field(100, description="null cohorts per method, for its type I error")


class Profile(Section):
    """One whole `params/<profile>.yaml`."""

    profile: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    seeds: list[Annotated[int, Field(ge=0)]] = Field([0, 1, 2], min_length=1)
    source: Source = Source()
    synthetic: Synthetic = Synthetic()
    extraction: Extraction = Extraction()
    model: Model = Model()
    training: Training = Training()
    arms: Arms = Arms()
    statistics: Statistics = Statistics()
    prediction: Prediction = Prediction()
    sae: Sae = Sae()
    rollout: Rollout = Rollout()
    map: Map = Map()
    certification: Certification = Certification()

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice")
        return seeds

    overrides: dict[SeedKey, dict[str, dict[str, Any]]] = Field({}, description="seed → section → parameter → value")


SECTIONS = tuple(
    n for n, f in Profile.model_fields.items() if isinstance(f.annotation, type) and issubclass(f.annotation, Section)
)


def load_profile(profile: str | Path, injected: Mapping[str, Any] | None = None, seed: int | None = None) -> Profile:
    """Read a profile, lay injected sections and the seed's overrides over it, and check everything at once.

    `profile` is a name (`params/<name>.yaml`) or a path. `injected` maps section names to (partial) sections.
    Raises ParameterError naming the file and the parameter when anything is unknown, mistyped or out of range.
    """
    path = profile if isinstance(profile, Path) else params_folder() / f"{profile}.yaml"
    try:
        raw = yaml.safe_load(path.read_text()) if path.exists() else None
    except yaml.YAMLError as error:
        raise ParameterError(f"{path} is not valid YAML: {error}") from error
    if raw is None:
        known = ", ".join(sorted(file.stem for file in params_folder().glob("*.yaml"))) or "none"
        raise ParameterError(f"there is no profile {profile!r}: {path} is missing or empty (known: {known})")
    if not isinstance(raw, dict):
        raise ParameterError(f"{path} must be a mapping of sections, found {type(raw).__name__}")
    merged = _merge(raw, injected or {})
    if injected and "seeds" in injected:  # another choice of seeds leaves other seeds' overrides without use
        kept = merged.get("overrides", {}).items()
        merged["overrides"] = {seed: change for seed, change in kept if str(seed) in map(str, merged["seeds"])}
    resolved = check(merged, path.name)
    if not isinstance(profile, Path) and resolved.profile != profile:
        raise ParameterError(f"{path.name} says profile: {resolved.profile}; it must be the file's name, {profile}")
    override = resolved.overrides.get(seed, {}) if seed is not None else {}
    return check(_merge(resolved.model_dump(), override), path.name) if override else resolved


def params_folder() -> Path:
    """The folder of the profiles, `params/`, at the top of the project."""
    return project_root() / "params"


def project_root() -> Path:
    """The top of the project: where `_config.yml` is, upward from the working directory, else from this file."""
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if (folder / "_config.yml").is_file() and (folder / "params").is_dir():
                return folder
    raise ParameterError("not inside the project: run from the folder that holds _config.yml and params/")


def check(raw: Mapping[str, Any], where: str) -> Profile:
    """Turn a raw mapping into a Profile. Raises ParameterError with every fault found, one a line."""
    try:
        profile = Profile.model_validate(raw)
        for section in {name for per_seed in profile.overrides.values() for name in per_seed}:
            if section not in SECTIONS:
                raise ParameterError(f"{where}: overrides: {_unknown(section, SECTIONS)}")
        for seed, override in profile.overrides.items():
            Profile.model_validate(_merge({**profile.model_dump(), "overrides": {}}, override))
            if seed not in profile.seeds:
                raise ParameterError(f"{where}: overrides name seed {seed}, which is not among seeds {profile.seeds}")
    except ValidationError as error:
        raise ParameterError("\n".join(f"{where}: {_explain(fault)}" for fault in error.errors())) from error
    return profile


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merge(merged[name], value) if both else value
    return merged


def _explain(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if isinstance(fault["input"], str) and re.fullmatch(r"[+-]?\d+e[+-]?\d+", fault["input"], re.IGNORECASE):
        return f"{place}: {fault['input']!r} is text in YAML; write {float(fault['input'])!r}"
    if fault["type"] == "extra_forbidden":
        *section, name = fault["loc"]
        fields = Profile.model_fields
        known = type(Profile.model_fields[section[0]].default).model_fields if section else fields
        return f"{'.'.join(section) or 'top level'}: {_unknown(str(name), known)}"
    return f"{place}: {fault['msg']} (got {fault['input']!r})"


def _unknown(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"unknown parameter {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")
