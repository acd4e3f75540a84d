"""Batches hold the patients asked for, each train patient once an epoch, and no other."""

import numpy as np
import pytest
import torch

from jepascope.models.jepa import JEPA, Batch
from jepascope.training.batches import epoch_batches, infer, pack, patients_of, select

pytest_plugins = ["tests.fixtures_trained"]


def test_select_gathers_whole_patients_in_the_order_asked():
    cohort = Batch(
        tokens=torch.tensor([1, 2, 3, 4, 5, 6]),
        offsets=torch.tensor([0, 2, 3, 3, 6]),
        first=torch.tensor([0, 1, 3, 4]),  # patients of 1, 2 and 1 encounters
        gap=torch.tensor([0.0, 0.0, 5.0, 0.0]),
        age=torch.tensor([20.0, 30.0, 31.0, 40.0]),
    )
    batch = select(cohort, torch.tensor([2, 1]))
    assert batch.tokens.tolist() == [4, 5, 6, 3]
    assert batch.offsets.tolist() == [0, 3, 4, 4]
    assert batch.first.tolist() == [0, 1, 3]
    assert batch.gap.tolist() == [0, 0, 5]
    assert batch.age.tolist() == [40, 30, 31]


def test_packing_keeps_every_row_and_reads_a_missing_gap_as_zero(toy):
    cohort = pack(toy)
    assert np.array_equal(cohort.tokens.numpy(), toy.tokens)
    assert len(cohort.first) == toy.index["subject_id"].nunique() + 1
    assert np.array_equal(cohort.gap.numpy(), toy.index["gap_days"].fillna(0).to_numpy(np.float32))


def test_packing_refuses_rows_out_of_order_and_patients_without_their_first_encounter(toy):
    for index in (toy.index.iloc[::-1], toy.index[toy.index["k"] > 0]):
        with pytest.raises(ValueError, match="sorted by"):
            pack(toy._replace(index=index))


def test_packing_refuses_a_patient_in_two_places(toy):
    first_again = toy.index.iloc[[*range(len(toy.index)), 0]]
    with pytest.raises(ValueError, match="sorted by"):
        pack(toy._replace(index=first_again))


def test_an_epoch_holds_each_train_patient_once_and_no_other(toy):
    train = patients_of(toy, "train")
    subjects = toy.index["subject_id"].unique()
    assert set(subjects[train]) == set(toy.index.loc[toy.index["split"] == "train", "subject_id"])
    dealt = epoch_batches(train, 25, seed=0, epoch=0)
    assert sorted(np.concatenate(dealt)) == train.tolist()
    assert {len(batch) for batch in dealt} == {24}  # 72 patients in three equal parts


def test_the_order_of_an_epoch_is_a_function_of_seed_and_epoch():
    patients = np.arange(100)
    order = [np.concatenate(epoch_batches(patients, 32, *key)).tolist() for key in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert order[0] == order[1]
    assert order[0] != order[2]
    assert order[0] != order[3]
    assert order[2] != order[3]


def test_a_cohort_smaller_than_a_batch_is_one_batch():
    assert [len(batch) for batch in epoch_batches(np.arange(3), 128, 0, 0)] == [3]


def test_a_split_without_patients_is_refused(toy):
    with pytest.raises(ValueError, match="no validation patient"):
        patients_of(toy._replace(index=toy.index.assign(split="train")), "validation")


def test_inference_in_pieces_equals_one_forward_over_all(toy):
    torch.manual_seed(0)
    model, cohort = JEPA(len(toy.vocabulary), width=16), pack(toy)
    whole, pieces = model(cohort), infer(model, cohort, np.arange(120), size=17)
    assert torch.equal(pieces.target_rows, whole.target_rows)
    for x, y in ((pieces.z, whole.z), (pieces.c, whole.c), (pieces.z_hat, whole.z_hat)):
        assert (x - y).norm() <= 1e-6 * y.norm()
    assert model.training
    assert not pieces.z.requires_grad
