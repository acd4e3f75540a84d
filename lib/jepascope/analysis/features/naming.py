"""A feature's name by a rule: the codes that say most of what it says, chosen on some patients and held to on others.

A person who names features sees patterns that are not there, and so does a language model. The rule can't; and whether
its names hold is counted on patients who had no part in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jepascope.analysis.features.enrichment import MIN_ODDS, Enrichment, odds_ratio
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable, Null, bootstrap_of_sums, null_of


class Names(NamedTuple):
    """Features and the codes they are named by, on patients that had no part in naming."""

    on: np.ndarray  # bool [N, F]
    carried: np.ndarray  # bool [N, F], the row has the code that feature f is named by
    named: np.ndarray  # bool [F], False where no code was enriched
    patients: np.ndarray  # [N]


def telling(found: Enrichment) -> np.ndarray:
    """How much of a feature each enriched code tells, bits [F, V]; −inf where a code is not enriched.

    coverage · log2(coverage / prevalence): what a code adds to the divergence between the feature's rows and all rows.
    The largest odds ratio would choose the rarest code, the largest coverage the commonest.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = found.coverage * np.log2(found.coverage / found.prevalence)
    return np.where(found.found, bits, -np.inf)


def leading(found: Enrichment, most: int) -> list[np.ndarray]:
    """For each feature its enriched codes, int, at most `most`, the most telling first; none for a feature of nothing.

    Ties go to the code that stands first in the vocabulary, so that the same data give the same name.
    """
    bits = telling(found)
    order = np.argsort(-bits, axis=1, kind="stable")[:, :most]
    return [row[np.isfinite(bits[f, row])] for f, row in enumerate(order)]


def confirmed_share(names: Names, how: Inference, rng: np.random.Generator) -> Estimate:
    """Share of all features whose leading code has an odds ratio above MIN_ODDS on these patients.

    A feature without a name counts as not confirmed. Raises NotComputable under `how.min_patients`, or for no feature.
    """
    return _bootstrap(names.patients, _columns(names), lambda sums: _share(sums, names.named), how, rng)


def confirmed_by_chance(names: Names, how: Inference, rng: np.random.Generator) -> Null:
    """The same share when features bear one another's names: common codes and large features agree by themselves.

    Only names that were given are dealt, and never to a feature without one. Raises NotComputable under two named
    features.
    """
    x, y = _named_parts(names)
    odds = odds_ratio(x.T @ y, x.sum(axis=0)[:, None], y.sum(axis=0), len(x))  # [features, names]
    return null_of(*_dealt(odds > MIN_ODDS, len(names.named), how, rng), how.level)


def name_fit(names: Names, how: Inference, rng: np.random.Generator) -> Estimate:
    """Mean over all features of φ, the correlation of "is on" with "has the code it is named by".

    An odds ratio above a bar is easily had by a rare code; φ = 1 asks that the one is on where the other is, and only
    there. A feature without a name counts as 0. Raises NotComputable under `how.min_patients`, or for no feature.
    """
    return _bootstrap(names.patients, _columns(names), lambda sums: _mean_phi(sums, names.named), how, rng)


def fit_difference(ours: Names, theirs: Names, how: Inference, rng: np.random.Generator) -> Estimate:
    """`name_fit` of ours minus theirs, on the same rows and in the same draws. Raises as `name_fit` does."""
    first, second = _columns(ours), _columns(theirs)
    split = first.shape[1]

    def difference(sums: np.ndarray) -> np.ndarray:
        return _mean_phi(sums[:, :split], ours.named) - _mean_phi(sums[:, split:], theirs.named)

    return _bootstrap(ours.patients, np.concatenate([first, second], axis=1), difference, how, rng)


def difference_by_chance(ours: Names, theirs: Names, how: Inference, rng: np.random.Generator) -> Null:
    """`fit_difference` when names are dealt anew in both. Raises NotComputable under two named features of either."""
    (first, observed), (second, beside) = (_dealt(_phi(n), len(n.named), how, rng) for n in (ours, theirs))
    return null_of(first - second, observed - beside, how.level)


def _columns(names: Names) -> np.ndarray:
    """Columns [N, 3 F + 1] whose sums make every 2 × 2 table: both, on, carried, and one a row."""
    x, y = names.on.astype(float), names.carried.astype(float)
    return np.concatenate([x * y, x, y, np.ones((len(x), 1))], axis=1)


def _parts(sums: np.ndarray, F: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return sums[:, :F], sums[:, F : 2 * F], sums[:, 2 * F : 3 * F], sums[:, -1:]


def _share(sums: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Share of features confirmed [draws]."""
    return ((odds_ratio(*_parts(sums, len(named))) > MIN_ODDS) & named).mean(axis=1)


def _mean_phi(sums: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Mean φ [draws]; a feature or a code that a draw lacks, or a feature without a name, counts as 0."""
    both, on, carried, n = _parts(sums, len(named))
    spread = on * (n - on) * carried * (n - carried)
    phi = (n * both - on * carried) / np.sqrt(np.where(spread > 0, spread, np.inf))
    return (phi * named).mean(axis=1)


def _bootstrap(
    patients: np.ndarray,
    columns: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    how: Inference,
    rng: np.random.Generator,
) -> Estimate:
    if columns.shape[1] < 4:
        raise NotComputable("no feature to name")
    return bootstrap_of_sums(statistic, columns, patients, how.bootstrap, how.level, rng, how.min_patients)


def _named_parts(names: Names) -> tuple[np.ndarray, np.ndarray]:
    """On and carried of the features with a name, [N, F'] each."""
    if names.named.sum() < 2:
        raise NotComputable(f"{names.named.sum()} features with a name, 2 needed to exchange names")
    return names.on[:, names.named].astype(float), names.carried[:, names.named].astype(float)


def _phi(names: Names) -> np.ndarray:
    """φ of every named feature with every name [F', F']; 0 where either is constant."""
    x, y = (part - part.mean(axis=0) for part in _named_parts(names))
    scale = np.outer(np.linalg.norm(x, axis=0), np.linalg.norm(y, axis=0))
    return np.divide(x.T @ y, scale, out=np.zeros_like(scale), where=scale > 0)


def _dealt(value: np.ndarray, features: int, how: Inference, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Means over `features` of value [F', F'] when names are dealt anew [draws], and as they are: its diagonal."""
    F = len(value)
    deals = np.argsort(rng.random((how.permutations, F)), axis=1)  # [draws, F']
    return value[np.arange(F), deals].sum(axis=1) / features, float(np.trace(value) / features)
