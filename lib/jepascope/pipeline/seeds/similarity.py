"""How alike two seeds' z and ẑ are, by CKA: the mark for any likeness within one seed, with the twins' as floor."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Drawn, Estimate, Inference, NotComputable, permuted_rows
from jepascope.analysis.predictor.likeness import estimate, paired_cka
from jepascope.pipeline.predictor.comparison import Z_HAT, Targets, load_targets
from jepascope.store import write_table


def compare_seeds(folder: Path, statistics: params.Statistics, *models: int | Path) -> None:
    """The step that holds z and ẑ of every two seeds against each other, over different test patients.

    models: seed, objects, twin's objects, seed, objects, … Leaves likeness.parquet, a row a pair and space: a, b,
    space ("z", "ẑ", "untrained z" and "z of another patient"), value, low, high, n_rows, n_patients. And
    shares.parquet, a row a model ("trained", "untrained twin"), seed and other seed: model, seed, other, own (CKA of
    the seed's ẑ with its z), between (CKA of the two seeds' z) and the first over the second as value, low, high,
    paired by draw, NaN where the second may be nought. Rows are test encounters with one before them, as in the
    comparison of ẑ with z. Raises NotComputable for fewer than two seeds or too few patients, ValueError where two
    extractions differ.
    """
    seeds = [int(str(seed)) for seed in models[::3]]
    if len(seeds) < 2:
        raise NotComputable(f"{len(seeds)} seed: two are needed to be compared")
    how = Inference(**statistics.model_dump())
    trained, twins = (dict(zip(seeds, (_test(Path(str(m))) for m in models[at::3]), strict=True)) for at in (1, 2))
    rows, shares = [], []
    own = {name: _own(models, how) for name, models in (("trained", trained), ("untrained twin", twins))}
    for a, b in combinations(seeds, 2):
        rng = np.random.default_rng([a, b])
        ours, other = trained[a], trained[b]
        if not np.array_equal(ours.patients, other.patients):
            raise ValueError(f"seeds {a} and {b} hold different test encounters: make both from one extraction")
        moved = other.z[permuted_rows(ours.patients, 1, rng)[0]]
        drawn = paired_cka(ours.z, {"z": other.z, "z of another patient": moved}, ours.patients, how, _draws())
        drawn |= paired_cka(ours.predictions[Z_HAT], {Z_HAT: other.predictions[Z_HAT]}, ours.patients, how, _draws())
        drawn |= paired_cka(twins[a].z, {"untrained z": twins[b].z}, ours.patients, how, _draws())
        rows += [{"a": a, "b": b, "space": name, **estimate(d, how.level)._asdict()} for name, d in drawn.items()]
        for model, space in (("trained", "z"), ("untrained twin", "untrained z")):
            for seed, less in ((a, b), (b, a)):
                found = {"own": own[model][seed].value, "between": drawn[space].value}
                shared = quotient(own[model][seed], drawn[space], how.level)
                shares.append({"model": model, "seed": seed, "other": less, **found, **shared._asdict()})
    write_table(folder / "likeness.parquet", pd.DataFrame(rows))
    write_table(folder / "shares.parquet", pd.DataFrame(shares))


def quotient(over: Drawn, under: Drawn, level: float) -> Estimate:
    """Quotient of two statistics that share their draws; NaN where the second may be nought: nothing is shared."""
    if not estimate(under, level).low > 0:
        return over.estimate(np.nan, np.nan)._replace(value=np.nan)
    return estimate(over._replace(value=over.value / under.value, values=over.values / under.values), level)


def _own(models: dict[int, Targets], how: Inference) -> dict[int, Drawn]:
    """CKA of each model's ẑ with its own z."""
    return {
        seed: paired_cka(made.z, {Z_HAT: made.predictions[Z_HAT]}, made.patients, how, _draws())[Z_HAT]
        for seed, made in models.items()
    }


def _draws() -> np.random.Generator:
    """The same draws of patients for all: what is divided must have been drawn together."""
    return np.random.default_rng(0)


def _test(objects: Path) -> Targets:
    return load_targets(objects).of("test")
