"""Who returns and when: the shape of the cohort, and a risk that is exactly the planted one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jepascope.cohort.synthetic import dynamics, leaks, people, synthesize, truth, utilisation
from jepascope.cohort.synthetic.concepts import COLUMN, CONCEPTS, CONFOUNDER
from jepascope.cohort.synthetic.utilisation import DAY, RISK, Histories
from jepascope.params import Synthetic

OBSERVATION = ("OBSERVATION ADMIT", "EU OBSERVATION", "DIRECT OBSERVATION", "AMBULATORY OBSERVATION")
PLANNED = ("ELECTIVE", "SURGICAL SAME DAY ADMISSION", "AMBULATORY OBSERVATION")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outcomes") / "records"
    synthesize(folder, Synthetic(patients=4000, seed=7))
    return folder


@pytest.fixture(scope="module")
def stays(root: Path) -> pd.DataFrame:
    """Admissions with the truth beside them; the label is computed here from the written dates alone."""
    stays = pd.read_csv(root / "hosp/admissions.csv", parse_dates=["admittime", "dischtime"])
    stays = stays.merge(truth.read_truth(root).table, on=["subject_id", "hadm_id"]).sort_values(["subject_id", "k"])
    later = stays.groupby("subject_id")[["admittime", "admission_type"]].shift(-1)
    days = (later["admittime"].dt.normalize() - stays["dischtime"].dt.normalize()).dt.days
    stays["label"] = days.between(2, 30) & ~later["admission_type"].isin(PLANNED)
    stays["settled"] = (stays["hospital_expire_flag"] == 0) & ~(days < 2) & (stays["observed_days"] > 31)
    stays["gap_hours"] = (later["admittime"] - stays["dischtime"]).dt.total_seconds() / 3600
    return stays.reset_index(drop=True)


def live(patients: int, shape_effect: float, seed: int = 0) -> Histories:
    streams = np.random.default_rng(seed).spawn(2)
    return utilisation.live(people.draw(patients, streams[0]).age, shape_effect, streams[1])


def test_the_number_of_encounters_has_the_shape_of_the_demo(stays):
    K = stays.groupby("subject_id").size()
    assert (K == 1).mean() == pytest.approx(0.52, abs=0.06)
    assert K.mean() == pytest.approx(2.75, abs=0.25)
    assert (K >= 10).mean() == pytest.approx(0.05, abs=0.025)
    assert K.max() <= 24


def test_lengths_and_gaps_have_the_shape_of_the_demo(stays):
    los = (stays["dischtime"] - stays["admittime"]).dt.total_seconds() / 86400
    assert los.quantile([0.25, 0.5, 0.75]).to_numpy() == pytest.approx([2.7, 4.9, 8.8], rel=0.08)
    gap = stays["gap_hours"].dropna() / 24
    assert gap.quantile([0.25, 0.5, 0.75]).to_numpy() == pytest.approx([20, 89, 328], rel=0.25)
    assert (gap < 1).mean() == pytest.approx(0.02, abs=0.007)


def test_rates_have_the_shape_of_the_demo(root, stays):
    assert (stays["gap_hours"] < 30.5 * 24).mean() == pytest.approx(0.20, abs=0.03)
    assert stays["hospital_expire_flag"].mean() == pytest.approx(0.05, abs=0.015)
    assert stays["admission_type"].isin(OBSERVATION).mean() == pytest.approx(0.32, abs=0.03)
    codes = pd.read_csv(root / "hosp/diagnoses_icd.csv", dtype={"icd_code": str})
    assert codes.groupby("hadm_id").size().mean() == pytest.approx(16, abs=1)
    mental = codes["icd_code"].where(codes["icd_version"] == 10, "").str.startswith("F")
    mental |= (codes["icd_version"] == 9) & codes["icd_code"].str[:3].between("290", "319")
    assert codes["hadm_id"][mental].nunique() / len(stays) == pytest.approx(0.60, abs=0.05)
    assert (mental & (codes["seq_num"] == 1)).sum() / len(stays) == pytest.approx(0.05, abs=0.015)
    services = pd.read_csv(root / "hosp/services.csv")["curr_service"]
    assert 0.01 < (services == "PSYCH").mean() < 0.06


def test_labels_from_the_written_dates_have_exactly_the_planted_risk(stays):
    settled = stays[stays["settled"]]
    bins = pd.qcut(settled["risk_30d"], 8, labels=False)
    observed, planned = (settled.groupby(bins)[column].mean() for column in ("label", "risk_30d"))
    spread = np.sqrt(planned * (1 - planned) / settled.groupby(bins).size())
    assert (((observed - planned) / spread) ** 2).sum() < 22  # chi-square with 8 degrees: 0.5 %
    assert settled["label"].mean() == pytest.approx(settled["risk_30d"].mean(), abs=0.01)


def test_calibration_holds_when_the_shape_matters():
    h = live(8000, shape_effect=1.0)
    y = utilisation.returned_30d(h)
    settled = ~np.isnan(y)
    order = np.array_split(np.argsort(h.risk_30d[settled]), 8)
    r, y = h.risk_30d[settled], y[settled]
    z = [(y[part].mean() - r[part].mean()) / np.sqrt((r[part] * (1 - r[part])).sum()) * len(part) for part in order]
    assert (np.square(z)).sum() < 22


def test_the_truth_says_what_the_dates_say(root, stays):
    settled = stays["settled"].to_numpy()
    assert np.array_equal(stays["returned_30d"].notna(), settled)
    assert np.array_equal(stays["returned_30d"][settled] > 0, stays["label"][settled])
    oracle = truth.read_truth(root).meta["oracle"]["readmission_30d"]
    ones, zeros = (stays["risk_30d"][settled & (stays["label"] == label)].to_numpy() for label in (True, False))
    pairs = np.sign(ones[:, None] - zeros[None, ::7]).mean() / 2 + 0.5  # every seventh negative is enough
    assert oracle == pytest.approx(pairs, abs=0.01)
    assert 0.72 < oracle < 0.82


def test_risk_by_hand():
    """eta = 0: share 0.80 of unplanned, times 1 - exp(-F(29)), F the lognormal clock from day 1 on."""
    z = (math.log(29) - math.log(1650.0)) / 2.5
    below = 0.5 * (1 + math.erf(z / math.sqrt(2)))
    assert utilisation.risk_30d(np.zeros(1))[0] == pytest.approx(0.80 * (1 - math.exp(-below)), rel=1e-9)


def test_returns_are_drawn_from_the_risk_that_is_written():
    eta = np.repeat([-1.0, 0.5, 2.0], 60_000)
    after = utilisation.returns(eta, np.random.default_rng(0))
    hit = (after.days >= 2) & (after.days <= 30) & ~after.planned & ~after.death
    stayed = after.days != 0  # a transfer answers nothing
    for value in (-1.0, 0.5, 2.0):
        rows = stayed & (eta == value)
        assert hit[rows].mean() == pytest.approx(utilisation.risk_30d(np.array([value]))[0], abs=0.006)
    assert after.days.min() >= -1
    assert not (after.days == 1).any()


def test_the_risk_at_k_reads_nothing_after_k():
    """Risk and turbulence are computed again, each from the rows up to its own."""
    before = live(500, shape_effect=1.0)
    eta = utilisation.eta(before.on, before.frailty, before.turbulence, 1.0)
    alone = np.where(before.died | (before.k == 23), 0, utilisation.risk_30d(eta))
    assert np.array_equal(alone, before.risk_30d)
    turbulence = np.zeros(len(before.k))
    for patient in range(60):
        rows = np.flatnonzero(before.patient == patient)
        moving = before.on[rows][:, dynamics.MOVING]
        for j, row in enumerate(rows):
            changes = sum(int((moving[i] != moving[i - 1]).sum()) for i in range(1, j + 1))
            turbulence[row] = utilisation.turbulence_of(np.array([float(changes)]), j)[0]
    seen = before.patient < 60
    assert np.allclose(turbulence[seen], before.turbulence[seen])


def test_turbulence_is_standardised_and_nothing_at_the_first_encounter():
    h = live(6000, shape_effect=0.0)
    assert (h.turbulence[h.k == 0] == 0).all()
    later = h.turbulence[h.k > 0]
    assert later.mean() == pytest.approx(0, abs=0.1)
    assert later.std() == pytest.approx(1, abs=0.12)


def test_the_shape_effect_moves_the_outcome_and_its_absence_leaves_it():
    for effect, low, high in ((0.0, -0.03, 0.03), (1.0, 0.15, 1.0)):
        h = live(12000, effect)
        y = utilisation.returned_30d(h)
        rows = (h.k > 0) & ~np.isnan(y)
        # What the concepts and the frailty leave over, against turbulence.
        expected = utilisation.risk_30d(utilisation.eta(h.on[rows], h.frailty[rows], 0 * h.frailty[rows], 0.0))
        assert low < np.corrcoef(y[rows] - expected, h.turbulence[rows])[0, 1] < high


def test_the_confounder_goes_with_the_outcome_and_has_no_effect():
    h = live(12000, 0.0)
    y = utilisation.returned_30d(h)
    known = ~np.isnan(y)
    confounder = h.on[known, COLUMN[CONFOUNDER]]
    assert RISK[COLUMN[CONFOUNDER]] == 0
    assert y[known][confounder].mean() > 1.15 * y[known][~confounder].mean()
    residual = y[known] - h.risk_30d[known]
    assert abs(residual[confounder].mean()) < 0.015


def test_length_goes_with_the_outcome_and_has_no_effect():
    h = live(12000, 0.0)
    y = utilisation.returned_30d(h)
    known = ~np.isnan(y)
    length = np.log(h.discharge - h.admit)[known]
    assert np.corrcoef(length, y[known])[0, 1] > 0.02
    assert abs(np.corrcoef(length, y[known] - h.risk_30d[known])[0, 1]) < 0.02


def test_severity_and_risk_leave_shocks_and_their_echoes_out():
    for concept in CONCEPTS:
        if not dynamics.MOVING[COLUMN[concept.name]]:
            assert concept.risk == concept.severity == 0


def test_nobody_is_admitted_after_the_end_of_the_data():
    h = live(3000, 0.0)
    assert (h.admit < utilisation.WINDOW_DAYS * DAY).all()
    assert people.year(h.admit).min() >= 2008
    assert people.year(h.admit).max() <= 2019
    assert np.isnan(utilisation.returned_30d(h)[h.observed_days < 31]).all()


def test_outcome_filtering_makes_the_last_gap_tell_the_next():
    clean = live(6000, 0.0)
    filtered = leaks.filter_by_outcome(clean)
    scores = {}
    for name, h in (("clean", clean), ("filtered", filtered)):
        y = utilisation.returned_30d(h)
        rows = np.flatnonzero((h.k > 0) & ~np.isnan(y))
        quick = (h.admit[rows] - h.discharge[rows - 1]) / DAY <= 30
        scores[name] = truth.auroc(quick, y[rows] > 0)
    assert scores["clean"] < 0.65
    assert scores["filtered"] > 0.9
    # And it keeps whole patients.
    assert np.array_equal(np.flatnonzero(filtered.k == 0)[1:], np.flatnonzero(np.diff(filtered.patient)) + 1)


def test_the_state_rebuilt_from_the_truth_is_the_state_that_lived(root):
    table = truth.read_truth(root).table
    state = truth.state_of(table)
    follows = np.flatnonzero(table["k"] > 0)
    chronic = [c for c, concept in enumerate(CONCEPTS) if type(concept.dynamics).__name__ == "Chronic"]
    sampled = dynamics.step(state.take(follows - 1), np.random.default_rng(0))
    assert (sampled.on[:, chronic] >= state.on[follows - 1][:, chronic]).all()
    # Echoes and phases have no noise but a little: the sampled future agrees with what was lived.
    certain = [COLUMN[name] for name in ("postthrombotic", "implant_failure", "bipolar")]
    assert (sampled.on[:, certain] == state.on[follows][:, certain]).mean() > 0.97
