"""The planted confounder's trap on a toy truth: it goes with readmission, acts on nothing, and is blamed."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.outcomes.ceiling import shares_of_ceiling
from jepascope.book.tables.outcomes import ceiling_table
from jepascope.certify.planted import CERTAIN, Truth, TruthError
from jepascope.pipeline.certification import model as certification
from jepascope.pipeline.outcomes.fitting import READMISSION, Predicted
from jepascope.store import write_table

HOW = Inference(bootstrap=200, permutations=100)
EFFECT = 1.0


@pytest.fixture(scope="module")
def trap():
    rng = np.random.default_rng(1)
    N = 9000
    subject = np.repeat(np.arange(N // 3), 3)
    cause = rng.random(N) < 0.3
    companion = rng.random(N) < np.where(cause, 0.6, 0.1)
    risk = -CERTAIN * np.expm1(-0.15 * np.exp(EFFECT * cause + 0.5 * rng.normal(size=N)))
    label = (rng.random(N) < risk).astype(float)
    label[rng.random(N) < 0.2] = np.nan
    index = pd.DataFrame({"subject_id": subject, "k": np.tile([0, 1, 2], N // 3), READMISSION: label})
    index["split"] = np.where(subject % 3, "train", "test")
    concepts = pd.DataFrame({"name": ["failure", "pallor"], "risk": [EFFECT, 0.0], "companion": [None, "failure"]})
    truth = Truth(pd.DataFrame({"failure": cause, "pallor": companion}), concepts, risk, "pallor")
    rows = np.flatnonzero((index["split"] == "test") & np.isfinite(label))
    blamer = 0.1 + 0.2 * companion  # learnt the companion for the cause
    made = [
        Predicted(READMISSION, model, p[rows], label[rows], rows, subject[rows])
        for model, p in {certification.HEADLINE: blamer, certification.TWIN: np.full(N, 0.2), "leaky": label}.items()
    ]
    return truth, index, made, certification.spring_trap(truth, index, made, HOW, 0)


def quantity(trap, concept, name):
    return trap[3].set_index(["concept", "quantity"]).loc[(concept, name)]


def test_the_confounder_goes_with_the_outcome_and_only_its_cause_acts(trap):
    assert quantity(trap, "pallor", "observed")["low"] > quantity(trap, "pallor", "observed")["null_high"]
    own = quantity(trap, "pallor", "own effect")
    assert own["low"] < 0 < own["high"]
    assert quantity(trap, "failure", "own effect")["low"] > 0.1
    assert own["n_rows"] == np.isfinite(trap[1][READMISSION]).sum()  # nothing is fitted: all labelled rows serve


def test_a_model_that_took_the_companion_for_the_cause_is_seen_to_blame_it(trap, tmp_path):
    blamed = quantity(trap, "pallor", f"predicted, {certification.HEADLINE}")
    assert blamed["value"] == pytest.approx(0.2)
    assert blamed["n_rows"] == len(trap[2][0].rows)
    write_table(tmp_path / "trap.parquet", trap[3])
    found = certification.blame(tmp_path)
    assert found.estimate.low > found.null.high
    assert found.untrained.value == pytest.approx(0)
    assert certification.name_of_confounder(trap[3]) == "pallor"
    assert certification.trap_interval(trap[3], "observed").startswith(
        f"{100 * quantity(trap, 'pallor', 'observed')['value']:.1f} ["
    )


def test_the_largest_excess_is_the_leaks_and_is_what_the_claim_rests_on(trap, tmp_path):
    truth, _, made, _ = trap
    rows, label, patients = made[0].rows, made[0].label, made[0].patients
    leaky = {one.model: one.probability for one in made}
    for kept, leaks in ((leaky, True), ({k: v for k, v in leaky.items() if k != "leaky"}, False)):
        write_table(tmp_path / "ceiling.parquet", shares_of_ceiling(kept, truth.risk[rows], label, patients, HOW, 0))
        found = certification.outcome_reading(tmp_path, "no_model_beats_the_risk")
        assert (found.estimate.low > 0) == leaks
        assert (found.estimate.high < 0) != leaks
        assert found.untrained.value < 0
    ceiling = certification.load_ceiling(tmp_path)
    shares = certification.shares(ceiling)
    assert set(shares["model"]) == {certification.HEADLINE, certification.TWIN}
    table = ceiling_table(ceiling)
    assert table["model"].tolist() == [certification.HEADLINE, "true risk", certification.TWIN]
    assert table["AUROC less the true risk's"][1].startswith("0.000 [0.000")
    assert "seed" not in table


def test_a_model_that_may_reach_higher_is_the_worst_though_another_lies_nearer(tmp_path):
    rows = [("near", -0.01, -0.012, -0.008), ("wide", -0.02, -0.06, 0.01), (certification.TWIN, -0.2, -0.3, -0.1)]
    table = pd.DataFrame(rows, columns=["model", "value", "low", "high"]).assign(kind="excess", n_rows=9, n_patients=3)
    write_table(tmp_path / "ceiling.parquet", table.assign(null=0.0, null_low=-0.1, null_high=0.1, p=1.0))
    assert certification.nearest_to_ceiling(tmp_path).estimate[:3] == (-0.02, -0.06, 0.01)


def test_a_headline_that_was_not_fitted_is_said_to_be_missing(trap, tmp_path):
    table = trap[3][~trap[3]["quantity"].str.contains("JEPA", regex=False)]
    write_table(tmp_path / "trap.parquet", table)
    with pytest.raises(NotComputable, match="no such model was fitted"):
        certification.blame(tmp_path)


def test_models_of_different_encounters_are_not_put_beside_each_other(trap, tmp_path, monkeypatch):
    truth, index, made, _ = trap
    other = made[1]._replace(rows=made[1].rows[::-1])
    monkeypatch.setattr(certification.cohort_encounters, "load", lambda folder: SimpleNamespace(index=index))
    monkeypatch.setattr(certification, "load_truth", lambda *_: truth)
    statistics = params.Statistics(bootstrap=50, permutations=50)
    for models in ([made[0], made[1]], [made[0], other]):
        monkeypatch.setattr(certification, "load_predicted", lambda *_, models=models, **__: models)
        if models[1] is other:
            with pytest.raises(TruthError, match="different encounters"):
                certification.certify_outcome(tmp_path, tmp_path, tmp_path, statistics, 0, tmp_path)
        else:
            certification.certify_outcome(tmp_path, tmp_path, tmp_path, statistics, 0, tmp_path)
            assert set(certification.load_ceiling(tmp_path)["model"]) == {made[0].model, made[1].model, "true risk"}


def test_a_confounder_that_too_few_have_is_not_computed(trap):
    truth, index, made, _ = trap
    rare = truth._replace(states=truth.states.assign(pallor=False))
    with pytest.raises(NotComputable, match="with the label: 0"):
        certification.spring_trap(rare, index, made, HOW, 0)
    with pytest.raises(NotComputable, match="no confounder was planted"):
        certification.spring_trap(truth._replace(confounder=""), index, made, HOW, 0)
