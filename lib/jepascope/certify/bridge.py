"""Where the concept that no label names is found: in what labels leave of z, and there more than any with a name."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope.analysis.aurocs import Aurocs, enough_carriers, joint_aurocs
from jepascope.analysis.blind_spots import concept_directions
from jepascope.analysis.stats import (
    Estimate,
    Inference,
    NotComputable,
    Null,
    interval,
    null_of,
    permuted_rows,
)
from jepascope.certify.planted import Truth

# The two parts of z, and the twin's second.
TOLD, LEFT, TWIN_LEFT = "what labels tell of z", "what labels leave of z", "what labels leave of the untrained z"


class Parts(NamedTuple):
    """z in two parts that add up to it, but for its mean."""

    told: np.ndarray  # [N, D], E[z | labels], linear
    left: np.ndarray  # [N, D], z − E[z | labels]


class Found(NamedTuple):
    """How well each part tells each planted concept."""

    aurocs: Aurocs  # [S, Q]
    concepts: pd.DataFrame  # Q rows: name, dynamics, labelled
    parts: list[str]  # S

    def table(self) -> pd.DataFrame:
        """A row a part and concept computed in all: concept, dynamics, labelled, part, value, low, high."""
        rows = []
        for q in np.flatnonzero(np.isfinite(self.aurocs.value).all(axis=0)):
            about = self.concepts.iloc[q].rename({"name": "concept"}).to_dict()
            for s, part in enumerate(self.parts):
                low, high = interval(self.aurocs.drawn[:, s, q], self.aurocs.level)
                rows.append(about | {"part": part, "value": self.aurocs.value[s, q], "low": low, "high": high})
        return pd.DataFrame(rows)


def part_by_labels(z: np.ndarray, labels: np.ndarray, train: np.ndarray) -> Parts:
    """z [N, D] in what labels [N, L] tell of it and what they leave: least squares on training rows (bool [N]).

    No penalty: a lasso or a ridge shrinks what it takes, and would leave a part of each label where it should not be.
    """
    x, y = labels.astype(float), z.astype(float)
    x, y = x - x[train].mean(axis=0), y - y[train].mean(axis=0)
    told = x @ np.linalg.lstsq(x[train], y[train], rcond=1e-8)[0]
    return Parts(told, y - told)


def concepts_in_parts(
    parts: dict[str, np.ndarray], truth: Truth, index: pd.DataFrame, how: Inference, rng: np.random.Generator
) -> Found:
    """Read every planted concept from every part [N, D] of z, along training patients' direction, on test patients.

    The direction is `blind_spots.concept_directions`: the difference of means, freed of what comes along. truth and
    index of the same N rows. Raises NotComputable where the concept without a label, or every other, is too rare.
    """
    patients, split = index["subject_id"].to_numpy(), index["split"].to_numpy()
    train, test = split == "train", split == "test"
    about = truth.concepts[["name", "dynamics", "labelled"]].reset_index(drop=True)
    states = truth.states[about["name"].to_list()].to_numpy(bool)
    there = np.array(
        [
            all(enough_carriers(state[part], patients[part], how.min_carriers) for part in (train, test))
            for state in states.T
        ]
    )
    named = about["labelled"].to_numpy(bool)
    if not (there & ~named).any() or not (there & named).any():
        raise NotComputable(
            f"concepts with enough carriers: {there.sum()}, unlabelled {(there & ~named).sum()}, 1 needed"
        )
    scores = np.full((len(parts), int(test.sum()), len(about)), np.nan)
    for s, x in enumerate(parts.values()):
        scores[s][:, there] = x[test] @ concept_directions(x[train], states[train][:, there]).T
    moves = permuted_rows(patients[test], how.permutations, rng)
    return Found(joint_aurocs(scores, states[test], patients[test], moves, how, rng), about, list(parts))


def beyond_labelled(found: Found, part: str, less: str | None, largest: bool, level: float) -> tuple[Estimate, Null]:
    """How far the concept without a label stands out in one part: its AUROC, less that of the labelled ones.

    `largest`: less the largest of them, chosen anew in each draw of patients, which favours them; else less their mean.
    `less`: the AUROC is taken as a difference to that in another part. The null moves whole patients' states.
    """
    a = found.aurocs
    s = found.parts.index(part)
    t = None if less is None else found.parts.index(less)
    labelled = found.concepts["labelled"].to_numpy(bool)
    there = np.isfinite(a.value).all(axis=0)

    def contrast(values: np.ndarray) -> np.ndarray:
        of = values[..., s, :] - (0 if t is None else values[..., t, :])
        named = of[..., there & labelled]
        return of[..., there & ~labelled].mean(axis=-1) - (named.max(axis=-1) if largest else named.mean(axis=-1))

    value = float(contrast(a.value))
    estimate = Estimate(value, *interval(contrast(a.drawn), level), a.n_rows, a.n_patients)
    return estimate, null_of(contrast(a.moved[1:]), value, level)
