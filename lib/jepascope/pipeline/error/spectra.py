"""Directions of the error: spectra relative to z, and axes beyond what independent columns have."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.error.leading_axis import flipped_share, leading_axis, share_along
from jepascope.analysis.error.relative_spectrum import along, relative_axes
from jepascope.analysis.inference.parallel import marchenko_pastur_axes, parallel_axes
from jepascope.analysis.inference.stats import Estimate, Inference, Null
from jepascope.pipeline.error.parts import Rows, fresh, load_parts, load_rows, of_another
from jepascope.store import read_table, write_table

# Sign-flips per axis: the edge is their 95 % quantile, and up to D axes are tested in each of five spaces.
FLIPS = 20


def find_spectra(
    folder: Path, trained: Path, twin: Path, parts: Path, statistics: params.Statistics, seed: int
) -> None:
    """The step that looks for directions of e: relative spectra, and axes beyond independent columns.

    Leaves relative.parquet (a row a predictor and direction, λ with its interval) and axes.parquet (a row a space: axes
    by block sign-flips and by the Marchenko–Pastur edge). Raises NotComputable with too few rows.
    """
    how = Inference(**statistics.model_dump())
    ours, theirs = load_rows(trained), load_rows(twin)
    spectra = [
        _relative("ẑ", ours, ours.z_hat, how, seed),
        _relative("ẑ, untrained twin", theirs, theirs.z_hat, how, seed),
        _relative("ẑ of another patient", ours, of_another(ours, ours.z_hat, fresh(seed)), how, seed),
    ]
    write_table(folder / "relative.parquet", pd.concat(spectra))
    taken = load_parts(parts, "trained", "past")
    spaces = {
        "z": ours.z, "e": ours.e, "systematic": taken.systematic, "innovation": taken.innovation, "e, twin": theirs.e,
    }  # fmt: skip
    records = []
    for name, space in spaces.items():
        held, patients = np.asarray(space[ours.test], float), ours.patients[ours.test]
        flipped = parallel_axes(held, patients, FLIPS, fresh(seed), how.level)
        edge = marchenko_pastur_axes(held).n_axes
        counts = {"by sign-flips": flipped.n_axes, "by Marchenko–Pastur": edge, "of": held.shape[1]}
        records.append({"space": name, **counts})
    write_table(folder / "axes.parquet", pd.DataFrame(records))


def load_spectra(folder: Path, name: str) -> pd.DataFrame:
    """A table of `find_spectra`: "relative" or "axes"."""
    return read_table(folder / f"{name}.parquet")


def _relative(name: str, rows: Rows, z_hat: np.ndarray, how: Inference, seed: int) -> pd.DataFrame:
    e, train, test = rows.z - z_hat, rows.train, rows.test
    found = along(
        relative_axes(e[train], rows.z[train]), e[test], rows.z[test], rows.mean, rows.patients[test], how, fresh(seed)
    )
    return pd.DataFrame({"predictor": name, "direction": np.arange(len(found.value)), **found._asdict()})


class OneAxis(NamedTuple):
    """The leading axis of training patients' e, on test patients."""

    estimate: Estimate
    null: Null
    of_z: Estimate  # share of z's variance along the same axis: what e may have from z


def one_axis(objects: Path, how: Inference, rng: np.random.Generator) -> OneAxis:
    """Share of e's variance on its leading axis, and what sign-flips leave of it. Raises NotComputable."""
    rows = load_rows(objects)
    axis, held = leading_axis(rows.e[rows.train]), (rows.e[rows.test], rows.patients[rows.test])
    found, null = share_along(axis, *held, how, rng), flipped_share(axis, *held, how, rng)
    return OneAxis(found, null, share_along(axis, rows.z[rows.test], held[1], how, rng))
