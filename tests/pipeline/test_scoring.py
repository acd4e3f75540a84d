"""Scores, paired differences and nulls: as scikit-learn has them, of test patients alone, or a reason."""

import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from tests.pipeline.test_outcomes import CRISIS, DEATH, ESCALATION, READMISSION, STATISTICS, fit_everything, planted

from jepascope.analysis.inference.stats import NotComputable, auroc_difference, patient_bootstrap
from jepascope.cohort import encounters as cohort_encounters
from jepascope.pipeline.outcomes import examination, scoring
from jepascope.pipeline.outcomes.fitting import PREDICTIONS, load_predicted
from jepascope.store import read_table, write_table

FEW = STATISTICS.model_copy(update={"bootstrap": 200, "permutations": 100})
XGBOOST = "xgboost clinical"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All models fitted to the planted cohort of `test_outcomes`, scored and compared."""
    folder = tmp_path_factory.mktemp("scoring")
    toy = planted()
    known = {
        "insurance": "Other",
        "race": "WHITE",
        "icd_version": 9,
        "eligibility_30d": "eligible",
        "follow_up_days": 90,
    }
    index = toy.index.assign(sex=np.where(toy.index["subject_id"] % 2, "F", "M"), **known)
    baselines, *others = fit_everything(toy._replace(index=index), folder)
    for name in ("scores", "differences"):
        (folder / name).mkdir()
    scoring.score(folder / "scores", folder / "encounters", FEW, 0, baselines, *others)
    scoring.compare(folder / "differences", folder / "encounters", baselines, FEW, 0, *others)
    return folder


def made_of(run, task, model):
    return next(
        one for one in load_predicted([run / "baselines", run / "probes"], run / "encounters", "test", task=task)
        if one.model == model
    )  # fmt: skip


def row_of(run, task, model, metric="auroc"):
    return (
        read_table(run / "scores" / "scores.parquet").set_index(["task", "model", "metric"]).loc[(task, model, metric)]
    )


@pytest.mark.parametrize("model", [XGBOOST, "structure", "untrained (z, c)"])
def test_scores_are_those_of_scikit_learn_on_test_rows_and_carry_their_counts(run, model):
    made = made_of(run, READMISSION, model)
    index = cohort_encounters.load(run / "encounters").index
    rate = index.loc[index["split"] == "train", READMISSION].mean()
    brier = 1 - np.mean((made.label - made.probability) ** 2) / np.mean((made.label - rate) ** 2)
    by_hand = {
        "auroc": roc_auc_score(made.label, made.probability),
        "auprc": average_precision_score(made.label, made.probability),
        "brier_skill": brier,
    }
    for metric, value in by_hand.items():
        row = row_of(run, READMISSION, model, metric)
        assert row["value"] == pytest.approx(value, abs=1e-6)
        assert row["low"] <= row["value"] <= row["high"]
        counts = (row["n_rows"], row["positives"], row["n_patients"])
        assert counts == (len(made.label), made.label.sum(), len(np.unique(made.patients)))


def test_a_planted_outcome_clears_its_null_and_a_constant_prediction_is_a_coin(run):
    found = row_of(run, READMISSION, XGBOOST)
    assert found["low"] > found["null_high"]
    assert found["p"] == pytest.approx(1 / 101)
    coin = row_of(run, READMISSION, "prevalence")
    assert tuple(coin[["value", "low", "high", "null"]]) == (0.5, 0.5, 0.5, 0.5)


def test_a_task_that_nobody_could_fit_keeps_its_rows_with_the_reason(run):
    for task in (CRISIS, DEATH):
        assert "with the label: 0" in row_of(run, task, XGBOOST)["reason"]
        with pytest.raises(NotComputable, match="with the label: 0"):
            scoring.auroc_reading(run / "scores", task, XGBOOST, "untrained (z, c)")
        with pytest.raises(NotComputable, match="with the label: 0"):
            scoring.difference_reading(run / "differences", task, XGBOOST, scoring.FLOOR)
    with pytest.raises(NotComputable, match="no model predicts label_30d_or_death"):
        scoring.auroc_reading(run / "scores", "label_30d_or_death_per_enc", XGBOOST)


def test_differences_are_those_of_the_scores_and_their_intervals_are_paired(run):
    table = read_table(run / "differences" / "differences.parquet").set_index(["task", "ours", "theirs"])
    row = table.loc[(READMISSION, scoring.TWIN, scoring.BEST)]
    ours, theirs = (row_of(run, READMISSION, model) for model in (scoring.TWIN, row["named"]))
    assert row["value"] == pytest.approx(ours["value"] - theirs["value"])
    a, b = made_of(run, READMISSION, scoring.TWIN), made_of(run, READMISSION, row["named"])
    paired = auroc_difference(a.probability, b.probability, a.label)
    expected = patient_bootstrap(paired, a.patients, FEW.bootstrap, FEW.level, np.random.default_rng(0))
    assert tuple(row[["low", "high"]]) == pytest.approx((expected.low, expected.high))
    assert row["null"] == pytest.approx(ours["null"] - theirs["null"])  # the same moves of labels


def test_pairs_of_models_that_nobody_fitted_have_no_row(run):
    table = read_table(run / "differences" / "differences.parquet")
    assert not table["ours"].str.startswith("JEPA").any()
    assert set(table.loc[table["theirs"] == "acuity", "task"]) == {ESCALATION}


def test_the_best_simple_model_is_the_one_that_validation_patients_chose():
    fits = pd.DataFrame(
        {
            "task": ["a", "a", "a", "a", "b"],
            "model": ["good", "better", "few labels", "failed", "failed"],
            "share": [1, 1, 0.5, 1, 1],
            "validation_loss": [0.5, 0.4, 0.1, np.nan, np.nan],
            "reason": ["", "", "", "why", "why"],
        }
    )
    assert scoring.best_simple(fits) == {"a": "better"}


def test_predictions_of_validation_patients_move_no_score(run, tmp_path):
    """Test patients alone are scored."""
    shutil.copytree(run / "baselines", tmp_path / "fits")
    table = read_table(tmp_path / "fits" / PREDICTIONS)
    split = cohort_encounters.load(run / "encounters").index["split"].to_numpy()[table["row"]]
    noise = np.random.default_rng(0).random(len(table))
    table["probability"] = np.where(split == "validation", noise, table["probability"]).astype(np.float32)
    write_table(tmp_path / "fits" / PREDICTIONS, table)
    (tmp_path / "scores").mkdir()
    scoring.score(tmp_path / "scores", run / "encounters", FEW, 0, tmp_path / "fits")
    after = read_table(tmp_path / "scores" / "scores.parquet")
    before = read_table(run / "scores" / "scores.parquet")
    pd.testing.assert_frame_equal(after, before[before["model"].isin(after["model"])].reset_index(drop=True))


def test_scores_stand_side_by_side_in_the_order_asked_for(run):
    table = scoring.side_by_side(
        [run / "scores"], [XGBOOST, "nobody's", scoring.FLOOR], tasks=[ESCALATION, READMISSION]
    )
    assert list(table["task"]) == [ESCALATION] * 3 + [READMISSION] * 3
    assert table["value"].isna().tolist() == [False, True, False] * 2
    with pytest.raises(NotComputable, match="with the label: 0"):
        scoring.side_by_side([run / "scores"], [XGBOOST], tasks=[CRISIS])


@pytest.fixture(scope="module")
def examined(run):
    folder = run / "examined"
    folder.mkdir()
    examination.examine(folder, run / "encounters", run / "baselines", XGBOOST, FEW, 0)
    return examination.load_in_full(folder)


def test_an_examined_model_has_its_scores_and_its_groups_are_parts_of_the_whole(run, examined):
    table = examined.metrics[examined.metrics["metric"] == "auroc"].set_index(["grouping", "group"])
    whole, score = table.loc[("all", "all")], row_of(run, READMISSION, XGBOOST)
    assert tuple(whole[["value", "low", "high"]]) == pytest.approx(tuple(score[["value", "low", "high"]]))
    for grouping in ("event before", "sex"):
        assert table.loc[grouping]["n_rows"].sum() == whole["n_rows"]
    assert set(table.loc["event before"].index) == {"none known", "repeated"}
    assert len(examined.probability) == whole["n_rows"]


def test_the_first_encounter_of_a_patient_is_never_a_repeated_event(run):
    index = cohort_encounters.load(run / "encounters").index
    groups = examination._groups(index, np.flatnonzero(index["k"] == 0))
    assert set(groups["event before"]) == {"none known"}


def test_fewer_labels_are_scored_for_those_models_that_were_fitted_to_them(run, tmp_path):
    examination.learn_from_few(tmp_path, run / "encounters", FEW, 0, run / "baselines", run / "probes")
    table = examination.load_efficiency(tmp_path).set_index(["model", "share"])
    assert set(table.index.get_level_values("model")) == {"logistic clinical", XGBOOST, scoring.TWIN}
    assert set(table.index.get_level_values("share")) == {0.25, 0.5, 1.0}
    assert table.loc[(XGBOOST, 1.0), "value"] == pytest.approx(row_of(run, READMISSION, XGBOOST)["value"])
    assert (table["train_patients"].unstack().diff(axis=1).iloc[:, 1:] > 0).all().all()


def test_exported_predictions_are_those_of_test_rows_a_file_a_task(run, tmp_path):
    examination.export_predictions(tmp_path, run / "encounters", run / "baselines", XGBOOST)
    assert {file.stem for file in tmp_path.iterdir()} == {READMISSION, ESCALATION}
    assert examination.count_files(tmp_path) == 2
    table, made = pq.read_table(tmp_path / f"{READMISSION}.parquet").to_pandas(), made_of(run, READMISSION, XGBOOST)
    assert sorted(table["predicted_boolean_probability"]) == pytest.approx(sorted(made.probability))
    assert table["boolean_value"].sum() == made.label.sum()
    with pytest.raises(NotComputable, match="nobody's could be fitted to no task"):
        examination.export_predictions(tmp_path, run / "encounters", run / "baselines", "nobody's")


def test_too_few_patients_give_reasons_and_no_crash(run, tmp_path):
    """Four test patients are under every bar; the rows stay, with why."""
    few = FEW.model_copy(update={"min_carriers": 10_000})
    for name in ("scores", "differences", "examined", "few"):
        (tmp_path / name).mkdir()
    encounters, baselines, probes = (run / name for name in ("encounters", "baselines", "probes"))
    scoring.score(tmp_path / "scores", encounters, few, 0, baselines)
    assert (read_table(tmp_path / "scores" / "scores.parquet")["reason"] != "").all()
    scoring.compare(tmp_path / "differences", encounters, baselines, few, 0, probes)
    assert (read_table(tmp_path / "differences" / "differences.parquet")["reason"] != "").all()
    for ask in (scoring.load_differences, scoring.against_best):
        with pytest.raises(NotComputable, match="10000 needed"):
            ask(tmp_path / "differences", *([[READMISSION]] if ask is scoring.against_best else []))
    examination.examine(tmp_path / "examined", encounters, baselines, XGBOOST, few, 0)
    with pytest.raises(NotComputable, match="10000 needed"):
        examination.load_in_full(tmp_path / "examined")
    examination.learn_from_few(tmp_path / "few", encounters, few, 0, baselines)
    with pytest.raises(NotComputable, match="no model could be fitted"):
        examination.load_efficiency(tmp_path / "few")


def test_a_model_without_a_prediction_says_why(run):
    for task, reason in ((CRISIS, "with the label: 0"), ("label_long_stay_per_enc", "is not among prediction.tasks")):
        with pytest.raises(NotComputable, match=reason):
            examination.only(run / "encounters", run / "baselines", XGBOOST, task)
