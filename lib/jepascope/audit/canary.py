"""T8: a model of the next thirty days that is too good stops the build until somebody has written down why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from jepascope.analysis.inference.stats import (
    Inference,
    NotComputable,
    auroc_difference,
    draw_patients,
    interval,
    weighted_auroc,
)
from jepascope.analysis.outcomes.published import TOO_GOOD
from jepascope.audit.findings import RED, AuditError, Finding, judge, unverified
from jepascope.params import params_folder
from jepascope.pipeline.outcomes.fitting import Predicted

REFERENCE = "xgboost coded"  # knows what a representation of the encounter knows
ERRORS = 3.0  # standard errors above the reference that a model may be
WIDE = 0.1  # an interval that reaches further than this to one side tells too good from good as a coin does
PARTS = ("highest AUROC", "excess over trees")


class Waiver(NamedTuple):
    """A written reason why a result that looks too good is none; it covers values up to a bound and no better one."""

    part: str
    up_to: float
    reason: str
    signed: str


def too_good(models: Sequence[Predicted], how: Inference, seed: int) -> list[Finding]:
    """Hold every model's AUROC of 30-day readmission against TOO_GOOD, and against XGBoost's on coded data, paired.

    Above the bound with an interval that reaches below it, and further than WIDE, is not verified: of a handful of
    patients any AUROC is possible, and a build that stops by chance is one that people learn to wave through.
    `models` predict the same test rows.
    """
    if not models:
        return [unverified("T8", part, "no model predicts readmission here") for part in PARTS]
    one = models[0]
    try:
        aurocs = {m.model: draw_patients(weighted_auroc(m.probability, one.label), one.patients, how.bootstrap,
                  np.random.default_rng(seed), how.min_patients) for m in models}  # fmt: skip
    except NotComputable as reason:
        return [unverified("T8", part, str(reason)) for part in PARTS]
    best = max(aurocs, key=lambda name: aurocs[name].value)
    low, high = interval(aurocs[best].values, how.level)
    about = (len(one.rows), len(np.unique(one.patients)))
    told = f"{best}, of {len(models)} models: {aurocs[best].value:.3f} [{low:.3f}, {high:.3f}]"
    value = aurocs[best].value
    if value > TOO_GOOD >= low and max(high - value, value - low) > WIDE:
        return [unverified("T8", part, f"{told}: too few patients to tell too good from good") for part in PARTS]
    return [judge("T8", PARTS[0], value, TOO_GOOD, told, *about), _excess(models, how, seed, about)]


def waiver_file(profile: str) -> Path:
    """Where a profile's waivers are looked for."""
    return params_folder() / "waivers" / f"{profile}.yaml"


def read_waivers(path: Path) -> list[Waiver]:
    """Read `params/waivers/<profile>.yaml`, a list of part, up_to, reason, signed; no file is no waiver.

    Raises AuditError when an entry lacks a field, names no part of the check, or gives no reason worth the name.
    """
    if not path.exists():
        return []
    entries = yaml.safe_load(path.read_text()) or []
    try:
        waivers = [Waiver(**entry) for entry in entries]
    except TypeError as error:
        raise AuditError(f"{path}: a waiver is a mapping of {', '.join(Waiver._fields)} ({error})") from error
    for waiver in waivers:
        if waiver.part not in PARTS or len(str(waiver.reason).split()) < 5 or not str(waiver.signed).strip():
            raise AuditError(
                f"{path}: a waiver names its part ({' or '.join(PARTS)}), a reason of five words or more, who signed"
            )
    return waivers


def stop_if_too_good(findings: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Raise AuditError when T8 is red and no waiver of the file `path` covers the value found.

    Returns the waivers in use: part, value found, up_to, reason, signed.
    """
    used, waivers = [], read_waivers(path)
    for found in findings[(findings["check"] == "T8") & (findings["status"] == RED)].itertuples():
        part = found.part.partition(",")[0]  # whatever the seed
        covering = [waiver for waiver in waivers if waiver.part == part and found.value <= float(waiver.up_to)]
        if not covering:
            raise AuditError(
                f"T8, {found.part}: {found.value:.3f}, and at most {found.bound:.2f} is plausible ({found.detail}). "
                f"Look for a leak; if there is none, write why into {path.parent.name}/{path.name} "
                f"(part, up_to, reason, signed) and run the same command again"
            )
        used.append({"part": found.part, "found": found.value, **covering[0]._asdict()})
    return pd.DataFrame(used, columns=["part", "found", "up_to", "reason", "signed"])


def _excess(models: Sequence[Predicted], how: Inference, seed: int, about: tuple[int, int]) -> Finding:
    """The largest paired difference to the reference, in its own standard errors."""
    trees = next((m for m in models if m.model == REFERENCE), None)
    others = [m for m in models if m.model != REFERENCE]
    if trees is None or not others:
        return unverified("T8", PARTS[1], f"{REFERENCE} is not among the models")
    excess = {}
    for m in others:
        statistic = auroc_difference(m.probability, trees.probability, trees.label)
        drawn = draw_patients(statistic, trees.patients, how.bootstrap, np.random.default_rng(seed), how.min_patients)
        error = np.nanstd(drawn.values)
        excess[m.model] = (drawn.value / error if error > 0 else 0.0, drawn.value)
    worst = max(excess, key=lambda name: excess[name][0])
    told = f"{worst} less {REFERENCE}: {excess[worst][1]:+.3f}, in standard errors over patients"
    return judge("T8", PARTS[1], excess[worst][0], ERRORS, told, *about)
