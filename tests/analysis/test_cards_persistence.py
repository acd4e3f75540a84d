"""Dwell and return: by hand, against brute force over orders, and where order is planted or absent."""

from itertools import permutations

import numpy as np
import pytest

from jepascope.analysis.features.persistence import persistence
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.probes.controls import Chain, sticky_labels

HOW = Inference(bootstrap=200, min_patients=2)


def column(*records):
    on = np.concatenate([np.array(r, bool) for r in records])[:, None]
    return on, np.repeat(np.arange(len(records)), [len(r) for r in records])


def test_staying_running_and_coming_back_are_counted_within_patients():
    on, patients = column([1, 1, 0, 1], [0, 1, 0, 0, 1], [1, 0])
    found = persistence(on, patients, HOW, np.random.default_rng(0))
    assert found.stay[0] == pytest.approx(1 / 4)  # 1→1, and 1→0 three times; the last encounters have none after
    assert found.begin[0] == pytest.approx(3 / 4)
    assert found.dwell[0] == pytest.approx(6 / 5)
    assert found.back[0] == pytest.approx(1 / 2)  # what follows the third patient's is nobody's
    assert found.patients[0] == 3


def test_any_order_is_the_mean_over_all_orders():
    records = [[1, 1, 0, 1], [0, 1, 1, 0, 0]]
    on, patients = column(*records)
    found = persistence(on, patients, HOW, np.random.default_rng(0))
    counts = np.zeros(5)  # both on, on with a successor, runs, on-off-any, on-off-on
    for record in records:
        orders = np.array(list(permutations(record)), float)
        first, second, third = orders[:, :-2], orders[:, 1:-1], orders[:, 2:]
        starts = orders[:, 0] + (orders[:, 1:] * (1 - orders[:, :-1])).sum(axis=1)
        parts = [
            orders[:, :-1] * orders[:, 1:],
            orders[:, :-1],
            starts[:, None],
            first * (1 - second),
            first * (1 - second) * third,
        ]
        counts += [part.sum(axis=1).mean() for part in parts]
    assert found.stay_any_order[0] == pytest.approx(counts[0] / counts[1])
    assert found.dwell_any_order[0] == pytest.approx(sum(map(sum, records)) / counts[2])
    assert found.back_any_order[0] == pytest.approx(counts[4] / counts[3])


def test_a_state_that_lasts_stays_beyond_any_order_and_a_coin_does_not():
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(600), 8)
    lasting = sticky_labels(Chain(0.2, 0.05, 0.8), patients, 1, rng)[0]
    trait = np.repeat(rng.random(600) < 0.5, 8) & (rng.random(4800) < 0.6)  # lasting, but in no order
    found = persistence(np.stack([lasting, trait], axis=1), patients, Inference(bootstrap=300), rng)
    assert found.excess_low[0] > 0.05
    assert found.excess_low[1] < 0 < found.excess_high[1]
    assert found.stay[1] == pytest.approx(0.6, abs=0.04)


def test_a_feature_that_is_never_on_has_no_dynamics_and_too_few_patients_are_refused():
    on, patients = column([0, 0, 0], [0, 0])
    found = persistence(on, patients, HOW, np.random.default_rng(0))
    assert np.isnan([found.stay[0], found.dwell[0], found.excess_low[0]]).all()
    with pytest.raises(NotComputable):
        persistence(on, patients, Inference(), np.random.default_rng(0))
