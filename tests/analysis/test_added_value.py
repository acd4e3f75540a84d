"""What a measure adds to an outcome: found where planted, and nothing where the base knows it already."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.outcomes.added_value import added_auroc

HOW = Inference(bootstrap=200, min_patients=5)


def asked(effect, known, seed=0):
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(600), 3)
    base, column = rng.normal(size=(1800, 2)), rng.normal(size=(1800, 1))
    y = rng.random(1800) < 1 / (1 + np.exp(-(base[:, 0] + effect * column[:, 0])))
    first = np.hstack([base, column]) if known else base
    return added_auroc(first, column, y, who, who < 300, who >= 300, 10, HOW, rng)


def test_what_is_planted_is_added_and_what_is_known_already_is_not():
    new, old, nothing = asked(1.5, False), asked(1.5, True), asked(0, False)
    assert new.gain.low > max(0, new.null.high)
    assert new.null.p == pytest.approx(1 / 11)
    assert abs(old.gain.value) < 0.002
    assert nothing.gain.low < 0.002
    assert new.base.n_patients == 300


def test_an_outcome_that_too_few_have_is_refused():
    who = np.arange(100)
    y = who % 50 == 0
    with pytest.raises(NotComputable, match="patients with the label"):
        added_auroc(np.ones((100, 1)), np.ones((100, 1)), y, who, who < 50, who >= 50, 5, HOW, np.random.default_rng(0))
