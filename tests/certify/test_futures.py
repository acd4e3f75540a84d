"""Simulated futures are draws of what could have come: same patient, same day, same words."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.certify import oracle
from jepascope.certify.futures import Futures, cohort_deciles, foretold, next_encounters, simulate
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.extract import read
from jepascope.cohort.synthetic import emission, synthesize
from jepascope.cohort.synthetic import futures as branching
from jepascope.cohort.synthetic.dynamics import State
from jepascope.cohort.tokens import Fitted

SYNTHETIC = params.Synthetic(patients=300, seed=5)
EXTRACTION = params.Extraction(min_patients_per_token=3, test_share=0.4)
HOW = Inference(bootstrap=200, permutations=20)


class Made:
    """A small planted cohort, extracted, with futures of its test encounters."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "planted"
        synthesize(self.root, SYNTHETIC)
        cohort: tuple[Encounters, Fitted] = read(folder / "extraction", self.root, params.Source(), EXTRACTION)
        self.cohort, self.fitted = cohort
        self.settings = params.Certification(futures=8, rows=200)
        self.futures: Futures = simulate(
            folder / "scratch", self.root, self.cohort, params.Source(), EXTRACTION, self.settings,
            np.random.default_rng(0),
        )  # fmt: skip
        V = len(self.cohort.vocabulary)
        self.came = bag(self.cohort.tokens, self.cohort.offsets, V)[self.futures.rows]
        self.drawn = bag(self.futures.tokens, self.futures.offsets, V).reshape(len(self.came), -1, V)


def bag(tokens: np.ndarray, offsets: np.ndarray, V: int) -> np.ndarray:
    out = np.zeros((len(offsets) - 1, V), bool)
    for i in range(len(out)):
        out[i, tokens[offsets[i] : offsets[i + 1]]] = True
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("futures"))


def test_what_came_is_as_far_from_the_mean_of_its_futures_as_a_future_is(made: Made) -> None:
    patients = made.cohort.index["subject_id"].to_numpy()[made.futures.rows]
    found = oracle.calibrate(made.came, made.drawn, patients, HOW, np.random.default_rng(0))
    # 59 patients; a stranger's encounter lies at 1.6.
    assert found.came.value == pytest.approx(1, abs=0.06)
    assert found.stranger.low > 1.3


def test_token_means_of_what_came_and_of_futures_agree(made: Made) -> None:
    patients = made.cohort.index["subject_id"].to_numpy()[made.futures.rows]
    t = oracle.mean_scores(made.came, made.drawn, patients)["t"].dropna()
    assert len(t) > 50
    assert np.sqrt((t**2).mean()) < 1.35


def test_a_future_keeps_what_is_given(made: Made) -> None:
    """Sex and age are the patient's at that admission; exactly one token of each kind."""
    kind = made.cohort.vocabulary["kind"].to_numpy()
    for given in ("sex", "age"):
        same = made.drawn[:, :, kind == given] == made.came[:, None, kind == given]
        assert same.all(), given
    assert (made.drawn[:, :, kind == "diagnosis"] != made.came[:, None, kind == "diagnosis"]).any()


def test_rows_are_test_encounters_of_whole_patients(made: Made) -> None:
    index = made.cohort.index
    rows = next_encounters(index, 50, np.random.default_rng(1))
    assert len(rows) <= 50
    assert (index["split"].iloc[rows] == "test").all()
    assert (index["k"].iloc[rows] >= 1).all()
    chosen = index.iloc[rows]["subject_id"].unique()
    assert len(rows) == (index["subject_id"].isin(chosen) & (index["k"] >= 1)).sum()
    with pytest.raises(NotComputable, match="certification.rows"):
        next_encounters(index[index["k"] < 1], 50, np.random.default_rng(1))


def test_deciles_fitted_again_are_those_of_the_extraction(made: Made) -> None:
    again = cohort_deciles(made.folder / "deciles", made.root, made.cohort.index, EXTRACTION)
    pd.testing.assert_frame_equal(
        again.sort_values("itemid").reset_index(drop=True),
        made.fitted.deciles.sort_values("itemid").reset_index(drop=True),
    )


def test_the_second_life_has_the_numbers_that_the_first_one_drew(monkeypatch: pytest.MonkeyPatch, made: Made) -> None:
    kept, real = [], emission._uniform

    def spy(patient: np.ndarray, rng: np.random.Generator, lasting: bool) -> np.ndarray:
        drawn = real(patient, rng, lasting)
        if lasting:
            kept.append(drawn)
        return drawn

    monkeypatch.setattr(emission, "_uniform", spy)
    world = branching.relive(SYNTHETIC)
    assert len(world.own_codes) == len(kept)
    assert len(world.own_labs) == len(emission.LABS)
    # STICKY of a patient's encounters use the patient's own number, the others a fresh one.
    shared = [np.mean(own[world.histories.patient] == drawn) for own, drawn in zip(world.own_codes, kept, strict=True)]
    assert np.mean(shared) == pytest.approx(emission.STICKY, abs=0.02)


def test_a_branch_reads_nothing_of_what_came_but_its_day(made: Made) -> None:
    world = branching.relive(SYNTHETIC)
    past = world.histories
    rows = np.flatnonzero(past.patient[1:] == past.patient[:-1])[:40]
    state = State(past.on[rows], past.latent[rows], past.traits[rows])
    drawn = branching.branch(world, state, rows, np.random.default_rng(3))
    blank = past._replace(
        on=np.zeros_like(past.on), discharge=np.where(np.isin(np.arange(len(past.k)), rows), past.discharge, 0),
        died=~past.died, severity=past.severity + 9, planned=~past.planned,
    )  # fmt: skip
    again = branching.branch(world._replace(histories=blank), state, rows, np.random.default_rng(3))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(drawn, again, strict=True))
    assert np.array_equal(drawn.admit, past.admit[rows + 1])


def test_leaks_and_last_encounters_have_no_futures(made: Made) -> None:
    with pytest.raises(ValueError, match=r"synthetic\.leak"):
        branching.relive(SYNTHETIC.model_copy(update={"leak": "total_length"}))
    world = branching.relive(SYNTHETIC)
    past, last = world.histories, np.array([len(world.histories.k) - 1])
    state = State(past.on[last], past.latent[last], past.traits[last])
    with pytest.raises(ValueError, match="last encounter"):
        branching.branch(world, state, last, np.random.default_rng(0))


def test_what_is_foretold_comes(made: Made) -> None:
    """An echo that is due is on at the next encounter nearly always, and else nearly never."""
    index = made.cohort.index
    due = foretold(made.root, index)
    assert set(due) == {"postthrombotic", "implant_failure", "kidney_injury", "self_harm"}
    table = index[["subject_id", "hadm_id"]].merge(pd.read_parquet(made.root / "truth" / "truth.parquet"))
    before = np.flatnonzero((index["k"] >= 1).to_numpy()) - 1
    for name in due:
        came = table[f"concept_{name}"].to_numpy(bool)[before + 1]
        told = due[name].to_numpy()[before]
        assert came[told].mean() > 0.8, name
        assert came[~told].mean() < 0.05, name
