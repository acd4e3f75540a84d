"""The power of the shape test: planted cohorts in which turbulence does, or does not, bring patients back.

No model is trained here. The planted states stand in for an encoder: a fixed random map with noise embeds them, and a
running summary, the mean so far beside the last, stands in for the context. Everything after that is the test that is
run on a model's own space.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression
from scipy.stats import binomtest

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, auroc
from jepascope.analysis.probes.linear import fit_probe, probe_scores
from jepascope.analysis.trajectories.paths import paths
from jepascope.analysis.trajectories.shape_test import FIRST_K, holds, length_features, shape_test, trajectory
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.synthetic import people, utilisation
from jepascope.cohort.synthetic.utilisation import DAY
from jepascope.store import read_table, write_table

# Log-hazard of a return per SD of turbulence: none, and up to a factor of seven a standard deviation.
EFFECTS = (0.0, 0.25, 0.5, 0.75, 1.0, 2.0)
COHORTS = 40  # of each effect, at most: without an alarm among them, the interval of alarms ends below one in ten
PATIENTS = 4000  # of each cohort, or as many as the profile's cohort has: 1,500 find the largest effect in half
REFITS, DRAWS = 20, 200  # for each null, and of patients: enough to see whether an interval clears zero
WIDTH, NOISE = 32, 0.5  # of the embedded states; the noise's sd, where one concept switched on moves by 1 on average
TEST_SHARE = 0.4
ENOUGH = 0.8  # the power that counts as found
DRAWS_OF_COHORTS, FEWEST = 1000, 10  # fewer cohorts, drawn anew, are too often all alike
WHAT = ("gain", "order")
TRIAL = ("effect", "cohort", "what", "reached", "found", "reason", *Estimate._fields)


class Planted(NamedTuple):
    """A planted cohort as the shape test reads one. N encounters in order of (patient, k)."""

    x: np.ndarray  # [N, WIDTH], embedded states
    summary: np.ndarray  # [N, 2 WIDTH], mean so far and last
    patients: np.ndarray  # [N]
    k: np.ndarray  # [N]
    days: np.ndarray  # [N], of admission
    gap: np.ndarray  # [N], days since the discharge before; 0 at k = 0
    label: np.ndarray  # [N], returned within 30 days: 1, 0, NaN
    turbulence: np.ndarray  # [N], what moves the risk


def plant(patients: int, effect: float, rng: np.random.Generator) -> Planted:
    """Draw a cohort with this log-hazard per SD of turbulence, and embed its states by a map that all cohorts share."""
    lived = utilisation.live(people.draw(patients, rng).age, effect, rng)
    to_space = np.random.default_rng(0).standard_normal((lived.on.shape[1], WIDTH)) / np.sqrt(WIDTH)
    x = lived.on @ to_space + NOISE / np.sqrt(WIDTH) * rng.standard_normal((len(lived.k), WIDTH))
    sums = np.cumsum(x, axis=0)
    first = np.arange(len(x)) - lived.k
    before = np.where(first[:, None] > 0, sums[first - 1], 0.0)
    so_far = (sums - before) / (lived.k + 1)[:, None]
    gap = np.where(lived.k > 0, lived.admit - np.roll(lived.discharge, 1), 0) / DAY
    label = utilisation.returned_30d(lived)
    return Planted(x, np.hstack([so_far, x]), lived.patient, lived.k, lived.admit / DAY, gap, label, lived.turbulence)


def measure_shape_power(
    folder: Path, encounters: Path, certification: params.Certification, statistics: params.Statistics, seed: int
) -> None:
    """The step that leaves power.parquet, the `shape_trials` of all effects.

    Of the encounters nothing is used but how many patients there are: no promise is made for more than `PATIENTS`.
    """
    size = min(PATIENTS, cohort_encounters.load(encounters).index["subject_id"].nunique())
    how = Inference(**statistics.model_dump())._replace(bootstrap=DRAWS)
    cohorts = min(COHORTS, certification.cohorts)
    write_table(folder / "power.parquet", shape_trials(size, EFFECTS, cohorts, how, seed))


def shape_trials(patients: int, effects: tuple[float, ...], cohorts: int, how: Inference, seed: int) -> pd.DataFrame:
    """Run the shape test on `cohorts` planted cohorts of each effect: two rows each, `what` "gain" and "order".

    Columns `TRIAL`; `reached` is the gain with turbulence itself for shape, the most there is to gain. A cohort that
    can't carry the test is one in which nothing is found, and says why.
    """
    rows: list[dict[str, object]] = []
    for effect in effects:
        for cohort in range(cohorts):
            where = {"effect": effect, "cohort": cohort}
            rng = np.random.default_rng([seed, cohort])
            try:
                made = _trial(plant(patients, effect, rng), how, rng)
            except NotComputable as reason:
                made = [{"what": what, "found": False, "reason": str(reason)} for what in WHAT]
            rows += [{**where, **row} for row in made]
    return pd.DataFrame(rows).reindex(columns=TRIAL)


def load_power(folder: Path, level: float) -> pd.DataFrame:
    """One row an effect and a reading: cohorts, share of them in which it is found (Wilson interval), mean values."""
    rows = []
    for (what, effect), trials in read_table(folder / "power.parquet").groupby(["what", "effect"], sort=False):
        number = len(trials)
        low, high = binomtest(int(trials["found"].sum()), number).proportion_ci(level, "wilson")
        means = {"gain": trials["value"].mean(), "reached": trials["reached"].mean()}
        power = {"power": trials["found"].mean(), "low": low, "high": high}
        rows.append({"what": what, "effect": effect, "cohorts": number, **power, **means})
    return pd.DataFrame(rows)


def effect_found(folder: Path, what: str, level: float, rng: np.random.Generator) -> Estimate:
    """The effect from which `ENOUGH` of the cohorts show it, with an interval by drawing cohorts anew.

    Cohorts of one number share their patients at all effects, and are drawn together. Raises NotComputable where no
    effect tried reaches it, or where the interval ends beyond the largest.
    """
    trials = read_table(folder / "power.parquet")
    trials = trials[trials["what"] == what]
    found = trials.pivot(index="cohort", columns="effect", values="found").sort_index(axis=1).astype(float)
    effects, shown = found.columns.to_numpy(float), found.to_numpy()  # [E], [cohorts, E]
    if len(shown) < FEWEST:
        raise NotComputable(f"{len(shown)} cohorts of each effect, {FEWEST} needed")
    value = crossing(effects, shown.mean(axis=0))
    if not np.isfinite(value):
        raise NotComputable(f"found in at most {shown.mean(axis=0).max():.0%} of cohorts, at no effect in {ENOUGH:.0%}")
    drawn = rng.integers(0, len(shown), (DRAWS_OF_COHORTS, len(shown)))
    values = np.array([crossing(effects, shown[rows].mean(axis=0)) for rows in drawn])
    # Effects between two draws are not interpolated: one of them may be beyond all that were tried.
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    if not np.isfinite(high):
        raise NotComputable(f"from {value:.2f} on, but its interval ends beyond the largest effect tried")
    return Estimate(value, float(low), float(high), int(trials["n_rows"].sum()), int(trials["n_patients"].sum()))


def crossing(effects: np.ndarray, power: np.ndarray) -> float:
    """Where power [E] reaches `ENOUGH`, on straight lines between effects [E], ascending; inf where it never does.

    Power can't fall as the effect grows: the curve is the nearest that doesn't (isotonic regression), as the first of
    many noisy points above the mark would come too soon.
    """
    curve = isotonic_regression(power).x
    if curve[-1] < ENOUGH:
        return np.inf
    at = int(np.argmax(curve >= ENOUGH))
    if at == 0:
        return float(effects[0])
    part = (ENOUGH - curve[at - 1]) / (curve[at] - curve[at - 1])
    return float(effects[at - 1] + part * (effects[at] - effects[at - 1]))


def _trial(planted: Planted, how: Inference, rng: np.random.Generator) -> list[dict[str, object]]:
    rows = np.flatnonzero((planted.k >= FIRST_K) & np.isfinite(planted.label))
    if not len(rows):
        raise NotComputable(f"no labelled encounter at k ≥ {FIRST_K}")
    path = trajectory(paths(planted.x, planted.patients), rows, planted.days)
    base = np.hstack([planted.summary[rows], length_features(planted.k[rows], path.span, planted.gap[rows])])
    who, y = planted.patients[rows], planted.label[rows] > 0
    test = (rng.random(planted.patients.max() + 1) < TEST_SHARE)[who]  # by patient
    found = shape_test(base, path, y, who, ~test, test, REFITS, how, rng)
    knowing = np.hstack([base, planted.turbulence[rows, None]])
    best = probe_scores(fit_probe(knowing, y, who, ~test, how, rng), knowing[test])
    reached = auroc(best, y[test]) - found.base.value
    return [
        {"what": what, "reached": reached, "found": holds(value, null), "reason": "", **value._asdict()}
        for what, value, null in (("gain", found.gain, found.gain_null), ("order", found.order, found.order_null))
    ]
