"""Training of the supervised transformer: what it learns, what it may not see, and that it resumes."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.fixtures_encounters import TINY_MODEL, toy_encounters

from jepascope import params
from jepascope.training import supervised
from jepascope.training.loop import TrainingError
from jepascope.training.supervised import held_out, new_supervised, reading_epochs, train_supervised

TRAINING = params.Training(batch_patients=24)
PREDICTION = params.Prediction(budget=2, supervised_epochs=8, supervised_rate=1e-2)


@pytest.fixture(scope="module")
def cohort():
    return toy_encounters(patients=200)


def planted(cohort, seed=0):
    """Whether an encounter has three tokens under 30 or more, told in four of five rows; and a coin."""
    rng = np.random.default_rng(seed)
    low = np.add.reduceat((cohort.tokens < 30).astype(int), cohort.offsets[:-1]) >= 3
    labels = np.stack([low, rng.random(len(low)) < 0.5], axis=1).astype(float)
    labels[rng.random(len(low)) < 0.2] = np.nan
    return labels


def splits(cohort):
    return cohort.index["split"].to_numpy()


@pytest.fixture(scope="module")
def read(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("supervised")
    return train_supervised(folder, cohort, planted(cohort), TINY_MODEL, TRAINING, PREDICTION, seed=0)


def test_a_planted_outcome_is_foreseen_and_a_coin_is_not(read, cohort):
    labels, probability = planted(cohort), read[8]
    rows = (splits(cohort) == "test") & np.isfinite(labels[:, 0])
    assert roc_auc_score(labels[rows, 0], probability[rows, 0]) > 0.8
    assert abs(roc_auc_score(labels[rows, 1], probability[rows, 1]) - 0.5) < 0.15


def test_it_is_read_as_often_as_the_budget_says_and_at_the_end(read):
    assert list(read) == [4, 8]
    assert reading_epochs(8, 4) == [2, 4, 6, 8]
    assert reading_epochs(3, 8) == [1, 2, 3]
    assert reading_epochs(7, 2) == [4, 7]


def test_held_out_patients_alone_are_read(read, cohort):
    np.testing.assert_array_equal(np.isfinite(read[8]).all(axis=1), splits(cohort) != "train")


def test_neither_tokens_nor_labels_of_held_out_patients_reach_the_weights(read, cohort, tmp_path):
    test_rows = splits(cohort) == "test"
    tokens = np.where(np.repeat(test_rows, np.diff(cohort.offsets)), 1, cohort.tokens)
    labels = np.where((splits(cohort) != "train")[:, None], 1 - planted(cohort), planted(cohort))
    other = train_supervised(tmp_path, cohort._replace(tokens=tokens), labels, TINY_MODEL, TRAINING, PREDICTION, seed=0)
    validation = splits(cohort) == "validation"
    np.testing.assert_allclose(other[8][validation], read[8][validation], atol=1e-6)
    assert not np.allclose(other[8][test_rows], read[8][test_rows], atol=1e-3)


def test_the_seed_decides_everything(read, cohort, tmp_path):
    again = train_supervised(tmp_path / "0", cohort, planted(cohort), TINY_MODEL, TRAINING, PREDICTION, seed=0)
    other = train_supervised(tmp_path / "1", cohort, planted(cohort), TINY_MODEL, TRAINING, PREDICTION, seed=1)
    np.testing.assert_array_equal(again[8], read[8])
    assert not np.allclose(other[8], read[8], equal_nan=True)


def test_the_starting_weights_are_the_seeds_own_and_the_global_generator_stays_as_it_was():
    before = torch.get_rng_state()
    one, same, other = (new_supervised(9, 2, TINY_MODEL, seed).heads.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_killed_training_resumes_to_the_same_probabilities(read, cohort, tmp_path, monkeypatch):
    steps = 0
    take_step = supervised._take_step

    def killed(*arguments):
        nonlocal steps
        steps += 1
        if steps > 30:  # in the seventh of eight epochs of five steps
            raise KeyboardInterrupt
        take_step(*arguments)

    monkeypatch.setattr(supervised, "_take_step", killed)
    arguments = (tmp_path, cohort, planted(cohort), TINY_MODEL, TRAINING, PREDICTION, 0)
    with pytest.raises(KeyboardInterrupt):
        train_supervised(*arguments)
    taken = []
    monkeypatch.setattr(supervised, "_take_step", lambda *a: (taken.append(1), take_step(*a)))
    resumed = train_supervised(*arguments)
    assert len(taken) == 10
    for epoch, probability in read.items():
        np.testing.assert_array_equal(resumed[epoch], probability)


def test_a_loss_that_is_not_finite_stops_the_training(cohort, tmp_path):
    index = cohort.index.assign(age=np.inf)
    with pytest.raises(TrainingError, match="supervised_rate"):
        train_supervised(
            tmp_path, cohort._replace(index=index), planted(cohort), TINY_MODEL, TRAINING, PREDICTION, seed=0
        )


def test_held_out_are_the_positions_of_validation_and_test_patients(cohort):
    first = cohort.index.loc[cohort.index["k"] == 0, "split"].to_numpy()
    assert set(first[held_out(cohort)]) == {"validation", "test"}
    assert len(held_out(cohort)) == (first != "train").sum()
