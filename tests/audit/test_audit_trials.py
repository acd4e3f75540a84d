"""T11 as a test: each leak that is put in turns the check meant for it red, and nothing is red without."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from jepascope.audit import (
    canary,
    findings,
    fitted,
    mutations,
    permutation,
    perturbation,
    records,
    splits,
    trials,
    windows,
)
from jepascope.audit.findings import GREEN, RED, UNVERIFIED, AuditError, as_findings, gather, judge, unverified
from jepascope.cohort.questions import LABELS
from jepascope.models.jepa import Batch, JEPAOutput
from jepascope.pipeline.outcomes.fitting import READMISSION, Predicted
from jepascope.training.initial import new_model


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> trials.World:
    return trials.make_world(tmp_path_factory.mktemp("world"))


TRIALS = [pytest.param(trial, id=trial.leak) for trial in trials.TRIALS]


@pytest.mark.parametrize("trial", TRIALS)
def test_a_leak_that_is_put_in_is_caught_and_its_absence_raises_no_alarm(world: trials.World, trial: trials.Trial):
    assert all(one.status == GREEN for one in trial.run(world, False))
    assert any(one.status == RED and one.check == trial.check for one in trial.run(world, True))


def test_every_check_has_a_leak_that_proves_it():
    """All but T11, which is these trials."""
    assert {trial.check for trial in trials.TRIALS} | {"T11"} == {check for check, _ in findings.CHECKS}
    assert len(trials.TRIALS) >= 10
    assert len({trial.leak for trial in trials.TRIALS}) == len(trials.TRIALS)


def test_a_leak_in_the_records_themselves_is_told_as_an_escape(world: trials.World, monkeypatch: pytest.MonkeyPatch):
    """Were it seen, the page would have to stop calling the audit weak there."""
    leak = "total_length"
    monkeypatch.setattr(trials, "ESCAPES", {leak: trials.ESCAPES[leak]})
    kept = []
    monkeypatch.setattr(
        trials, "leaking_records", lambda *a, found=trials.leaking_records: kept.append(found(*a)) or kept[0]
    )
    assert list(trials.try_escapes(world)["red"]) == [""]
    assert set(kept[0].vocabulary["token"]) > set(world.cohort.vocabulary["token"])


def test_a_check_that_nobody_ran_is_red():
    table = gather([judge("T1", "x", 0.0, 0.0, "seen", 3, 2)])
    assert list(table["check"]) == [check for check, _ in findings.CHECKS]
    assert table.set_index("check")["status"].to_dict() == {
        check: GREEN if check == "T1" else RED for check, _ in findings.CHECKS
    }
    assert as_findings(table)[0] == judge("T1", "x", 0.0, 0.0, "seen", 3, 2)
    with pytest.raises(ValueError, match="T99"):
        gather([judge("T99", "x", 0.0, 0.0, "", 0, 0)])


def test_what_has_no_value_is_neither_a_pass_nor_a_leak():
    assert unverified("T7", "x", "nobody was readmitted").status == UNVERIFIED
    assert judge("T7", "x", 0.9, 0.9, "", 0, 0).status == GREEN
    assert judge("T7", "x", 0.9001, 0.9, "", 0, 0).status == RED


def test_a_missed_leak_and_an_alarm_on_clean_data_each_fail_the_mutation_score():
    tried = pd.DataFrame({"caught": [True, True], "alarms": [0, 0]})
    assert trials.mutation_score(tried).status == GREEN
    assert trials.mutation_score(tried.assign(caught=[True, False])).status == RED
    assert trials.mutation_score(tried.assign(alarms=[0, 1])).status == RED


def test_the_perturbed_future_is_another_one_and_the_past_is_the_same(world: trials.World):
    whole = perturbation.pack(world.cohort)
    batch = perturbation.select(whole, torch.from_numpy(np.flatnonzero(np.diff(whole.first.numpy()) > 2)[:6]))
    keep = torch.full((6,), 2)
    for perturb in (perturbation.replace, perturbation.truncate):
        after = perturb(batch, keep, torch.Generator().manual_seed(0))
        for b in range(6):
            old, new = (slice(int(x.first[b]), int(x.first[b]) + 2) for x in (batch, after))
            assert torch.equal(batch.gap[old], after.gap[new])
            words = [x.tokens[x.offsets[r.start] : x.offsets[r.stop]] for x, r in ((batch, old), (after, new))]
            assert torch.equal(*words)
    replaced = perturbation.replace(batch, keep, torch.Generator().manual_seed(0))
    assert not torch.equal(replaced.tokens, batch.tokens)
    assert len(perturbation.truncate(batch, keep, torch.Generator()).gap) == 12


def test_a_past_that_a_future_breaks_has_moved(world: trials.World):
    """NaN is neither more nor less than any bound."""

    class Breaks(torch.nn.Module):
        def forward(self, batch: Batch) -> JEPAOutput:
            output = model(batch)
            return output._replace(c=output.c * (float("nan") if batch.gap.max() > longest else 1.0))

    model = new_model(len(world.cohort.vocabulary), trials.MODEL, seed=3)
    index, longest = world.cohort.index, 10.0
    short = world.cohort._replace(index=index.assign(gap_days=index["gap_days"].clip(upper=longest)))
    assert perturbation.model_reads_no_future(Breaks(), short, 0, wanted=50)[0].status == RED


def test_the_audit_leaves_the_model_and_its_running_statistics_as_they_were(world: trials.World):
    model = mutations.normalised_across_time(new_model(len(world.cohort.vocabulary), trials.MODEL, seed=3)).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    perturbation.model_reads_no_future(model, world.cohort, 0, wanted=50)
    assert not model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_single_feature_auroc_is_that_of_scikit_learn():
    from scipy.sparse import csc_matrix
    from sklearn.metrics import roc_auc_score

    from jepascope.audit.features import _aurocs

    rng = np.random.default_rng(0)
    values = np.where(rng.random((300, 5)) < 0.5, 0, rng.integers(-2, 4, (300, 5))).astype(float)
    values[:, 3] = 0
    y = rng.random(300) < 0.3
    expected = [roc_auc_score(y, column) for column in values.T]
    np.testing.assert_allclose(_aurocs(csc_matrix(values), y), expected)


def test_pairs_are_compared_within_a_stratum_only():
    scores, y = np.array([1.0, 2.0, 30.0, 20.0]), np.array([0, 1, 0, 1])
    assert permutation._within(scores, y, np.zeros(4, int)) == 0.5
    assert permutation._within(scores, y, np.array([0, 0, 1, 1])) == 0.5
    assert permutation._within(scores, np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1])) == 1.0


def test_scrambling_moves_test_patients_and_nobody_else(world: trials.World):
    cohort, objects = fitted.scramble_test(world.cohort, world.objects, np.random.default_rng(0))
    test = (world.cohort.index["split"] == "test").to_numpy()
    moved = (objects.z != world.objects.z).any(axis=1)
    np.testing.assert_array_equal(moved, test)
    pd.testing.assert_frame_equal(cohort.index[~test], world.cohort.index[~test])
    assert not cohort.index.loc[test, list(LABELS)].equals(world.cohort.index.loc[test, list(LABELS)])


def test_what_is_fitted_only_with_or_only_without_test_patients_has_moved(world: trials.World):
    for names in ({"a", "b"}, {"a"}), ({"a"}, {"a", "b"}):
        made = iter(names)
        found = fitted.fits_ignore_test_patients(
            world.cohort,
            world.objects,
            lambda *given, made=made: dict.fromkeys(next(made), np.zeros(1)),
            np.random.default_rng(0),
        )
        assert (found.value, found.status) == (1, RED)


def test_the_bound_of_a_mean_allows_for_an_error_that_is_estimated_from_its_draws(world: trials.World):
    """Clean draws ring once in a thousand times: of 40 draws beyond 3.56 errors, and not beyond a normal's 3.29."""
    rows = np.arange(len(world.cohort.index))
    rng = np.random.default_rng(0)
    found = [permutation._at_chance("T9", "x", rng.normal(0.5, 0.1, 5), world.cohort, rows) for _ in range(1000)]
    assert sum(one.status == RED for one in found) <= 5
    assert permutation._at_chance("T9", "x", rng.normal(0.5, 0.1, 40), world.cohort, rows).bound == pytest.approx(
        3.558, abs=1e-3
    )


def test_a_record_cut_at_k_keeps_what_was_known_then(world: trials.World):
    index = world.cohort.index
    first = index[index["k"] == 0].set_index("subject_id")
    cut = records._cut(world.tables, first["dischtime"], set(first["hadm_id"].astype(str)))
    assert set(cut["hosp/admissions"]["hadm_id"]) == set(first["hadm_id"].astype(str))
    assert (
        cut["hosp/patients"]["dod"] <= cut["hosp/patients"]["subject_id"].map(records._text(first["dischtime"]))
    ).all()
    stored = cut["hosp/labevents"].merge(
        records._text(first["dischtime"]).rename("t"), left_on="subject_id", right_index=True
    )
    assert (stored["storetime"] <= stored["t"]).all()
    assert 0 < len(stored) < len(world.tables["hosp/labevents"])


def test_a_patient_in_two_parts_and_a_copied_encounter_are_counted(world: trials.World):
    index = world.cohort.index.copy()
    index.loc[index["subject_id"] == index["subject_id"].iloc[-1], "split"] = "train"
    several = index["subject_id"].duplicated(keep=False)
    index.loc[several.idxmax(), "split"] = "elsewhere"
    patients, contents = splits.splits_share_nothing(world.cohort._replace(index=index))
    assert (patients.value, contents.value) == (1, 0)


def test_an_overlapping_stay_has_no_gap_and_no_alarm():
    times = pd.to_datetime(["2150-01-01", "2150-01-05", "2150-01-20"])
    index = pd.DataFrame({
        "subject_id": 1, "k": range(3), "age": 50.0, "admittime": times,
        "dischtime": times + pd.to_timedelta([10, 1, 2], "D"), "gap_days": [np.nan, 0.0, 9.0],
        "los_days": [10.0, 1.0, 2.0],
    })  # fmt: skip
    assert windows.clocks_agree(index).status == GREEN
    assert windows.clocks_agree(index.assign(gap_days=[np.nan, 0.0, 14.0])).value == 1


class TestCanary:
    """The one check that stops the build."""

    rng = np.random.default_rng(0)
    label = (rng.random(600) < 0.3).astype(float)
    patients = np.arange(600) // 2

    def model(self, name: str, signal: float, rows: int = 600) -> Predicted:
        probability = signal * self.label + np.random.default_rng(len(name)).random(600)
        return Predicted(
            READMISSION, name, probability[:rows], self.label[:rows], np.arange(rows), self.patients[:rows]
        )

    def judged(self, *models: Predicted) -> pd.DataFrame:
        return pd.DataFrame(canary.too_good(models, trials.HOW, 0))

    def test_too_good_by_number_and_too_good_beside_trees(self):
        trees = self.model(canary.REFERENCE, 0.2)
        assert set(self.judged(trees, self.model("z", 0.2))["status"]) == {GREEN}
        assert set(self.judged(trees, self.model("z", 1.5))["status"]) == {RED}
        highest, excess = self.judged(trees, self.model("z", 0.38))["status"]
        assert (highest, excess) == (GREEN, RED)  # below the bound, and still no model of these records

    def test_a_handful_of_patients_is_not_verified(self):
        few = [self.model(name, 0.4, rows=40) for name in (canary.REFERENCE, "z")]
        assert set(self.judged(*few)["status"]) == {UNVERIFIED}

    def test_an_interval_above_the_bound_is_too_good_however_wide(self, monkeypatch: pytest.MonkeyPatch):
        models = [self.model(name, 0.7) for name in (canary.REFERENCE, "z")]
        for low, status in ((0.79, UNVERIFIED), (0.81, RED)):
            monkeypatch.setattr(canary, "interval", lambda *given, low=low: (low, 1.0))
            assert self.judged(*models)["status"][0] == status

    def test_the_build_stops_until_a_waiver_covers_the_value(self, tmp_path: Path):
        table = gather(canary.too_good([self.model(canary.REFERENCE, 1.5), self.model("z", 1.5)], trials.HOW, 0))
        value = table.loc[(table["check"] == "T8") & (table["status"] == RED), "value"].max()
        file = tmp_path / "ci.yaml"
        with pytest.raises(AuditError, match="Look for a leak"):
            canary.stop_if_too_good(table, file)
        text = "- {{part: highest AUROC, up_to: {}, reason: the label is read from a toy, signed: a reader}}\n"
        file.write_text(text.format(value - 0.01))
        with pytest.raises(AuditError, match="Look for a leak"):
            canary.stop_if_too_good(table, file)
        file.write_text(text.format(value + 0.001))
        used = canary.stop_if_too_good(table, file)
        assert list(used["signed"]) == ["a reader"]

    def test_a_waiver_without_a_reason_is_refused(self, tmp_path: Path):
        file = tmp_path / "ci.yaml"
        file.write_text("- {part: highest AUROC, up_to: 0.9, reason: fine, signed: a reader}\n")
        with pytest.raises(AuditError, match="five words"):
            canary.read_waivers(file)
        file.write_text("- {part: highest AUROC, reason: no bound was given at all here}\n")
        with pytest.raises(AuditError, match="a mapping of part, up_to"):
            canary.read_waivers(file)
        assert canary.read_waivers(tmp_path / "none.yaml") == []
