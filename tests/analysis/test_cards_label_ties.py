"""Labels: correlations and AUROCs against references, adjusted so that a search in nothing finds nothing."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from jepascope.analysis.features.label_ties import ties
from jepascope.analysis.inference.stats import Inference, bootstrap_correlation

HOW = Inference(bootstrap=300, permutations=200)


def test_ties_are_pearsons_and_the_areas_that_sklearn_gives():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(150), 3)
    y = rng.random((450, 3)) < 0.3
    f = np.maximum(rng.normal(size=(450, 4)) + np.pad(y[:, :2], ((0, 0), (0, 2))), 0)
    found = ties(f, y, patients, HOW, rng)
    assert found.r[1, 1] == pytest.approx(np.corrcoef(f[:, 1], y[:, 1])[0, 1], abs=1e-5)
    assert found.auroc[0, 2] == pytest.approx(roc_auc_score(y[:, 2], f[:, 0]), abs=1e-9)
    reference = bootstrap_correlation(f[:, 0], y[:, 0], patients, 300, 0.95, rng)
    assert (found.r_low[0, 0], found.r_high[0, 0]) == pytest.approx((reference.low, reference.high), abs=0.03)
    assert found.adjusted[0, 0] < 0.05
    assert found.adjusted[1, 1] < 0.05
    assert np.delete(found.adjusted.ravel(), [0, 4]).min() > 0.01


def test_a_search_in_nothing_rarely_finds_anything():
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(10):
        patients = np.repeat(np.arange(120), 7)
        x = 2 * rng.normal(size=(120, 26))[patients] + rng.normal(size=(840, 26))  # alike within patients, and no more
        alarms += ties(x[:, :20], x[:, 20:] > 2, patients, HOW, rng).adjusted.min() < 0.05
    assert alarms <= 2


def test_a_feature_that_avoids_a_label_is_tied_to_it_as_well():
    rng = np.random.default_rng(2)
    patients = np.repeat(np.arange(150), 3)
    y = rng.random((450, 2)) < 0.3
    found = ties(np.column_stack([1.5 * ~y[:, 0] + rng.random(450), rng.random(450)]), y, patients, HOW, rng)
    assert found.r_high[0, 0] < 0
    assert found.adjusted[0, 0] < 0.05
