"""The steps that take e apart: nothing at k is explained by what comes later, and no test patient is fitted to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from tests.fixtures_encounters import toy_encounters

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.sae import Settings, fit
from jepascope.cohort import encounters as cohort_encounters
from jepascope.objects import Objects, load_objects, make_objects, save_objects
from jepascope.pipeline.dictionary.dictionaries import save_dictionary
from jepascope.pipeline.error import concepts as error_concepts
from jepascope.pipeline.error import features as error_features
from jepascope.pipeline.error import outcomes as error_outcomes
from jepascope.pipeline.error import parts as error
from jepascope.pipeline.error import spectra as error_spectra
from jepascope.store import read_table, write_table

pytest_plugins = ["tests.fixtures_trained"]
HOW = params.Statistics(bootstrap=50, permutations=20, min_patients=5)
D = 6


def objects(index: pd.DataFrame, seed: int, blind: float) -> Objects:
    """z of a lasting and a passing part; ẑ forgets `blind` of dimension 0, though c holds it."""
    rng = np.random.default_rng(seed)
    who = np.unique(index["subject_id"], return_inverse=True)[1]
    lasting = rng.normal(size=(who.max() + 1, D))[who]
    z = (lasting + 0.5 * rng.normal(size=lasting.shape)).astype(np.float32)
    c = lasting.astype(np.float32)
    at = np.flatnonzero(index["k"].to_numpy() > 0)
    z_hat = c[at - 1] * np.r_[1 - blind, np.ones(D - 1)].astype(np.float32)
    return Objects(index, z, c, at, z_hat, z[at] - z_hat)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A cohort with labels, objects of a model with a blind dimension and of a twin, and their parts."""
    root = tmp_path_factory.mktemp("error")
    cohort = toy_encounters(patients=300, mean_encounters=4)
    rng, index = np.random.default_rng(0), cohort.index
    yes = rng.random((len(index), 4)) < 0.4
    index = index.assign(
        admission_type="URGENT", los_days=2.0, icd_version=10, f_code_so_far=True,
        group_one=yes[:, 0], group_two=yes[:, 1], label_30d_per_enc=yes[:, 2].astype(float),
    )  # fmt: skip
    vocabulary = cohort.vocabulary.assign(kind="diagnosis")
    cohort_encounters.save(root / "cohort", cohort._replace(index=index, vocabulary=vocabulary))
    for name, seed, blind in (("trained", 0, 0.8), ("twin", 1, 0.0), ("parts", 0, 0)):
        (root / name).mkdir()
        if name != "parts":
            save_objects(root / name, objects(index, seed, blind))
    error.take_apart(root / "parts", root / "trained", root / "twin", HOW, 0)
    return root


def test_inputs_at_k_are_made_of_what_came_before_k(folders, tmp_path):
    before = error.load_rows(folders / "trained")
    found = load_objects(folders / "trained")
    k = found.index["k"].to_numpy()
    later = k >= 2
    (tmp_path / "moved").mkdir()
    z, c = found.z.copy(), found.c.copy()
    z[later] += 10
    c[later] += 10
    index = found.index.assign(gap_days=found.index["gap_days"].where(k <= 2, 999))
    save_objects(tmp_path / "moved", found._replace(z=z, c=c, index=index))
    after = error.load_rows(tmp_path / "moved")
    early = k[before.at] <= 2
    assert np.array_equal(before.own[early], after.own[early])
    assert np.array_equal(before.past[early], after.past[early])
    assert not np.array_equal(before.past, after.past)


def test_the_parts_of_one_test_patient_do_not_depend_on_another(folders, tmp_path):
    found = load_objects(folders / "trained")
    rows = error.load_rows(folders / "trained")
    one = rows.patients[rows.test][0]
    others = rows.test & (rows.patients != one)
    e = found.e.copy()
    e[others] += 5
    (tmp_path / "moved").mkdir()
    save_objects(tmp_path / "moved", found._replace(e=e))
    moved = error.load_rows(tmp_path / "moved")
    ours, theirs = (error.read_apart(r.e, r.own, r, 5, 0) for r in (rows, moved))
    assert np.array_equal(ours.systematic[~others], theirs.systematic[~others])
    assert np.array_equal(ours.innovation[~others], theirs.innovation[~others])


def test_the_blind_dimension_is_systematic_and_the_twin_has_none(folders):
    blind = error.load_share(folders / "parts", "trained", "own", "systematic")
    assert blind.low > max(0.15, error.load_null(folders / "parts", "systematic").high)
    assert error.load_share(folders / "parts", "untrained twin", "own", "systematic").value < 0.05
    systematic = error.load_parts(folders / "parts", "trained", "own").systematic
    assert np.argmax(systematic.var(axis=0)) == 0
    lost, null = (
        error.load_share(folders / "parts", "trained", "past", "lost"),
        error.load_null(folders / "parts", "lost"),
    )
    assert null.low <= null.value <= null.high < 0.05
    assert (null.p < 0.05) == (lost.value > null.high)
    shares = error.load_shares(folders / "parts")
    assert shares.groupby(["model", "reader"]).size().to_dict()[("mean predictor", "past")] == 4


def test_spectra_and_axes_are_left_for_every_space(folders, tmp_path):
    error_spectra.find_spectra(tmp_path, folders / "trained", folders / "twin", folders / "parts", HOW, 0)
    relative = error_spectra.load_spectra(tmp_path, "relative")
    assert relative.groupby("predictor").size().tolist() == [D] * 3
    mean = relative.groupby("predictor")["value"].mean()
    assert mean["ẑ of another patient"] > 1 > mean["ẑ"]
    assert set(error_spectra.load_spectra(tmp_path, "axes")["space"]) >= {"z", "e", "systematic", "innovation"}
    axis = error_spectra.one_axis(folders / "trained", Inference(**HOW.model_dump()), np.random.default_rng(0))
    assert 1 / D < axis.estimate.value < 1
    rows = error.load_rows(folders / "trained")
    first = np.linalg.eigh(np.cov(rows.e[rows.train], rowvar=False))[1][:, -1]
    z = rows.z[rows.test]
    assert axis.of_z.value == pytest.approx(np.var(z @ first) / np.var(z, axis=0).sum(), rel=1e-4)


def test_the_map_holds_the_concepts_with_enough_carriers(folders, tmp_path):
    given = (folders / "cohort", folders / "trained", folders / "twin", folders / "parts", HOW, 0)
    error_concepts.map_blind_spots(tmp_path, *given)
    found = error_concepts.load_map(tmp_path, "trained")
    assert {"one", "two"} < set(found["concept"])
    assert "first encounter" not in set(found["concept"])  # no predicted encounter is a first one
    assert found["unforeseen"].is_monotonic_decreasing
    assert error_concepts.one_concept(tmp_path, 0)["concept"] == found["concept"][0]
    assert -1 <= error_concepts.direction_agreement(tmp_path) <= 1
    rows = error.load_rows(folders / "trained")
    one = rows.index["group_one"].to_numpy(bool) & rows.test
    counted = found.set_index("concept").loc["one"]
    assert (counted["encounters"], counted["carriers"]) == (one.sum(), len(set(rows.patients[one])))


def test_directions_of_the_map_at_random_too_come_from_training_patients(folders, tmp_path, monkeypatch):
    given, draw = [], error_concepts.random_directions
    monkeypatch.setattr(error_concepts, "random_directions", lambda z, rng: given.append(z) or draw(z, rng))
    models = [folders / name for name in ("trained", "twin")]
    error_concepts.map_blind_spots(tmp_path, folders / "cohort", *models, folders / "parts", HOW, 0)
    for z, rows in zip(given, map(error.load_rows, models), strict=True):
        assert np.array_equal(z, rows.z[rows.train])


def test_a_concept_is_foreseen_worse_or_better_only_beyond_its_band_and_at_the_q_of_the_map(tmp_path):
    table = pd.DataFrame(
        [("above", 0.9, 0.01), ("above, by chance", 0.9, 0.2), ("within", 0.5, 0.01), ("below", 0.1, 0.049)],
        columns=["concept", "unforeseen", "q"],
    )
    write_table(tmp_path / "map.parquet", table.assign(model="trained", band_low=0.4, band_high=0.6))
    found = error_concepts.load_map(tmp_path, "trained").set_index("concept")["foreseen"]
    assert found.to_dict() == {"above": "worse", "above, by chance": "like", "within": "like", "below": "better"}
    assert [error_concepts.count_foreseen(tmp_path, how) for how in ("worse", "like", "better")] == [1, 2, 1]


def test_a_diagnosis_has_words_beside_its_code(folders):
    cohort = cohort_encounters.load(folders / "cohort")
    named = cohort.vocabulary.assign(token=[f"ICD10//R{i:02}" for i in range(len(cohort.vocabulary))])
    given = cohort._replace(vocabulary=named), error.load_rows(folders / "trained"), 5
    assert "symptom of heart or breathing (R06)" in set(error_concepts.concepts_of(*given)[1]["concept"])


def test_probes_of_e_that_cannot_be_computed_say_why(folders, tmp_path):
    error_concepts.probe_errors(tmp_path, folders / "trained", folders / "twin", HOW, 0)
    assert set(error_concepts.load_probes(tmp_path)["representation"]) == {"z", "ẑ", "e", "untrained e"}
    few = HOW.model_copy(update={"min_carriers": 5000})
    error_concepts.probe_errors(tmp_path, folders / "trained", folders / "twin", few, 0)
    with pytest.raises(NotComputable, match="5000 needed"):
        error_concepts.load_probes(tmp_path)


def test_the_base_of_an_outcome_at_k_is_known_at_k_and_other_outcomes_give_a_reason(folders, tmp_path):
    found = load_objects(folders / "trained")
    k = found.index["k"].to_numpy()
    before = error_outcomes.base_of(found.index, found.target_rows, found.z[found.target_rows])
    later = found.index.assign(
        gap_days=found.index["gap_days"].where(k <= 1, 77), los_days=found.index["los_days"].where(k <= 1, 77)
    )
    after = error_outcomes.base_of(later, found.target_rows, found.z[found.target_rows])
    early = k[found.target_rows] <= 1
    assert np.array_equal(before[early], after[early])
    assert not np.array_equal(before, after)
    error_outcomes.norms_against_outcomes(tmp_path, folders / "trained", folders / "twin", folders / "parts", HOW, 0)
    gain = error_outcomes.load_gain(tmp_path, "trained")
    assert abs(gain.estimate.value) < 0.1
    with pytest.raises(NotComputable):
        error_outcomes.load_gain(tmp_path, "trained", "label_death_365d_per_enc")


def test_dictionaries_of_the_error_are_held_against_kept_features(folders, tmp_path):
    z, votes = load_objects(folders / "trained").z, tmp_path / "votes"
    sae = params.Sae(features=12, active=2, epochs=5, batch_rows=64)
    save_dictionary(votes, fit(z, Settings(**sae.model_dump())._replace(features=8), 0), "kept")
    write_table(votes / "votes.parquet", pd.DataFrame({"kept": [True] * 8}))
    write_table(votes / "floors.parquet", pd.DataFrame({"data": ["Gaussian noise with z's covariance"], "kept": [0]}))
    error_features.match_features(tmp_path, folders / "trained", folders / "parts", votes, HOW, sae, 0)
    how = Inference(**HOW.model_dump())
    found = error_features.all_spoken(tmp_path, "missed", how, np.random.default_rng(0))
    assert set(found) == {"e", "systematic", "innovation", *error_features.KNOW_NOTHING}
    ours = error_features.spoken_of(tmp_path, "e", "missed", how, np.random.default_rng(0))
    assert ours.nothing.value == max(found[name].value for name in error_features.KNOW_NOTHING)
    assert ours.excess.value == pytest.approx(ours.share.value - ours.nothing.value)
    assert read_table(tmp_path / "matches.parquet")["of"].tolist() == [8] * 6


def test_a_model_that_is_its_own_target_has_no_mismatch(toy_folder, toy_model_folder, tmp_path):
    make_objects(tmp_path, toy_folder, toy_model_folder)
    how = Inference(bootstrap=50, min_patients=5)
    found = error.mismatch_in_error(toy_model_folder, tmp_path, toy_folder, how, np.random.default_rng(0))
    assert found["mismatch"].value == pytest.approx(0, abs=1e-6)
    assert found["removed"].value == pytest.approx(0, abs=1e-6)
    assert found["spread"].value == pytest.approx(1)


def test_what_the_wrong_target_costs_can_be_negative(toy_folder, toy_model_folder, tmp_path, monkeypatch):
    """Against noise for a target there is a mismatch, as there always is, and nothing to be gained."""
    make_objects(tmp_path, toy_folder, toy_model_folder)
    rows, N = error.load_rows(tmp_path), len(load_objects(tmp_path).index)

    def noise(encoder, packed, chosen):
        n = int(np.isin(np.unique(packed_patients, return_inverse=True)[1], chosen).sum())
        return torch.from_numpy(3 * np.random.default_rng(0).normal(size=(n, rows.z.shape[1])))

    packed_patients = load_objects(tmp_path).index["subject_id"].to_numpy()
    assert len(packed_patients) == N
    monkeypatch.setattr(error, "encode", noise)
    how = Inference(bootstrap=50, min_patients=5)
    found = error.mismatch_in_error(toy_model_folder, tmp_path, toy_folder, how, np.random.default_rng(0))
    assert found["mismatch"].low > 0
    assert found["removed"].high < 0
    assert found["spread"].low > 1


def test_a_target_that_is_met_because_it_hardly_varies_is_told_by_its_units(
    toy_folder, toy_model_folder, tmp_path, monkeypatch
):
    """The target is half of z about its mean, and the predictor says the mean: nothing is foreseen of either."""
    make_objects(tmp_path, toy_folder, toy_model_folder)
    found, rows = load_objects(tmp_path), error.load_rows(tmp_path)
    mean = rows.z[rows.test].mean(axis=0)
    z_hat = np.broadcast_to(mean, found.z_hat.shape)
    save_objects(tmp_path, found._replace(z_hat=np.array(z_hat), e=rows.z - z_hat))
    who = np.unique(found.index["subject_id"], return_inverse=True)[1]
    monkeypatch.setattr(
        error, "encode", lambda encoder, packed, chosen: torch.from_numpy((mean + found.z[np.isin(who, chosen)]) / 2)
    )
    how = Inference(bootstrap=50, min_patients=5)
    told = error.mismatch_in_error(toy_model_folder, tmp_path, toy_folder, how, np.random.default_rng(0))
    assert told["spread"].value == pytest.approx(0.25, rel=1e-4)
    assert told["removed"].value == pytest.approx(0.75, rel=1e-4)
    assert told["removed in units"].value == pytest.approx(0, abs=1e-4)
