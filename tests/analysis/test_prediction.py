"""Prediction skill: by hand on two dimensions, and on planted predictors that are good, constant or another's."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis import prediction
from jepascope.analysis.stats import Inference, NotComputable

HOW = Inference(bootstrap=300, min_patients=2)


def planted(n_patients=120, rows=5, seed=0):
    """z = patient effect + noise of the same size; the best prediction of z is the patient effect: skill 1/2."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rows)
    effect = rng.normal(size=(n_patients, 8))[patients]
    z, z_previous = (effect + rng.normal(size=effect.shape) for _ in range(2))
    return z, effect, z_previous, patients


def test_skill_by_hand():
    z = np.array([[1.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    z_hat = np.array([[1.0, 1.0], [0.0, 2.0], [2.0, 0.0]])  # squared errors 1, 0, 4
    rng = np.random.default_rng(0)
    over_mean = prediction.skill_over_mean(z, z_hat, np.zeros(2), np.arange(3), HOW, rng)
    assert over_mean.value == pytest.approx(1 - 5 / 13)
    previous = np.ones((3, 2))  # squared distances 1, 2, 2
    over_persistence = prediction.skill_over_persistence(z, z_hat, previous, np.arange(3), HOW, rng)
    assert over_persistence.value == pytest.approx(1 - 5 / 5)


def test_the_patient_effect_has_its_known_skill_over_each_reference():
    z, effect, z_previous, patients = planted()
    skill = prediction.prediction_skill(z, effect, z_previous, np.zeros(8), patients, HOW, np.random.default_rng(0))
    assert skill.over_mean.low < 0.5 < skill.over_mean.high
    assert skill.over_persistence.low < 0.5 < skill.over_persistence.high  # persistence errs by 2 noises
    assert skill.shuffled.high < 0  # another's effect adds variance: about -0.5


def test_a_constant_prediction_scores_the_same_when_shuffled():
    z, _, _, patients = planted()
    constant = np.full_like(z, 0.1)
    real = prediction.skill_over_mean(z, constant, np.zeros(8), patients, HOW, np.random.default_rng(0))
    null = prediction.shuffled_skill(z, constant, np.zeros(8), patients, HOW, np.random.default_rng(0))
    assert null.value == pytest.approx(real.value, abs=0.01)


def test_shuffled_skill_never_uses_a_patients_own_prediction():
    patients = np.repeat(np.arange(30), 4)
    z = np.eye(30)[patients]  # each patient her own axis: another's perfect prediction errs by 2, the mean 0 by 1
    for seed in range(10):
        null = prediction.shuffled_skill(z, z, np.zeros(30), patients, HOW, np.random.default_rng(seed))
        assert null.value == pytest.approx(-1)


def test_twin_difference_is_the_difference_of_skills_and_paired():
    z, effect, z_previous, patients = planted()
    rng = np.random.default_rng
    ours = prediction.skill_over_mean(z, effect, np.zeros(8), patients, HOW, rng(0))
    theirs = prediction.skill_over_mean(3 * z, 3 * z_previous, np.zeros(8), patients, HOW, rng(0))
    both = prediction.skill_over_twin(
        (z, effect, np.zeros(8)), (3 * z, 3 * z_previous, np.zeros(8)), patients, HOW, rng(0)
    )
    assert both.value == pytest.approx(ours.value - theirs.value)
    itself = prediction.skill_over_twin((z, effect, np.zeros(8)), (z, effect, np.zeros(8)), patients, HOW, rng(0))
    assert itself[:3] == pytest.approx((0, 0, 0))


def test_rows_that_differ_or_too_few_patients_are_refused():
    z, effect, _, patients = planted()
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="same target rows"):
        prediction.skill_over_twin((z, effect, np.zeros(8)), (z[1:], effect[1:], np.zeros(8)), patients, HOW, rng)
    with pytest.raises(NotComputable, match="3 patients, 20 needed"):
        prediction.skill_over_mean(z[:15], effect[:15], np.zeros(8), patients[:15], Inference(), rng)
