"""How alike two seeds' z and ẑ are, by CKA: the ceiling of any likeness within one seed, with the twins' as floor."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.likeness import estimate, paired_cka
from jepascope.analysis.stats import Inference, NotComputable, permuted_rows
from jepascope.pipeline.predictor import Z_HAT, Targets, load_targets
from jepascope.store import write_table


def compare_seeds(folder: Path, statistics: params.Statistics, *models: int | Path) -> None:
    """The step that holds z and ẑ of every two seeds against each other, over different test patients.

    models: seed, objects, twin's objects, seed, objects, … Leaves likeness.parquet, a row a pair and space: a, b,
    space ("z", "ẑ", "untrained z" and "z of another patient"), value, low, high, n_rows, n_patients. Rows are test
    encounters with one before them, as in the comparison of ẑ with z, of which these are the ceiling. Raises
    NotComputable for fewer than two seeds or too few patients, ValueError where two extractions differ.
    """
    seeds = [int(str(seed)) for seed in models[::3]]
    if len(seeds) < 2:
        raise NotComputable(f"{len(seeds)} seed: two are needed to be compared")
    how = Inference(**statistics.model_dump())
    trained, twins = (dict(zip(seeds, (_test(Path(str(m))) for m in models[at::3]), strict=True)) for at in (1, 2))
    rows = []
    for a, b in combinations(seeds, 2):
        rng = np.random.default_rng([a, b])
        ours, other = trained[a], trained[b]
        if not np.array_equal(ours.patients, other.patients):
            raise ValueError(f"seeds {a} and {b} hold different test encounters: make both from one extraction")
        moved = other.z[permuted_rows(ours.patients, 1, rng)[0]]
        drawn = paired_cka(ours.z, {"z": other.z, "z of another patient": moved}, ours.patients, how, rng)
        drawn |= paired_cka(ours.predictions[Z_HAT], {Z_HAT: other.predictions[Z_HAT]}, ours.patients, how, rng)
        drawn |= paired_cka(twins[a].z, {"untrained z": twins[b].z}, ours.patients, how, rng)
        rows += [{"a": a, "b": b, "space": name, **estimate(d, how.level)._asdict()} for name, d in drawn.items()]
    write_table(folder / "likeness.parquet", pd.DataFrame(rows))


def _test(objects: Path) -> Targets:
    return load_targets(objects).of("test")
