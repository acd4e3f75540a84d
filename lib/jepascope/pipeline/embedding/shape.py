"""The shape of each space on test patients, one encounter each: dimension, spread of variance, agreement of halves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.embedding import dimension
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable
from jepascope.analysis.sae.matching import gaussian_like
from jepascope.objects import load_objects
from jepascope.pipeline.embedding.probing import load_spaces
from jepascope.pipeline.readings import Reading, save_readings
from jepascope.store import write_table

# Gaussian clouds that each space is held against.
CLOUDS = 4
# Patients whose pairs are ranked; the cost is their number squared.
MAX_PATIENTS = 300


def measure_shape(
    folder: Path, trained: Path, twin: Path, codes: Path, statistics: params.Statistics, seed: int
) -> None:
    """The step that measures every space beside Gaussian clouds with its covariance.

    Leaves shape.parquet (measure, representation, estimate, and `gaussian` where that is not the same by construction,
    and `null`), and the readings "fills_less" and "halves_agree", excesses of z over or under its Gaussian cloud with
    the untrained z's. Raises NotComputable under `statistics.min_patients` test patients.
    """
    index, how = load_objects(trained).index, Inference(**statistics.model_dump())
    test = np.flatnonzero(index["split"] == "test")
    rows = test[dimension.one_row_each(index["subject_id"].to_numpy()[test], np.random.default_rng(seed))]
    if len(rows) < how.min_patients:
        raise NotComputable(f"{len(rows)} test patients, {how.min_patients} needed")
    spaces = {name: x[rows] for name, x in load_spaces(trained, twin, codes).items()}
    records, fills, agrees = [], {}, {}
    for name, x in spaces.items():
        found, fills[name] = _dimension(x, how, seed)
        again, agrees[name] = _stability(x, how, seed)
        records += [{**record, "representation": name} for record in (*found, again)]
    write_table(folder / "shape.parquet", pd.DataFrame(records))
    readings = {
        name: reading._replace(untrained=of["untrained z"].estimate)
        for name, of in (("fills_less", fills), ("halves_agree", agrees))
        for reading in (of["z"],)
    }
    save_readings(folder, readings)


def _dimension(x: np.ndarray, how: Inference, seed: int) -> tuple[list[dict[str, object]], Reading]:
    """Rows of the table for dimension and participation ratio; and how much more a Gaussian cloud fills.

    The null of the excess is that of one cloud under the others.
    """
    ratios = dimension.log_ratios(x)
    clouds = [dimension.log_ratios(_cloud(x, seed + number)) for number in range(CLOUDS)]
    references = np.stack(clouds, axis=1)  # [B, CLOUDS]
    excess, null = (
        dimension.two_nn_excess(own, others, how, np.random.default_rng(seed))
        for own, others in ((ratios, references), (references[:, 0], references[:, 1:]))
    )
    own, cloud = (dimension.two_nn(r, how, np.random.default_rng(seed)) for r in (ratios, clouds[0]))
    shares = dimension.participation_ratio(x, how, np.random.default_rng(seed))
    variances = x.var(axis=0, dtype=float)
    alone = float(variances.sum() ** 2 / (variances**2).sum())  # columns as spread as they are, and uncorrelated
    records = [
        _record("dimension", own, gaussian=cloud),
        _record("participation", shares, null=shares._replace(value=alone, low=np.nan, high=np.nan)),
    ]
    return records, Reading(excess, null)


def _stability(x: np.ndarray, how: Inference, seed: int) -> tuple[dict[str, object], Reading]:
    """The row of the table for agreement of halves; and its excess over a Gaussian cloud's."""
    x = x[np.sort(np.random.default_rng(seed).permutation(len(x))[:MAX_PATIENTS])]
    spaces = [dimension.halves(y, np.random.default_rng(seed)) for y in (x, _cloud(x, seed), _cloud(x, seed + 1))]
    ours, cloud, other = (dimension.split_half_draws(*pair, how, np.random.default_rng(seed)) for pair in spaces)
    shuffled = dimension.permuted_stability(*spaces[0], how.permutations, how.level, np.random.default_rng(seed))
    own, gaussian, excess, null = (
        dimension.of_draws(values, len(x), how.level) for values in (ours, cloud, ours - cloud, other - cloud)
    )
    chance = Estimate(shuffled.value, shuffled.low, shuffled.high, len(x), len(x))
    return _record("halves", own, gaussian=gaussian, null=chance), Reading(excess, null)


def _cloud(x: np.ndarray, seed: int) -> np.ndarray:
    return gaussian_like(x, np.random.default_rng([seed, 1]))


def _record(measure: str, own: Estimate, **beside: Estimate) -> dict[str, object]:
    flat: dict[str, object] = {"measure": measure, **own._asdict()}
    for name in ("gaussian", "null"):
        flat |= _numbers(name, beside)
    return flat


def _numbers(name: str, beside: Mapping[str, Estimate]) -> dict[str, float]:
    value, low, high = beside[name][:3] if name in beside else (np.nan,) * 3
    return {name: value, f"{name}_low": low, f"{name}_high": high}
