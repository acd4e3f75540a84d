"""The steps around sparse dictionaries: what they leave can be read again, and test patients have no part in it."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from jepascope import params
from jepascope.analysis import sae
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.objects import Objects, load_objects, save_objects
from jepascope.pipeline.dictionary import dictionaries
from jepascope.store import StoreError, read_json, read_table, read_tensors, write_table

SMALL = params.Sae(features=20, active=2, epochs=15, batch_rows=128, learning_rate=1e-2, voters=3)


def objects(z):
    """Embeddings z [N, D], four a patient, of which the last third are test patients'."""
    N = len(z)
    split = np.where(np.arange(N) < 2 * N // 3, "train", "test")
    index = pd.DataFrame({"subject_id": np.arange(N) // 4, "k": np.arange(N) % 4, "split": split})
    return Objects(index, z, z, np.arange(1, N), z[1:], 0 * z[1:])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Objects with planted directions, and a twin of noise."""
    root, rng = tmp_path_factory.mktemp("objects"), np.random.default_rng(0)
    atoms = rng.normal(size=(16, 32))
    f = rng.uniform(1, 2, (2400, 16)) * (rng.random((2400, 16)) < 0.1)
    # In few dimensions any two directions are near, and a vote would keep some in noise as well.
    for name, z in (("model", f @ atoms + rng.normal(size=(2400, 32))), ("twin", rng.normal(size=(2400, 32)))):
        (root / name).mkdir()
        save_objects(root / name, objects(z.astype(np.float32)))
    return root


@pytest.fixture(scope="module")
def voted(folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("voted")
    dictionaries.vote_on_features(folder, folders / "model", folders / "twin", SMALL, 0)
    return folder


@pytest.mark.parametrize("variant", ["topk", "jump_relu", "matching_pursuit"])
def test_a_dictionary_is_read_as_it_was_written(tmp_path, variant):
    x = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    settings = sae.Settings(variant=variant, features=12, active=3, epochs=1, batch_rows=64)
    written = sae.fit(x, settings, 0)
    dictionaries.save_dictionary(tmp_path, written, "one")
    read = dictionaries.load_dictionary(tmp_path, "one")
    assert (read.variant, read.active, read.scale) == (variant, 3, written.scale)
    assert np.array_equal(sae.densify(sae.encode(read, x)), sae.densify(sae.encode(written, x)))


def test_votes_are_kept_with_their_floors_and_an_encoder_for_what_is_kept(folders, voted):
    votes = read_table(voted / "votes.parquet")
    assert len(votes) == 20
    assert (votes["voters"].unique().tolist(), votes["checkers"].unique().tolist()) == ([2], [3])
    floors = read_table(voted / "floors.parquet").groupby("data")["kept"]
    assert floors.count().tolist() == [3, 3, 3]
    assert floors.first()["z"] == votes["kept"].sum() >= 8
    assert max(floors.max()["untrained z"], floors.max()["Gaussian noise with z's covariance"]) <= 1
    kept = dictionaries.load_dictionary(voted, "kept")
    reference = dictionaries.load_dictionary(voted, "reference")
    assert kept.W_dec == pytest.approx(reference.W_dec[votes["kept"]], abs=1e-6)
    how = Inference(bootstrap=50, min_patients=2)
    found = [
        dictionaries.held_out_quality(voted, folders / "model", how, np.random.default_rng(0), name)
        for name in ("reference", "kept")
    ]
    assert found[0].fvu.n_patients == 200
    assert found[1].fvu.value < found[0].fvu.value + 0.2
    with pytest.raises(StoreError):
        dictionaries.held_out_quality(voted, folders / "model", how, np.random.default_rng(0))


def test_test_patients_have_no_part_in_the_vote(folders, voted, tmp_path):
    z = load_objects(folders / "model").z.copy()
    z[2 * len(z) // 3 :] = 100.0
    (tmp_path / "model").mkdir()
    save_objects(tmp_path / "model", objects(z))
    dictionaries.vote_on_features(tmp_path, tmp_path / "model", folders / "twin", SMALL, 0)
    for name in ("reference", "kept"):
        ours, theirs = (read_tensors(folder / f"{name}.safetensors") for folder in (voted, tmp_path))
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours)


def test_an_export_holds_what_saelens_asks_for(voted, tmp_path):
    dictionary = dictionaries.load_dictionary(voted, "reference")
    dictionaries.export_to_saelens(tmp_path, dictionary)
    assert read_json(tmp_path / "cfg.json")["architecture"] == "topk"
    weights = read_tensors(tmp_path / "sae_weights.safetensors")
    assert {name: array.shape for name, array in weights.items()} == {
        "W_enc": (32, 20), "b_enc": (20,), "W_dec": (20, 32), "b_dec": (32,)
    }  # fmt: skip


def test_kept_features_come_back_in_refits_to_other_patients_and_the_twins_do_not(voted, tmp_path):
    kept, over_twin = (f(voted, 0.95) for f in (dictionaries.returning_of_kept, dictionaries.returning_over_twin))
    assert kept.estimate.low > 0.5
    assert kept.estimate.low <= kept.estimate.value <= kept.estimate.high <= 1
    assert over_twin.estimate.low > 0.2 > over_twin.null.high
    assert kept.null.value < 0.2
    assert kept.estimate.n_patients == over_twin.estimate.n_patients == 200
    refits = read_table(voted / "refits.parquet")
    shares = refits.query("data == 'z'")["kept"]
    assert kept.estimate.value == pytest.approx(shares.mean())
    assert kept.estimate.value - kept.estimate.low == pytest.approx(2.262 * shares.std(), abs=1e-3)  # t, nine degrees
    # Where nothing is kept there is still the share of all features.
    write_table(tmp_path / "refits.parquet", refits.assign(kept=np.nan))
    shutil.copy(voted / "pairs.parquet", tmp_path)
    assert dictionaries.returning_over_twin(tmp_path, 0.95) == over_twin
    with pytest.raises(NotComputable, match="no feature is kept"):
        dictionaries.returning_of_kept(tmp_path, 0.95)


def test_the_licence_counts_the_patients_on_whom_the_vote_was_held(folders, voted, tmp_path):
    licence = dictionaries.share_kept(voted, folders / "model")
    assert (licence.noise.n_rows, licence.noise.n_patients) == (800, 200)  # of 400 training patients, four rows each
    shutil.copytree(voted, tmp_path, dirs_exist_ok=True)
    fewer = read_table(voted / "refits.parquet").assign(n_rows=400, n_patients=100)  # were the halves not alike
    write_table(tmp_path / "refits.parquet", fewer)
    assert dictionaries.share_kept(tmp_path, folders / "model").z[3:] == (1200, 300)


def test_a_vote_that_keeps_noise_licenses_nothing(folders, voted, tmp_path):
    for name in ("votes.parquet", "kept.safetensors", "kept.json", "floors.parquet", "refits.parquet"):
        shutil.copy(voted / name, tmp_path / name)
    assert len(dictionaries.load_consensus(tmp_path).W_dec) == read_table(voted / "votes.parquet")["kept"].sum()
    floors = read_table(tmp_path / "floors.parquet")
    floors["kept"] = [5, 4, 6, 0, 0, 0, 0, 2, 1]
    write_table(tmp_path / "floors.parquet", floors)
    assert dictionaries.share_kept(tmp_path, folders / "model").noise[:3] == pytest.approx((0.05, 0, 0.1), abs=0.06)
    with pytest.raises(NotComputable, match="keeps 2 features of Gaussian noise"):
        dictionaries.load_consensus(tmp_path)
    write_table(tmp_path / "floors.parquet", floors.assign(kept=0))
    write_table(tmp_path / "votes.parquet", read_table(voted / "votes.parquet").assign(kept=False))
    with pytest.raises(NotComputable, match="0 features kept"):
        dictionaries.load_consensus(tmp_path)
