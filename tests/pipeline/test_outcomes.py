"""Every model of the prediction chapter: planted outcomes are found, on identical rows, and nobody sees the future."""

import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tests.cohort.mimic_tree import cut_at, extracted, random_tables
from tests.fixtures_encounters import TINY_MODEL, toy_encounters

from jepascope import params
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.questions import LABELS
from jepascope.objects import embed, save_objects
from jepascope.pipeline.outcomes import fitting as outcomes
from jepascope.pipeline.outcomes.fitting import (
    FIT_COLUMNS,
    FITS,
    PREDICTIONS,
    earlier_answers,
    fit_baselines,
    fit_probes,
    fit_supervised,
    load_fits,
    load_predicted,
    rows_hash,
    tasks_of,
)
from jepascope.store import StoreError, read_table, write_table
from jepascope.training.initial import untrained_twin

READMISSION, ESCALATION, CRISIS, DEATH = (
    "label_30d_per_enc", "label_escalation_per_enc", "label_psych_crisis_per_enc", "label_death_30d_per_enc",
)  # fmt: skip
PREDICTION = params.Prediction(
    tasks=[ESCALATION, READMISSION, CRISIS, DEATH], budget=2, trees=20, supervised_epochs=6, supervised_rate=1e-2,
    label_shares=[0.25, 0.5],
)  # fmt: skip
STATISTICS = params.Statistics()
EXTRACTION = params.Extraction()
TRAINING = params.Training(batch_patients=24)


def planted():
    """Readmission follows tokens under 30 and sticks to patients, escalation follows acuity; nobody has a crisis."""
    toy = toy_encounters(patients=300, mean_encounters=4.0)
    rng = np.random.default_rng(9)
    index = toy.index.copy()
    N = len(index)
    index["los_days"] = rng.integers(1, 6, N).astype(float)
    index["gap_days"] = index["gap_days"].round() + 2
    length = index["los_days"] + index["gap_days"].fillna(0)
    discharge = length.groupby(index["subject_id"]).cumsum()
    index["dischtime"] = pd.Timestamp("2150-01-01") + pd.to_timedelta(discharge, unit="D")
    index["days_to_next"] = index.groupby("subject_id")["gap_days"].shift(-1)
    index["admission_type"] = "URGENT"
    index["acuity"] = rng.integers(0, 3, N).astype(float)
    low = np.add.reduceat((toy.tokens < 30).astype(int), toy.offsets[:-1]) >= 3
    sticky = rng.random(300)[index["subject_id"] - 1000] < 0.5
    other = np.random.default_rng(6)  # of their own: another label must not move what is planted below
    for label in LABELS:
        index[label] = other.integers(0, 2, N).astype(float)
    index[READMISSION] = (rng.random(N) < np.where(low, 0.6, 0.02) + np.where(sticky, 0.35, 0.0)).astype(float)
    index[ESCALATION] = (rng.random(N) < np.where(index["acuity"] == 0, 0.8, 0.1)).astype(float)
    index[CRISIS] = np.nan
    index[DEATH] = 0.0
    index.loc[rng.random(N) < 0.2, [READMISSION, ESCALATION]] = np.nan
    return toy._replace(index=index)


@pytest.fixture(scope="module")
def cohort():
    return planted()


def fit_everything(cohort, folder):
    """Run all steps on a cohort, as the chapter does; returns the folder of each."""
    cohort_encounters.save(folder / "encounters", cohort)
    save_objects(folder / "objects", embed(untrained_twin(cohort, TINY_MODEL, seed=0), cohort))
    encounters, steps = folder / "encounters", [folder / name for name in ("baselines", "probes", "supervised")]
    for step in steps:
        step.mkdir()
    fit_baselines(steps[0], encounters, EXTRACTION, PREDICTION, STATISTICS, TINY_MODEL.width)
    fit_probes(steps[1], encounters, folder / "objects", "untrained", PREDICTION, STATISTICS)
    fit_supervised(steps[2], encounters, TINY_MODEL, TRAINING, PREDICTION, STATISTICS, 0)
    return steps


@pytest.fixture(scope="module")
def run(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outcomes")
    return folder, fit_everything(cohort, folder)


def predicted(run, task, split="test", share=1.0):
    folder, steps = run
    return {p.model: p for p in load_predicted(steps, folder / "encounters", split, share) if p.task == task}


def test_every_model_beats_the_floor_on_a_planted_outcome(run):
    scores = {name: roc_auc_score(p.label, p.probability) for name, p in predicted(run, READMISSION).items()}
    assert scores.pop("prevalence") == 0.5
    assert scores.pop("structure") < 0.6
    readers = {name for name in scores if not name.startswith(("persistence", "untrained"))}
    assert len(readers) == 7
    assert min(scores[name] for name in readers) > 0.7
    assert scores["persistence"] > 0.55
    assert min(scores[f"untrained {space}"] for space in ("z", "c", "(z, c)")) > 0.6


def test_acuity_alone_is_a_model_of_escalation_and_of_nothing_else(run):
    found = predicted(run, ESCALATION)
    assert roc_auc_score(found["acuity"].label, found["acuity"].probability) > 0.75
    assert "acuity" not in predicted(run, READMISSION)


def test_the_supervised_transformer_answers_each_task_with_its_own_head(run, cohort, tmp_path, monkeypatch):
    heads = np.tile([0.1, 0.2, 0.3, 0.4], (len(cohort.index), 1))  # in the order of PREDICTION.tasks
    monkeypatch.setattr(outcomes, "train_supervised", lambda *arguments: {1: heads})
    fit_supervised(tmp_path, run[0] / "encounters", TINY_MODEL, TRAINING, PREDICTION, STATISTICS, 0)
    for made in load_predicted([tmp_path], run[0] / "encounters", "test"):
        assert made.probability == pytest.approx(0.1 * (1 + PREDICTION.tasks.index(made.task)))


@pytest.mark.parametrize("task", [READMISSION, ESCALATION])
def test_all_models_of_a_task_predict_the_same_rows_and_these_are_all_that_have_an_answer(run, cohort, task):
    fits = load_fits(run[1])
    mine = fits[(fits["task"] == task) & (fits["reason"] == "")]
    assert mine["rows_hash"].nunique() == 1
    held_out = (cohort.index["split"] != "train") & cohort.index[task].notna()
    assert (mine["rows"] == held_out.sum()).all()
    for split in ("validation", "test"):
        expected = np.flatnonzero(held_out & (cohort.index["split"] == split))
        for made in predicted(run, task, split).values():
            np.testing.assert_array_equal(made.rows, expected)
            np.testing.assert_array_equal(made.label, cohort.index[task].to_numpy()[expected])
            np.testing.assert_array_equal(made.patients, cohort.index["subject_id"].to_numpy()[expected])


def test_every_model_may_compare_as_many_settings(run):
    fits = load_fits(run[1])
    tried = fits[(fits["reason"] == "") & (fits["setting"] != "")]
    assert set(fits["model"]) - set(tried["model"]) == {"prevalence", "persistence", "acuity"}
    for _, chosen in tried.groupby("model"):
        assert chosen["setting"].nunique() <= PREDICTION.budget


def test_a_hash_of_rows_changes_with_each_of_its_parts():
    parts = [np.array([1, 2]), np.array([0, 3]), np.array([0.0, 1.0])]
    names = {rows_hash(*parts)}
    for i in range(3):
        other = [part.copy() for part in parts]
        other[i][1] += 1
        names.add(rows_hash(*other))
    names.add(rows_hash(*(part[::-1] for part in parts)))
    assert len(names) == 5
    assert rows_hash(parts[0].astype(np.int32), parts[1].astype(np.int32), parts[2]) in names


def test_models_on_different_rows_are_refused(run, tmp_path):
    steps = run[1]
    shutil.copytree(steps[1], tmp_path / "probes")
    fits = read_table(tmp_path / "probes" / FITS)
    write_table(tmp_path / "probes" / FITS, fits.assign(rows_hash="other"))
    with pytest.raises(StoreError, match="predicted different rows"):
        load_fits([steps[0], tmp_path / "probes"])


def test_predictions_are_not_read_beside_other_answers(run, cohort, tmp_path):
    index = cohort.index.assign(**{READMISSION: 1 - cohort.index[READMISSION]})
    cohort_encounters.save(tmp_path, cohort._replace(index=index))
    with pytest.raises(StoreError, match="other encounters"):
        load_predicted(run[1], tmp_path, "test")


def test_objects_of_other_encounters_are_refused(run, cohort, tmp_path):
    index = cohort.index.assign(hadm_id=cohort.index["hadm_id"] + 1)
    cohort_encounters.save(tmp_path, cohort._replace(index=index))
    with pytest.raises(StoreError, match="different encounters"):
        fit_probes(tmp_path, tmp_path, run[0] / "objects", "untrained", PREDICTION, STATISTICS)


def test_a_task_that_cannot_be_computed_is_left_out_with_a_reason(run):
    fits = load_fits(run[1])
    for task, reason in ((CRISIS, "with the label: 0"), (DEATH, "with the label: 0")):
        mine = fits[fits["task"] == task]
        assert mine["reason"].str.contains(reason).all()
        assert mine[["rows_hash", "rows"]].isna().all().all()
        assert predicted(run, task) == {}


def test_fewer_training_patients_are_nested_and_leave_the_rows_predicted_alone(run):
    fits = load_fits(run[1])
    mine = fits[(fits["task"] == READMISSION) & (fits["model"] == "logistic clinical")].set_index("share")
    patients = mine["train_patients"]
    assert 0.15 < patients[0.25] / patients[1.0] < 0.35
    assert patients[0.25] < patients[0.5] < patients[1.0]
    fewer = predicted(run, READMISSION, share=0.25)
    assert set(fewer) == {"logistic clinical", "xgboost clinical", "untrained (z, c)"}
    assert not np.array_equal(
        fewer["xgboost clinical"].probability, predicted(run, READMISSION)["xgboost clinical"].probability
    )


def test_scrambled_test_patients_change_no_fitted_parameter(run, cohort, tmp_path):
    """All that is fitted or chosen shows in the validation patients' probabilities."""
    test = (cohort.index["split"] == "test").to_numpy()
    rng = np.random.default_rng(9)
    other_word = np.r_[0, rng.permutation(np.arange(1, 120))]
    tokens = np.where(np.repeat(test, np.diff(cohort.offsets)), other_word[cohort.tokens], cohort.tokens)
    index = cohort.index.copy()
    for column in (READMISSION, ESCALATION, "acuity", "gap_days", "los_days"):
        index.loc[test, column] = rng.permutation(index.loc[test, column])
    other = tmp_path, fit_everything(cohort._replace(tokens=tokens.astype(np.int32), index=index), tmp_path)
    for task in (READMISSION, ESCALATION):
        before, after = predicted(run, task, "validation"), predicted(other, task, "validation")
        assert before.keys() == after.keys()
        for model in before:
            np.testing.assert_allclose(after[model].probability, before[model].probability, atol=1e-5, err_msg=model)
        for model in {"logistic coded", "untrained z", "supervised transformer"}:
            assert not np.array_equal(
                predicted(other, task)[model].probability, predicted(run, task)[model].probability
            )


def test_validation_patients_choose_and_are_not_fitted_to(run, cohort, tmp_path):
    """With one setting there is no choice, and then validation labels change nothing at all."""
    held_out = (cohort.index["split"] == "validation").to_numpy()
    flipped = np.where(held_out, 1 - cohort.index[READMISSION], cohort.index[READMISSION])
    only = PREDICTION.model_copy(update={"budget": 1, "label_shares": [], "tasks": [READMISSION]})
    made = []
    for name, labels in (("a", cohort.index[READMISSION]), ("b", flipped)):
        encounters, folder = tmp_path / name / "encounters", tmp_path / name / "step"
        folder.mkdir(parents=True)
        cohort_encounters.save(encounters, cohort._replace(index=cohort.index.assign(**{READMISSION: labels})))
        fit_baselines(folder, encounters, EXTRACTION, only, STATISTICS, TINY_MODEL.width)
        made.append({p.model: p.probability for p in load_predicted([folder], encounters, "test")})
    for model, probability in made[0].items():
        np.testing.assert_array_equal(made[1][model], probability, err_msg=model)


def test_what_was_answered_before_is_known_when_its_window_has_closed():
    index = pd.DataFrame(
        {
            "subject_id": [1, 1, 1, 2],
            "dischtime": pd.to_datetime(
                ["2150-01-01 23:00", "2150-01-21 08:00", "2150-04-01 01:00", "2150-05-01 09:00"]
            ),
            "days_to_next": [15.0, 66.0, np.nan, np.nan],
            READMISSION: [1.0, 0.0, 1.0, 1.0],
            ESCALATION: [1.0, 0.0, 1.0, 1.0],
            "label_long_stay_per_enc": [1.0, 0.0, np.nan, 1.0],
            "label_30d_or_death_per_enc": [1.0, 0.0, 1.0, 1.0],
        }
    )
    # Readmission is settled by coming back, at once.
    np.testing.assert_array_equal(earlier_answers(index, READMISSION, EXTRACTION), [np.nan, 1, 0, np.nan])
    # The same return may have been planned, and the answer then a death that is still to come on 21 January.
    or_death = earlier_answers(index, "label_30d_or_death_per_enc", EXTRACTION)
    np.testing.assert_array_equal(or_death, [np.nan, np.nan, 0, np.nan])
    # The window of 90 days from 1 January, with its last day, is over on 2 April and not on 1 April.
    np.testing.assert_array_equal(earlier_answers(index, ESCALATION, EXTRACTION), [np.nan] * 4)
    shorter = EXTRACTION.model_copy(update={"escalation_days": 89})
    np.testing.assert_array_equal(earlier_answers(index, ESCALATION, shorter), [np.nan, np.nan, 1, np.nan])
    # On 21 January, five days into the stay, nobody knows yet that it will be a long one.
    long_stay = earlier_answers(index, "label_long_stay_per_enc", EXTRACTION)
    np.testing.assert_array_equal(long_stay, [np.nan, np.nan, 1, np.nan])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_was_answered_before_is_the_same_when_the_record_is_cut_at_k(seed):
    rng = np.random.default_rng(seed)
    tables = random_tables(rng)
    whole, fitted = extracted(tables)
    index = whole.index
    last = index.groupby("subject_id").sample(1, random_state=seed).set_index("subject_id")["hadm_id"]
    ends = {row["hadm_id"]: row["dischtime"] for row in tables["hosp/admissions"]}
    order = {row["hadm_id"]: (row["admittime"], row["dischtime"]) for row in tables["hosp/admissions"]}
    moments = {}
    for subject_id, hadm_id in last.items():
        so_far = [r["hadm_id"] for r in tables["hosp/admissions"] if r["subject_id"] == subject_id]
        so_far = [other for other in so_far if order[other] <= order[hadm_id]]
        moments[subject_id] = (hadm_id, max(ends[other] for other in so_far))
    known = {name: [row for row in rows if row["subject_id"] in moments] for name, rows in tables.items()}
    cut, _ = extracted(cut_at(known, moments), fitted=fitted)
    at_k = [index["hadm_id"].isin(last).to_numpy(), cut.index["hadm_id"].isin(last).to_numpy()]
    told = 0
    for task in LABELS:
        now, before = (
            earlier_answers(made, task, EXTRACTION)[rows] for made, rows in zip((index, cut.index), at_k, strict=True)
        )
        np.testing.assert_array_equal(now, before, err_msg=task)
        told += np.isfinite(now).sum()
    assert told > 50


def test_every_label_has_a_day_on_which_it_is_settled(cohort):
    for task in LABELS:
        assert earlier_answers(cohort.index, task, EXTRACTION).shape == (len(cohort.index),)


def test_an_unknown_task_is_refused_by_name():
    with pytest.raises(ValueError, match="label_30d unknown"):
        tasks_of(params.Prediction(tasks=["label_30d"]))
    assert tasks_of(params.Prediction()) == list(LABELS)


def test_two_patients_give_reasons_and_no_crash(cohort, tmp_path):
    """One patient in train, one in test, with constant structure."""
    rows = np.flatnonzero(cohort.index["subject_id"].isin([1000, 1001]))
    offsets = cohort.offsets
    small = cohort._replace(
        index=cohort.index.iloc[rows].assign(
            split=np.where(cohort.index["subject_id"].iloc[rows] == 1000, "train", "test"), los_days=1.0
        ),
        tokens=cohort.tokens[: offsets[len(rows)]],
        offsets=offsets[: len(rows) + 1],
    )
    for name, fit in {
        "baselines": lambda f, e: fit_baselines(f, e, EXTRACTION, PREDICTION, STATISTICS, TINY_MODEL.width),
        "supervised": lambda f, e: fit_supervised(f, e, TINY_MODEL, TRAINING, PREDICTION, STATISTICS, 0),
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        cohort_encounters.save(tmp_path / "encounters", small)
        fit(folder, tmp_path / "encounters")
        fits = load_fits([folder])
        assert list(fits.columns) == FIT_COLUMNS
        assert (fits["reason"] != "").all()
        assert load_predicted([folder], tmp_path / "encounters", "test") == []
        assert sorted(file.name for file in folder.iterdir()) == [FITS, PREDICTIONS]
