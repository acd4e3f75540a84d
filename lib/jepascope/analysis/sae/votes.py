"""The stability vote: which features belong to the data, and which to one fit.

Several fits, each with first weights and an order of data of its own, vote on half of the patients: a feature's vote is
the share of the other fits that hold it. Fits on the other half of the patients say what a vote is worth. Votes find
stable features, they don't make them; atoms are the reference fit's, since averages over fits are no fit's direction.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.isotonic import IsotonicRegression

from jepascope.analysis.sae.dictionary import Dictionary, Settings, densify
from jepascope.analysis.sae.encoding import encode
from jepascope.analysis.sae.matching import SAME, gaussian_like, matched_cosines
from jepascope.analysis.sae.training import Hold, fit, fit_many
from jepascope.analysis.stats import grouped_folds


class Ballot(NamedTuple):
    """Features of one fit, and how many fits hold them: of those on the same patients, and of those on others."""

    counts: np.ndarray  # int [F], of `voters`
    voters: int
    elsewhere: np.ndarray  # int [F], of `checkers`
    checkers: int


class Consensus(NamedTuple):
    """A reference dictionary whose features carry their votes; a feature silent in its own data has none."""

    reference: Dictionary
    alive: np.ndarray  # bool [F]
    counts: np.ndarray  # int [F], other fits on the same half of the patients that hold it, of `voters`
    voters: int
    elsewhere: np.ndarray  # int [F], fits on the other half that hold it, of `checkers`
    checkers: int
    reappears: np.ndarray  # [F], calibrated probability that a fit on other patients holds it
    kept: np.ndarray  # bool [F]

    @property
    def reappearing(self) -> float:
        """Share of pairs (kept feature, fit on other patients) in which it is held; NaN when nothing is kept."""
        return float(self.elsewhere[self.kept].mean() / self.checkers) if self.kept.any() else float("nan")

    @property
    def reappearing_of_all(self) -> float:
        """The same for all living features."""
        return float(self.elsewhere[self.alive].mean() / self.checkers)


def holders(W_dec: np.ndarray, others: list[np.ndarray], same: float = SAME) -> np.ndarray:
    """In how many of the other dictionaries [F', D] each feature of W_dec [F, D] has a partner of its own, int [F]."""
    return np.sum([matched_cosines(W_dec, other) > same for other in others], axis=0)


def ballot(here: list[np.ndarray], there: list[np.ndarray], reference: int = 0) -> Ballot:
    """Votes on the features of here[reference] by the other fits of `here`, checked by all of `there`."""
    others = [W for i, W in enumerate(here) if i != reference]
    W_dec = here[reference]
    return Ballot(holders(W_dec, others), len(others), holders(W_dec, there), len(there))


def calibrate(ballots: list[Ballot]) -> np.ndarray:
    """P(a fit on other patients holds a feature) by its count of votes 0 .. voters, never falling [voters + 1].

    Isotonic, and only a count that some feature has can move it: with few features raw shares jump up and down.
    """
    counts = np.concatenate([b.counts for b in ballots])
    share = np.concatenate([b.elsewhere / b.checkers for b in ballots])
    levels = np.arange(ballots[0].voters + 1)
    return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(counts, share).predict(levels)


def halves(patients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the patients, whole: bool [N]. Raises NotComputable for one patient."""
    return grouped_folds(patients, 2, rng) == 0


def _living(fits: list[Dictionary], x: np.ndarray) -> list[np.ndarray]:
    """Per fit, which features are on somewhere in x, bool [F]."""
    return [np.any(densify(encode(dictionary, x)) > 0, axis=0) for dictionary in fits]


def consensus(x: np.ndarray, half: np.ndarray, settings: Settings, seed: int) -> Consensus:
    """Fit `settings.voters` dictionaries on either half of x [N, D] and let them vote; half [N] bool, by patient.

    Features of the first half are voted on; what a vote is worth is learnt from the mirror image, features of the
    second half that are looked for in the first, so `elsewhere` is a test of `reappears` and not its source.
    """
    seeds = list(range(seed, seed + 2 * settings.voters))
    fits = fit_many(x[half], settings, seeds[: settings.voters])
    others = fit_many(x[~half], settings, seeds[settings.voters :])
    alive, alive_there = _living(fits, x[half]), _living(others, x[~half])
    here = [dictionary.W_dec[on] for dictionary, on in zip(fits, alive, strict=True)]
    there = [dictionary.W_dec[on] for dictionary, on in zip(others, alive_there, strict=True)]
    worth = calibrate([ballot(there, here, reference) for reference in range(len(there))])
    found, features = ballot(here, there), np.flatnonzero(alive[0])
    counts, elsewhere = (np.zeros(settings.features, int) for _ in range(2))
    counts[features], elsewhere[features] = found.counts, found.elsewhere
    reappears = np.where(alive[0], worth[counts], 0.0)
    kept = alive[0] & (counts >= settings.keep * found.voters)
    return Consensus(fits[0], alive[0], counts, found.voters, elsewhere, found.checkers, reappears, kept)


def kept_by_vote(x: np.ndarray, settings: Settings, seed: int) -> int:
    """How many features the vote keeps in x [N, D], without asking what they are worth: enough for a floor."""
    fits = fit_many(x, settings, list(range(seed, seed + settings.voters)))
    here = [d.W_dec[on] for d, on in zip(fits, _living(fits, x), strict=True)]
    return int((holders(here[0], here[1:]) >= settings.keep * (len(here) - 1)).sum())


def kept_in_noise(x: np.ndarray, settings: Settings, seed: int) -> int:
    """Features that the same vote keeps in noise with the covariance of x [N, D]: the floor, which must be none."""
    return kept_by_vote(gaussian_like(x, np.random.default_rng(seed)), settings, seed)


def on_atoms(x: np.ndarray, atoms: np.ndarray, settings: Settings, seed: int, cosine: float = 1.0) -> Dictionary:
    """An encoder trained for given atoms [F', D], which stay (or keep `cosine` to where they were), fitted to x [N, D].

    For kept features: the rest is gone, so the encoder must be fitted again, at no more entries than before.
    Raises ValueError for fewer than two atoms.
    """
    if len(atoms) < 2:
        raise ValueError(f"{len(atoms)} atoms: an encoder needs two at least to choose among")
    fewer = settings._replace(features=len(atoms), active=min(settings.active, len(atoms) - 1))
    return fit(x, fewer, seed, Hold(atoms, cosine))
