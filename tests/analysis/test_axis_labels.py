"""Tier A: axes as sparse sums of labels, on patients who chose nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Lasso

from jepascope.analysis.bridge import axis_labels as al
from jepascope.analysis.inference.stats import Inference

HOW = Inference(bootstrap=100, permutations=50)


def cohort(patients: int = 300, rows: int = 4, L: int = 12, seed: int = 0):
    """Labels with a patient effect; two axes of which labels 0 and 1 tell a half, and a third that is the patient's."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(patients), rows)
    labels = (rng.normal(size=(patients, L))[who] + rng.normal(size=(len(who), L)) > 0.5).astype(float)
    own = rng.normal(size=(patients, 3))[who]
    y = np.column_stack([2 * labels[:, 0], 2 * labels[:, 1], np.zeros(len(who))]) + own
    return labels, y - y.mean(axis=0), who


def test_the_lasso_is_scikit_learns():
    labels, y, _ = cohort()
    x = (labels - labels.mean(axis=0)) / labels.std(axis=0)
    penalty = np.array([0.05, 0.1, 0.02])
    ours = al.lasso(x.T @ x / len(x), x.T @ y / len(x), penalty)
    theirs = np.stack(
        [Lasso(alpha=a, tol=1e-8).fit(x, column).coef_ for a, column in zip(penalty, y.T, strict=True)], axis=1
    )
    assert ours == pytest.approx(theirs, abs=5e-3)


def test_labels_tell_what_was_put_in_and_nothing_of_the_patient():
    labels, y, who = cohort()
    train = who < 200
    fit = al.fit_labels(labels[train], y[train], who[train], 3, np.random.default_rng(0))
    left = np.square(y[~train] - fit.predict(labels[~train])).sum(axis=0) / np.square(y[~train]).sum(axis=0)
    assert left[:2] == pytest.approx(0.5, abs=0.1)
    assert left[2] == pytest.approx(1, abs=0.03)
    found = al.explained(al.squares(y[~train], fit.predict(labels[~train])), who[~train], HOW, np.random.default_rng(0))
    assert found.low < 1 - left @ np.square(y[~train]).sum(axis=0) / np.square(y[~train]).sum() < found.high
    assert found.n_patients == 100


def test_rows_of_others_tell_nothing_and_row_folds_would():
    labels, y, who = cohort(rows=8)
    moved = al.moved_rows(who, who < 200, who >= 200, 1, np.random.default_rng(1))
    fit = al.fit_labels(labels[who < 200], y[who < 200][moved.train[0]], who[who < 200], 3, np.random.default_rng(0))
    test = y[who >= 200][moved.test[0]]
    assert 1 - np.square(test - fit.predict(labels[who >= 200])).sum() / np.square(test).sum() <= 0.01
    rng = np.random.default_rng(2)
    own, patient = rng.normal(size=(60, 30)), np.repeat(np.arange(60), 8)
    x, noise = own[patient] + 0.2 * rng.normal(size=(480, 30)), rng.normal(size=(60, 1))[patient]
    r2 = [
        1
        - np.square(noise - al.cross_fitted(x, noise, units, 5, np.random.default_rng(0))).sum()
        / np.square(noise).sum()
        for units in (np.arange(480), patient)
    ]
    assert r2[0] > 0.15
    assert r2[1] < 0.05


def test_axes_hold_the_share_that_is_asked_for():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 4)) * np.sqrt([5, 3, 1.5, 0.5]) + 7
    axes = al.leading_axes(x)
    assert len(axes.variance) == 3
    assert axes.place(x).mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert np.abs(axes.vectors[0, 0]) > 0.95


def test_half_samples_take_up_the_labels_that_tell_and_few_others():
    labels, y, who = cohort(L=40)
    often, q = al.stable_labels(labels, y, who, np.random.default_rng(0), pairs=6)
    assert often[0, 0] == often[1, 1] == 1
    assert q == pytest.approx(np.sqrt(0.8 * 40))
    assert (often >= al.STABLE).sum() <= 5
    assert al.stable_labels(labels, y, who, np.random.default_rng(0), pairs=6)[0].max() <= 1


def test_penalties_are_chosen_by_folds_of_patients():
    """Labels and noise that are the patient's: by folds of rows every penalty that recognises her looks good."""
    rng, who = np.random.default_rng(0), np.repeat(np.arange(60), 8)
    labels = rng.normal(size=(60, 30))[who] + 0.2 * rng.normal(size=(480, 30))
    noise = rng.normal(size=(60, 6))[who]
    assert (al.fit_labels(labels, noise, who, 5, np.random.default_rng(0)).share == 1).mean() >= 0.5
    assert (al.fit_labels(labels, noise, np.arange(480), 5, np.random.default_rng(0)).share < 0.1).all()


def test_half_samples_are_of_patients():
    """A patient's rows, all alike, stand in one half: with two patients a half has one, and nothing varies in it."""
    who = np.repeat([0, 1], 50)
    labels = np.column_stack([who, np.zeros(100), np.zeros(100)]).astype(float)
    often, _ = al.stable_labels(labels, who[:, None] - 0.5, who, np.random.default_rng(0), pairs=2)
    assert not often.any()


def test_a_difference_shares_its_draws():
    _, y, who = cohort()
    same = al.squares(y, y * 0.5)
    found = al.explained_more(same, same, who, HOW, np.random.default_rng(0))
    assert found.value == found.low == found.high == 0
