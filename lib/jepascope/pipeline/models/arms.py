"""The arms side by side: what each left, held against the same test patients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, bootstrap_mean
from jepascope.cohort import encounters as cohort_encounters
from jepascope.models.jepa import JEPA
from jepascope.objects import embed, load_objects, save_objects
from jepascope.store import read_json, read_table, write_json
from jepascope.training.arm_by_arm import STOPPED
from jepascope.training.batches import encode, pack, patients_of
from jepascope.training.checkpoint import load_model, load_teacher


def load_arm(folder: Path) -> JEPA:
    """Rebuild an arm's model. Raises NotComputable with the gate's reason when it was stopped."""
    return load_model(unless_stopped(folder))


def embed_arm(folder: Path, encounters: Path, arm: Path) -> None:
    """The step that embeds an extraction with an arm's model; of a stopped arm it passes on why."""
    if (arm / STOPPED).exists():
        write_json(folder / STOPPED, read_json(arm / STOPPED))
    else:
        save_objects(folder, embed(load_model(arm), cohort_encounters.load(encounters)))


def unless_stopped(folder: Path) -> Path:
    """Return an arm's model or objects folder. Raises NotComputable with the gate's reason when it was stopped."""
    if (folder / STOPPED).exists():
        raise NotComputable(f"a gate stopped the run: {read_json(folder / STOPPED)['reason']}")
    return folder


def named(arms: Mapping[str, object]) -> list[str | Path]:
    """The arms that are there, as name, folder, name, folder, …: what a step over all of them takes."""
    return [part for name, folder in arms.items() if isinstance(folder, Path) for part in (name, folder)]


def target_mismatch(arm: Path, encounters: Path, how: Inference, rng: np.random.Generator) -> Estimate:
    """How far the target network's z is from the model's, over test encounters: mean ‖f(x) − f'(x)‖ / ‖f'(x)‖.

    Raises NotComputable when the arm was stopped, or under `how.min_patients`.
    """
    model = load_arm(arm)
    cohort = cohort_encounters.load(encounters)
    packed, test = pack(cohort), patients_of(cohort, "test")
    ours, theirs = (encode(encoder, packed, test).numpy() for encoder in (model.encoder, load_teacher(arm)))
    apart = np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)
    patients = np.repeat(test, np.diff(packed.first.numpy())[test])
    return bootstrap_mean(apart, patients, how.bootstrap, how.level, rng, how.min_patients)


def error_spectrum(objects: Path) -> np.ndarray:
    """Variances of e along its principal axes [D], test encounters, largest first, in units of z's mean variance.

    Raises NotComputable without two predicted test encounters.
    """
    found = load_objects(objects)
    split = found.index["split"].to_numpy()
    rows = split[found.target_rows] == "test"
    if rows.sum() < 2:
        raise NotComputable(f"{int(rows.sum())} predicted test encounters, 2 needed")
    values = np.sort(np.linalg.eigvalsh(np.cov(found.e[rows].T.astype(float))))[::-1]
    mean_variance = found.z[split == "test"].var(axis=0, dtype=float).mean()
    return values / mean_variance


def histories(arms: Mapping[str, Path]) -> pd.DataFrame:
    """What every arm was watched by, epoch by epoch, stopped ones up to where they stopped."""
    return pd.concat([read_table(folder / "history.parquet").assign(arm=arm) for arm, folder in arms.items()])


def how_it_ended(arm: Path) -> dict[str, float]:
    """The last row of an arm's history. Raises NotComputable when it was stopped."""
    return read_table(unless_stopped(arm) / "history.parquet").iloc[-1].to_dict()
