"""How well scores tell patients with the event from those without: average precision, and what a flag catches.

The area under the ROC curve is `stats.weighted_auroc`. Everything here is a function of weights [draws, N], with the
sort done once, so that a bootstrap over patients costs a few sums a draw.
"""

from __future__ import annotations

import numpy as np

from jepascope.analysis.inference.joint import JointStatistic
from jepascope.analysis.inference.stats import NotComputable, WeightedStatistic


def weighted_auprc(scores: np.ndarray, labels: np.ndarray) -> WeightedStatistic:
    """Average precision: of a rare event AUROC hides how many flags are false, and the trapezoid flatters.

    AP = Σ_i w_i y_i precision(s_i) / Σ_i w_i y_i, precision(s) = Σ w y 1[score ≥ s] / Σ w 1[score ≥ s]: the mean over
    positives of the precision at their score, which is Σ (R_n − R_{n−1}) P_n with ties as one step (Davis & Goadrich
    2006; scikit-learn's `average_precision_score`). Without skill it is the prevalence, not 0.5.

    scores [N], labels [N] in {0, 1} -> a function of weights [draws, N] giving [draws], NaN in a draw without
    positives. Raises NotComputable if the label is constant.
    """
    require_both(labels)
    order = np.argsort(-scores, kind="stable")
    positive = order[np.asarray(labels, bool)[order]]
    # How many rows, and how many positives, score at least as high as each positive: the last of its ties.
    rows = np.searchsorted(-scores[order], -scores[positive], "right") - 1
    hits = np.searchsorted(-scores[positive], -scores[positive], "right") - 1

    def statistic(weights: np.ndarray) -> np.ndarray:
        mine = weights[:, positive]  # [draws, positives]
        flagged = np.cumsum(weights[:, order], axis=1)[:, rows]
        # A positive that is flagged nowhere weighs nothing: 0 / 0 counts as 0.
        precision = np.divide(np.cumsum(mine, axis=1)[:, hits], flagged, out=np.zeros_like(mine), where=flagged > 0)
        with np.errstate(invalid="ignore"):
            return (mine * precision).sum(axis=1) / mine.sum(axis=1)

    return statistic


def weighted_flagged(scores: np.ndarray, labels: np.ndarray, share: float) -> JointStatistic:
    """Sensitivity and PPV when the `share` of rows with the highest scores is flagged: a ward's capacity is fixed.

    A threshold chosen on the same rows would move with each model's scale. The threshold is found anew in each draw;
    of the tie in which the capacity runs out, the part that still fits is flagged, as by a fair lot.

    scores [N], labels [N] in {0, 1}, share in (0, 1] -> a function of weights [draws, N] giving [draws, 2].
    Raises NotComputable if the label is constant, ValueError if the share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; flag a share above 0 and at most 1")
    require_both(labels)
    order = np.argsort(-scores, kind="stable")
    hit = np.asarray(labels, float)[order]
    # Where each row's tie begins, and where the next one does.
    begin, end = (np.searchsorted(-scores[order], -scores[order], side) for side in ("left", "right"))

    def statistic(weights: np.ndarray) -> np.ndarray:
        rows = np.zeros((len(weights), len(order) + 1))  # weight of the highest 0, 1, … rows
        np.cumsum(weights[:, order], axis=1, out=rows[:, 1:])
        hits = np.zeros_like(rows)
        np.cumsum(weights[:, order] * hit, axis=1, out=hits[:, 1:])
        capacity = share * rows[:, -1]
        last = (rows[:, 1:-1] < capacity[:, None]).sum(axis=1)  # the row with which the capacity runs out
        draw, low, high = np.arange(len(weights)), begin[last], end[last]
        part = (capacity - rows[draw, low]) / (rows[draw, high] - rows[draw, low])
        caught = hits[draw, low] + part * (hits[draw, high] - hits[draw, low])
        with np.errstate(invalid="ignore"):
            return np.stack([caught / hits[:, -1], caught / capacity], axis=1)

    return statistic


def require_both(labels: np.ndarray) -> None:
    """Refuse labels [N] of one class: NotComputable says how many of each there are."""
    positive = int(np.count_nonzero(labels))
    if positive in (0, len(labels)):
        raise NotComputable(f"{positive} positive and {len(labels) - positive} negative rows, 1 of each needed")
