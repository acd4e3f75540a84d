"""Control labels: as rare and as persistent as the real one, and about nothing."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference import stats
from jepascope.analysis.probes import controls

CHAIN = controls.Chain(start=0.2, begin=0.1, stay=0.7)


def records(seed, B=400):
    """Patients' rows interleaved, as nothing says that they lie together."""
    rng = np.random.default_rng(seed)
    return rng.permutation(np.repeat(np.arange(B), rng.integers(1, 12, B))), rng


def test_the_chain_is_fitted_by_hand():
    patients = np.array([7, 3, 7, 3, 7, 7, 3, 9])
    labels = np.array([1, 0, 1, 0, 0, 1, 1, 0])
    # 7: on on off on; 3: off off on; 9: off.
    assert controls.fit_chain(labels, patients) == pytest.approx((1 / 3, 2 / 3, 1 / 2))


def test_sticky_labels_come_from_the_chain_they_are_given():
    patients, rng = records(0)
    fitted = [controls.fit_chain(drawn, patients) for drawn in controls.sticky_labels(CHAIN, patients, 40, rng)]
    assert np.mean(fitted, axis=0) == pytest.approx(CHAIN, abs=0.01)


def test_sticky_labels_equal_a_loop_over_rows():
    patients, _ = records(1, B=30)
    drawn = controls.sticky_labels(CHAIN, patients, 3, np.random.default_rng(5))
    order = np.argsort(patients, kind="stable")
    uniform = np.random.default_rng(5).random((3, len(patients)))
    for draw in range(3):
        state = {}
        for place, row in enumerate(order):
            patient = patients[row]
            p = {None: CHAIN.start, False: CHAIN.begin, True: CHAIN.stay}[state.get(patient)]
            state[patient] = bool(uniform[draw, place] < p)
            assert drawn[draw, row] == state[patient]


def test_sticky_labels_have_the_real_ones_prevalence_and_turnover():
    patients, rng = records(2)
    real = controls.sticky_labels(controls.Chain(0.25, 0.1, 0.7), patients, 1, rng)[0]  # 0.25 is stationary
    drawn = controls.sticky_labels(controls.fit_chain(real, patients), patients, 200, rng)
    assert drawn.mean() == pytest.approx(real.mean(), abs=0.015)
    # Planted stickiness: neighbours agree as often as the real ones, far more than by chance.
    order = np.argsort(patients, kind="stable")
    same = np.diff(patients[order]) == 0

    def agreement(labels):
        return np.mean(labels[order][1:][same] == labels[order][:-1][same])

    assert np.mean([agreement(labels) for labels in drawn]) == pytest.approx(agreement(real), abs=0.02)
    assert agreement(rng.permutation(real)) < agreement(real) - 0.1


def test_constant_labels_are_constant_in_a_patient_and_as_frequent_as_the_real_one():
    patients, rng = records(3)
    real = rng.random(len(patients)) < 0.2
    drawn = controls.constant_labels(real, patients, 50, rng)
    for labels in drawn:
        assert all(len(set(labels[patients == name])) == 1 for name in range(0, 400, 40))
        assert abs(labels.sum() - real.sum()) <= np.bincount(patients).max() / 2
    # Every patient has the same chance of it, whatever the length of her record.
    carried = np.array([drawn_of.mean() for drawn_of in controls.constant_labels(real, patients, 4000, rng).T])
    lengths = np.bincount(patients)[patients]
    assert np.corrcoef(carried, lengths)[0, 1] == pytest.approx(0, abs=0.1)
    assert controls.constant_labels(real * 0, patients, 3, rng).sum() == 0
    assert controls.constant_labels(real * 0 + 1, patients, 3, rng).all()


@pytest.mark.parametrize("kind", ["constant", "sticky"])
def test_control_labels_are_no_finding_by_patients_and_one_by_rows(kind):
    """Type I error of a score with a patient effect against control labels, 200 of them; power on the real label."""
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(80), rng.integers(2, 10, 80))
    own = rng.normal(size=80)[patients]
    scores = own + 0.3 * rng.normal(size=len(patients))
    real = own > 0.8
    if kind == "constant":
        labels = controls.constant_labels(real, patients, 200, rng)
    else:
        labels = controls.sticky_labels(controls.Chain(0.3, 0.05, 0.9), patients, 200, rng)
    moves = [stats.permuted_rows(units, 99, rng) for units in (patients, np.arange(len(patients)))]
    by_patient, by_row = (
        np.mean([stats.permutation_null(stats.permuted_auroc(scores, label), rows).p <= 0.05 for label in labels])
        for rows in moves
    )
    assert by_patient <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert by_row > by_patient + 0.05
    assert stats.permutation_null(stats.permuted_auroc(scores, real), moves[0]).p == pytest.approx(0.01)


def test_what_has_no_chain_is_refused():
    with pytest.raises(stats.NotComputable, match="0 rows follow one with the label and 3 one without"):
        controls.fit_chain(np.array([0, 0, 0, 1, 1]), np.array([1, 1, 1, 1, 2]))
    for fit in (controls.fit_chain, lambda y, p: controls.constant_labels(y, p, 1, np.random.default_rng(0))):
        with pytest.raises(ValueError, match="0 or 1"):
            fit(np.array([0, np.nan, 1]), np.array([1, 1, 2]))
