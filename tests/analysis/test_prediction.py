"""Prediction skill: by hand on two dimensions, and on planted predictors that are good, constant or another's."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.predictor import prediction

HOW = Inference(bootstrap=300, min_patients=2)


def planted(n_patients=120, rows=5, seed=0):
    """z = patient effect + noise of the same size; the best prediction of z is the patient effect: skill 1/2."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rows)
    effect = rng.normal(size=(n_patients, 8))[patients]
    z, z_previous = (effect + rng.normal(size=effect.shape) for _ in range(2))
    return prediction.Predictions(z, effect, z_previous, np.zeros(8), patients)


def test_skill_by_hand():
    z = np.array([[1.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    z_hat = np.array([[1.0, 1.0], [0.0, 2.0], [2.0, 0.0]])  # squared errors 1, 0, 4
    previous = np.ones((3, 2))  # squared distances 1, 2, 2; to the mean 0: 1, 4, 8
    made = prediction.Predictions(z, z_hat, previous, np.zeros(2), np.arange(3))
    skill = prediction.prediction_skill(made, HOW, np.random.default_rng(0))
    assert skill.over_mean.value == pytest.approx(1 - 5 / 13)
    assert skill.over_persistence.value == pytest.approx(1 - 5 / 5)


def test_the_patient_effect_has_its_known_skill_over_each_reference_and_anothers_has_none():
    made, rng = planted(), np.random.default_rng(0)
    skill = prediction.prediction_skill(made, HOW, rng)
    assert skill.over_mean.low < 0.5 < skill.over_mean.high
    assert skill.over_persistence.low < 0.5 < skill.over_persistence.high  # persistence errs by 2 noises
    null = prediction.prediction_skill(prediction.of_another_patient(made, rng), HOW, rng)
    assert null.over_mean.high < 0  # another's effect adds variance: about -0.5


def test_a_constant_prediction_scores_the_same_when_it_is_another_patients():
    made = planted()._replace(z_hat=np.full((600, 8), 0.1))
    other = prediction.of_another_patient(made, np.random.default_rng(0))
    values = [prediction.prediction_skill(m, HOW, np.random.default_rng(0)).over_mean.value for m in (made, other)]
    assert values[0] == pytest.approx(values[1])


def test_nobody_keeps_her_own_prediction():
    patients = np.repeat(np.arange(30), 4)
    z = np.eye(30)[patients]  # each patient her own axis
    made = prediction.Predictions(z, z, z, np.zeros(30), patients)
    for seed in range(10):
        other = prediction.of_another_patient(made, np.random.default_rng(seed))
        assert not (other.z_hat.argmax(axis=1) == patients).any()


def test_twin_difference_is_the_difference_of_skills_and_paired():
    made = planted()
    twin = made._replace(z=3 * made.z, z_hat=3 * made.z_previous)
    ours, theirs = (prediction.prediction_skill(m, HOW, np.random.default_rng(0)).over_mean for m in (made, twin))
    both = prediction.skill_over_twin(made, twin, HOW, np.random.default_rng(0))
    assert both.value == pytest.approx(ours.value - theirs.value)
    itself = prediction.skill_over_twin(made, made, HOW, np.random.default_rng(0))
    assert itself[:3] == pytest.approx((0, 0, 0))


def test_rows_that_differ_or_too_few_patients_are_refused():
    made, rng = planted(), np.random.default_rng(0)
    fewer = prediction.Predictions(*(x[:15] for x in made[:3]), made.mean, made.patients[:15])
    with pytest.raises(ValueError, match="same target rows"):
        prediction.skill_over_twin(made, fewer, HOW, rng)
    with pytest.raises(NotComputable, match="3 patients, 20 needed"):
        prediction.prediction_skill(fewer, Inference(), rng)
