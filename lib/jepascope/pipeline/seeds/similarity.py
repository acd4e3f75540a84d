"""How alike two seeds' z and ẑ are, by CKA: the mark for any likeness within one seed, with the twins' as floor."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Drawn, Estimate, Inference, NotComputable, permuted_rows
from jepascope.analysis.predictor.likeness import Draws, estimate
from jepascope.pipeline.predictor.comparison import Z_HAT, Targets, load_targets
from jepascope.pipeline.seeds.pairs import each_pair
from jepascope.store import write_table


class Space(NamedTuple):
    """Rows of a space, and their product with themselves."""

    rows: np.ndarray  # [M, D]
    own: np.ndarray  # [1 + draws]


class Compared(NamedTuple):
    """A model's test encounters, with what is the same whomever it is compared with."""

    z: Space
    z_hat: Space
    likeness: Drawn  # CKA of ẑ with z


class Seed(NamedTuple):
    """A seed's model and its untrained twin."""

    trained: Compared
    twin: Compared


def compare_seeds(folder: Path, statistics: params.Statistics, *models: int | Path) -> None:
    """The step that holds z and ẑ of the compared pairs of seeds against each other, over different test patients.

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
    paths = {s: [Path(str(path)) for path in models[3 * i + 1 : 3 * i + 3]] for i, s in enumerate(seeds)}
    how, patients, width = Inference(**statistics.model_dump()), *_shape(paths[seeds[0]][0])
    # The same draws of patients for all: what is divided must have been drawn together.
    draws = Draws(patients, width, how, np.random.default_rng(0))

    def load(seed: int) -> Seed:
        tests = [load_targets(path).of("test") for path in paths[seed]]
        if not all(np.array_equal(test.patients, patients) for test in tests):
            raise ValueError(f"seeds {seeds[0]} and {seed} hold different test encounters: extract once for all seeds")
        return Seed(*(_compared(test, draws) for test in tests))

    rows, shares = [], []
    for a, b, ours, theirs in each_pair(seeds, load):
        moved = permuted_rows(patients, 1, np.random.default_rng([a, b]))[0]
        drawn = _alike(ours, theirs, moved, draws)
        rows += [{"a": a, "b": b, "space": name, **estimate(d, how.level)._asdict()} for name, d in drawn.items()]
        shares += _shares("trained", {a: ours.trained, b: theirs.trained}, drawn["z"], how.level)
        shares += _shares("untrained twin", {a: ours.twin, b: theirs.twin}, drawn["untrained z"], how.level)
    write_table(folder / "likeness.parquet", pd.DataFrame(rows))
    write_table(folder / "shares.parquet", pd.DataFrame(shares))


def _alike(ours: Seed, theirs: Seed, moved: np.ndarray, draws: Draws) -> dict[str, Drawn]:
    """CKA of two seeds, space by space; `moved` [M] hands each patient another's rows."""
    strange = theirs.trained.z.rows[moved]
    against = {
        "z": (ours.trained.z, theirs.trained.z),
        "z of another patient": (ours.trained.z, Space(strange, draws.product(strange, strange))),
        Z_HAT: (ours.trained.z_hat, theirs.trained.z_hat),
        "untrained z": (ours.twin.z, theirs.twin.z),
    }
    return {name: _cka(one, other, draws) for name, (one, other) in against.items()}


def _cka(one: Space, other: Space, draws: Draws) -> Drawn:
    return draws.cka(draws.product(one.rows, other.rows), one.own, other.own)


def _compared(test: Targets, draws: Draws) -> Compared:
    z, z_hat = (Space(x, draws.product(x, x)) for x in (test.z, test.predictions[Z_HAT]))
    return Compared(z, z_hat, _cka(z, z_hat, draws))


def _shares(model: str, made: dict[int, Compared], between: Drawn, level: float) -> list[dict[str, Any]]:
    """Two rows: each seed's own likeness of ẑ and z over that of the two seeds' z."""
    return [
        {
            "model": model,
            "seed": seed,
            "other": other,
            "own": made[seed].likeness.value,
            "between": between.value,
            **quotient(made[seed].likeness, between, level)._asdict(),
        }
        for seed, other in zip(made, reversed(made), strict=True)
    ]


def quotient(over: Drawn, under: Drawn, level: float) -> Estimate:
    """Quotient of two statistics that share their draws; NaN where the second may be nought: nothing is shared."""
    if not estimate(under, level).low > 0:
        return over.estimate(np.nan, np.nan)._replace(value=np.nan)
    return estimate(over._replace(value=over.value / under.value, values=over.values / under.values), level)


def _shape(objects: Path) -> tuple[np.ndarray, int]:
    """Whose the test encounters are [M], and how wide z is."""
    test = load_targets(objects).of("test")
    return test.patients, test.z.shape[1]
