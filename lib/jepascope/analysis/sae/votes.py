"""The stability vote: which features belong to the data, and which to one fit.

Several fits, each with first weights and an order of data of its own, vote on half of the patients: a feature's vote is
the share of the other fits that hold it. Fits on the other half of the patients say what a vote is worth. Votes find
stable features, they don't make them; atoms are the reference fit's, since averages over fits are no fit's direction.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from sklearn.isotonic import IsotonicRegression

from jepascope.analysis.inference.stats import grouped_folds
from jepascope.analysis.sae.dictionary import Dictionary, Settings, densify
from jepascope.analysis.sae.encoding import encode
from jepascope.analysis.sae.matching import SAME, Agreement, gaussian_like, matched_cosines
from jepascope.analysis.sae.training import Hold, fit_many

# Cosines that may be asked for; at the last one nothing can pass.
BARS = (SAME, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)


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
    here: Round  # the vote with every fit on this half as the reference

    @property
    def reappearing(self) -> float:
        """Share of pairs (kept feature, fit on other patients) in which it is held; NaN when nothing is kept."""
        return float(self.elsewhere[self.kept].mean() / self.checkers) if self.kept.any() else float("nan")

    @property
    def reappearing_of_all(self) -> float:
        """The same for all living features."""
        return float(self.elsewhere[self.alive].mean() / self.checkers)


class Round(NamedTuple):
    """Fits to the same rows, voting on each other's features in turn."""

    atoms: list[np.ndarray]  # [F_s, D], the living decoder rows of each fit
    cosines: np.ndarray  # object [S, S]: of fit s's features with their partners in fit r [F_s]

    def kept(self, keep: float, same: float) -> np.ndarray:
        """How many features the vote keeps with each fit as the reference, int [S]."""
        return np.array([self.keeps(s, keep, same).sum() for s in range(len(self.atoms))])

    def keeps(self, reference: int, keep: float, same: float) -> np.ndarray:
        """Which features of a reference the vote keeps, bool [F_s]."""
        others = [cosines for s, cosines in enumerate(self.cosines[reference]) if s != reference]
        return np.sum([cosines > same for cosines in others], axis=0) >= keep * len(others)

    def agreements(self, same: float) -> list[Agreement]:
        """Each pair of fits: how many features of the one with fewer the other holds as well."""
        pairs = itertools.combinations(range(len(self.atoms)), 2)
        ordered = [sorted(pair, key=lambda s: len(self.atoms[s])) for pair in pairs]
        return [Agreement(int((c > same).sum()), len(c), c) for c in (self.cosines[s][r] for s, r in ordered)]


def compare_all(atoms: list[np.ndarray]) -> Round:
    """Match every two of several dictionaries [F_s, D] once; what is asked of the cosines can then be changed."""
    cosines = np.empty((len(atoms), len(atoms)), object)
    for s, r in itertools.product(range(len(atoms)), repeat=2):
        cosines[s, r] = matched_cosines(atoms[s], atoms[r])
    return Round(atoms, cosines)


def holders(W_dec: np.ndarray, others: list[np.ndarray], same: float = SAME) -> np.ndarray:
    """In how many of the other dictionaries [F', D] each feature of W_dec [F, D] has a partner of its own, int [F]."""
    return np.sum([matched_cosines(W_dec, other) > same for other in others], axis=0)


def ballot(here: list[np.ndarray], there: list[np.ndarray], reference: int = 0, same: float = SAME) -> Ballot:
    """Votes on the features of here[reference] by the other fits of `here`, checked by all of `there`."""
    others = [W for i, W in enumerate(here) if i != reference]
    W_dec = here[reference]
    return Ballot(holders(W_dec, others, same), len(others), holders(W_dec, there, same), len(there))


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


def consensus(x: np.ndarray, half: np.ndarray, settings: Settings, seed: int, same: float = SAME) -> Consensus:
    """Fit `settings.voters` dictionaries on either half of x [N, D] and let them vote; half [N] bool, by patient.

    Features of the first half are voted on; what a vote is worth is learnt from the mirror image, features of the
    second half that are looked for in the first, so `elsewhere` is a test of `reappears` and not its source. `same` is
    the cosine above which two features are one (see `safe_bar`).
    """
    seeds = list(range(seed, seed + 2 * settings.voters))
    fits = fit_many(x[half], settings, seeds[: settings.voters])
    others = fit_many(x[~half], settings, seeds[settings.voters :])
    alive, alive_there = _living(fits, x[half]), _living(others, x[~half])
    here = [dictionary.W_dec[on] for dictionary, on in zip(fits, alive, strict=True)]
    there = [dictionary.W_dec[on] for dictionary, on in zip(others, alive_there, strict=True)]
    worth = calibrate([ballot(there, here, reference, same) for reference in range(len(there))])
    found, features = ballot(here, there, same=same), np.flatnonzero(alive[0])
    counts, elsewhere = (np.zeros(settings.features, int) for _ in range(2))
    counts[features], elsewhere[features] = found.counts, found.elsewhere
    reappears = np.where(alive[0], worth[counts], 0.0)
    kept = alive[0] & (counts >= settings.keep * found.voters)
    return Consensus(
        fits[0], alive[0], counts, found.voters, elsewhere, found.checkers, reappears, kept, compare_all(here)
    )


def voting_round(x: np.ndarray, settings: Settings, seed: int) -> Round:
    """The vote on x [N, D] without asking what a vote is worth: enough for a floor."""
    fits = fit_many(x, settings, list(range(seed, seed + settings.voters)))
    return compare_all([d.W_dec[on] for d, on in zip(fits, _living(fits, x), strict=True)])


def noise_round(x: np.ndarray, settings: Settings, seed: int) -> Round:
    """The same vote in noise with the covariance of x [N, D]: the floor, where nothing must be kept."""
    return voting_round(gaussian_like(x, np.random.default_rng(seed)), settings, seed)


def safe_bar(noise: Round, keep: float) -> float:
    """The least cosine, SAME or more, at which the vote keeps nothing of noise, whichever fit is the reference.

    In few dimensions, or along a few wide axes, any two fits have near directions. 1.0, which nothing passes, says that
    no cosine tells features from noise here.
    """
    return next(same for same in BARS if not noise.kept(keep, same).any())


def drawn_rows(patients: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of patients drawn with replacement until there are as many as before, int [draws, N]; the last one is cut.

    patients [N]. Equal numbers of rows let several refits share one batched product.
    """
    order = np.argsort(patients, kind="stable")
    blocks = np.split(order, np.flatnonzero(np.diff(patients[order])) + 1)
    rows = np.empty((draws, len(patients)), np.int64)
    for draw in rows:
        filled = 0
        while filled < len(draw):
            block = blocks[rng.integers(len(blocks))][: len(draw) - filled]
            draw[filled : filled + len(block)] = block
            filled += len(block)
    return rows


def refits(x: np.ndarray, rows: np.ndarray, settings: Settings, seed: int) -> list[np.ndarray]:
    """Living atoms of fits to draws of patients, rows [draws, N] of x [N, D], each with a seed of its own."""
    fits = fit_many(x, settings, list(range(seed, seed + len(rows))), rows=rows)
    return [d.W_dec[on] for d, on in zip(fits, _living(fits, x), strict=True)]


def on_atoms(x: np.ndarray, atoms: np.ndarray, settings: Settings, seed: int, cosine: float = 1.0) -> Dictionary:
    """An encoder trained for given atoms [F', D], which stay (or keep `cosine` to where they were), fitted to x [N, D].

    For kept features: the rest is gone, so the encoder must be fitted again, at no more entries than before.
    Raises ValueError for fewer than two atoms.
    """
    return on_each(x, np.asarray(atoms)[None], settings, [seed], cosine)[0]


def on_each(
    x: np.ndarray, atoms: np.ndarray, settings: Settings, seeds: list[int], cosine: float = 1.0
) -> list[Dictionary]:
    """`on_atoms` for several sets of as many atoms [S, F', D] at once, a seed each. Raises as it does."""
    n_atoms = atoms.shape[1]
    if n_atoms < 2:
        raise ValueError(f"{n_atoms} atoms: an encoder needs two at least to choose among")
    fewer = settings._replace(features=n_atoms, active=min(settings.active, n_atoms - 1))
    return fit_many(x, fewer, seeds, Hold(atoms, cosine))
