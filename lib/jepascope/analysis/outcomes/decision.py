"""What acting on a prediction would be worth: net benefit over thresholds, against treating all and treating none."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jepascope.analysis.inference.joint import JointStatistic, joint_bootstrap
from jepascope.analysis.inference.stats import Inference, require_carriers

# Nobody who would act at 1 % or at 50 % acts on the same question; beyond lies nothing that a ward decides by.
THRESHOLDS = tuple(t / 100 for t in (1, 2, 3, 5, 7, 10, 12, 15, 17, 20, 25, 30, 35, 40, 45, 50))


def weighted_net_benefit(probabilities: np.ndarray, labels: np.ndarray, thresholds: np.ndarray) -> JointStatistic:
    """Net benefit TP/n − FP/n · t/(1 − t) of acting where p ≥ t (Vickers & Elkin 2006): AUROC has no costs.

    Who acts at threshold t holds one missed event for as bad as (1 − t)/t needless actions. It is the mean over rows of
    1[p ≥ t] (y − (1 − y) t/(1 − t)). probabilities, labels [N], thresholds [H] in (0, 1) -> a function of weights
    [draws, N] giving [draws, H]. Raises ValueError on a threshold outside (0, 1).
    """
    thresholds = np.asarray(thresholds, float)
    if not ((thresholds > 0) & (thresholds < 1)).all():
        raise ValueError(f"thresholds must lie between 0 and 1, found {thresholds.min()} to {thresholds.max()}")
    worth = np.where(np.asarray(labels, bool)[:, None], 1.0, -thresholds / (1 - thresholds))  # [N, H]
    gain = worth * (probabilities[:, None] >= thresholds)
    return lambda weights: (weights @ gain) / weights.sum(axis=1, keepdims=True)


def decision_curve(
    probabilities: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    how: Inference,
    seed: int,
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> pd.DataFrame:
    """Net benefit by threshold with patient-bootstrap intervals, and its advantage over the better of all and none.

    The advantage is taken in each draw, so its interval says at which thresholds the model is worth having.

    Args: probabilities, labels, patients [N]. Returns a row a threshold: threshold, flagged (share of rows),
    net_benefit, low, high, treat_all, advantage, advantage_low, advantage_high; treating none is 0. Raises
    NotComputable where too few patients have, or lack, the event.
    """
    require_carriers(labels, patients, how.min_carriers)
    H, asked = len(thresholds), np.asarray(thresholds)
    ours = weighted_net_benefit(probabilities, labels, asked)
    everyone = weighted_net_benefit(np.ones(len(labels)), labels, asked)

    def statistic(weights: np.ndarray) -> np.ndarray:
        benefit, treat_all = ours(weights), everyone(weights)  # [draws, H]
        return np.hstack([benefit, benefit - np.maximum(treat_all, 0)])

    names = [f"{name} at {t:g}" for name in ("net benefit", "advantage") for t in thresholds]
    found = joint_bootstrap(statistic, names, patients, how, seed)
    estimates = np.array([found.estimate(name)[:3] for name in names])  # [2H, 3]
    columns = {
        "threshold": asked,
        "flagged": (probabilities[:, None] >= asked).mean(axis=0),
        **dict(zip(("net_benefit", "low", "high"), estimates[:H].T, strict=True)),
        "treat_all": everyone(np.ones((1, len(labels))))[0],
        **dict(zip(("advantage", "advantage_low", "advantage_high"), estimates[H:].T, strict=True)),
    }
    return pd.DataFrame(columns)
