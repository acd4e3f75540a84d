"""Where the concept that no label names is found: in what labels leave of z, and there more than any with a name."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope.analysis.error.blind_spots import concept_directions
from jepascope.analysis.inference.stats import (
    Estimate,
    Inference,
    NotComputable,
    Null,
    grouped_folds,
    interval,
    null_of,
    permuted_rows,
)
from jepascope.analysis.probes.aurocs import Aurocs, enough_carriers, joint_aurocs
from jepascope.certify.planted import Truth

# The two parts of z, and the twin's second.
TOLD, LEFT, TWIN_LEFT = "what labels tell of z", "what labels leave of z", "what labels leave of the untrained z"


class Parts(NamedTuple):
    """z in two parts that add up to it, but for its mean."""

    told: np.ndarray  # [N, D], E[z | labels], linear
    left: np.ndarray  # [N, D], z − E[z | labels]


class Found(NamedTuple):
    """How well each part tells each planted concept, and each name in the records."""

    aurocs: Aurocs  # [S, Q]
    concepts: pd.DataFrame  # Q rows: name, dynamics, labelled, recorded (a name in the records, no planted state)
    parts: list[str]  # S

    def table(self, recorded: bool = False) -> pd.DataFrame:
        """A row a part and concept computed in all: concept, dynamics, labelled, part, value, low, high.

        `recorded`: of the names in the records instead of the planted states.
        """
        rows = []
        for q in np.flatnonzero(self.concepts["recorded"].to_numpy(bool) == recorded):
            about = self.concepts.iloc[q].drop("recorded").rename({"name": "concept"}).to_dict()
            for s, part in enumerate(self.parts):
                if np.isnan(self.aurocs.value[s, q]):
                    continue
                low, high = interval(self.aurocs.drawn[:, s, q], self.aurocs.level)
                rows.append(about | {"part": part, "value": self.aurocs.value[s, q], "low": low, "high": high})
        return pd.DataFrame(rows)


def part_by_labels(
    z: np.ndarray, labels: np.ndarray, train: np.ndarray, patients: np.ndarray, folds: int, rng: np.random.Generator
) -> Parts:
    """z [N, D] in what labels [N, L] tell of it and what they leave: least squares on training rows (bool [N]).

    Each training row by a fit to other patients' [N] training rows, in `folds` folds: in its own fit, what is left is
    free of every label by construction, and a direction sought there could never find one again. All others by the fit
    to all training rows. No penalty: a lasso or a ridge shrinks what it takes, and would leave a part of each label.
    """
    told, mean = np.empty(z.shape), np.empty(z.shape)
    fold = np.full(len(z), -1)
    fold[train] = grouped_folds(patients[train], folds, rng)
    for f in (-1, *range(folds)):
        fitted, mine = train & (fold != f), fold == f
        x, y = labels[fitted].astype(float), z[fitted].astype(float)
        slopes = np.linalg.lstsq(x - x.mean(axis=0), y - y.mean(axis=0), rcond=1e-8)[0]
        mean[mine], told[mine] = y.mean(axis=0), (labels[mine] - x.mean(axis=0)) @ slopes
    return Parts(told, z - mean - told)


def concepts_in_parts(
    parts: dict[str, np.ndarray],
    truth: Truth,
    names: pd.DataFrame,
    index: pd.DataFrame,
    how: Inference,
    rng: np.random.Generator,
) -> Found:
    """Read every planted concept from every part [N, D] of z, along training patients' direction, on test patients.

    And in the same way every name in the records, but for what labels TOLD, which has them by construction: names bool
    [N, L], a column a name. A state is more than its name: a condition goes uncoded at times, and is measured all the
    same.

    The direction is `blind_spots.concept_directions`: the difference of means, freed of what comes along. truth and
    index of the same N rows. Raises NotComputable where the concept without a label, or every other, is too rare.
    """
    patients, split = index["subject_id"].to_numpy(), index["split"].to_numpy()
    train, test = split == "train", split == "test"
    planted = truth.concepts[["name", "dynamics", "labelled"]].assign(recorded=False)
    written = pd.DataFrame({"name": names.columns, "dynamics": "", "labelled": True, "recorded": True})
    about = pd.concat([planted, written], ignore_index=True)
    states = np.hstack([truth.states[planted["name"].to_list()].to_numpy(bool), names.to_numpy(bool)])
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
    for s, (part, x) in enumerate(parts.items()):
        asked = there & ~(about["recorded"].to_numpy(bool) & (part == TOLD))
        scores[s][:, asked] = x[test] @ concept_directions(x[train], states[train][:, asked]).T
    moves = permuted_rows(patients[test], how.permutations, rng)
    return Found(joint_aurocs(scores, states[test], patients[test], moves, how, rng), about, list(parts))


def beyond_labelled(
    found: Found, part: str, less: str | None, largest: bool, level: float, recorded: bool = False
) -> tuple[Estimate, Null]:
    """How far the concept without a label stands out in one part: its AUROC, less that of the labelled ones.

    `largest`: less the largest of them, chosen anew in each draw of patients, which favours them; else less their mean.
    `less`: the AUROC is taken as a difference to that in another part. `recorded`: the labelled are the names in the
    records, not the planted states that bear them. The null moves whole patients' states and names.
    """
    a = found.aurocs
    s = found.parts.index(part)
    t = None if less is None else found.parts.index(less)
    unlabelled = ~found.concepts["labelled"].to_numpy(bool)
    labelled = ~unlabelled & (found.concepts["recorded"].to_numpy(bool) == recorded)
    there = np.isfinite(a.value[[s] if t is None else [s, t]]).all(axis=0)

    def contrast(values: np.ndarray) -> np.ndarray:
        of = values[..., s, :] - (0 if t is None else values[..., t, :])
        named = of[..., there & labelled]
        return of[..., there & unlabelled].mean(axis=-1) - (named.max(axis=-1) if largest else named.mean(axis=-1))

    value = float(contrast(a.value))
    estimate = Estimate(value, *interval(contrast(a.drawn), level), a.n_rows, a.n_patients)
    return estimate, null_of(contrast(a.moved[1:]), value, level)
