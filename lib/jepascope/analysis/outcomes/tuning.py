"""Choosing a setting on validation patients, by one rule for every model: who may try more, wins more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jepascope.analysis.inference.stats import NotComputable, require_carriers

# (labels [N], NaN outside train; train bool [N]; setting) -> probability [N] of all rows.
Fit = Callable[[np.ndarray, np.ndarray, Any], np.ndarray]


class Candidate(NamedTuple):
    """A kind of model, and the settings that it may try: as many for each kind, or one where nothing is to choose."""

    settings: Sequence[Any]
    fit: Fit


class Tuned(NamedTuple):
    """The setting with the smallest validation loss, and what it predicts."""

    setting: Any
    losses: np.ndarray  # [settings], log-loss on validation rows
    probability: np.ndarray  # [N]


def tune(
    candidate: Candidate, labels: np.ndarray, train: np.ndarray, validation: np.ndarray, patients: np.ndarray
) -> Tuned:
    """Fit every setting on train and keep the best on validation patients, because test patients would flatter it.

    What is kept was fitted on train alone: validation patients choose, and stay unseen, so that every setting's loss
    is that of the model which is reported. Labels outside train are blanked before a fit can see them. Ties go to
    the earlier setting.

    Args: labels [N] in {0, 1} or NaN; train, validation bool [N]; patients [N].
    Raises NotComputable if validation lacks either class, or as the fit does; ValueError if a patient is in both.
    """
    if np.intersect1d(patients[train], patients[validation]).size:
        raise ValueError("a patient is in train and in validation: split by patient")
    known = validation & np.isfinite(labels)
    try:
        require_carriers(labels[known], patients[known], 1)
    except NotComputable as reason:
        raise NotComputable(f"no setting can be chosen: validation {reason}") from reason
    seen = np.where(train, labels, np.nan)
    tried = [candidate.fit(seen, train, setting) for setting in candidate.settings]
    losses = np.array([log_loss(probability[known], labels[known]) for probability in tried])
    best = int(np.argmin(losses))
    return Tuned(candidate.settings[best], losses, tried[best])


def log_loss(probability: np.ndarray, labels: np.ndarray) -> float:
    """Mean of −log p(label) over rows [n], in nats: it asks for honest probabilities, where AUROC asks for order only.

    A probability of 0 or 1 counts as 1e-7 from it. Raises ValueError if one is not finite: that fit has failed.
    """
    if not np.isfinite(probability).all():
        raise ValueError("a probability is not finite: look at the fit, not at the score")
    p = np.clip(np.asarray(probability, float), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(labels > 0, np.log(p), np.log1p(-p))))
